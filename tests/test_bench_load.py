"""The bench sends requests that nobody has sent before, and notices a wrong answer to them."""

from __future__ import annotations

import os
import re
import shutil
import socketserver
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if not (Path(__file__).parents[1] / "bench").exists():
    pytest.skip("tested without the source tree", allow_module_level=True)

# bench is there only with the source tree
from bench import contenders, growth, load, pages, session, workloads
from bench.client import first_number, request_bytes
from bench.contenders import Contender, Family
from bench.measure import ProcessTree
from bench.results import Row
from bench.run import Cores, Entrant, Field, run_work
from bench.servers import Server
from bench.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[bytes], bytes]

GENERATORS = [
    pytest.param(
        load.run_wrk,
        marks=pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed"),
        id="wrk",
    ),
    pytest.param(load.run_asyncio, id="asyncio"),
]
FILES, CONNECTIONS, MOST = 100, 3, 40
NEW_WORKS = ("200+new", "200+new+query", "tags+new", "misses+new")
HEAD = re.compile(rb"GET /[!-~]+ HTTP/1\.1\r\n(?:[A-Za-z-]+: [ -~]+\r\n){13,18}\r\n")
NUMBER = re.compile(rb"\d{12}")


class Recorder(socketserver.ThreadingTCPServer):
    """Answers each request as it is told, and records the heads."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.answer = answer
        self.heads: list[bytes] = []
        self.port: int = self.server_address[1]


class Connection(socketserver.StreamRequestHandler):
    """One kept-alive connection."""

    server: Recorder

    def handle(self) -> None:
        """Answer until the client leaves, which it may do at any time."""
        lines: list[bytes] = []
        try:
            while line := self.rfile.readline():
                lines.append(line)
                if line == b"\r\n":
                    head = b"".join(lines)
                    lines.clear()
                    self.server.heads.append(head)
                    self.wfile.write(self.server.answer(head))
        except OSError:
            pass


@contextmanager
def recording(answer: Answer) -> Iterator[Recorder]:
    with Recorder(answer) as recorder:
        thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield recorder
        finally:
            recorder.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    names = tuple(f"/{number}.js" for number in range(FILES))
    for name in names:
        (tmp_path / name[1:]).write_bytes(name.encode() * 100)
    return Site(tmp_path, names, ())


def message(status: int, content: bytes = b"", tag: str = "") -> bytes:
    length = "" if status == 304 else f"Content-Length: {len(content)}\r\n"
    field = f"ETag: {tag}\r\n" if tag else ""
    return f"HTTP/1.1 {status} Status\r\n{length}{field}\r\n".encode() + content


def file_server(site: Site) -> Answer:
    """Answer as a file server does."""

    def answer(head: bytes) -> bytes:
        path = head.split()[1].decode().partition("?")[0]
        if path not in site.many:
            return message(404)
        tag = f'"{path}"'
        if f"If-None-Match: {tag}\r\n".encode() in head:
            return message(304, tag=tag)
        return message(200, site.read(path), tag)

    return answer


def server(recorder: Recorder) -> Server:
    contender = Contender("recorder", "recorder", Family.FLOOR, lambda _: [])
    return Server(contender, recorder.port, ProcessTree(os.getpid()))


def new_work(name: str, site: Site) -> workloads.Work:
    return workloads.parse_work(name, workloads.base_works(site))


@pytest.mark.parametrize("run", GENERATORS)
@pytest.mark.parametrize("name", NEW_WORKS)
def test_no_request_of_a_new_visitor_is_sent_twice(
    name: str, run: Callable[[load.Job], load.Figures], site: Site
) -> None:
    with recording(file_server(site)) as recorder:
        prepared = workloads.prepare(server(recorder), new_work(name, site), site)
        for _ in range(2):
            figures = run(
                load.Job(recorder.port, prepared.requests, CONNECTIONS, 5, None, most=MOST)
            )
            assert MOST - CONNECTIONS <= figures.requests <= MOST + CONNECTIONS
    # The bench fetched an entity tag of each file, without a browser's fields, before the load.
    heads = [head for head in recorder.heads if b"Cookie" in head]
    assert len(heads) >= 2 * MOST
    assert len(set(heads)) == len(heads)
    assert all(HEAD.fullmatch(head) for head in heads), heads[0]
    for field in (b"Cookie", b"Referer", b"Sec-Fetch-Dest"):
        values = [re.findall(rb"\r\n%s: ([^\r]+)" % field, head) for head in heads]
        assert all(len(value) == 1 for value in values)
        assert len({value[0] for value in values}) == len(heads)
    assert all(len(set(NUMBER.findall(head))) == 1 for head in heads)


def test_half_of_the_entity_tags_are_right(site: Site) -> None:
    with recording(file_server(site)) as recorder:
        prepared = workloads.prepare(server(recorder), new_work("tags+new", site), site)
    right = [
        f'If-None-Match: "{path}"\r\n'.encode() in it
        for path, it in zip(
            [path for path in site.many for _ in range(2)], prepared.requests, strict=True
        )
    ]
    assert right == [True, False] * FILES


@pytest.mark.parametrize("run", GENERATORS)
def test_a_bounded_load_sends_each_request_in_turn(
    run: Callable[[load.Job], load.Figures], site: Site
) -> None:
    with recording(file_server(site)) as recorder:
        requests = tuple(request_bytes(recorder.port, path, ()) for path in site.many)
        figures = run(load.Job(recorder.port, requests, 1, 5, None, most=FILES))
    assert recorder.heads[:FILES] == list(requests)
    assert figures.requests >= FILES - 1


@pytest.mark.parametrize("run", GENERATORS)
def test_a_paced_load_is_no_faster_than_its_rate(
    run: Callable[[load.Job], load.Figures], site: Site
) -> None:
    with recording(file_server(site)) as recorder:
        requests = tuple(request_bytes(recorder.port, path, ()) for path in site.many)
        figures = run(load.Job(recorder.port, requests, CONNECTIONS, 0.4, None, rate=50.0))
    assert 1 <= figures.requests <= 50 * figures.seconds + CONNECTIONS
    assert not figures.broken


@pytest.mark.parametrize(
    ("name", "answer", "error"),
    [
        pytest.param("200+new", message(404), workloads.WrongAnswerError, id="no file"),
        pytest.param("200+new", message(200, b"x"), workloads.WrongAnswerError, id="other content"),
        pytest.param(
            "200+new+query", message(200, b"x"), workloads.WrongAnswerError, id="query, content"
        ),
        pytest.param("misses+new", message(200), workloads.WrongAnswerError, id="found"),
        pytest.param("tags+new", message(200), workloads.UnofferedError, id="no tag"),
        pytest.param("tags+new", message(304, tag='"t"'), workloads.WrongAnswerError, id="all 304"),
        pytest.param("tags+new", message(200, tag='"t"'), workloads.UnofferedError, id="all 200"),
    ],
)
def test_a_wrong_answer_is_noticed_before_the_load(
    name: str, answer: bytes, error: type[Exception], site: Site
) -> None:
    with recording(lambda _: answer) as recorder, pytest.raises(error):
        workloads.prepare(server(recorder), new_work(name, site), site)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        pytest.param("200+new", message(404), id="no file"),
        pytest.param("200+new+query", message(200), id="no content"),
        pytest.param("misses+new", message(200), id="found"),
        pytest.param("tags+new", message(304), id="all 304"),
        pytest.param("tags+new", message(200, b"/1.js" * 100), id="all 200"),
    ],
)
def test_a_wrong_answer_is_noticed_under_load(
    name: str, answer: bytes, site: Site, tmp_path: Path
) -> None:
    with ExitStack() as stack, recording(file_server(site)) as recorder:
        work, own = new_work(name, site), server(recorder)
        prepared = workloads.prepare(own, work, site)
        field = Field(site, tmp_path, Cores(None, None), stack)
        entrant = Entrant(field, own, work, prepared, Row("recorder", name))
        entrant.load(5, most=200)
        assert entrant.row.void is None
        recorder.answer = lambda _: answer
        entrant.load(5, most=200)
        assert entrant.row.void is not None


@pytest.fixture
def field(site: Site, tmp_path: Path) -> Iterator[Field]:
    """A field without servers, whose files are also those of one directory."""
    with ExitStack() as stack:
        own = replace(site, flat=site.many)
        yield Field(own, tmp_path / "servers", Cores(None, None), stack)


@pytest.mark.parametrize("name", ["200+browser+paced", "first+browser", "second+browser"])
def test_a_server_is_measured_paced_and_visited(name: str, field: Field) -> None:
    field.start(contenders.BY_NAME["asyncstatic-serve"])
    work = new_work(name, field.site)
    (row,) = run_work(field, work, rounds=1, seconds=0.2, tick=lambda *_: None)
    assert row.void is row.unoffered is None
    (sample,) = row.samples
    assert sample.cpu_us > 0
    if work.visit:
        assert sample.requests <= FILES + work.connections
    else:
        assert sample.p99_us is None
        assert "a third of what asyncstatic serve answered" in field.notes[-1]


def test_the_memory_of_a_server_is_read_when_so_many_visitors_have_come(field: Field) -> None:
    points = list(growth.visitors(field, contenders.BY_NAME["asyncstatic-serve"], (200, 400)))
    assert [(point.size, point.void) for point in points] == [(200, None), (400, None)]
    assert all(point.resident_bytes for point in points)


@pytest.mark.parametrize("name", [*session.FULL, *session.QUICK, *pages.QUOTED, growth.VISITED])
def test_every_work_that_is_named_exists(name: str) -> None:
    assert session.make_plan(quick=False, only=None, work=name, rounds=1, seconds=1).works == (
        name,
    )


@pytest.mark.parametrize("name", ["200+new+h2", "tags+h2", "1k+browser+paced+h2"])
def test_h2load_is_not_asked_for_what_it_cannot_send(name: str) -> None:
    with pytest.raises(KeyError):
        workloads.parse_work(name, session.BASES)


def test_numbers_do_not_run_into_each_other() -> None:
    first, second = first_number(), first_number()
    assert second - first >= 10**8
    assert len(str(second)) <= 12


def test_new_visitors_head_the_table_of_the_readme() -> None:
    assert pages.README_WORKS[:4] == NEW_WORKS == session.FULL[:4]
