"""The decision core: what to look for, and what to answer.

Theory of operation. A host reads a `Request` and calls `admit`. That yields either a
`Lookup` - what to open - or already the `ResponsePlan`: a method we do not have, a target
that names no file, OPTIONS. The host lets a source open the lookup, one trip to the disk,
and calls `respond` with what was found. Both are pure: the clock and the multipart
boundary are arguments, so a plan is a function of values, and may be remembered.

The order of a GET follows RFC 9110 §13.2.1: first what the answer would be without
preconditions (found? a redirect?), then preconditions - only when that would be 2xx -,
then If-Range and Range, then the fields.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from asyncstatic.http import cors
from asyncstatic.http.accept import AcceptEncoding
from asyncstatic.http.describe import (
    described_fields,
    kept_fields,
    not_modified_fields,
    varying_fields,
)
from asyncstatic.http.model import (
    Absence,
    ByteRange,
    Decoded,
    Folder,
    Lookup,
    RawFields,
    Refusal,
    Representation,
    Request,
    ResponsePlan,
)
from asyncstatic.http.multipart import multipart_byteranges
from asyncstatic.http.pages import page
from asyncstatic.http.preconditions import Verdict, evaluate, range_applies
from asyncstatic.http.ranges import select_ranges
from asyncstatic.http.target import is_host, is_target_text, parse_target
from asyncstatic.http.validators import SECOND, YOUNG_NS, Validators, validators_of
from asyncstatic.settings import Settings

CODINGS = ("br", "zstd", "gzip")
_REMEMBERED_CHARACTERS = 256
_IDENTITY_ONLY = (("identity",),)
_OF_A_STAND_IN = frozenset({b"content-type", b"content-encoding"})
ALLOW = (b"allow", b"GET, HEAD, OPTIONS")


def admit(request: Request, settings: Settings) -> Lookup | ResponsePlan:
    """Decide what to look for, or answer at once.

    Outcomes: a `Lookup` for GET and HEAD of a well-formed target, not `available` where it
    names nothing public; otherwise the plan of 204 (OPTIONS), 405, 301 (the mount point without
    its slash), 414, 400 or 308 (a dot segment).
    """
    if request.method not in ("GET", "HEAD"):
        return _other_method(request, settings)
    if request.fields.host and not is_host(request.fields.host):
        return _finish(_refuse(Refusal(400), request, settings), request)
    if not request.target and request.mount:  # the mount point without its slash
        return _finish(_to_directory(_mount_name(request), request, settings), request)
    parsed = parse_target(request.target, settings, decoded=request.decoded)
    if isinstance(parsed, Refusal) and parsed.status != 404:
        return _finish(_refuse(parsed, request, settings), request)
    available = not isinstance(parsed, Refusal)
    accepted = request.fields.accept_encoding
    codings = _acceptable(accepted) if settings.precompressed and accepted else _IDENTITY_ONLY
    return Lookup(parsed.segments, parsed.directory, codings, available)


def respond(
    request: Request,
    found: Representation | Folder | Absence,
    settings: Settings,
    now_ns: int,
    boundary: str,
) -> ResponsePlan:
    """Decide the answer to a GET or HEAD, given what the disk holds.

    Outcomes: 200, 206, 301 (directory without its slash), 304, 403, 404, 406, 412, 416,
    500 or 503. Content-Length always equals the content, and for HEAD what GET would send.

    Args:
        request: what was asked, admitted before.
        found: the selected representation, or why there is none.
        settings: how the root is served.
        now_ns: the clock, ns since the epoch.
        boundary: delimiter of a multipart answer; unpredictable, at most 70 token characters.
    """
    match found:
        case Representation():
            plan = _represent(request, found, settings, now_ns, boundary)
        case Folder(name):
            plan = _to_directory(name, request, settings)
        case Absence():
            plan = _absent(found, request, settings)
    return _finish(plan, request)


def is_lasting(request: Request, chosen: Representation, now_ns: int) -> bool:
    """Tell whether an equal request gets the same plan at any later time, for the same bytes.

    Else the clock has a part in it: a tag that gets stronger with age, a date in the future, a
    year of two digits (§5.6.7), a range asked for by date (§13.1.5); or the boundary between
    several ranges.
    """
    fields = request.fields
    grows = chosen.digest is None and chosen.identity.age(now_ns) < YOUNG_NS
    if grows or chosen.modified_ns > now_ns or "," in (fields.range or ""):
        return False
    by_short_year = "-" in (fields.if_modified_since or "") + (fields.if_unmodified_since or "")
    return not by_short_year and (fields.if_range or '"').endswith('"')


def _acceptable(value: str) -> tuple[tuple[str, ...], ...]:
    """The stored codings a client accepts; browsers send the same few values all the time."""
    if len(value) > _REMEMBERED_CHARACTERS:
        return AcceptEncoding.parse(value).tiers(CODINGS)
    return _remembered_tiers(value)


@lru_cache(maxsize=256)
def _remembered_tiers(value: str) -> tuple[tuple[str, ...], ...]:
    return AcceptEncoding.parse(value).tiers(CODINGS)


def _finish(plan: ResponsePlan, request: Request) -> ResponsePlan:
    """HEAD has the status and fields of GET, and no content (§9.3.2)."""
    if request.method == "HEAD" and plan.content:
        return ResponsePlan(plan.status, plan.fields)
    return plan


def _other_method(request: Request, settings: Settings) -> ResponsePlan:
    if request.method == "OPTIONS":
        return ResponsePlan(204, (ALLOW, *cors.options_fields(request.fields, settings.cors)))
    extra = cors.response_fields(request.fields, settings.cors)
    return page(405, request.fields.accept, (ALLOW, *extra))


def _refuse(refusal: Refusal, request: Request, settings: Settings) -> ResponsePlan:
    extra = cors.response_fields(request.fields, settings.cors)
    if refusal.status == 308:
        path = request.stripped + request.mount + refusal.location
        extra = ((b"location", _with_query(path, request)), *extra)
    return page(refusal.status, request.fields.accept, extra)


def _mount_name(request: Request) -> str:
    mount = request.mount.decode("utf-8", "replace")
    return (mount if request.decoded else unquote(mount)).rsplit("/", 1)[-1]


def _to_directory(name: str, request: Request, settings: Settings) -> ResponsePlan:
    """301 to the name with its slash: clients that do not know 308 can follow (§15.4.2).

    Only GET and HEAD come here, so no method is lost. The page is `no-store`, because a file may
    have this name later, and clients keep a 301 for ever where nothing forbids it (§15.4.2).

    The relative reference ``./name/`` needs neither Host nor mount point and cannot leave
    the origin; the "./" keeps a colon in the name from reading as a scheme (RFC 3986 §4.2).
    """
    location = _with_query(b"./" + _quoted(name) + b"/", request)
    extra = cors.response_fields(request.fields, settings.cors)
    return page(301, request.fields.accept, ((b"location", location), *extra))


def _absent(absence: Absence, request: Request, settings: Settings) -> ResponsePlan:
    status = absence.value
    if absence is Absence.FORBIDDEN and settings.hide_forbidden:
        status = 404
    extra = cors.response_fields(request.fields, settings.cors)
    if absence is Absence.OVERLOADED:
        extra = ((b"retry-after", b"1"), *extra)
    return page(status, request.fields.accept, extra)


def _represent(
    request: Request, chosen: Representation, settings: Settings, now_ns: int, boundary: str
) -> ResponsePlan:
    if chosen.stands_in:
        return _stand_in(request, chosen, settings)
    current = validators_of(chosen, settings.etag, now_ns)
    now = now_ns // SECOND
    kept = kept_fields(request, chosen, settings, current)
    verdict = evaluate(request.fields, current, now)
    if verdict is Verdict.NOT_MODIFIED:
        return ResponsePlan(304, not_modified_fields(kept, current))
    if verdict is Verdict.FAILED:
        return page(412, request.fields.accept, varying_fields(kept))
    ranges = None
    # Range is for GET alone (§14.2), and octets that are decoded on the way have no positions.
    if request.method == "GET" and request.fields.range and chosen.decoding is None:
        applies = range_applies(request.fields, current, now, negotiable=chosen.negotiable)
        ranges = select_ranges(request.fields.range, chosen.length) if applies else None
    if ranges == ():
        unsatisfied = (b"content-range", b"bytes */%d" % chosen.length)
        return page(416, request.fields.accept, (unsatisfied, *varying_fields(kept)))
    fields = (*described_fields(request, chosen, settings, current), *kept)
    if ranges is None:
        return _whole(chosen, fields)
    return _partial(chosen, ranges, fields, boundary)


def _stand_in(request: Request, chosen: Representation, settings: Settings) -> ResponsePlan:
    """404 with the root's own page, never stored, like our own pages.

    Neither conditions nor ranges are about it: without them the answer is no 2xx (§13.2.1, §14.2).
    """
    bare = Validators(None, None)
    described = described_fields(request, chosen, settings, bare)
    fields = (
        *(field for field in described if field[0] in _OF_A_STAND_IN),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *varying_fields(kept_fields(request, chosen, settings, bare)),
    )
    return _whole(chosen, fields)._replace(status=404)


def _whole(chosen: Representation, fields: RawFields) -> ResponsePlan:
    if chosen.decoding is not None:
        return ResponsePlan(200, fields, (Decoded(chosen.decoding),))
    length = (b"content-length", b"%d" % chosen.length)
    content = (ByteRange(0, chosen.length - 1),) if chosen.length else ()
    return ResponsePlan(200, (length, *fields), content)


def _partial(
    chosen: Representation, ranges: tuple[ByteRange, ...], fields: RawFields, boundary: str
) -> ResponsePlan:
    """One range is never sent as multipart (§15.3.7.2).

    All representation fields are repeated also after If-Range, where §15.3.7 would let
    them be left out: players and proxies that lost the first answer need them.
    """
    if len(ranges) > 1:
        return multipart_byteranges(ranges, chosen.length, fields, boundary)
    (part,) = ranges
    return ResponsePlan(
        206,
        (
            (b"content-length", b"%d" % part.length),
            (b"content-range", b"bytes %d-%d/%d" % (part.first, part.last, chosen.length)),
            *fields,
        ),
        (part,),
    )


def _with_query(location: bytes, request: Request) -> bytes:
    """Carry the query along, unless the host let something into it that no target may have."""
    if not request.query or not is_target_text(request.query):
        return location
    return location + b"?" + request.query


def _quoted(name: str) -> bytes:
    return quote(name).encode("ascii")
