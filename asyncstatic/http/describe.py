"""The fields that describe a representation (RFC 9110 §8), and those of the answer around it."""

from __future__ import annotations

from asyncstatic.http import cors
from asyncstatic.http.cache_control import IMMUTABLE
from asyncstatic.http.dates import http_date
from asyncstatic.http.digest import repr_digest, want_repr_digest
from asyncstatic.http.media import media_type
from asyncstatic.http.model import RawFields, Representation, Request
from asyncstatic.http.target import matches
from asyncstatic.http.validators import Validators
from asyncstatic.settings import Settings

_IMMUTABLE = str(IMMUTABLE).encode("ascii")
_ONLY_WITH_SUCCESS = frozenset({b"etag", b"cache-control", b"x-content-type-options"})


def kept_fields(
    request: Request, chosen: Representation, settings: Settings, current: Validators
) -> RawFields:
    """The fields that a 304 repeats from the 200 (§15.4.5)."""
    kept: list[tuple[bytes, bytes]] = [(b"cache-control", _cache_control(chosen, settings))]
    if current.tag is not None:
        kept.append((b"etag", str(current.tag).encode("latin-1")))
    vary = cors.vary(settings.cors)
    if chosen.negotiable:
        vary = ("Accept-Encoding", *vary)
    if vary:
        kept.append((b"vary", ", ".join(vary).encode("ascii")))
    kept.append((b"x-content-type-options", b"nosniff"))
    return (*kept, *cors.access_fields(request.fields, settings.cors))


def _cache_control(chosen: Representation, settings: Settings) -> bytes:
    if settings.immutable and matches(settings.immutable, chosen.segments):
        return _IMMUTABLE
    return settings.cache_control.encode("ascii")


def varying_fields(kept: RawFields) -> RawFields:
    """What an error page repeats of them: by what it varies, and who may read it."""
    return tuple(field for field in kept if field[0] not in _ONLY_WITH_SUCCESS)


def not_modified_fields(kept: RawFields, current: Validators) -> RawFields:
    """Last-Modified is repeated only where there is no better validator (§15.4.5)."""
    if current.tag is None and current.modified is not None:
        return (*kept, _last_modified(current.modified))
    return kept


def described_fields(
    request: Request, chosen: Representation, settings: Settings, current: Validators
) -> RawFields:
    """Representation metadata (§8) of a 200 or 206, but for its length and type of framing."""
    described = [(b"content-type", _content_type(chosen, settings))]
    if chosen.coding != "identity":
        described.append((b"content-encoding", chosen.coding.encode("ascii")))
    if current.modified is not None:
        described.append(_last_modified(current.modified))
    if chosen.decoding is None:
        described.append((b"accept-ranges", b"bytes"))
        if chosen.digest is not None and want_repr_digest(request.fields.want_repr_digest):
            described.append((b"repr-digest", repr_digest(chosen.digest).encode("ascii")))
    return tuple(described)


def _content_type(chosen: Representation, settings: Settings) -> bytes:
    name = chosen.segments[-1] if chosen.segments else ""
    return media_type(name, settings.media_types).encode("latin-1")


def _last_modified(modified: int) -> tuple[bytes, bytes]:
    return b"last-modified", http_date(modified).encode("ascii")
