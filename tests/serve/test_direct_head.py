"""Heads of the direct entry: what it takes, and which lines of a request can decide its answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.model import Fields
from asyncstatic.serve.direct.head import (
    DECIDING,
    Head,
    deciding_lines,
    match_head,
    may_become_head,
    read_head,
    read_headers,
    without_empty_lines,
)

HOST = b"Host: example.org"


def head(*lines: bytes, request_line: bytes = b"GET /a.js?v=1 HTTP/1.1") -> bytes:
    return b"\r\n".join((request_line, *lines, b"", b""))


def matched(data: bytes) -> re.Match[bytes]:
    match = match_head(data)
    assert match is not None
    return match


def lines_of(data: bytes) -> list[bytes]:
    match = matched(data)
    return deciding_lines(data, match.end(2), match.end())


def read_from(data: bytes, server_names: Collection[bytes] = ()) -> Head | None:
    return read_head(matched(data), lines_of(data), server_names)


SPELLINGS: tuple[Callable[[str], str], ...] = (str.lower, str.title, str.upper, str.swapcase)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", DECIDING)
def test_a_deciding_line_is_picked_in_any_case(name: str, spelling: Callable[[str], str]) -> None:
    line = spelling(name).encode() + b": value"
    assert line + b"\r" in lines_of(head(HOST, b"Cookie: a", line, b"Referer: b"))


def test_every_field_that_the_core_reads_is_deciding_or_said_not_to_be() -> None:
    """Accept and Sec-Fetch-* decide about error pages and shells, which are not prepared."""
    not_deciding = {
        "accept",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "access-control-request-headers",
        "access-control-request-method",
    }
    core = {name.replace("_", "-") for name in Fields._fields}
    assert core - set(DECIDING) == not_deciding


@pytest.mark.parametrize(
    "line",
    [
        b"Cookie: session=1",
        b"Referer: http://example.org/Host:",
        b"User-Agent: Range: bytes=0-1",
        b"Sec-Fetch-Dest: script",
        b"Upgrade-Insecure-Requests: 1",
        b"Accept-Language: en",
        b"Cache-Control: max-age=0",
        b"Accept: */*",
        b"DNT: 1",
    ],
)
def test_a_line_that_decides_nothing_is_not_picked(line: bytes) -> None:
    assert lines_of(head(HOST, line)) == [HOST + b"\r"]


def test_method_path_and_query_are_apart() -> None:
    assert matched(head(HOST)).groups() == (b"GET", b"/a.js", b"v=1")
    bare = matched(head(HOST, request_line=b"HEAD /a.js HTTP/1.1"))
    assert bare.groups() == (b"HEAD", b"/a.js", None)
    nothing = matched(head(HOST, request_line=b"GET /?? HTTP/1.1"))
    assert nothing.groups() == (b"GET", b"/", b"?")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head(HOST, request_line=b"POST / HTTP/1.1"), id="another method"),
        pytest.param(head(HOST, request_line=b"get / HTTP/1.1"), id="a method in lower case"),
        pytest.param(head(HOST, request_line=b"GET / HTTP/1.0"), id="another version"),
        pytest.param(head(HOST, request_line=b"GET * HTTP/1.1"), id="asterisk-form"),
        pytest.param(head(HOST, request_line=b"GET http://a/ HTTP/1.1"), id="absolute-form"),
        pytest.param(head(HOST, request_line=b"GET  / HTTP/1.1"), id="two spaces"),
        pytest.param(head(HOST, request_line=b"GET /a b HTTP/1.1"), id="a space in the target"),
        pytest.param(head(HOST, request_line=b"GET /\xc3\xa4 HTTP/1.1"), id="not ASCII"),
        pytest.param(head(), id="no field"),
        pytest.param(head(HOST, b" folded"), id="obs-fold"),
        pytest.param(head(HOST, b"Range : bytes=0-1"), id="a space before the colon"),
        pytest.param(head(HOST, b"Cookie: a\x00b"), id="NUL in a value"),
        pytest.param(head(HOST, b"Cookie: a\nRange: bytes=0-1"), id="a bare LF"),
        pytest.param(head(HOST, b"Cookie: a\rRange: bytes=0-1"), id="a bare CR"),
        pytest.param(head(HOST, b": value"), id="no name"),
        pytest.param(head(HOST, b"no colon"), id="no colon"),
    ],
)
def test_a_head_with_more_than_one_reading_does_not_match(data: bytes) -> None:
    assert match_head(data) is None
    assert not may_become_head(data, 16 * 1024)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((), id="no Host"),
        pytest.param((HOST, HOST), id="two Hosts"),
        pytest.param((b"Host: a/b",), id="a bad Host"),
        pytest.param((b"Host:",), id="an empty Host"),
        pytest.param((HOST, b"Content-Length: 0"), id="content"),
        pytest.param((HOST, b"TRANSFER-ENCODING: chunked"), id="chunked content"),
        pytest.param((HOST, b"Expect: 100-continue"), id="Expect"),
        pytest.param((HOST, b"Trailer: a"), id="Trailer"),
        pytest.param((HOST, b"Upgrade: websocket", b"Connection: Upgrade"), id="an upgrade"),
        pytest.param((HOST, b"Connection: close, keep-alive"), id="contradictory options"),
        pytest.param((HOST, b"Connection: Range"), id="an unknown option"),
    ],
)
def test_a_plain_head_that_the_full_server_must_answer_is_not_read(
    lines: tuple[bytes, ...],
) -> None:
    assert read_from(head(*lines, b"A: b")) is None


@pytest.mark.parametrize(
    ("lines", "keep_alive"),
    [
        ((), True),
        ((b"Connection: keep-alive",), True),
        ((b"Connection: close",), False),
        ((b"CONNECTION: CLOSE",), False),
        ((b"Connection:", b"Connection: close"), False),
        ((b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"), True),
    ],
)
def test_connection_decides_whether_the_connection_goes_on(
    lines: tuple[bytes, ...], keep_alive: bool
) -> None:
    read = read_from(head(HOST, *lines))
    assert read is not None
    assert read.keep_alive is keep_alive


def test_hosts_that_are_not_served_are_left_to_the_full_server() -> None:
    assert read_from(head(HOST), {b"example.org"}) is not None
    assert read_from(head(HOST), {b"example.com"}) is None


def test_the_log_gets_all_fields() -> None:
    data = b"\r\n" + head(HOST, b"COOKIE:  a ", b"Empty:", b"X: a:b")
    assert read_headers(matched(data)) == [
        (b"host", b"example.org"),
        (b"cookie", b"a"),
        (b"empty", b""),
        (b"x", b"a:b"),
    ]


@pytest.mark.parametrize("count", range(4))
def test_empty_lines_before_a_request_are_ignored(count: int) -> None:
    data = b"\r\n" * count + head(HOST)
    assert matched(data).groups() == (b"GET", b"/a.js", b"v=1")
    assert without_empty_lines(data) == head(HOST)


def test_a_head_may_come_in_any_two_parts() -> None:
    whole = b"\r\n" + head(HOST, b"Cookie: a")
    for end in range(len(whole)):
        part = without_empty_lines(whole[:end])
        assert match_head(whole[:end]) is None
        assert may_become_head(part, 16 * 1024), part


def test_an_incomplete_head_has_a_bound() -> None:
    assert may_become_head(b"GET /" + b"a" * 95, 100)
    assert not may_become_head(b"GET /" + b"a" * 96, 100)


token = st.text(st.sampled_from("!#$%&'*+-.^_`|~09AZaz"), min_size=1, max_size=20)
value = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)


@given(st.lists(st.tuples(token, value), max_size=8))
def test_equal_deciding_lines_mean_equal_fields_for_the_core(
    fields: list[tuple[str, str]],
) -> None:
    lines = [f"{name}: {text}".encode("latin-1") for name, text in fields]
    data = head(HOST, *lines)
    match = matched(data)
    picked = [line.partition(b":") for line in lines_of(data)]
    of_picked = Fields.read([(name.lower(), value.strip()) for name, _, value in picked])
    of_all = Fields.read(read_headers(match))
    core = [name for name in Fields._fields if name.replace("_", "-") in DECIDING]
    assert [getattr(of_picked, name) for name in core] == [getattr(of_all, name) for name in core]


def test_names_of_deciding_fields_differ_in_their_first_letters_from_common_ones() -> None:
    """The expression compares beginnings only: it must not pick what every browser varies."""
    varying = ("cookie", "referer", "user-agent", "sec-fetch-dest", "sec-ch-ua", "accept-language")
    for name, other in itertools.product(varying, DECIDING):
        assert not other.startswith(name)
