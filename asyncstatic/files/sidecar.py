"""Sidecars: precompressed copies beside their originals."""

from __future__ import annotations

#: File suffix by content-coding, in the order of preference among equals.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}


def sidecar_of(segments: tuple[str, ...], coding: str) -> tuple[str, ...]:
    """Return the name of a file's sidecar."""
    return (*segments[:-1], segments[-1] + SUFFIXES[coding])


PAGE = ".html"
#: What the name of a page has behind its clean URL.
CLEAN_SUFFIXES = (PAGE, *(PAGE + suffix for suffix in SUFFIXES.values()))
