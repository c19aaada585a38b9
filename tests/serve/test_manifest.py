"""Manifests: what bundlers write, and what it proves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import SettingsError, StaticFiles
from asyncstatic.http.manifest import Manifest
from asyncstatic.serve.manifest import Manifests
from tests.asgi import ask
from tests.serve.inside import eventually, serving_inside


def written(root: Path, data: Any, *, build: bool = True) -> Manifest:
    """Write a manifest, and every file it names."""
    (root / "manifest.json").write_text(data if isinstance(data, str) else json.dumps(data))
    if build and isinstance(data, dict):
        for value in data.get("paths", data).values():
            names = [value] if isinstance(value, str) else [value.get("file", value.get("src"))]
            for name in names:
                path = root / str(name).lstrip("./")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(str(name).encode())
    return Manifests(str(root), ("manifest.json",)).present


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"app.js": "js/app.3f2a1b9c.js"}, id="plain"),
        pytest.param({"app.js": "/js/app.3f2a1b9c.js"}, id="with a slash"),
        pytest.param({"app.js": "./js/app.3f2a1b9c.js"}, id="with a dot"),
        pytest.param({"paths": {"app.js": "js/app.3f2a1b9c.js"}, "version": "1.1"}, id="Django"),
        pytest.param({"app.js": {"file": "js/app.3f2a1b9c.js"}}, id="Vite"),
        pytest.param({"app.js": {"src": "js/app.3f2a1b9c.js"}}, id="webpack-assets"),
    ],
)
def test_every_form_names_the_same_file(tmp_path: Path, data: Any) -> None:
    manifest = written(tmp_path, data)
    assert manifest.files["app.js"] == "js/app.3f2a1b9c.js"
    assert manifest.proven == {"js/app.3f2a1b9c.js"}


@pytest.mark.parametrize(
    ("name", "proven"),
    [
        pytest.param("main-BRBmoGS9.js", True, id="Vite"),
        pytest.param("shared-ChJ_j-JJ.css", True, id="Vite, with separators in it"),
        pytest.param("app.3f2a1b9c.js", True, id="webpack"),
        pytest.param("app.3f2a1b9c.chunk.js", True, id="webpack's chunk"),
        pytest.param("app.3f2a1b9c.js.map", True, id="its map"),
        pytest.param("font~A1B2C3D4.woff2", True, id="tilde"),
        pytest.param("main.js", False, id="no fingerprint"),
        pytest.param("style-components.css", False, id="a word"),
        pytest.param("app-v2.js", False, id="a version"),
        pytest.param("3f2a1b9c", False, id="no suffix"),
        pytest.param("3f2a1b9c/app.js", False, id="in a folder's name"),
    ],
)
def test_a_listed_name_is_proven_only_with_a_fingerprint(
    tmp_path: Path, name: str, proven: bool
) -> None:
    assert (name in written(tmp_path, {"x": name}).proven) == proven


def test_the_stylesheets_of_imports_come_first_and_once(tmp_path: Path) -> None:
    manifest = written(
        tmp_path,
        {
            "a": {"file": "a.js", "css": ["a.css"], "imports": ["b", "c"]},
            "b": {"file": "b.js", "css": ["b.css"], "imports": ["c", "a"]},
            "c": {"file": "c.js", "css": ["c.css"], "imports": ["not there"]},
        },
    )
    assert manifest.styles["a"] == ("c.css", "b.css", "a.css")
    assert manifest.imports["a"] == ("c.js", "b.js")
    assert manifest.modules == {"a", "b", "c"}


def test_a_long_chain_of_imports_is_followed(tmp_path: Path) -> None:
    count = 1200  # more than Python's limit of nested calls
    data = {f"{n}": {"file": f"{n}.js", "imports": [f"{n + 1}"]} for n in range(count)}
    manifest = written(tmp_path, data, build=False)
    assert manifest.imports["0"] == tuple(f"{n}.js" for n in range(count - 1, 0, -1))


def test_an_integrity_value_is_the_hash_of_the_file(tmp_path: Path) -> None:
    name = "app.3f2a1b9c.js"
    digest = hashlib.sha384(name.encode()).digest()
    expected = "sha384-" + base64.b64encode(digest).decode()
    assert written(tmp_path, {"app.js": name, "b.js": "b.js"}).integrity == {name: expected}


def test_an_integrity_value_of_the_bundler_is_kept(tmp_path: Path) -> None:
    data = {"app.js": {"src": "app.3f2a1b9c.js", "integrity": "sha256-abc="}}
    assert written(tmp_path, data).integrity == {"app.3f2a1b9c.js": "sha256-abc="}


@pytest.mark.parametrize(
    ("data", "help_"),
    [
        pytest.param("{", "not JSON", id="cut off"),
        pytest.param("[]", "neither", id="a list"),
        pytest.param({"a": 5}, "neither", id="a number"),
        pytest.param({"a": {"name": "x"}}, "neither", id="no file"),
        pytest.param(
            {"a": {"file": "b", "imports": [["c"]]}}, "neither", id="no name of an import"
        ),
        pytest.param({"a": "https://cdn.example/x.js"}, "below the root", id="another host"),
        pytest.param({"a": ""}, "below the root", id="no name"),
        pytest.param(
            {"a": {"src": "b", "integrity": '"><script>'}}, "integrity", id="no integrity value"
        ),
        pytest.param({"a.js": "a.3f2a1b9c.js"}, "build the site again", id="file is missing"),
    ],
)
def test_a_manifest_that_is_wrong_says_so(tmp_path: Path, data: Any, help_: str) -> None:
    with pytest.raises(SettingsError, match=help_) as raised:
        written(tmp_path, data, build=False)
    assert "\n" not in str(raised.value)


def test_a_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="build the site first"):
        StaticFiles(tmp_path, manifest=".vite/manifest.json")


@pytest.fixture
def hashed(tmp_path: Path) -> StaticFiles:
    odd = "a[b]*-3F2A1B9C.js"
    written(tmp_path, {f"{n}.js": f"{n}-3F2A1B9C{n}.js" for n in range(200)} | {"odd.js": odd})
    (tmp_path / "ab-3F2A1B9C.js").write_bytes(b"not it")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "7-3F2A1B9C7.js").write_bytes(b"not it")
    return StaticFiles(tmp_path, manifest="manifest.json")


async def test_proven_names_are_served_immutable_and_no_others(hashed: StaticFiles) -> None:
    for target, immutable in {
        "/7-3F2A1B9C7.js": True,
        "/a%5Bb%5D*-3F2A1B9C.js": True,
        "/ab-3F2A1B9C.js": False,
        "/sub/7-3F2A1B9C7.js": False,
        "/manifest.json": False,
    }.items():
        reply = await ask(hashed, target)
        assert reply.status == 200
        again = await ask(hashed, target, {"if-none-match": reply.headers["etag"]})
        assert (again.status, again.headers["cache-control"]) == (
            304,
            reply.headers["cache-control"],
        )
        assert ("immutable" in reply.headers["cache-control"]) == immutable, target


# -- a deploy replaces it ------------------------------------------------------------------------

OLD, NEW = "app-3F2A1B9C.js", "app-9D8E7F6A.js"


def reading(root: Path, **options: Any) -> Manifests:
    return Manifests(str(root), ("manifest.json",), **{"recheck": 0, **options})


def build(place: Path, name: str, file: str) -> Path:
    """A release of its own, as a deploy by a swapped link has it."""
    release = place / name
    release.mkdir()
    written(release, {"app.js": file})
    return release


def deploy(place: Path, release: Path) -> Path:
    """Let `current` lead to a release, at once."""
    (place / "next").symlink_to(release.name)
    (place / "next").replace(place / "current")
    return place / "current"


async def test_a_swapped_link_brings_its_manifest(tmp_path: Path) -> None:
    root = deploy(tmp_path, await asyncio.to_thread(build, tmp_path, "1", OLD))
    manifests = await asyncio.to_thread(reading, root)
    assert (await manifests.renewed()).files == {"app.js": OLD}
    deploy(tmp_path, await asyncio.to_thread(build, tmp_path, "2", NEW))
    assert (await manifests.renewed()).files == {"app.js": NEW}
    assert manifests.present.integrity.keys() == {NEW}


async def test_a_manifest_rewritten_in_place_is_read_again(tmp_path: Path) -> None:
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    manifests = await asyncio.to_thread(reading, tmp_path)
    await asyncio.to_thread(written, tmp_path, {"app.js": NEW})
    assert (await manifests.renewed()).files == {"app.js": NEW}


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param(lambda path: path.write_text('{"app.js": "app-9'), id="half written"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_text(f'{{"app.js": "{NEW}"}}'), id="its file is not"),
    ],
)
async def test_a_manifest_that_cannot_be_read_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, breaks: Any
) -> None:
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    manifests = await asyncio.to_thread(reading, tmp_path)
    await asyncio.to_thread(breaks, tmp_path / "manifest.json")
    with caplog.at_level(logging.WARNING, "asyncstatic"):
        for _ in range(3):
            assert (await manifests.renewed()).files == {"app.js": OLD}
    assert len(caplog.records) == 1, "and is said once"
    await asyncio.to_thread(written, tmp_path, {"app.js": NEW})
    assert (await manifests.renewed()).files == {"app.js": NEW}


async def test_it_is_checked_a_few_times_a_second_and_no_more(tmp_path: Path) -> None:
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    now = 100.0
    manifests = await asyncio.to_thread(reading, tmp_path, recheck=0.25, monotonic=lambda: now)
    await asyncio.to_thread(written, tmp_path, {"app.js": NEW})
    assert (await manifests.renewed()).files == {"app.js": OLD}
    now = 100.3
    assert (await manifests.renewed()).files == {"app.js": NEW}


async def test_one_check_is_enough_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs takes one thread, and a client that leaves does not end the check."""
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    manifests = await asyncio.to_thread(reading, tmp_path)
    checks, disk = 0, threading.Event()

    def hang() -> None:
        nonlocal checks
        checks += 1
        assert disk.wait(10)

    monkeypatch.setattr(manifests, "_read_if_changed", hang)
    waiting = asyncio.ensure_future(manifests.renewed())
    await asyncio.sleep(0)
    for _ in range(5):
        assert (await manifests.renewed()).files == {"app.js": OLD}
    waiting.cancel()
    await asyncio.wait([waiting])
    assert checks <= 1
    disk.set()
    async with asyncio.timeout(10):
        while checks < 2:
            await manifests.renewed()
            await asyncio.sleep(0.01)


