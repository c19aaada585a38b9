"""Response metadata: one precedence for each field that settings, a host or a view may choose."""

from __future__ import annotations

from typing import Any

import pytest

from asyncstatic.http.model import ResponsePlan
from asyncstatic.http.policy import (
    KEPT_BY_FRONT_SERVER,
    NO_OVERRIDES,
    PROVEN_IMMUTABLE,
    Overrides,
    ResponsePolicy,
)
from asyncstatic.http.respond import respond
from asyncstatic.settings import Settings
from tests.support.core import BOUNDARY, FILE, NOW, SECOND, ask, content_of, fields_of

YEAR = "public, max-age=31536000, immutable"
OWN = {"cache_control": "max-age=9"}
GLOB = {"immutable": "*.txt"}


def decided(
    settings: dict[str, Any],
    overrides: Overrides = NO_OVERRIDES,
    *,
    private: bool = False,
    method: str = "GET",
    facts: dict[str, Any] | None = None,
    fields: dict[str, str] | None = None,
) -> ResponsePlan:
    policy = ResponsePolicy(Settings(**settings), private=private)
    found, request = FILE._replace(**(facts or {})), ask(b"/a.txt", method, **(fields or {}))
    return respond(request, found, policy, NOW * SECOND, BOUNDARY, overrides)


# -- Cache-Control -------------------------------------------------------------------------------

CACHE_CONTROL = [
    # settings, overrides -> the value of a root, the value of a private root
    pytest.param({}, {}, "no-cache", "private, no-cache", id="the default"),
    pytest.param(OWN, {}, "max-age=9", "private, max-age=9", id="the root's own"),
    pytest.param(
        {"cache_control": "public, s-maxage=9"}, {}, "public, s-maxage=9", "private", id="public"
    ),
    pytest.param({}, {"default_max_age": 7}, "public, max-age=7", "private, no-cache", id="app"),
    pytest.param(
        OWN, {"default_max_age": 7}, "max-age=9", "private, max-age=9", id="root before app"
    ),
    pytest.param(GLOB, {}, YEAR, "private, no-cache", id="a pattern"),
    pytest.param({}, {"immutable": True}, YEAR, "private, no-cache", id="a proof"),
    pytest.param(
        {**OWN, **GLOB}, {"default_max_age": 7}, YEAR, "private, max-age=9", id="pattern first"
    ),
    pytest.param(OWN, {"immutable": True}, YEAR, "private, max-age=9", id="proof before the root"),
    pytest.param(
        {**OWN, **GLOB},
        {"immutable": True, "max_age": 5, "default_max_age": 7},
        *("public, max-age=5", "private, max-age=5"),
        id="a view's age before all of these",
    ),
    pytest.param(
        {"cache_control": "private, max-age=9"},
        {"max_age": 5},
        *("private, max-age=5", "private, max-age=5"),
        id="an age of a root that says private",
    ),
    pytest.param({}, {"max_age": 0}, "public, max-age=0", "private, max-age=0", id="an age of 0"),
    pytest.param(
        GLOB,
        {"cache_control": "no-store", "immutable": True, "max_age": 5},
        *("no-store", "no-store"),
        id="a view's value first",
    ),
]


@pytest.mark.parametrize("conditions", [{}, {"range": "bytes=0-1"}, {"if_none_match": "*"}])
@pytest.mark.parametrize(("settings", "overrides", "value", "private_value"), CACHE_CONTROL)
def test_cache_control_follows_one_precedence(
    settings: dict[str, Any],
    overrides: dict[str, Any],
    value: str,
    private_value: str,
    conditions: dict[str, str],
) -> None:
    """200, 206 and 304 say the same."""
    for private, wanted in ((False, value), (True, private_value)):
        plan = decided(settings, Overrides(**overrides), private=private, fields=conditions)
        assert plan.status in (200, 206, 304)
        assert [text for name, text in plan.fields if name == b"cache-control"] == [wanted.encode()]


