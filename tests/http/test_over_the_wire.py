"""The rows of RFC 9110 through real servers, over HTTP/1.1 and over HTTP/2.

What the decision core plans is what a client receives: status, fields and content, to the byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
from _pytest.mark import ParameterSet

from asyncstatic.http.model import Representation, Request, ResponsePlan
from tests.http import rows
from tests.support.core import FILE, MODIFIED, STORED, answer, ask, content_of, parts_of, stored
from tests.support.http2 import Connection2
from tests.support.raw import Answer, Connection
from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid(setup="serve")

CODED = brotli.compress(STORED)  # a sidecar is served only if it decodes to its original
SITE = {"a.txt": STORED, "empty.txt": b"", "b.txt": STORED, "b.txt.br": CODED}
#: Where the site has what the rows are about: a path, and the codings to ask for.
PLACES: dict[Representation, tuple[bytes, str | None]] = {
    FILE: (b"/a.txt", None),
    rows.EMPTY: (b"/empty.txt", None),
    rows.PLAIN_OF_TWO: (b"/b.txt", None),
    rows.BR: (b"/b.txt", "br"),
}
#: What the site has in the place of a representation that only the rows know.
SERVED = {rows.BR: stored(CODED, coding="br", negotiable=True)}
# Servers bound a field section before anybody can read it (RFC 9110 §5.4).
LONGEST_FIELD = 8192
# Fields of the connection's owner, and of the moment.
NOT_OURS = {"connection", "date", "server"}

#: Every server that speaks both; and the versions.
SETUPS = ["hypercorn", "hypercorn-no-direct", "serve", "serve-no-direct"]
VERSIONS = ["HTTP/1.1", "HTTP/2"]


def table(
    name: str, params: list[ParameterSet], request_of: Callable[..., tuple[Request, Representation]]
) -> list[ParameterSet]:
    """The rows of a table that are about something the site has, as requests for it."""
    found = []
    for param in params:
        request, representation = request_of(*param.values)
        if representation in PLACES and len(request.fields.range or "") < LONGEST_FIELD:
            found.append(pytest.param(request, representation, id=f"{name}: {param.id}"))
    return found


ROWS = [
    *table("preconditions", rows.PRECONDITIONS, lambda request, found, status: (request, found)),
    *table("one range", rows.SINGLE, lambda value, *part: (ask(range=value), FILE)),
    *table("416", rows.UNSATISFIABLE, lambda value, found: (ask(range=value), found)),
    *table("ignored", rows.IGNORED, lambda value: (ask(range=value), FILE)),
    *table("several", rows.SEVERAL, lambda value, parts: (ask(range=value), FILE)),
    *table(
        "If-Range",
        rows.IF_RANGE,
        lambda value, found, status: (ask(range="bytes=50-", if_range=value), found),
    ),
]
TARGETS = [param for param in rows.TARGETS if not getattr(param.values[0], "mount", b"")]


@pytest.fixture(scope="module", params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    """The setups that speak both versions."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(setup: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = write_site(tmp_path_factory.mktemp("rows") / "site", SITE)
    for name in SITE:
        os.utime(root / name, (MODIFIED, MODIFIED))
    with serving(setup, root) as server:
        yield server


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def exchanged(server: Server, version: str, request: Request) -> Answer:
    """What a client receives that sends this request."""
    query = b"?" + request.query if request.query else b""
    target = (request.target + query).decode("ascii")
    sent = {name.replace("_", "-"): value for name, value in request.fields._asdict().items()}
    fields = [(name, value) for name, value in sent.items() if value is not None]
    if version == "HTTP/2":
        with Connection2(server.port) as connection2:
            return connection2.get(target, *fields, method=request.method)
    with Connection(server.port) as connection:
        lines = [f"{name}: {value}" for name, value in fields]
        return connection.get(target, *lines, method=request.method)


def seen(status: int, fields: list[tuple[str, str]], content: bytes) -> tuple[object, ...]:
    """What is compared of an answer; boundaries are drawn anew for each."""
    values = {name: value for name, value in fields if name not in NOT_OURS}
    media_type = values.get("content-type", "")
    if content and media_type.startswith("multipart/"):
        values["content-type"] = re.sub("boundary=[0-9a-zA-Z_-]+", "boundary=", media_type)
        assert values.pop("content-length") == str(len(content))
        return status, values, parts_of(media_type, content)
    return status, values, content


def received(found: Answer) -> tuple[object, ...]:
    assert found.complete
    return seen(found.status, list(found.fields), found.content)


def planned(plan: ResponsePlan, data: bytes = STORED) -> tuple[object, ...]:
    fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in plan.fields]
    return seen(plan.status, fields, content_of(plan, data))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("request_", "found"), ROWS)
def test_what_is_planned_is_what_is_received(
    server: Server, version: str, method: str, request_: Request, found: Representation
) -> None:
    target, codings = PLACES[found]
    fields = request_.fields._replace(accept_encoding=codings)
    asked = request_._replace(method=method, target=target, fields=fields)
    data = CODED if found is rows.BR else STORED
    plan = answer(asked, SERVED.get(found, found))
    assert received(exchanged(server, version, asked)) == planned(plan, data)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("request_", "status", "expected"), TARGETS)
def test_a_refused_target_is_received_as_planned(
    server: Server, version: str, method: str, request_: Request, status: int, expected: Any
) -> None:
    asked = request_._replace(method=method)
    answered = exchanged(server, version, asked)
    assert answered.status == status
    assert received(answered) == planned(answer(asked))


# CONNECT over HTTP/2 has neither scheme nor path (RFC 9113 §8.5): see tests/serve/test_http2.py.
@pytest.mark.parametrize(
    ("version", "method"),
    [pair for pair in product(VERSIONS, rows.OTHER_METHODS) if pair != ("HTTP/2", "CONNECT")],
    indirect=["version"],
)
def test_other_methods_are_received_as_405(server: Server, version: str, method: str) -> None:
    asked = ask(b"/a.txt", method)
    assert received(exchanged(server, version, asked)) == planned(answer(asked))


# Hypercorn by itself tells an app that they were in capitals.
@pytest.mark.parametrize("setup", ["serve", "serve-no-direct"], indirect=True)
@pytest.mark.parametrize("method", rows.MISSPELT_METHODS)
def test_the_case_of_a_method_counts(server: Server, version: str, method: str) -> None:
    asked = ask(b"/a.txt", method)
    assert received(exchanged(server, version, asked)) == planned(answer(asked))
