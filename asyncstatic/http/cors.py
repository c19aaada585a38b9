"""Cross-origin resource sharing (the CORS protocol of the Fetch standard), for reading only."""

from __future__ import annotations

from asyncstatic.http.model import Fields, RawFields

_EXPOSED = b"Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Repr-Digest"
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_PREFLIGHT_SECONDS = b"86400"
_VARY_OF_PREFLIGHTS = ("Access-Control-Request-Method", "Access-Control-Request-Headers")


def vary(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names for Vary: Origin, unless all origins get the same answer.

    An answer to a request without Origin varies too: a cache may use it for a request with one.
    """
    return ("Origin",) if origins and "*" not in origins else ()


def access_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """Return the fields that let scripts of the request's origin read the answer, if they may.

    With "*" they are sent without an Origin field, too: a cache may store the answer to a plain
    ``<img>`` and use it for a `fetch` of the same URL (Fetch standard, "CORS protocol and HTTP
    caches").
    """
    allowed = _allowed_origin(fields, origins) if origins else None
    if allowed is None:
        return ()
    return (
        (b"access-control-allow-origin", allowed),
        (b"access-control-expose-headers", _EXPOSED),
    )


def response_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """Return `access_fields` with their Vary, for answers without a representation."""
    return (*vary_field(vary(origins)), *access_fields(fields, origins)) if origins else ()


def is_preflight(method: str, fields: Fields) -> bool:
    """Tell whether a browser asks for permission to send a GET or HEAD to another origin."""
    asks_to_read = fields.access_control_request_method in _SAFE_METHODS
    return method == "OPTIONS" and fields.origin is not None and asks_to_read


def options_fields(fields: Fields, origins: tuple[str, ...]) -> RawFields:
    """Return the fields of an answer to OPTIONS.

    A preflight may send GET and HEAD with all fields that it names: no request field makes reading
    a static resource unsafe.
    """
    if not origins:
        return ()
    varying = vary_field((*vary(origins), *_VARY_OF_PREFLIGHTS))
    if fields.access_control_request_method is None:
        return (*varying, *access_fields(fields, origins))
    allowed = _allowed_origin(fields, origins)
    if allowed is None:
        return varying
    origin = (b"access-control-allow-origin", allowed)
    if fields.access_control_request_method not in _SAFE_METHODS:
        return (*varying, origin)  # no Allow-Methods: a browser sends no PUT, PATCH or DELETE
    return (*varying, origin, *_granted(fields.access_control_request_headers))


def _granted(wanted: str | None) -> RawFields:
    granted = (
        (b"access-control-allow-methods", b"GET, HEAD"),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    )
    if not wanted or not (wanted.isascii() and wanted.isprintable()):
        return granted
    return (*granted, (b"access-control-allow-headers", wanted.encode("ascii")))


def vary_field(names: tuple[str, ...]) -> RawFields:
    """Return the Vary field with these names; none without a name."""
    return ((b"vary", ", ".join(names).encode("ascii")),) if names else ()


def _allowed_origin(fields: Fields, origins: tuple[str, ...]) -> bytes | None:
    """Return the value of Access-Control-Allow-Origin.

    Origins are compared byte for byte, as browsers serialise them (Fetch standard).
    """
    if "*" in origins:
        return b"*"
    origin = fields.origin
    return origin.encode("latin-1") if origin is not None and origin in origins else None
