"""The life of a connection in the direct entry: pieces, half-closes, deadlines, limits, shutdown."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from asyncstatic.http.model import Request
from tests.serve.inside import LOOPS, Inside, eventually, open_handles, serving_inside
from tests.support.raw import Answer, Connection, head
from tests.support.site import write_site

pytestmark = pytest.mark.grid

Serve = Callable[..., Inside]

_REQUEST = head("/css/app.css", "Accept: */*", "User-Agent: pieces/1.0")
_TWO = head("/docs/", "Accept: text/html") + head("/missing", "Connection: close")
_EMPTY_LINES = b"\r\n" + head("/docs/") + b"\r\n\r\n" + head("/missing", "Connection: close")
_MORE = 64 << 20  # bytes: more than the system takes for a client that does not read
_UPLOAD = head("/css/app.css", "Content-Length: 3", method="POST") + b"abc"


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def inside(loop: str, site: Path) -> Iterator[Inside]:
    with serving_inside(StaticFiles(site), loop=loop) as server:
        yield server


def without_date(answer: Answer) -> Answer:
    fields = tuple(field for field in answer.fields if field[0] not in ("date", "etag"))
    return Answer(answer.status, fields, answer.content, answer.complete, answer.interim)


# -- pieces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [_REQUEST, _TWO, _EMPTY_LINES, _UPLOAD],
    ids=["one", "two", "behind empty lines", "upload"],
)
def test_a_request_in_two_parts_has_the_same_answer(inside: Inside, data: bytes) -> None:
    """At whichever byte it is cut; the second piece comes in a segment of its own."""
    methods = [word for word in ("GET", "POST") for _ in range(data.count(word.encode()))]
    with inside.connect() as connection:
        connection.send(data)
        whole = [without_date(connection.read(method)) for method in methods]
    connections = [inside.connect() for _ in data[1:]]
    for cut, connection in enumerate(connections, 1):
        connection.send(data[:cut])
    time.sleep(0.05)  # so that the pieces are read apart
    for cut, connection in enumerate(connections, 1):
        connection.send(data[cut:])
    for connection in connections:
        with connection:
            assert [without_date(connection.read(method)) for method in methods] == whole


@pytest.mark.parametrize("data", [_REQUEST, _UPLOAD], ids=["ours", "handed over"])
def test_a_request_byte_by_byte_has_the_same_answer(inside: Inside, data: bytes) -> None:
    with inside.connect() as connection:
        connection.send(data)
        whole = connection.read()
        for number in range(len(data)):
            connection.send(data[number : number + 1])
            time.sleep(0.0005)
        assert without_date(connection.read()) == without_date(whole)


def test_many_requests_in_one_piece_are_answered_in_order(inside: Inside) -> None:
    """Small, large, missing; the client reads only when all are sent."""
    targets = ("/css/app.css", "/big.bin", "/missing", "/pixels.png", "/empty.txt") * 20
    lengths = {"/css/app.css": 21, "/big.bin": 1_200_000, "/pixels.png": 300_000, "/empty.txt": 0}
    with inside.connect() as connection:
        connection.send(b"".join(head(target) for target in targets))
        for target in targets:
            answer = connection.read()
            if target == "/missing":
                assert answer.status == 404
            else:
                assert (answer.status, len(answer.content)) == (200, lengths[target])


def test_a_client_that_sends_and_never_reads_is_made_to_wait(site: Path, loop: str) -> None:
    """What it sends does not gather here without bound."""
    requests = head("/css/app.css", "X-Padding: " + "x" * 900) * 64
    enough = 64 * 1024 * 1024
    with (
        serving_inside(StaticFiles(site), loop=loop, keep_alive_max_requests=10**9) as server,
        server.connect(timeout=1.0, receive_buffer=4096) as connection,
    ):
        sent = 0
        with suppress(TimeoutError):
            while sent < enough:
                sent += connection.socket.send(requests)
        assert sent < enough


def test_a_client_that_pipelines_beyond_the_last_request_gets_all_answers_before_it(
    site: Path, loop: str
) -> None:
    """Closed with unread requests, a connection is reset, and answers are lost (RFC 9112 §9.6)."""
    last = 100
    with (
        serving_inside(StaticFiles(site), loop=loop, keep_alive_max_requests=last) as server,
        server.connect(receive_buffer=4096) as connection,
    ):
        with suppress(ConnectionError):
            connection.send(head("/css/app.css", "X-Padding: " + "x" * 900) * 8000)
        assert [connection.read().status for _ in range(last)] == [200] * last
        assert connection.ended()


@pytest.mark.parametrize("target", ["/css/app.css", "/big.bin"], ids=["small", "large"])
def test_a_client_that_sends_more_behind_its_last_request_gets_the_whole_answer(
    inside: Inside, target: str
) -> None:
    """More than is read at once: unread bytes would reset the connection (RFC 9112 §9.6)."""
    with inside.connect(receive_buffer=4096) as connection:
        connection.send(head(target, "Connection: close") + b"x" * 300_000)
        assert connection.read().complete
        assert connection.rest == b""
        assert connection.socket.recv(1) == b""  # no reset


# -- ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/css/app.css", "/big.bin"], ids=["small", "large"])
def test_a_half_closed_client_gets_its_answer_and_the_end(inside: Inside, target: str) -> None:
    with inside.connect() as connection:
        connection.send(head(target))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read().complete
        assert connection.ended()


def test_a_client_that_ends_inside_a_head_is_let_go(inside: Inside) -> None:
    with inside.connect() as connection:
        connection.send(_REQUEST[:40])
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.ended()


def test_a_request_handed_over_in_mid_connection_goes_on_there(inside: Inside) -> None:
    with inside.connect() as connection:
        assert connection.get("/css/app.css").status == 200
        connection.send(_UPLOAD)
        assert connection.read("POST").status == 405
        assert connection.get("/css/app.css").content == b"body { color: #123 }\n"


# -- deadlines and limits --------------------------------------------------------------------


def test_a_head_that_does_not_become_complete_is_dropped(site: Path, loop: str) -> None:
    with (
        serving_inside(StaticFiles(site), loop=loop, keep_alive_timeout=0.3) as server,
        server.connect() as connection,
    ):
        connection.send(_REQUEST[:-2])
        assert connection.ended()


def test_an_idle_connection_is_closed(site: Path, loop: str) -> None:
    with (
        serving_inside(StaticFiles(site), loop=loop, keep_alive_timeout=0.3) as server,
        server.connect() as connection,
    ):
        assert connection.get("/css/app.css").status == 200
        assert connection.ended()


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])
def test_the_last_request_of_a_connection_says_so(site: Path, direct: bool) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_max_requests=3) as server,
        server.connect() as connection,
    ):
        said = [connection.get("/css/app.css").field("connection") for _ in range(3)]
        assert said == [None, None, "close"]
        assert connection.ended()


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])
def test_one_connection_too_many_is_answered_503(site: Path, loop: str, direct: bool) -> None:
    with serving_inside(
        StaticFiles(site), direct=direct, loop=loop, limit_concurrency=2, keep_alive_timeout=1
    ) as server:
        with server.connect() as first, server.connect() as second:
            assert first.get("/css/app.css").status == 200
            second.send(_UPLOAD)  # counted in both setups
            assert second.read("POST").status == 405
            with server.connect() as third:
                third.send(_REQUEST)
                answer = third.read()
                assert (answer.status, answer.field("retry-after")) == (503, "1")
                assert third.ended()
            assert first.get("/css/app.css").status == 200
        assert eventually(lambda: _status(server) == 200)


def _status(server: Inside) -> int:
    with server.connect() as connection:
        return connection.get("/css/app.css").status


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])
def test_a_worker_that_served_its_requests_ends(site: Path, direct: bool) -> None:
    with serving_inside(StaticFiles(site), direct=direct, max_requests=3) as server:
        for _ in range(4):
            assert _status(server) == 200
        assert eventually(server.loop.is_closed)


def test_the_last_request_says_so_also_where_others_ask_the_same(site: Path, loop: str) -> None:
    with (
        serving_inside(StaticFiles(site), loop=loop, keep_alive_max_requests=3) as server,
        ExitStack() as stack,
    ):
        new, *old = (stack.enter_context(server.connect()) for _ in range(9))
        for connection in old * 2:
            connection.send(_REQUEST)
            assert connection.read().field("connection") is None
        at_once(server, [partial(connection.send, _REQUEST) for connection in (new, *old)])
        assert new.read().field("connection") is None
        assert [connection.read().field("connection") for connection in old] == ["close"] * 8
        assert all(connection.ended() for connection in old)


def at_once(server: Inside, acts: list[Callable[[], None]]) -> None:
    """Do something while the loop does nothing else: what is sent is read in one turn of it."""

    async def acting() -> None:
        for act in acts:
            act()

    asyncio.run_coroutine_threadsafe(acting(), server.loop).result(10)


# -- what one look tells -----------------------------------------------------------------------


def test_what_a_task_saw_tells_nothing_about_a_request_that_came_later(
    tmp_path: Path, loop: str
) -> None:
    """On uvloop the task runs first, and the request is read in the same turn of the loop."""
    page, new = tmp_path / "page.txt", tmp_path / "new.txt"
    page.write_bytes(b"before")
    time.sleep(0.1)  # so that it is kept
    static = StaticFiles(tmp_path)
    with serving_inside(static, loop=loop) as server, server.connect() as connection:
        for _ in range(3):
            assert connection.get("/page.txt").content == b"before"

        async def look_and_replace() -> None:
            await static.find(Request("GET", b"/page.txt"))
            new.write_bytes(b"behind")
            new.replace(page)
            connection.send(head("/page.txt"))

        asyncio.run_coroutine_threadsafe(look_and_replace(), server.loop).result(10)
        assert connection.read().content == b"behind"


def test_what_was_seen_tells_nothing_about_a_request_that_came_later_in_a_crowd(
    tmp_path: Path, loop: str
) -> None:
    """Where 1,024 events came at once, libuv listens again before the loop has turned."""
    page, new = tmp_path / "page.txt", tmp_path / "new.txt"
    page.write_bytes(b"before")
    new.write_bytes(b"behind")
    time.sleep(0.1)  # so that it is kept
    with (
        many_handles(),
        serving_inside(
            StaticFiles(tmp_path), loop=loop, keep_alive_timeout=60, backlog=2048
        ) as server,
        ExitStack() as stack,
    ):
        first, later, *crowd = (stack.enter_context(server.connect()) for _ in range(1100))
        for _ in range(3):
            assert first.get("/page.txt").content == b"before"
        ours, theirs = map(stack.enter_context, socket.socketpair())

        def replace_and_ask() -> None:
            server.loop.remove_reader(theirs)
            new.replace(page)
            later.send(head("/page.txt"))

        def all_ask() -> None:
            first.send(head("/page.txt"))
            ours.send(b"now")
            for connection in crowd:
                connection.send(head("/.hidden"))  # not looked for

        server.loop.call_soon_threadsafe(server.loop.add_reader, theirs, replace_and_ask)
        at_once(server, [all_ask])
        assert first.read().content == b"before"
        assert later.read().content == b"behind"


@contextmanager
def many_handles() -> Iterator[None]:
    """Let this process have more than a thousand connections with itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- clients that do not read ----------------------------------------------------------------


