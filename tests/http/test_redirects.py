"""Redirects: which path leads where, and no path leads to a host that the request chose."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.model import Request, ResponsePlan
from asyncstatic.http.redirects import (
    MountPointRedirect,
    Redirect,
    Redirects,
    problem_with_loops,
    problem_with_redirects,
)
from asyncstatic.http.respond import admit
from asyncstatic.settings import Settings, SettingsError
from tests.support.core import ask, content_of, fields_of

SETTINGS = Settings()


def redirected(request: Request, *redirects: Redirect) -> tuple[int, str] | None:
    """The status and Location of the answer; None if a file would be looked up."""
    assert problem_with_redirects(redirects) == problem_with_loops(redirects) == ""
    plan = admit(request, SETTINGS, Redirects(redirects))
    if not isinstance(plan, ResponsePlan):
        return None
    return plan.status, fields_of(plan).get("location", "")


@pytest.mark.parametrize(
    ("source", "target", "path", "location"),
    [
        pytest.param("/a", "/b", "/a", "/b", id="a name"),
        pytest.param("/a", "/b", "/a/", None, id="the slash counts"),
        pytest.param("/a/", "/b", "/a/", "/b", id="a directory"),
        pytest.param("/a", "/b", "/a/c", None, id="nothing below"),
        pytest.param("/a", "/b", "/ab", None, id="a whole name"),
        pytest.param("/", "/b", "/", "/b", id="the root"),
        pytest.param("/old/*", "/new/:splat", "/old/x/y.html", "/new/x/y.html", id="a splat"),
        pytest.param("/old/*", "/new/:splat", "/old/x/", "/new/x/", id="a splat with its slash"),
        pytest.param("/old/*", "/new/:splat", "/old/", "/new/", id="an empty splat"),
        pytest.param("/old/*", "/new/:splat", "/old", "/new/", id="the directory without slash"),
        pytest.param("/old/*", "/new/:splat", "/older", None, id="another name"),
        pytest.param("/old/*", "/:splat/end", "/old/", "/end", id="no empty segment"),
        pytest.param("/old/*", "/:splat/end", "/old/a/", "/a/end", id="nor behind a splat"),
        pytest.param("/*", "https://b.example/:splat", "/x", "https://b.example/x", id="all"),
        pytest.param("/*", "https://b.example/:splat", "/", "https://b.example/", id="all: root"),
        pytest.param(
            "/blog/:year/:slug", "/:slug-:year", "/blog/2024/hi", "/hi-2024", id="placeholders"
        ),
        pytest.param("/blog/:year", "/:year", "/blog/", None, id="a placeholder is not empty"),
        pytest.param("/u/:id", "/user?id=:id", "/u/7", "/user?id=7", id="in the query"),
        pytest.param("/u/:id", "/user#:id", "/u/7", "/user#7", id="in the fragment"),
        pytest.param("/a b", "/c d".replace(" ", "%20"), "/a%20b", "/c%20d", id="a space"),
        pytest.param("/a%20b", "/c", "/a%20b", "/c", id="an encoded source"),
        pytest.param("/%3Aid", "/b", "/:id", "/b", id="an encoded colon"),
        pytest.param("/%3Aid", "/b", "/7", None, id="an encoded colon is no placeholder"),
        pytest.param("/münchen", "/wien", "/m%C3%BCnchen", "/wien", id="not ASCII"),
        pytest.param("/wien", "/münchen", "/wien", "/m%C3%BCnchen", id="a target not ASCII"),
        pytest.param("/a", "/12:30", "/a", "/12:30", id="a colon before a digit"),
        pytest.param("/a", "http://[::1]:8080/x", "/a", "http://[::1]:8080/x", id="an address"),
        pytest.param("/.env", "/no", "/.env", "/no", id="a hidden name"),
        pytest.param("/a", "/*/b?q=*&p=$1", "/a", "/*/b?q=*&p=$1", id="plain stars"),
        pytest.param("/a/*", "/b/%2A/%241", "/a/c", "/b/%2A/%241", id="encoded stars"),
    ],
)
def test_a_path_leads_to_its_target(
    source: str, target: str, path: str, location: str | None
) -> None:
    expected = None if location is None else (301, location)
    assert redirected(ask(path.encode()), Redirect(source, target)) == expected


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_status_is_the_one_that_was_named(status: int) -> None:
    assert redirected(ask(b"/a"), Redirect("/a", "/b", status)) == (status, "/b")


@pytest.mark.parametrize(
    ("target", "query", "location"),
    [
        pytest.param("/b", b"x=1", "/b?x=1", id="kept"),
        pytest.param("/b?y=2", b"x=1", "/b?y=2&x=1", id="merged"),
        pytest.param("/b#top", b"x=1", "/b?x=1#top", id="before the fragment"),
        pytest.param("https://b.example", b"x", "https://b.example?x", id="a bare host"),
        pytest.param("/b", b"x\r\ny", "/b", id="no query has a line end"),
    ],
)
def test_the_query_is_kept(target: str, query: bytes, location: str) -> None:
    assert redirected(ask(b"/a", query=query), Redirect("/a", target)) == (301, location)


URL = "https://b.example/"


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        (MountPointRedirect("/", URL), URL),
        (Redirect("/", URL), "./app/"),
        (Redirect("/*", URL), URL),
        (Redirect("/:name", URL), "./app/"),
    ],
)
def test_the_mount_point_without_its_slash_has_redirects_of_its_own(
    redirect: Redirect, location: str
) -> None:
    assert redirected(ask(b"", mount=b"/app"), redirect) == (301, location)
    if isinstance(redirect, MountPointRedirect):
        assert redirected(ask(b"/", mount=b"/app"), redirect) is None


def test_a_target_is_below_the_mount_point_of_the_root() -> None:
    request = ask(b"/a", mount=b"/app")
    assert redirected(request, Redirect("/a", "/b")) == (301, "/app/b")
    assert redirected(request, Redirect("/a", "https://b.example/b")) == (
        301,
        "https://b.example/b",
    )


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/a/x", "/first"),
        ("/a/y", "/second/y"),
        ("/b/x", "/third/b"),
        ("/b/y", None),
    ],
)
def test_the_first_redirect_that_matches_counts(path: str, location: str | None) -> None:
    rules = (
        Redirect("/a/x", "/first"),
        Redirect("/a/*", "/second/:splat"),
        Redirect("/:any/x", "/third/:any"),
        Redirect("/b/x", "/fourth"),
        Redirect("/a/x", "/fifth"),
    )
    expected = None if location is None else (301, location)
    assert redirected(ask(path.encode()), *rules) == expected


SOURCES = st.sampled_from(
    ["/", "/*", "/a", "/a/", "/a/*", "/:x", "/:x/", "/:x/b", "/a/:x", "/:x/*", "/b", "/b/*", "/a/b"]
)


@given(
    st.lists(SOURCES, max_size=6),
    st.lists(st.sampled_from("ab"), max_size=3).map(tuple),
    st.booleans(),
)
def test_many_redirects_are_as_each_alone_in_their_order(
    sources: list[str], segments: tuple[str, ...], directory: bool
) -> None:
    redirects = [Redirect(source, f"/target/{n}") for n, source in enumerate(sources)]
    alone = (Redirects([each]).find(segments, directory) for each in redirects)
    first = next((found for found in alone if found is not None), None)
    assert Redirects(redirects).find(segments, directory) == first


def test_the_page_of_a_redirect_is_not_stored_and_tells_nothing() -> None:
    redirects = Redirects([Redirect("/a/*", "/b/:splat", 302)])
    plan = admit(ask(b"/a/secret"), SETTINGS, redirects)
    assert isinstance(plan, ResponsePlan)
    assert fields_of(plan)["cache-control"] == "no-store"
    assert b"secret" not in content_of(plan)
    head = admit(ask(b"/a/secret", "HEAD"), SETTINGS, redirects)
    assert isinstance(head, ResponsePlan)
    assert (head.fields, head.content) == (plan.fields, ())


def test_other_methods_are_not_redirected() -> None:
    assert redirected(ask(b"/a", "POST"), Redirect("/a", "/b", 308)) == (405, "")


# -- hostile paths -----------------------------------------------------------------------------------

HOSTILE = [
    b"//evil.example",
    b"/old//evil.example",
    b"/old/%2Fevil.example",
    b"/old/%2F%2Fevil.example",
    b"/old/\\evil.example",
    b"/old/%5Cevil.example",
    b"/old/%5c%5cevil.example",
    b"/old/%09/evil.example",
    b"/old/%0d%0aLocation:%20https://evil.example",
    b"/old/%00",
    b"/old/..//evil.example",
    b"/old/%2e%2e/%2e%2e//evil.example",
    b"/old/./%2e/evil.example",
    b"/old/.evil.example",
    b"/old/@evil.example",
    b"/old/:80@evil.example",
    b"/old/https:/evil.example",
    b"/old/https://evil.example",
    b"/old/https:evil.example",
    b"/old/?/evil.example",
    b"/old/evil.example%23",
    b"/old/evil.example%3f@a",
    b"/old/%E2%80%8B/evil.example",
    b"/old/\xef\xbc\x8f\xef\xbc\x8fevil.example",
    b"/old/%EF%BC%8F%EF%BC%8Fevil.example",
]
TARGETS = ["/:splat", "/new/:splat", "/:splat/x", "https://b.example/:splat", "/x?to=:splat"]
ALLOWED = {"a.example", "b.example"}


def host_of(location: str) -> str | None:
    """The host to which a browser goes: backslashes count as slashes, controls do not count."""
    plain = "".join(c for c in location if c > " ").replace("\\", "/")
    return urlsplit(urljoin("https://a.example/somewhere/else", plain)).hostname


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_leads_to_another_host(path: bytes, target: str) -> None:
    for prefix in (b"", b"/app"):
        found = redirected(ask(path, mount=prefix), Redirect("/old/*", target))
        if found is not None and found[0] == 301:
            assert host_of(found[1]) in ALLOWED, found
            assert found[1].isascii()
            assert found[1].isprintable()


PIECES = st.sampled_from(
    [
        "/",
        "//",
        "%2f",
        "%5c",
        "\\",
        ".",
        "..",
        "%2e",
        ":",
        "@",
        "evil.example",
        "a",
        "%0d%0a",
        "%09",
    ]
)


@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from(TARGETS), st.booleans())
def test_the_host_never_depends_on_the_path(rest: str, target: str, decoded: bool) -> None:
    request = ask(b"/old/" + rest.encode(), decoded=decoded)
    found = redirected(request, Redirect("/old/*", target))
    if found is not None and found[1]:
        assert host_of(found[1]) in ALLOWED
        assert not found[1].startswith("//")


# -- wrong redirects ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redirect", "help_"),
    [
        pytest.param(("old", "/new"), "a path from the root is needed", id="no slash"),
        pytest.param(("/old?x=1", "/new"), "leave out the query", id="a query"),
        pytest.param(("//old", "/new"), "no path has an empty", id="two slashes"),
        pytest.param(("/a/../b", "/new"), "no path has", id="dot-dot"),
        pytest.param(("/a/%2e%2e/b", "/new"), "no path has", id="encoded dot-dot"),
        pytest.param(("/a%00", "/new"), "control segment", id="NUL"),
        pytest.param(("/*/a", "/new"), "* is the whole last segment", id="a splat inside"),
        pytest.param(("/a*", "/new"), "* is the whole last segment", id="half a segment"),
        pytest.param(("/:a/:a", "/new"), "name each placeholder once", id="a name twice"),
        pytest.param(("/:splat", "/new"), "name each placeholder once", id="the name of *"),
        pytest.param(("/a", "new"), "a path such as /new, or a URL", id="a relative target"),
        pytest.param(("/a", "//evil.example"), "host cannot depend", id="a host without scheme"),
        pytest.param(("/a", "/\\evil.example"), "host cannot depend", id="a backslash"),
        pytest.param(("/:h", "https://:h/"), "host cannot depend", id="a placeholder as host"),
        pytest.param(("/:h", "https://a.:h/"), "host cannot depend", id="in the host"),
        pytest.param(("/*", "https://a.example:splat"), "host cannot depend", id="behind the host"),
        pytest.param(("/a", "https://u@a.example/"), "host cannot depend", id="a user"),
        pytest.param(("/a", "javascript:alert(1)"), "host cannot depend", id="a script"),
        pytest.param(("/a", "/b c"), "percent-encode", id="a space"),
        pytest.param(("/a", "/b\r\nX: y"), "percent-encode", id="a line end"),
        pytest.param(("/a", "/b%zz"), "percent-encode", id="a wrong escape"),
        pytest.param(("/a", "/:slug"), "/a has no :slug", id="no such placeholder"),
        pytest.param(("/a", "/:splat"), "/a has no :splat", id="no splat"),
        pytest.param(
            ("/a/*", "/b/*"), "/* would be sent as it is; say :splat", id="a star for the rest"
        ),
        pytest.param(("/a", "https://b.example/*?q"), "say :splat", id="a star of a URL"),
        pytest.param(
            ("/a/*", "/b/$1"), "$1 would be sent as it is; say :splat", id="a group of nginx"
        ),
        pytest.param(("/a", "/b", 200), "the status 200 is no redirect", id="a rewrite"),
        pytest.param(("/a", "/b", 303), "choose one of 301", id="303"),
        pytest.param(("/a", "/b", True), "no redirect", id="a switch"),
    ],
)
def test_a_wrong_redirect_is_one_line_that_helps(redirect: Any, help_: str) -> None:
    problem = problem_with_redirects((Redirect(*redirect),))
    assert help_ in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("/a", "/a", id="to itself"),
        pytest.param("/a", "/a?x=1#top", id="to itself with more"),
        pytest.param("/a/*", "/a/b/:splat", id="ever longer"),
        pytest.param("/a/*", "/a", id="/a/* is /a as well"),
        pytest.param("/*", "/new", id="everything, the target included"),
    ],
)
def test_a_redirect_that_never_ends_is_found(source: str, target: str) -> None:
    redirects = (Redirect(source, target),)
    says = f"{source} -> {target}: this redirect leads into a loop"
    assert problem_with_redirects(redirects) == ""
    assert problem_with_loops(redirects) == says
    with pytest.raises(SettingsError, match=re.escape(f"redirects: {says}")):
        Settings(redirects=redirects)


def test_a_loop_of_several_redirects_is_found() -> None:
    two = (Redirect("/a/*", "/b/:splat"), Redirect("/b/*", "/a/:splat", 302))
    assert problem_with_loops(two) == "/a/* -> /b/:splat: this redirect leads into a loop"
    assert problem_with_loops((Redirect("/a", "/b"), Redirect("/b", "/c"))) == ""
    assert problem_with_loops((Redirect("/x", "/"), Redirect("/", "/y"))) == ""
    assert problem_with_loops((Redirect("/*", "/../new/:splat"),)) == ""  # out of the mount


def test_a_redirect_may_lead_to_another_mount_below() -> None:
    redirect = Redirect("/*", "/./v2/:splat")
    assert redirected(ask(b"/a"), redirect) == (301, "/v2/a")
    assert redirected(ask(b"/a", mount=b"/proxy"), redirect) == (301, "/proxy/v2/a")
