"""`early_hints`: a page of Vite's manifest names in advance what it needs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import Rule, SettingsError, StaticFiles, StaticMiddleware
from tests.asgi import ask
from tests.support.programs import require
from tests.support.servers import serving
from tests.support.site import write_site

MANIFEST = ".vite/manifest.json"
ENTRIES: dict[str, Any] = {
    "index.html": {
        "file": "assets/index-DNF2ZbCP.js",
        "isEntry": True,
        "css": ["assets/index-DdE9IhM1.css"],
        "imports": ["_shared.js"],
    },
    "_shared.js": {"file": "assets/shared é-BYeyATmN.js"},
}
FILES = {
    MANIFEST: json.dumps(ENTRIES).encode(),
    "index.html": b"<!doctype html><title>App</title>",
    "about.html": b"<!doctype html><title>About</title>",
    "assets/index-DNF2ZbCP.js": b"import './shared.js'",
    "assets/index-DdE9IhM1.css": b"body {}",
    "assets/shared é-BYeyATmN.js": b"export {}",
}
HTML = {"accept": "text/html"}


def links(base: str = "") -> str:
    return (
        f"<{base}/assets/index-DdE9IhM1.css>; rel=preload; as=style; crossorigin, "
        f"<{base}/assets/index-DNF2ZbCP.js>; rel=modulepreload, "
        f"<{base}/assets/shared%20%C3%A9-BYeyATmN.js>; rel=modulepreload"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_site(tmp_path / "dist", FILES)


async def opened(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(StaticFiles, root, manifest=MANIFEST, **settings)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/", links(), id="the page"),
        pytest.param("/index.html", links(), id="by its own name"),
        pytest.param("/notes/1", links(), id="the shell at another URL"),
        pytest.param("/about.html", None, id="a page that the manifest has not"),
        pytest.param("/assets/index-DNF2ZbCP.js", None, id="a script"),
        pytest.param("/missing.js", None, id="a missing file"),
    ],
)
async def test_a_page_links_to_what_it_needs(root: Path, target: str, expected: str | None) -> None:
    static = await opened(root, early_hints=True, spa=True)
    answer = await ask(static, target, headers=HTML)
    assert answer.headers.get("link") == expected


async def test_the_links_begin_with_the_mount_point(root: Path) -> None:
    static = await opened(root, early_hints=True)
    app = StaticMiddleware(await opened(root), {"/app": static})
    assert (await ask(app, "/app/")).headers["link"] == links("/app")


async def test_without_the_setting_there_is_no_link(root: Path) -> None:
    assert "link" not in (await ask(await opened(root), "/")).headers


@pytest.mark.parametrize(
    ("early_hints", "target", "fields", "hinted"),
    [
        pytest.param(False, "/", {}, False, id="without the setting"),
        pytest.param(True, "/", {}, True, id="a page"),
        pytest.param(True, "/missing.js", {}, False, id="a missing file"),
        pytest.param(True, "/", {"if-none-match": "*"}, False, id="an unchanged page"),
    ],
)
async def test_a_103_comes_only_with_the_setting_and_content(
    root: Path, early_hints: bool, target: str, fields: dict[str, str], hinted: bool
) -> None:
    """Also where a rule gives everything a Link field."""
    rules = [Rule("**", headers={"Link": "<https://a.example>; rel=preconnect"})]
    static = await opened(root, early_hints=early_hints, rules=rules)
    offered: dict[str, Any] = {"http.response.early_hint": {}}
    answer = await ask(static, target, headers=fields, extensions=offered)
    assert "link" in answer.headers
    assert (answer.messages[0]["type"] == "http.response.early_hint") is hinted


def test_hints_need_a_manifest(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"early_hints=True: the manifest .* is needed"):
        StaticFiles(root, early_hints=True)


@pytest.mark.parametrize("setup", ["serve", "hypercorn"])
def test_over_http2_a_103_comes_first_and_over_http1_none(
    root: Path, tmp_path: Path, setup: str
) -> None:
    curl = require("curl", apt="curl")
    with serving(setup, root, manifest=MANIFEST, early_hints="1") as server:
        for version, statuses in (("--http2-prior-knowledge", [103, 200]), ("--http1.1", [200])):
            for _ in range(2):  # prepared answers as well
                done = subprocess.run(
                    [curl, "-sSi", version, server.url("/")],
                    cwd=tmp_path, check=True, capture_output=True, text=True, timeout=30,
                )  # fmt: skip
                heads = done.stdout.partition("<!doctype")[0]
                seen = [int(line.split()[1]) for line in heads.split("\n") if line[:5] == "HTTP/"]
                assert seen == statuses
                found = [line for line in heads.split("\n") if line.lower().startswith("link:")]
                assert [line.split(": ", 1)[1].strip() for line in found] == [links()] * len(seen)


def test_a_new_manifest_counts_with_the_next_page(root: Path) -> None:
    """The direct entry prepares no page that has links."""
    with serving("serve", root, manifest=MANIFEST, early_hints="1") as server:
        assert server.fetch("/").field("link") == links()
        changed = {**ENTRIES, "index.html": {**ENTRIES["index.html"], "css": []}}
        (root / MANIFEST).write_text(json.dumps(changed))
        for _ in range(200):
            if "as=style" not in str(server.fetch("/").field("link")):
                break
            time.sleep(0.05)
        assert "as=style" not in str(server.fetch("/").field("link"))
