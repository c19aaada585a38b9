"""The same root, mounted at ``/static`` in the frameworks, behind two servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.raw import HOST
from tests.support.servers import Server, running
from tests.support.site import SMALL_SITE

pytestmark = pytest.mark.grid

_APP = "tests.support.mounts:app"
_BIND = f"{HOST}:{{port}}"
_QUIET = ("--no-access-log", "--log-level", "warning")
SERVERS = {
    "hypercorn": ("-m", "hypercorn", "--bind", _BIND, _APP),
    "uvicorn": ("-m", "uvicorn", *_QUIET, "--port", "{port}", _APP),
    "uvicorn-h11-no-lifespan": (
        *("-m", "uvicorn", *_QUIET, "--http", "h11", "--loop", "asyncio"),
        *("--lifespan", "off", "--port", "{port}", _APP),
    ),
}
HOSTS = ["quart", "starlette", "fastapi", "dispatcher", "litestar", "blacksheep", "django"]


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SERVERS)
def mounted(request: pytest.FixtureRequest, host: str, site: Path) -> Iterator[Server]:
    variables = {"MOUNT_HOST": host, "MOUNT_ROOT": str(site)}
    with running(SERVERS[request.param], variables) as server:
        yield server


@pytest.mark.parametrize("name", [name for name in SMALL_SITE if not name.startswith(".hidden")])
def test_every_file_is_below_the_mount(mounted: Server, name: str) -> None:
    target = "/static/" + name.replace(" ", "%20").replace("\u00e9", "%C3%A9")
    answer = mounted.fetch(target)
    assert (answer.status, answer.content) == (200, SMALL_SITE[name])


def test_index_files_are_served_for_directories(mounted: Server) -> None:
    assert mounted.fetch("/static/").content == SMALL_SITE["index.html"]
    assert mounted.fetch("/static/docs/").content == SMALL_SITE["docs/index.html"]


def test_the_mount_point_leads_to_its_index(mounted: Server, host: str) -> None:
    """By a redirect, so that links of the index are relative to it. Litestar adds the slash itself."""
    answer = mounted.fetch("/static?q=1")
    if host != "litestar":
        assert answer.status in (301, 307)
        location = urljoin("http://localhost/static", answer.field("location"))
        assert location == "http://localhost/static/?q=1"
        answer = mounted.fetch("/static/?q=1")
    assert (answer.status, answer.content) == (200, SMALL_SITE["index.html"])


def test_what_is_not_below_the_mount_is_the_apps_own(mounted: Server) -> None:
    assert mounted.fetch("/hello/there").content == b"hello"
    assert mounted.fetch("/css/app.css").status == 404


def test_a_view_answers_what_the_root_does_not_have(mounted: Server, host: str) -> None:
    answer = mounted.fetch("/static/from-a-view")
    assert answer.content == b"hello" if host == "quart" else answer.status == 404


@pytest.mark.parametrize(
    ("target", "status", "leads_to"),
    [
        ("/static/docs", 301, "/static/docs/"),
        ("/static/docs?a=1&b=%2F", 301, "/static/docs/?a=1&b=%2F"),
        ("/static/./css/app.css", 308, "/static/css/app.css"),
        ("/static/docs/./", 308, "/static/docs/"),
        ("/static/./docs/?q=1", 308, "/static/docs/?q=1"),
    ],
)
def test_redirects_stay_below_the_mount(
    mounted: Server, target: str, status: int, leads_to: str
) -> None:
    answer = mounted.fetch(target)
    assert answer.status == status
    assert urljoin(f"http://{HOST}{target}", answer.field("location")) == f"http://{HOST}{leads_to}"


@pytest.mark.parametrize(
    "target",
    [
        "/staticfoo/css/app.css",
        "/static-/css/app.css",
        "/staticcss/app.css",
        "/static.hidden",
        "/static/../css/app.css",
        "/static/%2e%2e/css/app.css",
        "/static/..%2fcss/app.css",
        "/static//css/app.css",
        "/static/css%2fapp.css",
        "/%73tatic/.hidden",
        "/static/.hidden",
        "/static/%2ehidden",
        "/static/static/css/app.css",
    ],
)
def test_no_second_spelling_reaches_a_file(mounted: Server, target: str) -> None:
    answer = mounted.fetch(target)
    assert 400 <= answer.status < 500
    assert not any(text in answer.content for text in SMALL_SITE.values() if text)


def test_a_prefix_that_begins_alike_is_another_mount(mounted: Server, host: str) -> None:
    if host != "dispatcher":
        pytest.skip("only the dispatcher has a second mount")
    assert mounted.fetch("/staticfoo/").content == SMALL_SITE["docs/index.html"]
    assert mounted.fetch("/staticfoo/css/app.css").status == 404
    assert mounted.fetch("/static/css/app.css").content == SMALL_SITE["css/app.css"]


def test_ranges_and_conditions_work_below_the_mount(mounted: Server) -> None:
    with mounted.connect() as connection:
        whole = connection.get("/static/big.bin")
        part = connection.get("/static/big.bin", "Range: bytes=1000-1999")
        known = connection.get("/static/big.bin", f"If-None-Match: {whole.field('etag')}")
    assert whole.content == SMALL_SITE["big.bin"]
    assert (part.status, part.content) == (206, SMALL_SITE["big.bin"][1000:2000])
    assert (known.status, known.content) == (304, b"")


def test_a_method_the_root_does_not_have_is_405(mounted: Server) -> None:
    answer = mounted.fetch("/static/css/app.css", "Content-Length: 0", method="POST")
    assert answer.status in (404, 405)  # Quart has no route there, so it says 404


def test_a_websocket_is_refused(mounted: Server, host: str) -> None:
    if host == "django":
        pytest.skip("it reaches Django, which has no WebSockets and says so by an exception")
    answer = mounted.fetch(
        "/static/css/app.css",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert answer.status in (403, 404)  # 404 is what Quart says where it has no route
    assert "Traceback" not in mounted.log


def test_the_server_has_nothing_to_complain_about(mounted: Server) -> None:
    assert "Traceback" not in mounted.log
    assert "ERROR" not in mounted.log
