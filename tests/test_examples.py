"""Every example runs, on every server it could run on, and serves the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from tests.asgi import ask
from tests.support.servers import Server, running
from tests.support.site import write_site

EXAMPLES = Path(__file__).parents[1] / "examples"
LONGEST = 30
BIND = "127.0.0.1:{port}"

SERVERS = {
    "hypercorn": ("-m", "hypercorn", "--bind", BIND),
    "uvicorn": ("-m", "uvicorn", "--port", "{port}"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}"),
    "daphne": ("-m", "daphne", "-p", "{port}"),
    "gunicorn": ("-m", "gunicorn", "-k", "asgi", "-b", BIND),
    "gunicorn with uvicorn": ("-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", BIND),
    "anycorn": ("-m", "anycorn", "--bind", BIND),
}
FRAMEWORKS = {
    "quart_app": "hypercorn",
    "starlette_app": "uvicorn",
    "fastapi_app": "uvicorn",
    "litestar_app": "granian",
    "blacksheep_app": "uvicorn",
    "django_app": "daphne",
    "bare_app": "hypercorn",
    "dispatcher_app": "hypercorn",
}
EVERYWHERE = ("bare_app", "quart_app")
#: Each framework on the server its docstring names, and two of them on every server.
PAIRS = [
    *FRAMEWORKS.items(),
    *((name, server) for name in EVERYWHERE for server in SERVERS if server != FRAMEWORKS[name]),
]


@pytest.fixture(scope="module", params=PAIRS, ids=" on ".join)
def example(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    name, server = request.param
    pytest.importorskip(name.removesuffix("_app")) if name[:2] not in ("ba", "di") else None
    pytest.importorskip(server.split()[0])
    with running((*SERVERS[server], f"{name}:app"), {}, cwd=str(EXAMPLES)) as running_server:
        yield name, running_server


@pytest.fixture
def server(example: tuple[str, Server]) -> Server:
    return example[1]


def test_a_file_is_served_below_the_prefix(server: Server) -> None:
    answer = server.fetch("/static/app.css")
    assert answer.status == 200
    assert answer.content == (EXAMPLES / "site" / "app.css").read_bytes()
    assert answer.field("content-type") == "text/css; charset=utf-8"


def test_conditions_and_ranges_are_ours(server: Server) -> None:
    tag = server.fetch("/static/app.css").field("etag")
    assert server.fetch("/static/app.css", f"If-None-Match: {tag}").status == 304
    part = server.fetch("/static/app.css", "Range: bytes=0-3")
    assert (part.status, part.content) == (206, b"body")
    head = server.fetch("/static/app.css", method="HEAD")
    assert (head.status, head.content) == (200, b"")
    assert head.field("content-length") == str((EXAMPLES / "site" / "app.css").stat().st_size)


def test_the_mount_point_leads_to_its_index(server: Server) -> None:
    assert b"<title>asyncstatic" in server.fetch("/static/").content
    assert server.fetch("/static").status in (200, 301, 307)  # 200: Litestar's, who adds a slash


@pytest.mark.parametrize(
    "target",
    [
        "/static/missing",
        "/static/.hidden",
        "/static/..%2fquart_app.py",
        "/static/%2e%2e/bare_app.py",
    ],
)
def test_nothing_else_is_found(server: Server, target: str) -> None:
    answer = server.fetch(target)
    assert answer.status in (400, 404)
    assert b"import" not in answer.content


def test_a_mount_is_no_prefix_of_a_name(example: tuple[str, Server]) -> None:
    name, server = example
    status = server.fetch("/staticfoo/app.css").status
    assert status in (400, 404)
    found = server.fetch("/staticfoo/bare_app.py").status
    assert found == (200 if name == "dispatcher_app" else 404)


def test_the_routes_of_the_app_are_still_there(example: tuple[str, Server]) -> None:
    name, server = example
    if name == "dispatcher_app":
        return
    target = "/" if name == "quart_app" else "/hello"
    answer = server.fetch(target)
    assert answer.status == 200
    assert b"site" in answer.content or b"hello" in answer.content


def test_a_view_protects_a_download() -> None:
    command = (*SERVERS["hypercorn"], "quart_app:app")
    with running(command, {}, cwd=str(EXAMPLES)) as server:
        assert server.fetch("/downloads/app.css").status == 403
        answer = server.fetch("/downloads/app.css?user=ada")
        assert answer.field("content-disposition") == 'attachment; filename="app.css"'


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_tested(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
    assert path.stem in FRAMEWORKS
    assert "\n\n" + FRAMEWORKS[path.stem] in path.read_text()


GUIDE = re.findall(
    r"```python\n(.*?)```", (EXAMPLES.parent / "docs" / "quart.md").read_text(), re.DOTALL
)
GUIDED_SITE = {
    "static/app.css": b"a{}",
    "ui/dist/main-BRBmoGS9.js": b"1",
    "ui/dist/.vite/manifest.json": b'{"src/main.ts": {"file": "main-BRBmoGS9.js"}}',
    "media/reports/2026.pdf": b"%PDF",
    "reports/q.txt": b"report",
}


def test_the_guide_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces one after another; each `AsyncStatic(app, ...)` that begins one has a new app."""
    monkeypatch.chdir(tmp_path)
    write_site(tmp_path, GUIDED_SITE)
    names: dict[str, Any] = {"__name__": "guide"}
    served: dict[str, bytes] = {}
    for code in GUIDE:
        app = Quart("guide", static_folder=None, root_path=str(tmp_path))
        app.secret_key = "twenty random letters"
        names |= {"app": app, "check_user": lambda: asyncio.sleep(0)}
        exec(compile(code, "quart.md", "exec"), names)
        for target in ("/static/app.css", "/static/main-BRBmoGS9.js", "/reports/q.txt"):
            reply = asyncio.run(ask(names["app"], target))
            if reply.status == 200:
                served[target] = reply.body
        if "links" in code:
            link = names["links"].sign("reports/2026.pdf", expires_in=3600)
            assert asyncio.run(ask(app, link)).body == b"%PDF"
            assert asyncio.run(ask(app, link.partition("?")[0])).status == 403
    assert served == {
        "/static/app.css": b"a{}",
        "/static/main-BRBmoGS9.js": b"1",
        "/reports/q.txt": b"report",
    }
