"""CORS: what the Fetch standard asks for, and nothing that is not configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http import cors
from asyncstatic.http.model import Absence, DirectoryRedirect, Fields, Representation, Request
from asyncstatic.settings import Settings
from tests.http.rows import CORS, CORS_WITHOUT_APP, PLAIN_OF_TWO, access_control_of
from tests.support.core import FILE, answer, ask, fields_of

A, B = "https://a.example", "https://b.example:8443"
LISTED, EVERYBODY, NOBODY = (A, B), ("*",), ()

PLACES: dict[bytes, Representation | DirectoryRedirect] = {
    b"/a.txt": FILE,
    b"/b.txt": PLAIN_OF_TWO,
    b"/docs": DirectoryRedirect("docs"),
}


@pytest.mark.parametrize(
    ("origins", "request_", "status", "allowed", "vary"), [*CORS, *CORS_WITHOUT_APP]
)
def test_an_answer_has_the_fields_of_the_cors_protocol(
    origins: tuple[str, ...],
    request_: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    found = PLACES.get(request_.target, Absence.MISSING)
    plan = answer(request_, found, Settings(cors=origins))
    fields = fields_of(plan)
    expected = access_control_of(request_, allowed, vary)
    assert (plan.status, {name: fields.get(name) for name in expected}) == (status, expected)


ORIGINS = [
    pytest.param(NOBODY, A, None, False, id="not configured"),
    pytest.param(LISTED, None, None, True, id="no Origin"),
    pytest.param(LISTED, A, A, True, id="first of the list"),
    pytest.param(LISTED, B, B, True, id="second of the list, with a port"),
    pytest.param(LISTED, "https://c.example", None, True, id="a stranger"),
    pytest.param(LISTED, "http://a.example", None, True, id="another scheme"),
    pytest.param(LISTED, "https://a.example:443", None, True, id="another spelling"),
    pytest.param(LISTED, "https://a.example.evil", None, True, id="our name as a prefix"),
    pytest.param(LISTED, "https://evil-a.example", None, True, id="our name as a suffix"),
    pytest.param(LISTED, "https://A.example", None, True, id="capitals: browsers send none"),
    pytest.param(LISTED, "null", None, True, id="a sandbox"),
    pytest.param(LISTED, f"{A}, {B}", None, True, id="two, joined"),
    pytest.param(LISTED, "", None, True, id="empty"),
    pytest.param(LISTED, "*", None, True, id="a star from the client"),
    pytest.param(EVERYBODY, A, "*", False, id="everybody"),
    pytest.param(EVERYBODY, "null", "*", False, id="everybody, a sandbox too"),
    pytest.param(EVERYBODY, None, "*", False, id="everybody, no Origin"),
    pytest.param((A, "*"), "https://c.example", "*", False, id="a star in a list"),
]


@pytest.mark.parametrize(("origins", "origin", "allowed", "varies"), ORIGINS)
def test_an_origin_may_read_if_it_is_listed(
    origins: tuple[str, ...], origin: str | None, allowed: str | None, varies: bool
) -> None:
    found = fields_of(answer(ask(origin=origin), settings=Settings(cors=origins)))
    assert found.get("access-control-allow-origin") == allowed
    assert ("access-control-expose-headers" in found) is (allowed is not None)
    assert found.get("vary") == ("Origin" if varies else None)


def test_scripts_may_read_the_fields_that_matter_to_them() -> None:
    exposed = fields_of(answer(ask(origin=A), settings=Settings(cors=LISTED)))[
        "access-control-expose-headers"
    ]
    wanted = {"Accept-Ranges", "Content-Encoding", "Content-Length", "Content-Range", "ETag"}
    assert wanted <= set(exposed.split(", "))


def test_credentials_are_never_allowed() -> None:
    """Static content needs no cookies; with them, a star would be refused by browsers."""
    for origins in (LISTED, EVERYBODY):
        found = cors.access_fields(Fields(origin=A), origins)
        assert all(name != b"access-control-allow-credentials" for name, _ in found)


PREFLIGHTS = [
    # origins, Origin, method, fields -> Allow-Origin, whether GET and HEAD are allowed, fields
    pytest.param(LISTED, A, "GET", None, A, True, None, id="GET"),
    pytest.param(LISTED, A, "HEAD", None, A, True, None, id="HEAD"),
    pytest.param(LISTED, A, "GET", "range, if-range", A, True, "range, if-range", id="fields"),
    pytest.param(EVERYBODY, A, "GET", "x-anything", "*", True, "x-anything", id="everybody"),
    pytest.param(EVERYBODY, "null", "GET", None, "*", True, None, id="everybody, a sandbox"),
    pytest.param(EVERYBODY, None, "GET", "range", "*", True, "range", id="everybody, no Origin"),
    pytest.param(EVERYBODY, A, "PUT", "range", "*", False, None, id="everybody, another method"),
    pytest.param(EVERYBODY, None, None, None, "*", False, None, id="everybody, a plain OPTIONS"),
    pytest.param(LISTED, A, "PUT", "range", A, False, None, id="a method we do not have"),
    pytest.param(LISTED, A, "get", None, A, False, None, id="methods are case-sensitive"),
    pytest.param(LISTED, A, None, None, A, False, None, id="a plain OPTIONS"),
    pytest.param(LISTED, "https://c.example", "GET", "range", None, False, None, id="a stranger"),
    pytest.param(LISTED, "null", "GET", "range", None, False, None, id="a sandbox"),
    pytest.param(LISTED, None, "GET", "range", None, False, None, id="no Origin"),
    pytest.param(NOBODY, A, "GET", "range", None, False, None, id="not configured"),
    pytest.param(
        LISTED, A, "GET", "x\r\nset-cookie: a", A, True, None, id="a line end is not echoed"
    ),
    pytest.param(LISTED, A, "GET", "\xe9", A, True, None, id="nor what is not ASCII"),
    pytest.param(LISTED, A, "GET", "", A, True, None, id="an empty list"),
]


@pytest.mark.parametrize(
    ("origins", "origin", "method", "asked", "allowed", "reads", "granted"), PREFLIGHTS
)
def test_a_preflight_is_answered(
    origins: tuple[str, ...],
    origin: str | None,
    method: str | None,
    asked: str | None,
    allowed: str | None,
    reads: bool,
    granted: str | None,
) -> None:
    request = ask(
        b"/a.txt",
        "OPTIONS",
        origin=origin,
        access_control_request_method=method,
        access_control_request_headers=asked,
    )
    plan = answer(request, settings=Settings(cors=origins))
    found = fields_of(plan)
    assert plan.status == 204
    assert found["allow"] == "GET, HEAD, OPTIONS"
    assert found.get("access-control-allow-origin") == allowed
    assert found.get("access-control-allow-methods") == ("GET, HEAD" if reads else None)
    assert found.get("access-control-allow-headers") == granted
    assert ("access-control-max-age" in found) is reads
    of_preflights = "Access-Control-Request-Method, Access-Control-Request-Headers"
    varies = {LISTED: f"Origin, {of_preflights}", EVERYBODY: of_preflights, NOBODY: None}
    assert found.get("vary") == varies[origins]


texts = st.none() | st.text(st.characters(max_codepoint=255), max_size=30)


@given(texts, texts, texts, st.sampled_from([NOBODY, LISTED, EVERYBODY]))
def test_no_origin_is_allowed_that_is_not_configured(
    origin: str | None, method: str | None, asked: str | None, origins: tuple[str, ...]
) -> None:
    fields = Fields(
        origin=origin, access_control_request_method=method, access_control_request_headers=asked
    )
    for found in (cors.access_fields(fields, origins), cors.options_fields(fields, origins)):
        for name, value in found:
            assert value.isascii()
            assert value.decode().isprintable()
            if name == b"access-control-allow-origin":
                assert value.decode() in origins