@pytest.mark.parametrize(
    ("status", "facts", "fields"),
    [
        pytest.param(404, {"fallback": 404}, {}, id="the root's own page"),
        pytest.param(412, {}, {"if_match": '"other"'}, id="a failed precondition"),
        pytest.param(416, {}, {"range": "bytes=100-"}, id="a range beyond the end"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_makes_an_error_page_storable(
    status: int, facts: dict[str, Any], fields: dict[str, str], method: str
) -> None:
    overrides = Overrides(immutable=True, cache_control="max-age=5", max_age=5, default_max_age=5)
    plan = decided({**OWN, **GLOB}, overrides, facts=facts, method=method, fields=fields)
    if method == "HEAD" and status == 416:
        assert plan.status == 200, "Range is for GET alone"
        return
    assert plan.status == status
    assert fields_of(plan)["cache-control"] == "no-store"
    assert method == "GET" or not plan.content


# -- the other fields ----------------------------------------------------------------------------

TYPES = {"media_types": {".txt": "text/x-own"}}


@pytest.mark.parametrize(
    ("settings", "overrides", "value"),
    [
        pytest.param({}, {}, "text/plain; charset=utf-8", id="the table, with its charset"),
        pytest.param(TYPES, {}, "text/x-own", id="the settings"),
        pytest.param(TYPES, {"name": "b.css"}, "text/css; charset=utf-8", id="by another name"),
        pytest.param({}, {"name": ""}, "text/plain; charset=utf-8", id="an empty name is none"),
        pytest.param(TYPES, {"media_type": "a/b", "name": "b.css"}, "a/b", id="the view"),
    ],
)
def test_content_type_follows_one_precedence(
    settings: dict[str, Any], overrides: dict[str, Any], value: str
) -> None:
    for found in (
        decided(settings, Overrides(**overrides)),
        decided(settings, Overrides(**overrides), fields={"range": "bytes=1-1"}),
    ):
        assert fields_of(found)["content-type"] == value


def test_a_disposition_comes_with_content_only() -> None:
    overrides = Overrides(disposition="attachment")
    rows: list[tuple[dict[str, str], int]] = [({}, 200), ({"range": "bytes=0-1,9-"}, 206)]
    for fields, status in rows:
        plan = decided({}, overrides, fields=fields)
        assert (plan.status, fields_of(plan)["content-disposition"]) == (status, "attachment")
    for fields, status in (({"if_none_match": "*"}, 304), ({"if_match": '"x"'}, 412)):
        plan = decided({}, overrides, fields=fields)
        assert plan.status == status
        assert "content-disposition" not in fields_of(plan)


def test_a_view_may_switch_off_the_tag_and_the_ranges() -> None:
    both = fields_of(decided({}))
    neither = fields_of(decided({}, Overrides(tagged=False, ranges=False)))
    assert both.keys() - neither.keys() == {"etag", "accept-ranges"}
    assert "etag" not in fields_of(decided({"etag": "off"}))


def test_a_proof_changes_cache_control_alone() -> None:
    plain, proven = fields_of(decided({})), fields_of(decided({}, PROVEN_IMMUTABLE))
    assert proven == {**plain, "cache-control": YEAR}
    assert content_of(decided({}, PROVEN_IMMUTABLE)) == content_of(decided({}))


def test_a_server_in_front_is_given_every_field_that_can_be_chosen() -> None:
    """All but validators, ranges and length, which it makes itself, and what it adds anyway."""
    plan = decided(
        {"cors": ("*",)},
        Overrides(disposition="inline", cache_control="no-store"),
        facts={"negotiable": True},
    )
    made_in_front = {"content-length", "etag", "last-modified", "accept-ranges"}
    names = fields_of(plan).keys() - made_in_front - {"x-content-type-options"}
    assert {name.decode() for name in KEPT_BY_FRONT_SERVER} == names
