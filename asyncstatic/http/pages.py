"""Constant pages for answers without a representation. Nothing of the request is echoed."""

from __future__ import annotations

from functools import lru_cache

from asyncstatic.http.accept import prefers_html
from asyncstatic.http.model import RawFields, ResponsePlan
from asyncstatic.http.status import PHRASES

_REMEMBERED_BYTES = 256  # of further fields; longer ones have a client's own query
_WORDS = {
    301: "This resource has moved.",
    308: "This resource has moved.",
    400: "The request is malformed.",
    403: "This resource may not be read.",
    404: "There is nothing here.",
    405: "This resource can only be read.",
    406: "This resource is not available in a content coding you accept.",
    412: "This resource has changed.",
    414: "The request target is too long.",
    416: "The requested range is not in this resource.",
    500: "This resource could not be read.",
    503: "The server is busy. Please try again.",
}


def page(status: int, accept: str | None, fields: RawFields = ()) -> ResponsePlan:
    """Answer with a constant page, HTML or plain text by Accept.

    Never stored: what is missing, forbidden or busy now may not be so in a moment.

    Args:
        status: one of the statuses this server answers without a representation.
        accept: the Accept field.
        fields: further fields of the response.
    """
    make = _make_page if sum(len(value) for _, value in fields) > _REMEMBERED_BYTES else _page
    return make(status, prefers_html(accept), fields)


@lru_cache(maxsize=256)
def _page(status: int, html: bool, fields: RawFields) -> ResponsePlan:
    return _make_page(status, html, fields)


def _make_page(status: int, html: bool, fields: RawFields) -> ResponsePlan:
    media_type, content = _content(status, html)
    return ResponsePlan(
        status,
        (
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(content)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *fields,
        ),
        (content,),
    )


@lru_cache(maxsize=64)
def _content(status: int, html: bool) -> tuple[bytes, bytes]:
    title = f"{status} {PHRASES[status]}"
    if not html:
        return b"text/plain; charset=utf-8", f"{title}\n{_WORDS[status]}\n".encode()
    text = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<h1>{title}</h1>\n<p>{_WORDS[status]}</p>\n</html>\n"
    )
    return b"text/html; charset=utf-8", text.encode()
