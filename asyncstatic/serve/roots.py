"""Roots: open the trees of a root, and stack its sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource
from asyncstatic.files.directory import open_directory
from asyncstatic.files.not_found import NotFoundPage
from asyncstatic.files.overlay import Overlay
from asyncstatic.files.root import Segments
from asyncstatic.files.source import Source
from asyncstatic.files.tree import TreeReader
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence
from asyncstatic.http.target import is_public_behind_link
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.values import printable


def open_tree(settings: Settings, allowed: Callable[[Segments], bool]) -> TreeReader:
    """Open the tree that is the root, whatever kind it is: directories are the only one today."""
    return open_directory(settings, allowed)


def open_root(settings: Settings) -> TreeSource:
    """Open a root.

    Raises:
        SettingsError: one line that names the problem and the next step.
    """
    if not settings.root:
        raise SettingsError("no root: name the directory to serve")
    allowed = partial(is_public_behind_link, settings=settings)
    try:
        return TreeSource(open_tree(settings, allowed), settings, allowed)
    except FileNotFoundError:
        problem = "does not exist; create it or name another"
    except NotADirectoryError:
        problem = "is not a directory; name the directory that holds the files"
    except PermissionError:
        problem = f"may not be read by user {_user()}; change its permissions"
    except (OSError, ValueError) as error:
        problem = f"cannot be opened: {error}"
    raise SettingsError(f"root {printable(settings.root)}: {problem}")


def check_page(page: str, trees: list[TreeSource]) -> None:
    """Refuse a `not_found` page that no root has; a lone sidecar is enough.

    The check is made only at the start: if the page is missing later, our own is sent.
    """
    segments = tuple(page.split("/"))
    if not any(tree.has_file(segments) for tree in trees):
        root = printable(trees[0].tree.path)
        raise SettingsError(
            f"not_found={page!r}: {root} has no such page; create it, or name another"
        )


def source_of(trees: list[TreeSource], settings: Settings, cache: Cache) -> Source:
    """Stack the sources of a root: cache before disk, the first tree on top."""
    layers: list[Source] = [
        CachedSource(tree, cache) if settings.limits.cache_bytes else tree for tree in trees
    ]
    source = layers[0] if len(layers) == 1 else Overlay(layers)
    if settings.not_found:
        source = NotFoundPage(source, settings.not_found, _missing(settings))
    return source


def _missing(settings: Settings) -> frozenset[Absence]:
    """Return the absences that the not-found page answers: with `hide_forbidden` also FORBIDDEN."""
    hidden = {Absence.FORBIDDEN} if settings.hide_forbidden else set()
    return frozenset({Absence.MISSING} | hidden)


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "?")
