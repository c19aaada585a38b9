"""Listings: what a directory without an index answers, where `Settings.listing` is on."""

from asyncstatic.serve.listing.page import Pages
from asyncstatic.serve.listing.source import ListedSource

__all__ = ["ListedSource", "Pages"]