@pytest.mark.parametrize("handed_over", [False, True], ids=["direct", "handed over"])
def test_a_client_that_stops_reading_is_dropped(
    tmp_path: Path, loop: str, handed_over: bool
) -> None:
    """Also one that Hypercorn has: it would wait for it without end."""
    site = write_site(tmp_path / "site")
    with (site / "more.bin").open("xb") as more:
        more.truncate(_MORE)
    static = StaticFiles(site, send_timeout=0.5)
    with serving_inside(static, loop=loop) as server:
        assert _status(server) == 200  # libuv opens a handle of its own at the first
        before = open_handles()
        with server.connect(receive_buffer=4096) as stalled:
            stalled.send(head("/more.bin", *(["Expect: 100-continue"] * handed_over)))
            assert eventually(lambda: open_handles() > before + 1)
            assert eventually(lambda: open_handles() <= before + 1, seconds=15)
            taken = stalled.take(2 * _MORE)
            assert 0 < len(taken) < _MORE


def test_a_client_that_reads_slowly_is_not_dropped(site: Path, loop: str) -> None:
    static = StaticFiles(site, send_timeout=0.6)
    with (
        serving_inside(static, loop=loop, keep_alive_timeout=0.6) as server,
        server.connect(receive_buffer=65_536) as slow,
    ):
        slow.send(head("/big.bin"))
        for _ in range(20):  # faster than its system says so: by half a buffer at a time
            slow.receive(16_000)
            time.sleep(0.1)
        answer = slow.read()
        assert (answer.complete, len(answer.content)) == (True, 1_200_000)


