"""Navigations: which requests the shell of a single-page app may answer."""

from __future__ import annotations

import pytest

from asyncstatic.http.model import Absence, Lookup, Representation, Request, ResponsePlan
from asyncstatic.http.policy import ResponsePolicy
from asyncstatic.http.respond import admit, respond
from asyncstatic.settings import Settings
from tests.support.core import BOUNDARY, NOW, SECOND, ask, fields_of, stored

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
PAGE = {"sec_fetch_dest": "document", "accept": CHROMIUM}
SHELL = stored(b"<p>shell" * 10, "index.html")


def navigates(request: Request, **settings: object) -> bool:
    admitted = admit(request, Settings("x", **{"spa": True, **settings}))  # type: ignore[arg-type]  # rows of a table
    return isinstance(admitted, Lookup) and admitted.navigation


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(PAGE, True, id="a browser over HTTPS"),
        pytest.param({"sec_fetch_dest": "iframe", "accept": CHROMIUM}, True, id="a frame"),
        pytest.param({"accept": CHROMIUM}, True, id="a browser over plain HTTP"),
        pytest.param({"accept": "text/html"}, True, id="HTML alone"),
        pytest.param({}, False, id="no field"),
        pytest.param({"accept": "*/*"}, False, id="curl, fetch()"),
        pytest.param({"accept": "application/json"}, False, id="an API client"),
        pytest.param({"accept": "text/html;q=0.1, text/plain"}, False, id="rather plain text"),
        pytest.param({"sec_fetch_dest": "script", "accept": "*/*"}, False, id="a script"),
        pytest.param({"sec_fetch_dest": "empty", "accept": CHROMIUM}, False, id="fetch() for HTML"),
        pytest.param(
            {"sec_fetch_dest": "empty", "sec_fetch_mode": "cors", "accept": CHROMIUM},
            False,
            id="fetch() for HTML, with its mode",
        ),
        pytest.param(
            {"sec_fetch_dest": "empty", "sec_fetch_mode": "navigate", "accept": CHROMIUM},
            True,
            id="a navigation that a service worker passes on",
        ),
        pytest.param(
            {"sec_fetch_dest": "object", "sec_fetch_mode": "navigate"}, False, id="an object"
        ),
        pytest.param({"sec_fetch_dest": "image", "accept": CHROMIUM}, False, id="an image"),
        pytest.param({"sec_fetch_dest": "document, script"}, False, id="twice"),
    ],
)
def test_the_request_says_whether_it_is_a_navigation(
    fields: dict[str, str], expected: bool
) -> None:
    assert navigates(ask(b"/users/7", **fields)) is expected
    assert navigates(ask(b"/users/7", "HEAD", **fields)) is expected
    assert not navigates(ask(b"/users/7", **fields), spa=False)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"/users/7", True, id="a name"),
        pytest.param(b"/users/7/", True, id="a slash at the end"),
        pytest.param(b"/", True, id="the root"),
        pytest.param(b"/v1.2/users", True, id="a dot before the last segment"),
        pytest.param(b"/m%C3%BCnchen", True, id="not ASCII"),
        pytest.param(b"/" + b"x" * 300, True, id="longer than a file name"),
        pytest.param(b"/packages/%40scope%2fname", True, id="a slash in a parameter"),
        pytest.param(b"/view/https%3A%2F%2Fa.example%2Fb", True, id="a URL as a parameter"),
        pytest.param(b"/points/10.75.35.6%2Fdevice", True, id="a dot before an encoded slash"),
        pytest.param(b"/files/docs%2Fapp.js", False, id="a suffix behind an encoded slash"),
        pytest.param(b"/assets/app-3f9c2a.js", False, id="an asset"),
        pytest.param(b"/app%2Ejs", False, id="an encoded dot"),
        pytest.param(b"/.env", False, id="a hidden name"),
        pytest.param(b"/a//b", False, id="an empty segment"),
        pytest.param(b"/hashed/3f9c2a", False, id="a fingerprinted name"),
    ],
)
def test_a_path_like_that_of_a_file_is_none(target: bytes, expected: bool) -> None:
    assert navigates(ask(target, **PAGE), immutable=("hashed/*",)) is expected


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/a%2F..%2Fb", id="two dots beside an encoded slash"),
        pytest.param(b"/..%2Fb", id="two dots before an encoded slash"),
        pytest.param(b"/a%2F%00", id="NUL"),
        pytest.param(b"/a%2Fb%0A", id="a line end"),
        pytest.param(b"/a%2Fb%5Cc", id="a backslash"),
        pytest.param(b"/a%2Fb%", id="a malformed escape"),
        pytest.param(b"/a%2F%E2%82", id="no UTF-8"),
        pytest.param(b"/a%00b", id="no encoded slash"),
    ],
)
def test_a_malformed_path_is_refused_also_for_a_navigation(target: bytes) -> None:
    plan = admit(ask(target, **PAGE), Settings("x", spa=True))
    assert isinstance(plan, ResponsePlan)
    assert plan.status == 400


@pytest.mark.parametrize("request_", [ask(b"/a%2Fb", accept="*/*"), ask(b"/a%2Fb.js", **PAGE)])
def test_an_encoded_slash_is_malformed_where_the_shell_is_not_asked_for(request_: Request) -> None:
    plan = admit(request_, Settings("x", spa=True))
    assert isinstance(plan, ResponsePlan)
    assert plan.status == 400


@pytest.mark.parametrize("fallback", [0, 200], ids=["its own name", "another name"])
def test_the_shell_is_asked_about_before_each_use(fallback: int) -> None:
    settings = Settings("x", spa=True, cache_control="public, max-age=3600", immutable="*.html")
    shell = SHELL._replace(fallback=fallback)
    plan = respond(ask(b"/a", **PAGE), shell, ResponsePolicy(settings), NOW * SECOND, BOUNDARY)
    fields = fields_of(plan)
    assert (plan.status, fields["cache-control"]) == (200, "no-cache")
    assert fields.get("vary") == ("Sec-Fetch-Dest, Sec-Fetch-Mode, Accept" if fallback else None)
    request = ask(b"/a", **PAGE, if_none_match=fields["etag"])
    again = respond(request, shell, ResponsePolicy(settings), NOW * SECOND, BOUNDARY)
    assert again.status == 304
    assert fields_of(again).get("vary") == fields.get("vary")


def test_other_pages_are_as_configured() -> None:
    settings = Settings("x", spa="shell.html", cache_control="public, max-age=3600")
    plan = respond(ask(b"/"), SHELL, ResponsePolicy(settings), NOW * SECOND, BOUNDARY)
    assert fields_of(plan)["cache-control"] == "public, max-age=3600"


@pytest.mark.parametrize("status", [403, 404, 410, 500, 503])
def test_an_error_page_has_the_status_of_the_error(status: int) -> None:
    page: Representation = stored(b"<p>error", "error.html", fallback=status)
    policy = ResponsePolicy(Settings("x"))
    plan = respond(ask(range="bytes=0-1"), page, policy, NOW * SECOND, BOUNDARY)
    fields = fields_of(plan)
    assert (plan.status, fields["cache-control"]) == (status, "no-store")
    assert "etag" not in fields
    ours = respond(ask(), Absence(status), policy, NOW * SECOND, BOUNDARY)
    assert fields.get("retry-after") == fields_of(ours).get("retry-after")
