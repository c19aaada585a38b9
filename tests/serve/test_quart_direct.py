"""A Quart app with the direct entry in front: the setup answers for its roots, Hypercorn for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Blueprint, Quart, Response

from asyncstatic import AsyncStatic, SignedURLs, StaticFiles, send_from_directory
from asyncstatic.http.model import Lookup
from asyncstatic.serve.hypercorn import Hypercorn
from tests.serve.inside import Inside, serving_inside
from tests.support.site import write_site

BIG = bytes(range(256)) * 4000
FILES = {
    "ui/app.css": b"a{}",
    "ui/index.html": b"<p>home",
    "ui/big.bin": BIG,
    "media/a.txt": b"for members",
    "media/big.bin": BIG,
    "admin/files/b.css": b"b{}",
}
KEY = "a key of some length"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("quart"), FILES)


@pytest.fixture(scope="module")
def app(place: Path) -> Quart:
    app = Quart("app", root_path=str(place), static_folder=None)
    AsyncStatic(app, "ui")
    AsyncStatic(app, "media", "/asked", endpoint="asked", authorize=is_member)
    links = SignedURLs(KEY, prefix="/signed")
    AsyncStatic(app, "media", "/signed", endpoint="signed", authorize=links)
    AsyncStatic(app, "media", "/given", endpoint="given", offload="x-sendfile")
    app.register_blueprint(
        Blueprint(
            "admin",
            "app",
            root_path=str(place / "admin"),
            static_folder="files",
            url_prefix="/admin",
        )
    )

    @app.route("/static/of-the-app")
    async def view() -> str:
        return "a view"

    @app.route("/view/<name>")
    async def download(name: str) -> Response:
        return await send_from_directory("media", name)

    return app


async def is_member(scope: Any, path: str) -> bool:
    await asyncio.sleep(0)
    return b"member" in dict(scope["headers"])


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The first bytes of every connection that the setup gave to Hypercorn."""
    seen: list[bytes] = []
    take_over = Hypercorn.take_over

    def noted(self: Hypercorn, transport: Any, data: bytes, **options: Any) -> None:
        seen.append(data)
        take_over(self, transport, data, **options)

    monkeypatch.setattr(Hypercorn, "take_over", noted)
    return seen


@pytest.fixture(scope="module")
def server(app: Quart) -> Iterator[Inside]:
    with serving_inside(app) as running:
        yield running


LANE, HYPERCORN = True, False


@pytest.mark.parametrize(
    ("target", "lines", "setup", "status", "content"),
    [
        pytest.param("/static/app.css", (), LANE, 200, b"a{}", id="a file"),
        pytest.param("/static/big.bin", (), LANE, 200, BIG, id="a large file"),
        pytest.param("/static/", (), LANE, 200, b"<p>home", id="the index"),
        pytest.param("/static", (), HYPERCORN, 301, None, id="the mount point without its slash"),
        pytest.param("/static/of-the-app", (), HYPERCORN, 200, b"a view", id="a view below it"),
        pytest.param("/static/missing", (), HYPERCORN, 404, None, id="missing: the app's"),
        pytest.param("/staticfoo", (), HYPERCORN, 404, None, id="a prefix of a name"),
        pytest.param("/asked/a.txt", (), HYPERCORN, 403, None, id="nobody"),
        pytest.param("/asked/missing", (), HYPERCORN, 403, None, id="nobody, and nothing"),
        pytest.param("/asked/a.txt", ("Member: 1",), HYPERCORN, 200, b"for members", id="a member"),
        pytest.param(
            "/asked/big.bin", ("Member: 1",), HYPERCORN, 200, BIG, id="a large file of it"
        ),
        pytest.param("/signed/a.txt", (), HYPERCORN, 403, None, id="unsigned"),
        pytest.param("/given/big.bin", (), HYPERCORN, 200, b"", id="for the server in front"),
        pytest.param("/admin/files/b.css", (), HYPERCORN, 200, b"b{}", id="a blueprint's"),
        pytest.param("/view/a.txt", (), HYPERCORN, 200, b"for members", id="a view"),
        pytest.param("/view/big.bin", (), HYPERCORN, 200, BIG, id="a view, large"),
    ],
)
def test_each_request_is_answered_where_it_belongs(
    server: Inside,
    handed_over: list[bytes],
    target: str,
    lines: tuple[str, ...],
    setup: bool,
    status: int,
    content: bytes | None,
) -> None:
    with server.connect() as connection:
        answer = connection.get(target, *lines)
    assert (answer.status, answer.complete) == (status, True)
    assert content is None or answer.content == content
    assert (not handed_over) is setup


def test_a_signed_url_opens_its_file_and_no_other(server: Inside, handed_over: list[bytes]) -> None:
    signed = SignedURLs(KEY, prefix="/signed").sign("a.txt", expires_in=60)
    with server.connect() as connection:
        answer = connection.get(signed)
    assert (answer.status, answer.content) == (200, b"for members")
    assert answer.field("cache-control") == "private, no-cache"
    with server.connect() as connection:
        assert connection.get(signed.replace("a.txt", "big.bin")).status == 403
    assert len(handed_over) == 2


def test_one_connection_meets_both(server: Inside, handed_over: list[bytes]) -> None:
    targets = {
        "/static/app.css": b"a{}",
        "/static/of-the-app": b"a view",
        "/static/big.bin": BIG,
        "/asked/a.txt": None,
        "/view/big.bin": BIG,
    }
    with server.connect() as connection:
        for target, content in targets.items():
            answer = connection.get(target)
            assert content is None or answer.content == content, target
            assert answer.status == (200 if content is not None else 403)
    assert len(handed_over) == 1, "and stays with Hypercorn once it is there"


def test_a_guarded_root_has_no_source_that_an_entry_could_ask(app: Quart) -> None:
    asked: AsyncStatic = app.extensions["asyncstatic"]["asked"]
    static: StaticFiles = asked.static
    assert static.needs_scope
    with pytest.raises(TypeError, match="authorize="):
        static.source.open_nowait(Lookup(("a.txt",), False, (("identity",),)))
