"""Sidecars: precompressed copies beside their originals."""

from __future__ import annotations

from asyncstatic.http.model import SUFFIXES as SUFFIXES


def sidecar_of(segments: tuple[str, ...], coding: str) -> tuple[str, ...]:
    """Return the name of a file's sidecar."""
    return (*segments[:-1], segments[-1] + SUFFIXES[coding])


PAGE = ".html"
#: The suffixes that the file of a page has behind its clean URL.
CLEAN_SUFFIXES = (PAGE, *(PAGE + suffix for suffix in SUFFIXES.values()))
