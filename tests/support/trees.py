"""A directory as a source, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncstatic.files.directory import open_directory
from asyncstatic.files.root import Segments
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.settings import Settings


def directory_source(
    settings: Settings, allowed: Callable[[Segments], bool], **clock: Any
) -> TreeSource:
    """Open the directory that settings name, as a source."""
    return TreeSource(open_directory(settings, allowed, **clock), settings, allowed)
