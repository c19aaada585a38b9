"""The decision core: what to look for, and what to answer.

A host reads a `Request` and calls `admit`. The result is a `Lookup`, which names the file to open,
or already the `ResponsePlan`: for OPTIONS, an unknown method, or a target that names no file. The
host lets a source open the lookup and calls `respond` with the outcome. Both functions are pure:
the clock and the multipart boundary are arguments, so equal arguments give equal plans.

The order of a GET follows RFC 9110 §13.2.1: first the answer without preconditions (found, or a
redirect?), then preconditions, but only where that answer is 2xx, then If-Range and Range, then
the fields.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from asyncstatic.http import cors
from asyncstatic.http.abnf import cached
from asyncstatic.http.accept import coding_tiers, coding_weights
from asyncstatic.http.describe import (
    error_fields,
    not_modified_fields,
    repeated_fields,
    success_fields,
)
from asyncstatic.http.listing import view_of
from asyncstatic.http.model import (
    SECOND,
    SUFFIXES,
    Absence,
    ByteRange,
    Decoded,
    DirectoryRedirect,
    Lookup,
    RawFields,
    Refusal,
    Representation,
    Request,
    ResponsePlan,
)
from asyncstatic.http.multipart import multipart_byteranges
from asyncstatic.http.navigation import is_navigation
from asyncstatic.http.pages import error_page, page_for
from asyncstatic.http.policy import NO_OVERRIDES, Overrides, ResponsePolicy
from asyncstatic.http.preconditions import PreconditionResult, evaluate, range_applies
from asyncstatic.http.ranges import select_ranges
from asyncstatic.http.redirects import Location, Redirects
from asyncstatic.http.target import is_host, is_target_text, may_be_route, parse_target
from asyncstatic.http.validators import NO_VALIDATORS, YOUNG_NS, validators_of
from asyncstatic.settings import Settings

CODINGS = tuple(SUFFIXES)
_IDENTITY_ONLY = (("identity",),)
RETRY = (b"retry-after", b"1")
ALLOW = (b"allow", b"GET, HEAD, OPTIONS")


def admit(
    request: Request, settings: Settings, redirects: Redirects | None = None
) -> Lookup | ResponsePlan:
    """Decide what to look for, or answer at once.

    Returns:
        A `Lookup` for GET and HEAD of a well-formed target. It is not `available` where the target
        names nothing public, or where only a router in the browser knows its names. Otherwise a
        plan: 204 (OPTIONS), 405, 301 (the mount point without its slash), 414, 400, 308 (a dot
        segment), or a redirect of the root.
    """
    if request.fields.host and not is_host(request.fields.host):  # by any method (RFC 9112 §3.2)
        return error_page(request, 400, settings.cors)
    if request.method not in ("GET", "HEAD"):
        return _other_method(request, settings)
    if not request.target and request.mount:  # the mount point without its slash
        moved = redirects.find((), directory=False) if redirects is not None else None
        if moved is not None:
            return _redirect(moved, request, settings)
        return _to_own_url(f"./{_mount_name(request)}/", request, settings.cors)
    parsed = parse_target(request.target, settings, decoded=request.decoded)
    navigation = settings.spa is not False and is_navigation(request, parsed.segments, settings)
    if isinstance(parsed, Refusal) and parsed.status != 404:
        is_route = navigation and parsed.status == 400 and may_be_route(request.target)
        if not is_route:
            return _refuse(parsed, request, settings)
    if redirects is not None and (parsed.segments or parsed.directory):
        found = redirects.find(parsed.segments, parsed.directory)
        if found is not None:
            return _redirect(found, request, settings)
    available = not isinstance(parsed, Refusal)
    accepted = request.fields.accept_encoding
    codings = _acceptable(accepted) if settings.precompressed and accepted else _IDENTITY_ONLY
    view = view_of(request) if settings.listing else None
    return Lookup(parsed.segments, parsed.directory, codings, available, navigation, view)


def respond(
    request: Request,
    found: Representation | DirectoryRedirect | Absence,
    policy: ResponsePolicy,
    now_ns: int,
    boundary: str,
    overrides: Overrides = NO_OVERRIDES,
) -> ResponsePlan:
    """Decide the answer to a GET or HEAD, given the outcome of the look-up.

    The status is 200, 206, 301 (a directory without its slash, or another URL of a page), 304, 403,
    404, 412, 416, 500 or 503. Content-Length always equals the content, and for HEAD that of GET.

    Args:
        request: the request, admitted before.
        found: the selected representation, or why there is none.
        policy: of the root.
        now_ns: the clock, ns since the epoch.
        boundary: delimiter of a multipart answer; unpredictable, at most 70 token characters.
        overrides: what the host knows or wants of this answer.
    """
    match found:
        case Representation():
            plan = _represent(request, found, policy, now_ns, boundary, overrides)
            return plan if request.method == "GET" else ResponsePlan(plan.status, plan.fields)
        case DirectoryRedirect(name):
            return policy.completed(_to_own_url(f"./{name}/", request, policy.cors))
        case Absence():
            return policy.completed(_absent(found, request, policy))


def is_lasting(request: Request, chosen: Representation, now_ns: int) -> bool:
    """Tell whether an equal request gets the same plan at any later time, for the same bytes.

    It does not where the clock decides: a tag that becomes strong with age, a date in the future,
    a year of two digits (§5.6.7), If-Range with a date (§13.1.5). Nor where the plan contains the
    boundary between several ranges.
    """
    fields = request.fields
    grows = chosen.digest is None and chosen.identity.age(now_ns) < YOUNG_NS
    if grows or chosen.modified_ns > now_ns or "," in (fields.range or ""):
        return False
    by_short_year = "-" in (fields.if_modified_since or "") + (fields.if_unmodified_since or "")
    return not by_short_year and (fields.if_range or '"').endswith('"')


@cached
def _acceptable(value: str) -> tuple[tuple[str, ...], ...]:
    """Return the codings that a client accepts."""
    return coding_tiers(coding_weights(value), CODINGS)


def _other_method(request: Request, settings: Settings) -> ResponsePlan:
    if request.method == "OPTIONS":
        return ResponsePlan(204, (ALLOW, *cors.options_fields(request.fields, settings.cors)))
    return error_page(request, 405, settings.cors, (ALLOW,))


def _refuse(refusal: Refusal, request: Request, settings: Settings) -> ResponsePlan:
    if refusal.status != 308:
        return error_page(request, refusal.status, settings.cors)
    path = request.stripped + request.mount + refusal.location
    return error_page(request, 308, settings.cors, ((b"location", _with_query(path, request)),))


def _redirect(found: Location, request: Request, settings: Settings) -> ResponsePlan:
    query = request.query if is_target_text(request.query) else b""
    location = found.for_request(request.stripped + request.mount, query)
    return error_page(request, found.status, settings.cors, ((b"location", location),))


def _mount_name(request: Request) -> str:
    mount = request.mount.decode("utf-8", "replace")
    return (mount if request.decoded else unquote(mount)).rsplit("/", 1)[-1]


def _to_own_url(reference: str, request: Request, origins: tuple[str, ...]) -> ResponsePlan:
    """301 to the own URL of a page or directory; clients that do not know 308 can follow (§15.4.2).

    Only GET and HEAD come here, so no method is lost. The page is `no-store`, because a file may
    have this name later, and clients keep a 301 for ever where nothing forbids it (§15.4.2).

    A relative reference such as ``./name/`` needs neither Host nor mount point and cannot leave
    the origin; the "./" keeps a colon in the name from reading as a scheme (RFC 3986 §4.2).
    """
    location = _with_query(quote(reference).encode("ascii"), request)
    return error_page(request, 301, origins, ((b"location", location),))


def _absent(absence: Absence, request: Request, policy: ResponsePolicy) -> ResponsePlan:
    if absence is Absence.FORBIDDEN and policy.hide_forbidden:
        return error_page(request, 404, policy.cors)
    retry = (RETRY,) if absence is Absence.OVERLOADED else ()
    return error_page(request, absence.value, policy.cors, retry)


def _represent(
    request: Request,
    chosen: Representation,
    policy: ResponsePolicy,
    now_ns: int,
    boundary: str,
    overrides: Overrides,
) -> ResponsePlan:
    if chosen.moved_to and not chosen.fallback:
        return policy.completed(_to_own_url(chosen.moved_to, request, policy.cors))
    if chosen.fallback >= 400:
        return _own_error_page(request, chosen, policy, overrides)
    current = validators_of(chosen, policy.etag if overrides.tagged else "off", now_ns)
    now = now_ns // SECOND
    result = evaluate(request.fields, current, now)
    if result is PreconditionResult.FAILED:
        return policy.completed(page_for(request, 412, error_fields(request, chosen, policy)))
    repeated = repeated_fields(request, chosen, policy, overrides, current)
    if result is PreconditionResult.NOT_MODIFIED:
        return ResponsePlan(304, not_modified_fields(repeated, current), saved=chosen.length)
    ranges = None
    # Range is for GET alone (§14.2), and bytes that are decoded on the way have no positions.
    if request.method == "GET" and request.fields.range and chosen.decoding is None:
        applies = range_applies(request.fields, current, now, negotiable=chosen.negotiable)
        ranges = select_ranges(request.fields.range, chosen.length) if applies else None
    if ranges == ():
        unsatisfied = (b"content-range", b"bytes */%d" % chosen.length)
        page = page_for(request, 416, (unsatisfied, *error_fields(request, chosen, policy)))
        return policy.completed(page)
    fields = (
        *policy.content_fields(chosen, overrides),
        *success_fields(request, chosen, overrides, current),
        *repeated,
    )
    if ranges is None:
        return _whole(200, chosen, fields)
    return _partial(chosen, ranges, fields, boundary)


def _own_error_page(
    request: Request, chosen: Representation, policy: ResponsePolicy, overrides: Overrides
) -> ResponsePlan:
    """An error with the root's own page.

    Conditions and ranges do not apply: without them the answer is no 2xx (§13.2.1, §14.2).
    """
    content = policy.content_fields(chosen, overrides)
    repeated = repeated_fields(request, chosen, policy, overrides, NO_VALIDATORS)
    retry = (RETRY,) if chosen.fallback == 503 else ()
    return _whole(chosen.fallback, chosen, (*content, *repeated, *retry))


def _whole(status: int, chosen: Representation, fields: RawFields) -> ResponsePlan:
    if chosen.decoding is not None:
        return ResponsePlan(status, fields, (Decoded(chosen.decoding),))
    length = chosen.length
    content = (ByteRange(0, length - 1),) if length else ()
    saved = max(chosen.original_length - length, 0)
    return ResponsePlan(status, ((b"content-length", b"%d" % length), *fields), content, saved)


def _partial(
    chosen: Representation, ranges: tuple[ByteRange, ...], fields: RawFields, boundary: str
) -> ResponsePlan:
    """One range is never sent as multipart (§15.3.7.2).

    All representation fields are sent also after If-Range, although §15.3.7 lets a server leave
    them out: players and proxies that lost the first answer need them.
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
    """Append the query, unless the host passed on a character that no target may have."""
    if not request.query or not is_target_text(request.query):
        return location
    return location + b"?" + request.query
