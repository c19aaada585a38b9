"""Cross-origin sharing (the Fetch standard's CORS protocol), for reading only."""

from __future__ import annotations

from asyncstatic.http.model import Fields, RawFields

_EXPOSED = b"Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Repr-Digest"
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_PREFLIGHT_SECONDS = b"86400"


def vary(origins: tuple[str, ...]) -> tuple[str, ...]:
    """What the answer varies by: the Origin, unless all origins get the same answer."""
    return ("Origin",) if origins and "*" not in origins else ()


def access_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """Fields that let the asking origin's scripts read the answer; none for strangers."""
    allowed = _allowed_origin(fields, origins)
    if allowed is None:
        return ()
    return (
        (b"access-control-allow-origin", allowed),
        (b"access-control-expose-headers", _EXPOSED),
    )


def response_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """`access_fields` and the Vary they need, for answers without a representation."""
    varying = tuple((b"vary", name.encode("ascii")) for name in vary(origins))
    return (*varying, *access_fields(fields, origins))


def preflight_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """Answer a preflight: GET and HEAD with whatever fields were asked for.

    Request fields cannot make a static resource unsafe, so the list is allowed as asked.
    """
    varying = tuple((b"vary", name.encode("ascii")) for name in vary(origins))
    allowed = _allowed_origin(fields, origins)
    if allowed is None or fields.access_control_request_method not in _SAFE_METHODS:
        return varying
    granted: list[tuple[bytes, bytes]] = [
        (b"access-control-allow-origin", allowed),
        (b"access-control-allow-methods", b"GET, HEAD"),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    ]
    wanted = fields.access_control_request_headers
    if wanted and wanted.isascii() and wanted.isprintable():
        granted.append((b"access-control-allow-headers", wanted.encode("ascii")))
    return (*varying, *granted)


def _allowed_origin(fields: Fields, origins: tuple[str, ...]) -> bytes | None:
    if fields.origin is None:
        return None
    if "*" in origins:
        return b"*"
    return fields.origin.encode("latin-1") if fields.origin in origins else None
