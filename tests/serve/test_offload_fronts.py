"""X-Accel-Redirect and X-Sendfile, with the real servers they are for in front of a Quart app."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.programs import require, require_path
from tests.support.raw import fetch
from tests.support.servers import Server, free_port, running, wait_until_it_answers
from tests.support.site import write_site

BIG = bytes(range(256)) * 10_000
FILES = {
    "big.bin": BIG,
    "a name?.bin": BIG[::-1],
    "100%.bin": BIG[1:],
    "é/ünï.bin": BIG[2:],
    "small.txt": b"hello",
    "log.txt": b"line\n" * 50_000,
}

BEHIND = """
import os
from quart import Quart
from asyncstatic import AsyncStatic, StaticFiles, send_from_directory

root = os.environ["ROOT"]
offload = {"offload": os.environ["OFFLOAD"], "offload_prefix": os.environ["PREFIX"]}
app = Quart(__name__, static_folder=None)
AsyncStatic(app, root, "/open", endpoint="open", **offload)
AsyncStatic(app, root, "/closed", endpoint="closed",
            authorize=lambda scope, path: b"ok=1" in scope["query_string"], **offload)
media = StaticFiles(root, **offload)

@app.route("/view/<path:name>")
async def view(name):
    return await send_from_directory(media, name, as_attachment=True, mimetype="a/b")

@app.route("/outside")
async def outside():
    return "", {os.environ["OFFLOAD"]: os.path.dirname(root) + "/secret.txt"}
"""

NGINX = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_set_header Host $host; }}
    location /_files/ {{ internal; alias {root}/; }}
  }}
}}
"""
APACHE = """
ServerRoot "{scratch}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{scratch}/pid"
DefaultRuntimeDir "{scratch}"
ErrorLog "{scratch}/error.log"
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule xsendfile_module {modules}/mod_xsendfile.so
ProxyPass "/" "http://127.0.0.1:{upstream}/"
XSendFile on
XSendFilePath "{root}"
"""
LIGHTTPD = """
server.modules = ( "mod_proxy" )
server.document-root = "{scratch}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{scratch}/error.log"
proxy.server = ( "" => ( (
  "host" => "127.0.0.1", "port" => {upstream},
  "x-sendfile" => "enable", "x-sendfile-docroot" => ( "{root}/" )
) ) )
"""


class Front(NamedTuple):
    """A server that takes a file's name from an app behind it."""

    program: str
    package: str
    configuration: str
    arguments: tuple[str, ...]
    offload: str
    prefix: str = ""
    module: tuple[str, str] | None = None


MODULES = "/usr/lib/apache2/modules"
FRONTS = {
    "nginx": Front(
        "nginx",
        "nginx-light",
        NGINX,
        ("-p", "{scratch}", "-e", "{scratch}/error.log", "-c", "{configuration}"),
        "x-accel-redirect",
        "/_files",
    ),
    "apache": Front(
        "apache2",
        "apache2-bin",
        APACHE,
        ("-X", "-f", "{configuration}"),
        "x-sendfile",
        module=(f"{MODULES}/mod_xsendfile.so", "libapache2-mod-xsendfile"),
    ),
    "lighttpd": Front(
        "lighttpd", "lighttpd", LIGHTTPD, ("-D", "-f", "{configuration}"), "x-sendfile"
    ),
}