async def test_without_a_thread_the_next_check_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    manifests = await asyncio.to_thread(reading, tmp_path)
    await asyncio.to_thread(written, tmp_path, {"app.js": NEW})

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "run_in_executor", no_thread)
        assert (await manifests.renewed()).files == {"app.js": OLD}
    assert (await manifests.renewed()).files == {"app.js": NEW}


async def test_a_root_without_a_manifest_is_not_checked(tmp_path: Path) -> None:
    manifests = Manifests(str(tmp_path / "gone"), (), recheck=0)
    assert await manifests.renewed() == Manifest()
    assert manifests.begin_check() is None


async def test_a_file_of_the_next_build_is_immutable_once_it_is_named(tmp_path: Path) -> None:
    """Also if somebody asked for it before its manifest was there."""
    await asyncio.to_thread(written, tmp_path, {"app.js": OLD})
    static = await asyncio.to_thread(StaticFiles, tmp_path, manifest="manifest.json")
    await asyncio.to_thread((tmp_path / NEW).write_bytes, b"new")
    await asyncio.sleep(0.05)  # so that it is older than the clock's tick, and is kept in memory
    for _ in range(3):
        assert (await ask(static, f"/{NEW}")).headers["cache-control"] == "no-cache"
    await asyncio.to_thread(written, tmp_path, {"app.js": NEW})
    async with asyncio.timeout(10):
        while "immutable" not in (await ask(static, f"/{NEW}")).headers["cache-control"]:
            await asyncio.sleep(0.05)
    assert static.manifest.files == {"app.js": NEW}


def test_also_where_the_direct_entry_remembers_whole_responses(tmp_path: Path) -> None:
    written(tmp_path, {"app.js": OLD})
    (tmp_path / NEW).write_bytes(b"new")
    static = StaticFiles(tmp_path, manifest="manifest.json")
    with serving_inside(static) as server, server.connect() as connection:

        def kept(name: str) -> str:
            return connection.get(f"/{name}").field("cache-control") or ""

        assert eventually(lambda: "immutable" in kept(OLD))
        assert [kept(NEW) for _ in range(5)] == ["no-cache"] * 5
        written(tmp_path, {"app.js": NEW})
        assert eventually(lambda: "immutable" in kept(NEW))
