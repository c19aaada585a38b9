"""The direct entry and Hypercorn read one stream of bytes in one way.

The same bytes go to a server with the setup and to one without: answers, their number and the
fate of the connection are equal. Every difference that is meant has a row in `MEANT`, or
in `MEANT_UNDER_PLAIN`, and occurs.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncstatic import StaticFiles
from asyncstatic.serve.hypercorn import Hypercorn
from tests.serve import inside
from tests.serve.direct_requests import TABLE, generated
from tests.serve.inside import Inside, serving_inside
from tests.support.raw import Answer, Connection, EndedError, ProtocolError

_SILENCE = 0.3  # seconds without a byte, after which no answer is due any more
_GENERATED = 4000
_BATCH = 250

#: name in TABLE -> why the setup may answer otherwise: (with the setup, without), as statuses.
MEANT: dict[str, tuple[str, list[int], list[int]]] = {
    "upgrade to h2c": (
        "an offer of h2c may be ignored (RFC 9110 §7.8), and clients stumble over data behind 101",
        [200],
        [101],
    ),
    "upgrade to h2c, unconnected": ("the same; and without Connection it is none", [200], [101]),
    "line above the limit, unfinished": ("too long is 414 (RFC 9112 §3)", [414], [431]),
}
#: The same where plain Hypercorn is behind the setup; `asyncstatic serve` mends it.
MEANT_UNDER_PLAIN: dict[str, tuple[str, list[int], list[int]]] = {
    **{
        name: ("empty lines before a request are ignored (RFC 9112 §2.2); h11 does not", ours, h11)
        for name, ours, h11 in (
            ("leading line end", [200], [400]),
            ("leading line ends", [200], [400]),
            ("line ends between", [200, 200], [200, 400]),
            ("nothing but line ends", [], [400]),
        )
    },
    **{
        name: (
            "what follows the last request is not read (RFC 9112 §9.6); h11 answers 400 instead",
            [200],
            [400],
        )
        for name in ("behind close", "line feed behind close")
    },
}


class Fate(NamedTuple):
    """What became of a connection."""

    answers: tuple[tuple[int, tuple[tuple[str, str], ...], bytes], ...]
    rest: str
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.answers]


def _seen(answer: Answer) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """An answer without what may differ from one second to the next."""
    fields = tuple(sorted(field for field in answer.fields if field[0] != "date"))
    boundary = (answer.field("content-type") or "").partition("boundary=")[2]
    if boundary:
        content = answer.content.replace(boundary.encode(), b"boundary")
        fields = tuple((name, value.replace(boundary, "boundary")) for name, value in fields)
        return answer.status, fields, content
    return answer.status, fields, answer.content


def _methods(data: bytes) -> Iterator[str]:
    """How to read the answers, in turn: those to HEAD have no content."""
    for word in data.replace(b"\n", b" ").split(b" "):
        if word in (b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"FOO"):
            yield word.decode()


def fates_of(server: Inside, streams: Sequence[bytes]) -> list[Fate]:
    """Send each of the bytes on a connection of its own, and take all that comes back."""
    received = [bytearray() for _ in streams]
    with ExitStack() as connections, selectors.DefaultSelector() as selector:
        for number, data in enumerate(streams):
            connection = connections.enter_context(server.connect())
            with suppress(ConnectionError):
                connection.send(data)
            selector.register(connection.socket, selectors.EVENT_READ, number)
        is_idle = False
        while (ready := selector.select(_SILENCE)) or not is_idle:
            if not ready:  # all have what they get, or the machine is busy: ask, and look again
                with server.connect() as another:
                    another.get("/css/app.css")
            is_idle = not ready
            for key, _ in ready:
                piece = connection_bytes(key.fileobj)
                received[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
        open_still = {key.data for key in selector.get_map().values()}
    return [
        _parsed(bytes(came), data, number not in open_still)
        for number, (came, data) in enumerate(zip(received, streams, strict=True))
    ]


def connection_bytes(connection: Any) -> bytes:
    """What a connection has to read; nothing when it ended, by FIN or RST."""
    try:
        data: bytes = connection.recv(1 << 18)
    except ConnectionError:
        return b""
    return data


def fate_of(server: Inside, data: bytes) -> Fate:
    """Send bytes on a new connection, and take all that comes back."""
    return fates_of(server, [data])[0]


def _parsed(received: bytes, data: bytes, closed: bool) -> Fate:
    """Split what came into answers; only where that fails, it is compared as it is."""
    connection, answers = Connection.ended_after(received), []
    for method in itertools.chain(_methods(data), itertools.repeat("GET")):
        try:
            answers.append(_seen(connection.read(method)))
        except EndedError:
            return Fate(tuple(answers), "", closed)
        except ProtocolError:
            return Fate(tuple(answers), repr(connection.rest), closed)
    raise AssertionError("the loop above has no other end")


@pytest.fixture(scope="module")
def pair(site: Path) -> Iterator[tuple[Inside, Inside]]:
    """The same root, with the setup and without; of an age at which its tags stay."""
    time.sleep(2.5)
    with (
        serving_inside(StaticFiles(site)) as setup,
        serving_inside(StaticFiles(site), direct=False) as full,
    ):
        yield setup, full


Fates = dict[str, Fate]


@pytest.fixture(scope="module")
def fates(pair: tuple[Inside, Inside]) -> tuple[Fates, Fates]:
    """What became of every row of the table, with the setup and without."""
    setup, full = (
        dict(zip(TABLE, fates_of(side, [*TABLE.values()]), strict=True)) for side in pair
    )
    return setup, full


@pytest.mark.parametrize("name", sorted(set(TABLE) - set(MEANT)))
def test_what_is_sent_has_one_reading(fates: tuple[Fates, Fates], name: str) -> None:
    if inside.plain and name in MEANT_UNDER_PLAIN:
        pytest.skip("a difference that is meant")
    setup, full = fates
    assert setup[name] == full[name]


@pytest.mark.parametrize("name", MEANT | MEANT_UNDER_PLAIN)
def test_a_difference_that_is_meant_occurs(fates: tuple[Fates, Fates], name: str) -> None:
    setup, full = fates
    _, with_setup, without = (MEANT | MEANT_UNDER_PLAIN)[name]
    if name in MEANT_UNDER_PLAIN and not inside.plain:
        without = with_setup
    assert (setup[name].statuses, full[name].statuses) == (with_setup, without)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(_GENERATED // _BATCH))
def test_what_is_generated_has_one_reading(pair: tuple[Inside, Inside], batch: int) -> None:
    setup, full = pair
    streams = list(generated(_BATCH, seed=f"batch {batch}"))
    both = zip(streams, fates_of(setup, streams), fates_of(full, streams), strict=True)
    different = [
        (data, with_setup, without)
        for data, with_setup, without in both
        if with_setup != without and not _differs_behind_close(with_setup, without)
    ]
    assert different == []


def _differs_behind_close(with_setup: Fate, without: Fate) -> bool:
    """The row "behind close" of `MEANT_UNDER_PLAIN`, wherever it is in a stream."""
    return (
        inside.plain
        and with_setup.answers[:-1] == without.answers[:-1]
        and with_setup.closed
        and without.closed
        and with_setup.statuses != []
        and ("connection", "close") in with_setup.answers[-1][1]
        and without.statuses[-1] == 400
    )


def test_the_direct_entry_answers_itself_what_is_plain(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers that both hand everything over would never differ."""
    handed_over: list[bytes] = []
    take_over = Hypercorn.take_over

    def noted(self: Hypercorn, transport: asyncio.Transport, data: bytes, *, eof: bool) -> None:
        handed_over.append(data)
        take_over(self, transport, data, eof=eof)

    monkeypatch.setattr(Hypercorn, "take_over", noted)
    with serving_inside(StaticFiles(site)) as setup:
        for name in ("plain", "head", "three", "missing", "range", "upgrade to h2c", "parent"):
            fate_of(setup, TABLE[name])
        assert handed_over == []
        fate_of(setup, TABLE["chunked"])
        assert handed_over == [TABLE["chunked"]]