@contextmanager
def before(front: Front, upstream: Server, root: Path, scratch: Path) -> Iterator[int]:
    """Run a server in front of the app."""
    program = require(front.program, apt=front.package)
    if front.module is not None:
        require_path(front.module[0], apt=front.module[1])
    port, configuration = free_port(), scratch / "front.conf"
    configuration.write_text(
        front.configuration.format(
            scratch=scratch, port=port, upstream=upstream.port, root=root, modules=MODULES
        )
    )
    places = {"scratch": scratch, "configuration": configuration}
    command = [program, *(argument.format(**places) for argument in front.arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until_it_answers(Server(process, port, scratch / "error.log"))
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fronts")
    write_site(place, {"secret.txt": b"SECRET"})
    return write_site(place / "site", FILES)


@pytest.fixture(scope="module", params=FRONTS)
def front(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    chosen = FRONTS[request.param]
    scratch = tmp_path_factory.mktemp(request.param)
    (scratch / "behind.py").write_text(BEHIND)
    variables = {"ROOT": str(root), "OFFLOAD": chosen.offload, "PREFIX": chosen.prefix}
    command = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "behind:app")
    with (
        running(command, variables, cwd=str(scratch)) as upstream,
        before(chosen, upstream, root, scratch) as port,
    ):
        yield request.param, port


@pytest.fixture
def port(front: tuple[str, int]) -> int:
    return front[1]


@pytest.mark.parametrize(
    ("target", "lines", "status", "content"),
    [
        pytest.param("/open/big.bin", (), 200, BIG, id="whole"),
        pytest.param("/open/a%20name%3F.bin", (), 200, BIG[::-1], id="a name to escape"),
        pytest.param("/open/100%25.bin", (), 200, BIG[1:], id="a percent sign"),
        pytest.param("/open/%C3%A9/%C3%BCn%C3%AF.bin", (), 200, BIG[2:], id="UTF-8"),
        pytest.param("/view/%C3%A9/%C3%BCn%C3%AF.bin", (), 200, BIG[2:], id="UTF-8 from a view"),
        pytest.param("/open/big.bin", ("Range: bytes=5-99",), 206, BIG[5:100], id="a range"),
        pytest.param("/open/big.bin", ("Range: bytes=-9",), 206, BIG[-9:], id="a suffix"),
        pytest.param("/open/small.txt", (), 200, b"hello", id="what we send ourselves"),
        pytest.param("/closed/big.bin?ok=1", (), 200, BIG, id="allowed"),
        pytest.param("/closed/big.bin", (), 403, None, id="refused"),
        pytest.param("/view/big.bin", (), 200, BIG, id="from a view"),
        pytest.param("/view/missing", (), 404, None, id="missing"),
        pytest.param("/_files/big.bin", (), 404, None, id="the location is internal"),
    ],
)
def test_the_app_decides_and_the_server_sends(
    port: int, target: str, lines: tuple[str, ...], status: int, content: bytes | None
) -> None:
    answer = fetch(port, target, *lines)
    assert (answer.status, answer.complete) == (status, True)
    assert content is None or answer.content == content
    assert answer.field("x-accel-redirect") is answer.field("x-sendfile") is None


def test_the_fields_that_are_ours_are_kept(port: int) -> None:
    answer = fetch(port, "/view/big.bin")
    assert answer.field("content-type") == "a/b"
    assert answer.field("content-disposition") == 'attachment; filename="big.bin"'
    assert fetch(port, "/closed/big.bin?ok=1").field("cache-control") == "private, no-cache"
    assert fetch(port, "/open/log.txt").field("content-type") == "text/plain; charset=utf-8"


def test_the_server_revalidates_with_its_own_tag(port: int) -> None:
    tag = fetch(port, "/open/big.bin").field("etag")
    assert tag
    assert fetch(port, "/open/big.bin", f"If-None-Match: {tag}").status == 304


def test_the_server_resumes_by_its_own_tag(port: int) -> None:
    """The client was told that tag, and never ours."""
    tag = fetch(port, "/open/big.bin").field("etag")
    for condition in (f"If-Match: {tag}", f"If-Range: {tag}"):
        part = fetch(port, "/open/big.bin", "Range: bytes=5-99", condition)
        assert (part.status, part.content) == (206, BIG[5:100]), condition


def test_head_is_get_without_content(port: int) -> None:
    head = fetch(port, "/open/big.bin", method="HEAD")
    assert (head.status, head.content) == (200, b"")
    assert head.field("content-length") in (str(len(BIG)), None)


def test_the_servers_own_wall_holds(port: int) -> None:
    """Were an app made to name a file elsewhere, the server in front would not send it."""
    assert b"SECRET" not in fetch(port, "/outside").content
