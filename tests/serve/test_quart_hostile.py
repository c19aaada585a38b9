"""What users send to a view that hands it to `send_from_directory`: a file below, 400, 404 or 414."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from quart import Quart
from werkzeug.exceptions import HTTPException

from asyncstatic import StaticFiles, send_from_directory
from tests.support.raw import EndedError, ProtocolError
from tests.support.servers import Server, running
from tests.support.site import write_site
from tests.trust.targets import attacks, mutations

OWN = {"page.html": b"own page", "dir/page.html": b"own page below", "index.html": b"own index"}
SECRETS = {
    "secret.txt": b"SECRET",
    "site-two/secret.txt": b"SECRET",
    "site/.hidden": b"SECRET",
    "site/.git/config": b"SECRET",
    "site/dir/.env": b"SECRET",
}
LINKS = {"out": "../secret.txt", "outdir": "..", "root_of_all": "/", "to_hidden": ".hidden"}
ANSWERS = {200, 400, 404, 414}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = write_site(tmp_path_factory.mktemp("hostile"), SECRETS)
    write_site(base / "site", OWN)
    for name, target in LINKS.items():
        (base / "site" / name).symlink_to(target)
    (base / "site" / "loop").symlink_to("loop")
    return base / "site"


def names() -> list[str]:
    """Attacks as texts, as a form, a JSON body, a header field or a route would give them."""
    found: dict[str, None] = {}
    for target in (*attacks(), *mutations(seed=7, count=500)):
        data = target.removeprefix(b"/")
        found[data.decode("latin-1")] = None
        found[unquote(data.decode("latin-1"))] = None
        found[unquote_to_bytes(data).decode("utf-8", "surrogateescape")] = None
        found["/" + data.decode("latin-1")] = None
    return list(found)


def test_there_are_hundreds() -> None:
    assert len(names()) > 1000


@pytest.mark.parametrize("as_root", [False, True], ids=["a path", "a StaticFiles"])
async def test_no_name_leads_out_or_to_a_traceback(root: Path, as_root: bool) -> None:
    app = Quart("app", root_path=str(root.parent), static_folder=None)
    directory = await asyncio.to_thread(StaticFiles, root) if as_root else "site"

    async def answer(name: str) -> tuple[int, bytes]:
        try:
            response = await send_from_directory(directory, name, as_attachment=True)
        except HTTPException as error:
            return error.code or 0, b""
        return response.status_code, await response.get_data(as_text=False)

    async with app.test_request_context("/"):
        for name in names():
            status, content = await answer(name)
            assert status in ANSWERS, ascii(name)
            assert b"SECRET" not in content, ascii(name)
            assert content in (b"", *OWN.values()), ascii(name)


APP = """
import os
from quart import Quart, request
from asyncstatic import AsyncStatic, send_from_directory

root = os.environ["ROOT"]
app = Quart(__name__, static_folder=None)
AsyncStatic(app, root)

@app.route("/")
async def index():
    return "up"

@app.route("/route/<path:name>")
async def route(name):
    return await send_from_directory(root, name)

@app.route("/query")
async def query():
    return await send_from_directory(root, request.args.get("name", ""))
"""


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("app")
    (scratch / "views.py").write_text(APP)
    command = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "views:app")
    with running(command, {"ROOT": str(root)}, cwd=str(scratch)) as running_server:
        yield running_server


@pytest.mark.slow
def test_no_request_for_a_view_does(server: Server) -> None:
    for target in attacks():
        through_route = b"/route" + (target if target[:1] == b"/" else b"/" + target)
        through_query = b"/query?name=" + quote(target).encode()
        for asked in (through_route, through_query):
            try:
                answer = server.fetch(asked)
            except (EndedError, ProtocolError):  # what is no request at all, Hypercorn closes on
                continue
            assert answer.status < 500, asked
            assert b"SECRET" not in answer.content, asked
    assert server.fetch("/").content == b"up"
    assert "Traceback" not in server.log
