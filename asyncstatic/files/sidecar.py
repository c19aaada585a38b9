"""Sidecars: precompressed copies beside their originals."""

from __future__ import annotations

#: Suffix of a file by its content-coding, in the order in which equals are preferred.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
