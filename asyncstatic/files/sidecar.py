"""The names of files beside a file: its precompressed copies (sidecars), and the file of a page."""

from __future__ import annotations

from asyncstatic.http.model import SUFFIXES

#: The suffix of the file of a page, which its clean URL does not have.
PAGE_SUFFIX = ".html"
#: The suffixes that the file of a page has behind its clean URL.
CLEAN_SUFFIXES = (PAGE_SUFFIX, *(PAGE_SUFFIX + suffix for suffix in SUFFIXES.values()))


def sidecar_of(segments: tuple[str, ...], coding: str) -> tuple[str, ...]:
    """Return the name of a file's sidecar."""
    return (*segments[:-1], segments[-1] + SUFFIXES[coding])
