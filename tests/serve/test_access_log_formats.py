"""The formats of the access log: what a client sends cannot leave its place in a line."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypercorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.serve.access_log import (
    FORMATS,
    LogFile,
    LoggedRequest,
    client_of,
    escape,
    first_line,
)
from asyncstatic.serve.hypercorn_log import prepare_logger
from tests.serve.inside import eventually
from tests.support.programs import require
from tests.support.raw import HOST, Connection, EndedError, head
from tests.support.servers import SETUPS, free_port, running

KEYS = [
    *("time", "client", "user", "request", "status", "bytes_sent"),
    *("seconds", "entry", "referrer", "user_agent"),
]
_QUOTED = re.compile(r'"[ !#-\[\]-~]*(?:\\x[0-9A-F]{2}[ !#-\[\]-~]*)*"')
_COMMON = re.compile(
    r'\S+ - \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] ("[^"]*") (\d{3}) (\d+)'
)
_COMBINED = re.compile(_COMMON.pattern + r' ("[^"]*") ("[^"]*")')


def access(
    line: bytes = b"GET / HTTP/1.1",
    *,
    referrer: bytes | None = None,
    user_agent: bytes | None = None,
    user: bytes | None = None,
    time: float = 1_796_000_000.25,
) -> LoggedRequest:
    credentials = None if user is None else b"Basic " + b64encode(user + b":password")
    fields = {b"referer": referrer, b"user-agent": user_agent, b"authorization": credentials}
    headers = [(name, value) for name, value in fields.items() if value is not None]
    peer = ("127.0.0.1", 1)
    return LoggedRequest(line, headers, peer, "http", 200, 7, 0.5, "direct", time=time)


# -- a table of hostile values -------------------------------------------------------------------

HOSTILE = [
    pytest.param(b'a"b', r"a\x22b", id="a quote"),
    pytest.param(b"a\\b", r"a\x5Cb", id="a backslash"),
    pytest.param(b"\\x22", r"\x5Cx22", id="an escape of its own"),
    pytest.param(b"a\nb", r"a\x0Ab", id="LF"),
    pytest.param(b"a\r\nb", r"a\x0D\x0Ab", id="CRLF"),
    pytest.param(b"\x1b[31m", r"\x1B[31m", id="a colour of the terminal"),
    pytest.param(b"\x9b31m", r"\x9B31m", id="a control character of ISO 8859"),
    pytest.param(b"\x7f\x08", r"\x7F\x08", id="DEL and backspace"),
    pytest.param(b"\0", r"\x00", id="NUL"),
    pytest.param("\u202e\u2028".encode(), r"\xE2\x80\xAE\xE2\x80\xA8", id="bidi and line ends"),
    pytest.param("\u0085".encode(), r"\xC2\x85", id="NEL"),
    pytest.param(b"\xff\xfe", r"\xFF\xFE", id="no UTF-8"),
    pytest.param(b"%0a%s%(name)s{0}", "%0a%s%(name)s{0}", id="format directives"),
    pytest.param(b'" 200 1 "-" "-"\n127.0.0.1 - - [', None, id="a forged line"),
]


@pytest.mark.parametrize(("value", "escaped"), HOSTILE)
def test_a_value_is_escaped_as_nginx_does(value: bytes, escaped: str | None) -> None:
    assert escaped is None or escape(value) == escaped


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("place", ["line", "referrer", "user_agent", "user"])
@pytest.mark.parametrize("value", [pytest.param(row.values[0], id=row.id) for row in HOSTILE])
def test_a_hostile_value_stays_in_its_place(name: str, place: str, value: bytes) -> None:
    hostile: dict[str, Any] = {"line": b"q", "referrer": b"r", "user_agent": b"u", place: value}
    logged = access(**hostile)
    check_line(FORMATS[name](logged), name, logged)


@given(st.binary(), st.binary(), st.binary(), st.binary())
def test_any_bytes_stay_in_their_place(
    line: bytes, referrer: bytes, agent: bytes, user: bytes
) -> None:
    logged = access(line, referrer=referrer, user_agent=agent, user=user)
    for name, write in FORMATS.items():
        check_line(write(logged), name, logged)


def check_line(line: str, name: str, logged: LoggedRequest) -> None:
    assert line.isascii()
    assert line.isprintable()
    if name == "json":
        read = json.loads(line)
        assert list(read) == KEYS
        assert read["request"].encode("latin-1") == logged.line
        assert read["user_agent"] is None or (
            read["user_agent"].encode("latin-1") == logged.first(b"user-agent")
        )
        return
    found = (_COMMON if name == "common" else _COMBINED).fullmatch(line)
    assert found is not None
    assert all(_QUOTED.fullmatch(part) for part in found.groups() if part.startswith('"'))
    assert found[1] == f'"{escape(logged.line)}"'


# -- formats -------------------------------------------------------------------------------------


def test_the_formats_are_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        one = access(
            b"GET /a?b HTTP/1.1", time=1_796_000_001.25, referrer=b"http://a/", user_agent=b"curl"
        )
        lines = {name: write(one) for name, write in FORMATS.items()}
    finally:
        monkeypatch.undo()
        time.tzset()
    common = '127.0.0.1 - - [30/Nov/2026:06:38:21 +0545] "GET /a?b HTTP/1.1" 200 7'
    assert lines["common"] == common
    assert lines["combined"] == f'{common} "http://a/" "curl"'
    assert json.loads(lines["json"]) == {
        "time": "2026-11-30T00:53:21.250Z",
        "client": "127.0.0.1",
        "user": None,
        "request": "GET /a?b HTTP/1.1",
        "status": 200,
        "bytes_sent": 7,
        "seconds": 0.5,
        "entry": "direct",
        "referrer": "http://a/",
        "user_agent": "curl",
    }


@pytest.mark.parametrize(
    ("user", "column", "text"),
    [
        (None, "-", None),
        (b"anna", "anna", "anna"),
        (b"a b [c", r"a\x20b\x20[c", "a b [c"),
        ("wört".encode(), r"w\xC3\xB6rt", "w\u00c3\u00b6rt"),
    ],
)
def test_the_name_of_a_user_has_a_column(user: bytes | None, column: str, text: str | None) -> None:
    logged = access(user=user)
    assert FORMATS["common"](logged).startswith(f"127.0.0.1 - {column} [")
    assert json.loads(FORMATS["json"](logged))["user"] == text


def test_absent_fields_are_a_dash_or_null() -> None:
    assert FORMATS["combined"](access()).endswith('7 "-" "-"')
    read = json.loads(FORMATS["json"](access()))
    assert (read["referrer"], read["user_agent"]) == (None, None)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", b"-"),
        (b"\r\n\r\n", b"-"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1"),
        (b"\r\nGET /\nb", b"GET /"),
        (b"GET /a", b"GET /a"),
    ],
)
def test_the_request_line_is_the_first_line_that_was_received(data: bytes, line: bytes) -> None:
    assert first_line(data) == line


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        (("127.0.0.1", 50_000), "127.0.0.1"),
        (("::1", 50_000, 0, 0), "::1"),
        (("fe80::1%eth0", 50_000, 0, 2), "fe80::1"),
        (("::ffff:192.0.2.7", 50_000, 0, 0), "192.0.2.7"),
        ("", "unix:"),
        (b"", "unix:"),
        (None, "unix:"),
    ],
)
def test_a_client_is_its_address_without_a_port(peer: object, client: str) -> None:
    assert client_of(peer) == client


# -- the file ------------------------------------------------------------------------------------


def log_to(handler: LogFile, line: str) -> None:
    handler.emit(logging.LogRecord("a", logging.INFO, "", 0, line, None, None))


def test_a_renamed_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = LogFile(str(path))
    log_to(handler, "100 % one")
    path.rename(tmp_path / "log.1")
    log_to(handler, "two")
    path.unlink()
    log_to(handler, "three")
    handler.close()
    assert (tmp_path / "log.1").read_text() == "100 % one\n"
    assert path.read_text() == "three\n"


def test_no_line_is_lost_when_no_new_file_can_be_opened_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, said = tmp_path / "logs" / "log", "not opened anew, the old file goes on: No such file"
    path.parent.mkdir()
    handler = LogFile(str(path))
    for count in (1, 2):
        path.parent.rename(tmp_path / f"moved{count}")
        log_to(handler, "one")
        log_to(handler, "two")
        assert caplog.text.count(f"log {path}: {said}") == len(caplog.records) == count
        path.parent.mkdir()
        log_to(handler, "three")
    handler.close()
    assert (tmp_path / "moved1" / "log").read_text() == "one\ntwo\n"
    assert (tmp_path / "moved2" / "log").read_text() == "three\none\ntwo\n"
    assert path.read_text() == "three\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
@pytest.mark.parametrize("log", ["/dev/full", "-"])
def test_a_full_disk_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, log: str
) -> None:
    config = Config()
    config.accesslog = log
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        logger = config.log.access_logger
        assert logger is not None
        prepare_logger(logger, config)
        for line in ("one", "two"):
            logger.info(line)
        logger.handlers.pop().close()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


# -- foreign witnesses ---------------------------------------------------------------------------

#: Requests that nginx and we answer alike; each is sent as it is. 200, or 404.
REQUESTS = [
    head("/index.html?"),
    head("/index.html?a=b&c=%22%0a", "Referer: http://a/", "User-Agent: agent"),
    head("/missing?\\\"'"),
    head("/%22%20", "User-Agent: \\x22"),
    head("/index.html", 'User-Agent: a "quoted" one\\', "Referer: \x9b31m\xff"),
    head("/index.html", "User-Agent: \u00e9\t\u0085", "Referer:"),
    head("/index.html", method="HEAD"),
    head("http://localhost/index.html?absolute"),
    b"GET /index.html HTTP/1.0\r\nUser-Agent: old\r\n\r\n",
]

CONFIGURATION = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi;
  scgi_temp_path {scratch}/scgi;
  access_log {scratch}/access.log combined; types {{ text/html html; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logged")
    root.chmod(0o755)
    (root / "site").mkdir()
    (root / "site" / "index.html").write_text("<!doctype html><title>Logged</title>")
    return root / "site"


@contextmanager
def nginx(scratch: Path, root: Path) -> Iterator[int]:
    program, port = require("nginx", "nginx-light"), free_port()
    configuration = scratch / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(scratch=scratch, port=port, root=root))
    command = [program, "-p", str(scratch), "-e", f"{scratch}/error.log", "-c", str(configuration)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: process.poll() is None and answers(port))
            yield port
        finally:
            process.terminate()
            process.wait(10)


def answers(port: int) -> bool:
    with suppress(OSError), Connection(port):
        return True
    return False


def ask_all(port: int) -> None:
    for request in REQUESTS:
        with Connection(port) as connection, suppress(EndedError):
            connection.send(request)
            connection.read(request.partition(b" ")[0].decode())


def lines_of(path: Path, count: int) -> list[str]:
    """The lines of a log, once there are so many."""
    assert eventually(lambda: path.exists() and path.read_text().count("\n") >= count)
    return path.read_text().splitlines()[-count:]


def without_time_and_error_page(line: str) -> str:
    line = re.sub(r"\[[^]]+\]", "[]", line)
    return re.sub(r'" ([45]\d\d) \d+ "', r'" \1 "', line)


@pytest.mark.parametrize("setup", ["serve", "serve-no-direct"])
def test_combined_is_what_nginx_writes(setup: str, root: Path, tmp_path: Path) -> None:
    """Time apart, and the length of error pages."""
    tmp_path.chmod(0o755)
    with nginx(tmp_path, root) as port:
        ask_all(port)
        theirs = lines_of(tmp_path / "access.log", len(REQUESTS))
    command = [part.replace("{root}", str(root)) for part in SETUPS[setup]]
    with running([*command, "--access-logfile", str(tmp_path / "ours")], {}) as server:
        ask_all(server.port)
        ours = lines_of(tmp_path / "ours", len(REQUESTS) + 1)[1:]  # the first was to start it
    assert list(map(without_time_and_error_page, ours)) == list(
        map(without_time_and_error_page, theirs)
    )


def test_goaccess_reads_every_line(root: Path, tmp_path: Path) -> None:
    goaccess, log, report = require("goaccess", "goaccess"), tmp_path / "log", tmp_path / "x.json"
    command = [part.replace("{root}", str(root)) for part in SETUPS["serve"]]
    with running([*command, "--access-logfile", str(log)], {}) as server:
        ask_all(server.port)
        lines = lines_of(log, len(REQUESTS) + 1)
    subprocess.run(
        [goaccess, str(log), "--log-format=COMBINED", "--no-global-config", "-o", str(report)],
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
        timeout=60,
    )
    general = json.loads(report.read_text())["general"]
    assert general["total_requests"] == len(lines)
    assert general["valid_requests"] == len(lines)
    assert general["failed_requests"] == 0
    sent = [int(found[3]) for line in lines if (found := _COMBINED.fullmatch(line))]
    assert general["bandwidth"] == sum(sent)
    assert HOST in {visitor["data"] for visitor in json.loads(report.read_text())["hosts"]["data"]}