# -- the end of the server -------------------------------------------------------------------


def test_a_shutdown_lets_transfers_finish_and_closes_idle_connections(
    site: Path, loop: str
) -> None:
    with serving_inside(StaticFiles(site), loop=loop, graceful_timeout=20) as server:
        with server.connect() as idle, server.connect(receive_buffer=4096) as busy:
            assert idle.get("/css/app.css").status == 200
            busy.send(head("/big.bin"))
            first = busy.take(1000)
            server.stop()
            assert idle.ended()
            assert b"content-length: 1200000" in first
            rest = busy.take(2_000_000)
            assert len(first) + len(rest) == first.index(b"\r\n\r\n") + 4 + 1_200_000
        assert eventually(server.loop.is_closed)


def test_a_shutdown_cuts_off_what_does_not_finish_in_time(site: Path, loop: str) -> None:
    with (
        serving_inside(StaticFiles(site), loop=loop, graceful_timeout=0.3) as server,
        server.connect(receive_buffer=4096) as direct,
        server.connect(receive_buffer=4096) as handed_over,
    ):
        direct.send(head("/big.bin") * 8)
        handed_over.send(head("/big.bin", "Expect: 100-continue") * 8)
        assert direct.take(100)
        assert handed_over.take(100)
        server.stop()
        assert eventually(server.loop.is_closed)
        for connection in (direct, handed_over):
            assert len(connection.take(10_000_000)) < 8 * 1_200_000


def test_no_new_connection_is_taken_while_shutting_down(site: Path) -> None:
    with (
        serving_inside(StaticFiles(site), graceful_timeout=5) as server,
        server.connect(receive_buffer=4096) as busy,
    ):
        busy.send(head("/big.bin"))
        assert busy.take(1)
        server.stop()
        assert eventually(lambda: not _connects(server))


def _connects(server: Inside) -> bool:
    try:
        with Connection(server.port, timeout=0.3) as connection:
            connection.send(_REQUEST)
            return bool(connection.take(1))
    except OSError:
        return False
