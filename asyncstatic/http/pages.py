"""Constant pages for answers without a representation. They echo nothing of the request."""

from __future__ import annotations

from functools import lru_cache

from asyncstatic.http import cors
from asyncstatic.http.accept import prefers_html
from asyncstatic.http.model import RawFields, Request, ResponsePlan
from asyncstatic.http.policy import NO_STORE, NOSNIFF
from asyncstatic.http.status import PHRASES

_WORDS = {
    301: "This resource has moved.",
    302: "This resource is elsewhere for now.",
    307: "This resource is elsewhere for now.",
    308: "This resource has moved.",
    400: "The request is malformed.",
    401: "This resource needs a name and a password.",
    403: "This resource may not be read.",
    404: "There is nothing here.",
    405: "This resource can only be read.",
    410: "This link has expired.",
    412: "This resource has changed.",
    414: "The request target is too long.",
    416: "The requested range is not in this resource.",
    429: "Too many requests. Please wait.",
    500: "This resource could not be read.",
    503: "The server is busy. Please try again.",
}


def error_page(
    request: Request, status: int, origins: tuple[str, ...], fields: RawFields = ()
) -> ResponsePlan:
    """Answer a request with a constant page that scripts of the allowed origins may read.

    Args:
        request: its method, Accept and Origin are used.
        status: one of the statuses this server answers without a representation.
        origins: `Settings.cors`.
        fields: further fields of the response.
    """
    return page_for(request, status, (*fields, *cors.response_fields(request.fields, origins)))


def page_for(request: Request, status: int, fields: RawFields = ()) -> ResponsePlan:
    """Answer a request with a constant page; HEAD gets its fields alone (RFC 9110 §9.3.2)."""
    plan = page(status, request.fields.accept, fields)
    return ResponsePlan(plan.status, plan.fields) if request.method == "HEAD" else plan


def page(status: int, accept: str | None, fields: RawFields = ()) -> ResponsePlan:
    """Answer with a constant page, HTML or plain text by Accept.

    No cache may store it: a missing, forbidden or busy resource may be there a moment later.

    Args:
        status: one of the statuses this server answers without a representation.
        accept: the Accept field.
        fields: further fields of the response.
    """
    own_fields, content = _page(status, prefers_html(accept or ""))
    return ResponsePlan(status, (*own_fields, *fields), (content,))


@lru_cache
def _page(status: int, html: bool) -> tuple[RawFields, bytes]:
    media_type, content = _content(status, html)
    length = b"%d" % len(content)
    own = ((b"content-type", media_type), (b"content-length", length), NO_STORE, NOSNIFF)
    return own, content


def _content(status: int, html: bool) -> tuple[bytes, bytes]:
    title = f"{status} {PHRASES[status]}"
    if not html:
        return b"text/plain; charset=utf-8", f"{title}\n{_WORDS[status]}\n".encode()
    text = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n'
        f"<h1>{title}</h1>\n<p>{_WORDS[status]}</p>\n</html>\n"
    )
    return b"text/html; charset=utf-8", text.encode()
