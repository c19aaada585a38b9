"""Navigations: requests for a page, which the shell of a single-page app may answer.

A browser says in Sec-Fetch-Dest that it will show the answer as a document (W3C Fetch Metadata
§2.1). It sends that field over HTTPS and to the local host alone; without it Accept decides, which
names ``text/html`` for a navigation. A service worker that passes a navigation on,
``fetch(event.request)``, has no destination any more, but still the mode "navigate", which no script
can choose. Scripts, images and fetch() therefore get a plain 404. So does every name that looks like
a file: an asset of an old build must not be answered by a page.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from asyncstatic.http.accept import prefers_html
from asyncstatic.http.model import Fields, Request
from asyncstatic.http.target import matches
from asyncstatic.settings import Settings

#: The request fields that tell a navigation: the shell varies by them (RFC 9110 §12.5.5).
VARIES_BY: Final = ("Sec-Fetch-Dest", "Sec-Fetch-Mode", "Accept")
_DOCUMENTS: Final = frozenset({"document", "iframe", "frame"})


def is_navigation(request: Request, segments: tuple[str, ...], settings: Settings) -> bool:
    """Tell whether the shell may answer a request whose path names no file.

    Args:
        request: its target and the fields of `VARIES_BY` are used.
        segments: the names of its path; empty where no file can have this path.
        settings: `immutable` is used: a fingerprinted name is never answered by a page.
    """
    return (
        _asks_for_document(request.fields)
        and not _is_like_file(request.target)
        and not (settings.immutable and matches(settings.immutable, segments))
    )


def _asks_for_document(fields: Fields) -> bool:
    shown = is_shown(fields)
    return prefers_html(fields.accept or "") if shown is None else shown


def is_shown(fields: Fields) -> bool | None:
    """Tell whether a browser will show the answer as a document; None if it does not say."""
    destination = fields.sec_fetch_dest
    if destination is None:
        return None
    is_passed_on = destination == "empty" and fields.sec_fetch_mode == "navigate"
    return destination in _DOCUMENTS or is_passed_on


def _is_like_file(target: bytes) -> bool:
    """Tell whether the last name has a suffix, or the path an empty segment (`scope`)."""
    return b"." in unquote_to_bytes(target).rpartition(b"/")[2] or b"//" in target
