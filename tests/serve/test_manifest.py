"""Manifests: what bundlers write, and what it proves."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import SettingsError, StaticFiles
from asyncstatic.serve.manifest import Manifest, read_manifests
from tests.asgi import ask


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
    return read_manifests(str(root), ("manifest.json",))


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
        pytest.param("{", "no JSON", id="cut off"),
        pytest.param("[]", "neither", id="a list"),
        pytest.param({"a": 5}, "neither", id="a number"),
        pytest.param({"a": {"name": "x"}}, "neither", id="no file"),
        pytest.param({"a": "https://cdn.example/x.js"}, "below the root", id="another host"),
        pytest.param({"a": ""}, "below the root", id="no name"),
        pytest.param(
            {"a": {"src": "b", "integrity": '"><script>'}}, "integrity", id="no integrity value"
        ),
        pytest.param({"a.js": "a.3f2a1b9c.js"}, "build the site once more", id="file is missing"),
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
