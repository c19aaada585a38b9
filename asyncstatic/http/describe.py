"""The fields that describe a selected representation (RFC 9110 §8), and the answer with it.

`policy` decides those that can be chosen. This module adds those that follow from the
representation and the request: validators, ranges, digest, access for scripts.
"""

from __future__ import annotations

from asyncstatic.http import cors
from asyncstatic.http.dates import http_date
from asyncstatic.http.digest import repr_digest, wants_sha256
from asyncstatic.http.model import RawFields, Representation, Request
from asyncstatic.http.policy import Overrides, ResponsePolicy
from asyncstatic.http.validators import Validators


def repeated_fields(
    request: Request,
    chosen: Representation,
    policy: ResponsePolicy,
    overrides: Overrides,
    current: Validators,
) -> RawFields:
    """Return the fields that a 304 repeats from the 200 (§15.4.5)."""
    chosen_fields = policy.repeated_fields(chosen, overrides)
    access = cors.access_fields(request.fields, policy.cors)
    if current.tag is None:
        return (*chosen_fields, *access)
    return (*chosen_fields, (b"etag", str(current.tag).encode("latin-1")), *access)


def error_fields(request: Request, chosen: Representation, policy: ResponsePolicy) -> RawFields:
    """Return the fields of an error page about a representation: Vary, and access for scripts."""
    access = cors.access_fields(request.fields, policy.cors)
    return (*policy.vary_field(chosen), *access)


def not_modified_fields(repeated: RawFields, current: Validators) -> RawFields:
    """Return the fields of a 304: Last-Modified only where there is no tag (§15.4.5)."""
    if current.tag is None and current.modified is not None:
        return (*repeated, _last_modified(current.modified))
    return repeated


def success_fields(
    request: Request, chosen: Representation, overrides: Overrides, current: Validators
) -> RawFields:
    """Return the fields that only a 200 or 206 has: Link, Last-Modified, ranges, Repr-Digest."""
    fields = [(b"link", overrides.link)] if overrides.link else []
    if current.modified is not None:
        fields.append(_last_modified(current.modified))
    if chosen.decoding is None:
        if overrides.ranges:
            fields.append((b"accept-ranges", b"bytes"))
        if chosen.digest is not None and wants_sha256(request.fields.want_repr_digest):
            fields.append((b"repr-digest", repr_digest(chosen.digest).encode("ascii")))
    return tuple(fields)


def _last_modified(modified: int) -> tuple[bytes, bytes]:
    return b"last-modified", http_date(modified).encode("ascii")
