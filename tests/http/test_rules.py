"""Rules: which file they match, what they set on which status, and what counts more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic import Rule, Settings
from asyncstatic.http.model import Absence, DirectoryRedirect, Representation, ResponsePlan
from asyncstatic.http.policy import NO_OVERRIDES, PROVEN_IMMUTABLE, Overrides, ResponsePolicy
from asyncstatic.http.respond import respond
from tests.http.rows import TAG
from tests.support.core import BOUNDARY, FILE, NOW, SECOND, ask, fields_of, stored

Found = Representation | DirectoryRedirect | Absence
CSP = "Content-Security-Policy"
SELF = "default-src 'self'"


def decided(
    rules: Any,
    name: str | Found = "a.txt",
    overrides: Overrides = NO_OVERRIDES,
    *,
    private: bool = False,
    settings: dict[str, Any] | None = None,
    **fields: str,
) -> ResponsePlan:
    policy = ResponsePolicy(Settings("x", rules=rules, **(settings or {})), private=private)
    found = stored(b"x" * 100, name) if isinstance(name, str) else name
    return respond(ask(**fields), found, policy, NOW * SECOND, BOUNDARY, overrides)


def fields(*arguments: Any, **keywords: Any) -> dict[str, str]:
    return fields_of(decided(*arguments, **keywords))


# -- which file ------------------------------------------------------------------------------

MATCHES = [
    # at, match, file -> whether the rule holds
    pytest.param("", "/a.txt", "a.txt", True, id="a path"),
    pytest.param("", "a.txt", "d/a.txt", True, id="a name anywhere"),
    pytest.param("", "/d/**", "d/index.html", True, id="the index of a directory"),
    pytest.param("", "/a.txt", "d/a.txt", False, id="another directory"),
    pytest.param("/app", "/app/a.txt", "a.txt", True, id="the mount is in front"),
    pytest.param("/app", "/a.txt", "a.txt", False, id="not the path below the mount"),
    pytest.param("/app", "a.txt", "a.txt", True, id="a name below a mount"),
    pytest.param("/app", "/**", "a.txt", True, id="everything"),
    pytest.param("/a b", "/a b/*", "é.txt", True, id="decoded"),
    pytest.param("", "/A.txt", "a.txt", False, id="case counts"),
]


@pytest.mark.parametrize(("at", "match", "name", "holds"), MATCHES)
def test_a_rule_matches_the_path_of_the_file(at: str, match: str, name: str, holds: bool) -> None:
    assert ("x-a" in fields(Rule(match, {"X-A": "1"}), name, settings={"at": at})) is holds


def test_a_rule_matches_the_file_itself_where_a_sidecar_is_sent() -> None:
    coded = FILE._replace(coding="br", negotiable=True)
    rules = [Rule("*.txt", {"X-A": "1"}), Rule("*.br", {"X-B": "1"})]
    assert fields(rules, coded).keys() & {"x-a", "x-b"} == {"x-a"}


# -- which value -----------------------------------------------------------------------------

COMBINED = [
    # rules -> fields that must be so; None for no such field
    pytest.param([Rule("*", {"X-A": "1"})], {"x-a": "1"}, id="one"),
    pytest.param([Rule("*", {"X-A": "1"}), Rule("*", {"x-a": "2"})], {"x-a": "2"}, id="the last"),
    pytest.param(
        [Rule("*", {"X-A": "1", "X-B": "1"}), Rule("*", {"X-B": "2"})],
        {"x-a": "1", "x-b": "2"},
        id="the last for each field",
    ),
    pytest.param([Rule("*", {"X-A": "1"}), Rule("*", {"X-A": False})], {"x-a": None}, id="removed"),
    pytest.param(
        [Rule("*", {"X-A": False}), Rule("*", {"X-A": "1"})], {"x-a": "1"}, id="and set again"
    ),
    pytest.param([Rule("*.js", {"X-A": "1"})], {"x-a": None}, id="no match"),
    pytest.param(
        Rule("*", {"X-Content-Type-Options": False}), {"x-content-type-options": None}, id="sniff"
    ),
    pytest.param(
        Rule("*", {"X-Content-Type-Options": "nosniff"}),
        {"x-content-type-options": "nosniff"},
        id="nosniff only once",
    ),
    pytest.param(Rule("*", {"Cache-Control": "no-store"}), {"cache-control": "no-store"}, id="cc"),
    pytest.param(Rule("*", {"cache-control": False}), {"cache-control": None}, id="no cc"),
    pytest.param(Rule("*", media_type="a/b"), {"content-type": "a/b"}, id="type"),
    pytest.param(
        [Rule("*", media_type="a/b"), Rule("*", media_type=False)],
        {"content-type": "text/plain; charset=utf-8"},
        id="the type of the suffix again",
    ),
    pytest.param(
        Rule("*", {"Content-Disposition": "attachment"}),
        {"content-disposition": "attachment"},
        id="disposition",
    ),
    pytest.param(Rule("*", {"Content-Language": "de"}), {"content-language": "de"}, id="language"),
]


@pytest.mark.parametrize(("rules", "expected"), COMBINED)
def test_the_last_rule_that_names_a_field_decides(
    rules: Any, expected: dict[str, str | None]
) -> None:
    found = fields(rules)
    assert {name: found.get(name) for name in expected} == expected


CODINGS = [
    # file, rule -> Content-Type, Content-Encoding
    pytest.param("b.wasm.gz", Rule("*", coding="gzip"), "application/wasm", "gzip", id="gzip"),
    pytest.param("b.wasm.gz", Rule("*", coding="GZIP"), "application/wasm", "GZIP", id="capitals"),
    pytest.param("b.wasm.gz", Rule("*", coding="x-gzip"), "application/wasm", "x-gzip", id="x-gzip"),
    pytest.param("b.data.br", Rule("*", coding="br"), "application/octet-stream", "br", id="br"),
    pytest.param(
        "b.js.zst", Rule("*", coding="zstd"), "text/javascript; charset=utf-8", "zstd", id="zstd"
    ),
    pytest.param(
        "b.unityweb", Rule("*", media_type="application/wasm", coding="gzip"),
        "application/wasm", "gzip", id="a suffix of its own",
    ),
    pytest.param("b.wasm.gz", Rule("*.br", coding="br"), "application/gzip", None, id="no match"),
    pytest.param(
        "b.wasm.gz", [Rule("*", coding="gzip"), Rule("b*", coding=False)],
        "application/gzip", None, id="taken back",
    ),
    pytest.param(
        stored(b"x" * 100, "b.js.gz", coding="br", negotiable=True), Rule("*", coding="gzip"),
        "text/javascript; charset=utf-8", "gzip, br", id="a sidecar of the coded file",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rules", "media_type", "coding"), CODINGS)
def test_a_file_is_announced_in_the_coding_in_which_it_is_stored(
    name: Any, rules: Any, media_type: str, coding: str | None
) -> None:
    found = fields(rules, name, accept_encoding="identity")
    assert (found["content-type"], found.get("content-encoding")) == (media_type, coding)


def test_a_coding_changes_neither_tag_nor_ranges() -> None:
    plain, coded = decided((), "b.gz"), decided(Rule("*", coding="gzip"), "b.gz")
    assert fields_of(coded)["etag"] == fields_of(plain)["etag"]
    assert "vary" not in fields_of(coded)
    part = decided(Rule("*", coding="gzip"), "b.gz", range="bytes=5-9")
    assert (part.status, part.content) == (206, decided((), "b.gz", range="bytes=5-9").content)
    assert fields_of(part)["content-encoding"] == "gzip"


# -- precedence ------------------------------------------------------------------------------

OWN = Rule("*", {"Cache-Control": "public, max-age=60, s-maxage=9"})
NONE = Rule("*", {"Cache-Control": False})
CACHE_CONTROL = [
    # rule, settings, overrides -> the value of a root, the value of a private root
    pytest.param(
        OWN, {}, {}, "public, max-age=60, s-maxage=9", "private, max-age=60", id="a rule"
    ),
    pytest.param(
        OWN, {"cache_control": "no-store", "immutable": "*.txt"}, {"immutable": True},
        "public, max-age=60, s-maxage=9", "private, max-age=60", id="before settings and proofs",
    ),
    pytest.param(
        OWN, {}, {"default_max_age": 7},
        "public, max-age=60, s-maxage=9", "private, max-age=60", id="before the age of an app",
    ),
    pytest.param(
        OWN, {}, {"cache_control": "no-store"}, "no-store", "no-store", id="after a view's value"
    ),
    pytest.param(
        OWN, {}, {"max_age": 5}, "public, max-age=5", "private, max-age=5", id="after a view's age"
    ),
    pytest.param(
        Rule("*", {"Cache-Control": "private"}), {}, {"max_age": 5},
        "private, max-age=5", "private, max-age=5", id="a rule says private to a view's age",
    ),
    pytest.param(NONE, {}, {}, None, "private, no-cache", id="removed, but not what protects"),
    pytest.param(NONE, {}, {"max_age": 5}, "public, max-age=5", "private, max-age=5", id="a view"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "settings", "overrides", "value", "private"), CACHE_CONTROL)
def test_cache_control_has_one_precedence(
    rule: Rule,
    settings: dict[str, Any],
    overrides: dict[str, Any],
    value: str | None,
    private: str,
) -> None:
    for is_private, expected in ((False, value), (True, private)):
        found = fields(rule, "a.txt", Overrides(**overrides), settings=settings, private=is_private)
        assert found.get("cache-control") == expected


def test_a_view_counts_more_than_a_rule() -> None:
    rule = Rule("*", {"Content-Disposition": "attachment", "X-A": "1"}, media_type="a/b")
    view = Overrides(media_type="c/d", disposition="inline")
    found = fields(rule, "a.txt", view)
    assert (found["content-type"], found["content-disposition"]) == ("c/d", "inline")
    assert found["x-a"] == "1"


def test_a_rule_counts_more_than_the_suffix() -> None:
    rule = Rule("*", media_type="a/b")
    types = {"media_types": {".txt": "e/f"}}
    assert fields(rule, "a.txt", Overrides(name="x.csv"), settings=types)["content-type"] == "a/b"


def test_the_rules_of_a_preset_come_before_those_of_the_user() -> None:
    own = Rule("a.txt", {"Referrer-Policy": "no-referrer", CSP: False})
    found = fields(own, "a.txt", settings={"preset": "secure-headers"})
    assert found["referrer-policy"] == "no-referrer"
    assert "content-security-policy" not in found
    assert "strict-transport-security" in found


def test_later_presets_come_behind_earlier_ones() -> None:
    both = fields((), "a.txt", settings={"preset": ["untrusted", "secure-headers"]})
    assert both["content-security-policy"].startswith("base-uri")


# -- on which status -------------------------------------------------------------------------

ALL = Rule(
    "*",
    {
        "Cache-Control": "max-age=9",
        CSP: SELF,
        "Content-Disposition": "inline",
        "Content-Language": "de",
        "Expires": "0",
    },
    media_type="a/b",
    coding="gzip",
)
OTHERS = {"cache-control": "max-age=9", "content-security-policy": SELF, "expires": "0"}
OF_CONTENT = {
    "content-disposition": "inline",
    "content-language": "de",
    "content-type": "a/b",
    "content-encoding": "gzip",
}
OF_PAGE = OTHERS | {"cache-control": "no-store"}  # our own
STATUSES = [
    pytest.param(FILE, {}, 200, OTHERS | OF_CONTENT, id="200"),
    pytest.param(FILE, {"range": "bytes=0-1"}, 206, OTHERS | OF_CONTENT, id="206"),
    pytest.param(FILE, {"if_none_match": TAG}, 304, OTHERS, id="304"),
    pytest.param(
        FILE._replace(fallback=404),
        {},
        404,
        OTHERS | OF_CONTENT | {"cache-control": "no-store"},
        id="the page of the root for 404",
    ),
    pytest.param(FILE, {"if_match": '"x"'}, 412, OF_PAGE, id="412"),
    pytest.param(FILE, {"range": "bytes=500-"}, 416, OF_PAGE, id="416"),
    pytest.param(FILE._replace(moved_to="./a"), {}, 301, OF_PAGE, id="another URL"),
    pytest.param(DirectoryRedirect("d"), {}, 301, OF_PAGE, id="a directory"),
    pytest.param(Absence.FORBIDDEN, {}, 403, OF_PAGE, id="403"),
    pytest.param(Absence.MISSING, {}, 404, OF_PAGE, id="404"),
    pytest.param(Absence.OVERLOADED, {}, 503, OF_PAGE, id="503"),
]


@pytest.mark.parametrize(("found", "asked", "status", "expected"), STATUSES)
def test_a_status_has_the_fields_that_rfc_9110_gives_it(
    found: Found, asked: dict[str, Any], status: int, expected: dict[str, str]
) -> None:
    plan = decided(ALL, found, **asked)
    names = (OTHERS | OF_CONTENT).keys() - ({"content-type"} if expected is OF_PAGE else set())
    told = {name: value for name, value in fields_of(plan).items() if name in names}
    assert (plan.status, told) == (status, expected)


@pytest.mark.parametrize(
    ("at", "match", "holds"),
    [
        *(("", match, True) for match in ("*", "**", "/**", "**/*", "/*", "{**,a}")),
        *(("", match, False) for match in ("*.html", "/a/**", "/404.html", "?", "**/a")),
        *(("/app", match, True) for match in ("**", "/**", "/app/**", "/app/*", "/{app,b}/**")),
        *(("/app", match, False) for match in ("/app", "/*", "/app/a/**", "/b/**")),
    ],
)
def test_our_own_pages_have_the_rules_for_everything(at: str, match: str, holds: bool) -> None:
    found = fields(Rule(match, {"X-A": "1"}), Absence.MISSING, settings={"at": at})
    assert ("x-a" in found) is holds


def test_a_field_of_our_own_page_counts_more_than_a_rule() -> None:
    rule = Rule("*", {"Retry-After": "99", "X-Content-Type-Options": False, "Link": "</a>"})
    plan = decided(rule, Absence.OVERLOADED)
    names = [name for name, _ in plan.fields]
    assert len(names) == len(set(names))
    found = fields_of(plan)
    assert (found["retry-after"], found["link"]) == ("1", "</a>")
    assert "x-content-type-options" not in found


FOR_CACHES = [
    # what is asked, for a public root -> whether a CDN is told to store it
    pytest.param(FILE, {}, True, id="a file"),
    pytest.param(FILE, {"if_none_match": TAG}, True, id="304"),
    pytest.param(FILE._replace(fallback=404), {}, False, id="a page of the root for 404"),
    pytest.param(stored(b"x", "shell.html"), {}, False, id="the shell"),
    pytest.param(stored(b"x", "shell.html", fallback=200), {}, False, id="the shell elsewhere"),
    pytest.param(stored(b"x", "d/index.html", made=()), {}, False, id="a listing"),
    pytest.param(Absence.MISSING, {}, False, id="our own page"),
]


@pytest.mark.parametrize(
    "name",
    ["CDN-Cache-Control", "Vercel-CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"],
)
@pytest.mark.parametrize(("found", "asked", "told"), FOR_CACHES)
def test_no_shared_cache_is_told_to_store_what_cache_control_forbids(
    name: str, found: Found, asked: dict[str, Any], told: bool
) -> None:
    """RFC 9213 section 2.2: such a field makes a CDN ignore Cache-Control."""
    rule = Rule("**", {name: "max-age=9"})
    for private in (False, True):
        plan = decided(rule, found, settings={"spa": "shell.html"}, private=private, **asked)
        assert (name.lower() in fields_of(plan)) is (told and not private)


def test_several_ranges_have_the_type_of_a_rule_in_each_part() -> None:
    plan = decided(ALL, FILE, range="bytes=0-0,50-50")
    assert fields_of(plan)["content-type"].startswith("multipart/byteranges")
    assert (
        sum(b"content-type: a/b\r\n" in part for part in plan.content if type(part) is bytes) == 2
    )


def test_a_listing_keeps_its_own_fields() -> None:
    """It is made by the server, so a rule about uploaded files must not change what it is."""
    made = ((b"content-security-policy", b"default-src 'none'"),)
    page = stored(b"x", "d/index.html", made=made)
    rules = [ALL, Rule("*", {"X-A": "1"})]
    found = fields(rules, page, settings={"preset": "untrusted"})
    assert found["content-security-policy"] == "default-src 'none'"
    assert found["content-type"] == "text/html; charset=utf-8"
    assert found["cache-control"] == "no-cache"
    assert found["x-a"] == "1"
    assert not found.keys() & {"content-disposition", "content-encoding", "content-language"}


# -- invariants ------------------------------------------------------------------------------

headers = st.dictionaries(
    st.sampled_from(["X-A", "x-b", CSP, "Cache-Control", "X-Content-Type-Options", "Link"]),
    st.sampled_from(["no-cache", "no-store", False]),
    max_size=4,
)
rules = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["*", "*.txt", "/a*", "/d/**", "*.js"]),
        headers,
        st.sampled_from([None, "a/b", False]),
        st.sampled_from([None, "gzip", False]),
    ),
    max_size=5,
)
requests = st.fixed_dictionaries(
    {}, optional={"range": st.just("bytes=1-2"), "if_none_match": st.sampled_from([TAG, '"x"'])}
)


@given(rules, requests, st.booleans())
def test_rules_change_only_fields_that_they_name(
    given_: list[Rule], asked: dict[str, Any], proven: bool
) -> None:
    overrides = PROVEN_IMMUTABLE if proven else NO_OVERRIDES
    plain, ruled = (decided(some, FILE, overrides, **asked) for some in ((), given_))
    assert (ruled.status, ruled.content) == (plain.status, plain.content)
    names = [name for name, _ in ruled.fields]
    assert len(names) == len(set(names)), "no field is sent twice"
    named = {name.lower() for rule in given_ for name in rule.headers}
    named |= {"content-type", "content-encoding"}
    before, after = fields_of(plain), fields_of(ruled)
    assert {n: v for n, v in before.items() if n not in named} == {
        n: v for n, v in after.items() if n not in named
    }


def test_a_root_without_rules_has_the_same_fields_object_each_time() -> None:
    """Without a rule, and where none matches, nothing is built for an answer."""
    for given_ in ((), Rule("*.js", {"X-A": "1"})):
        policy = ResponsePolicy(Settings("x", rules=given_))
        first, second = (policy.repeated_fields(FILE, NO_OVERRIDES) for _ in range(2))
        assert first is second
