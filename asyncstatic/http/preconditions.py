"""Preconditions: the steps of RFC 9110 §13.2.2, in their order."""

from __future__ import annotations

from enum import Enum

from asyncstatic.http.dates import parse_http_date
from asyncstatic.http.entity_tag import EntityTag, EntityTags
from asyncstatic.http.model import Fields
from asyncstatic.http.validators import Validators


class PreconditionResult(Enum):
    """The result of all preconditions; the value is the status of the answer, 200 if all hold."""

    PASS = 200
    NOT_MODIFIED = 304
    FAILED = 412


def evaluate(fields: Fields, current: Validators, now: int) -> PreconditionResult:
    """Evaluate the preconditions of a GET or HEAD.

    Args:
        fields: the request's fields.
        current: validators of the selected representation.
        now: the clock, s since the epoch; two-digit years are read relative to it.
    """
    # Steps 1 and 2: the date counts only where there is no If-Match (§13.1.4).
    if fields.if_match is not None:
        if not _if_match(fields.if_match, current.tag):
            return PreconditionResult.FAILED
    elif _changed_since(fields.if_unmodified_since, current, now) is True:
        return PreconditionResult.FAILED
    # Steps 3 and 4.
    if fields.if_none_match is not None:
        if not _if_none_match(fields.if_none_match, current.tag):
            return PreconditionResult.NOT_MODIFIED
    elif _changed_since(fields.if_modified_since, current, now) is False:
        return PreconditionResult.NOT_MODIFIED
    return PreconditionResult.PASS


def range_applies(
    fields: Fields, current: Validators, now: int, *, negotiable: bool = False
) -> bool:
    """Tell whether Range may be honoured, given If-Range: step 5 (§13.1.5).

    A tag must be strongly equal. A date must be equal and a second old: a younger one is no strong
    validator (§8.8.2.2), and neither is one that several codings share (§8.8.3.3). In every other
    case the client's part may belong to other content, so it gets the whole.
    """
    if fields.if_range is None:
        return True
    tag = EntityTag.parse(fields.if_range)
    if tag is not None:
        return current.tag is not None and tag.strong_eq(current.tag)
    date = parse_http_date(fields.if_range, now=now)
    return date is not None and date == current.modified and date < now and not negotiable


def _if_match(value: str, tag: EntityTag | None) -> bool:
    """Evaluate If-Match: true for "*" and a strongly equal tag, false for a malformed list."""
    tags = EntityTags.parse(value)
    return tags is not None and tags.matches_strong(tag)


def _if_none_match(value: str, tag: EntityTag | None) -> bool:
    """Evaluate If-None-Match: false for "*" and a weakly equal tag, true for a malformed list."""
    tags = EntityTags.parse(value)
    return tags is None or not tags.matches_weak(tag)


def _changed_since(value: str | None, current: Validators, now: int) -> bool | None:
    """Tell whether it changed since a date; None if either date is absent or unusable."""
    if value is None or current.modified is None:
        return None
    date = parse_http_date(value, now=now)
    return None if date is None else current.modified > date
