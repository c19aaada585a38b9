"""Rules through every entry: the same fields each time, for large files, ranges and conditions."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from asyncstatic import (
    AsyncStatic,
    Rule,
    Settings,
    StaticFiles,
    StaticMiddleware,
    create_app,
    send_from_directory,
)
from tests.asgi import ask
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import Server, serving
from tests.support.site import write_site

WASM = b"\0asm\1\0\0\0" + bytes(range(256)) * 600
CODED = gzip.compress(WASM, mtime=0)
FILES = {
    "index.html": b"<p>home",
    "404.html": b"<p>nothing here",
    "assets/app.js": b"let a" * 100,
    "assets/large.bin": b"x" * 300_000,
    "Build/web.wasm.gz": CODED,
    "other.txt": b"other",
    "page.html": b"page",
    "docs/index.html": b"docs",
}
RULES: list[dict[str, Any]] = [
    {"match": "/**", "headers": {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}},
    {"match": "/assets/**", "headers": {"Cache-Control": "max-age=60", "Referrer-Policy": False}},
    {"match": "*.wasm.gz", "coding": "gzip"},
    {"match": "index.html", "headers": {"Content-Security-Policy": "default-src 'self'"}},
]
BOTH = {"x-frame-options": "DENY", "referrer-policy": "no-referrer"}
NAMES = (*BOTH, "cache-control", "content-security-policy", "content-encoding", "content-type")

ANSWERS = [
    # target, request fields -> status, fields of `NAMES`
    pytest.param(
        "/", {}, 200,
        {
            **BOTH, "cache-control": "no-cache", "content-security-policy": "default-src 'self'",
            "content-type": "text/html; charset=utf-8",
        },
        id="an index",
    ),
    pytest.param(
        "/missing", {}, 404,
        {**BOTH, "cache-control": "no-store", "content-type": "text/html; charset=utf-8"},
        id="the not-found page",
    ),
    pytest.param(
        "/assets/app.js", {}, 200,
        {
            "x-frame-options": "DENY", "cache-control": "max-age=60",
            "content-type": "text/javascript; charset=utf-8",
        },
        id="a small file",
    ),
    pytest.param(
        "/assets/large.bin", {}, 200,
        {
            "x-frame-options": "DENY", "cache-control": "max-age=60",
            "content-type": "application/octet-stream",
        },
        id="a large file",
    ),
    pytest.param(
        "/assets/large.bin", {"Range": "bytes=5-9"}, 206,
        {
            "x-frame-options": "DENY", "cache-control": "max-age=60",
            "content-type": "application/octet-stream",
        },
        id="a range",
    ),
    pytest.param(
        "/other.txt", {"If-None-Match": "*"}, 304, {**BOTH, "cache-control": "no-cache"}, id="304"
    ),
    pytest.param(
        "/Build/web.wasm.gz", {}, 200,
        {
            **BOTH, "cache-control": "no-cache", "content-encoding": "gzip",
            "content-type": "application/wasm",
        },
        id="a coded file",
    ),
    pytest.param(
        "/assets", {}, 404,
        {**BOTH, "cache-control": "no-store", "content-type": "text/html; charset=utf-8"},
        id="a directory without an index",
    ),
]  # fmt: skip
rows = pytest.mark.parametrize(("target", "asked", "status", "expected"), ANSWERS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("rules") / "site", FILES)


@pytest.fixture(scope="module", params=["serve", "serve-no-direct", "hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    """The site in each entry, with the rules in a variable."""
    with serving(request.param, site, rules=json.dumps(RULES), not_found="404.html") as server:
        yield server


def told(fields: Any) -> dict[str, str]:
    return {name: fields[name] for name in NAMES if name in fields}


@rows
def test_every_entry_follows_the_rules(
    server: Server, target: str, asked: dict[str, str], status: int, expected: dict[str, str]
) -> None:
    lines = [f"{name}: {value}" for name, value in asked.items()]
    for _ in range(3):  # the second answer is prepared, the third is sent from memory
        answer = server.fetch(target, *lines)
        assert (answer.status, told(dict(answer.fields))) == (status, expected)


@rows
async def test_a_mounted_root_follows_the_rules_of_its_settings(
    site: Path, target: str, asked: dict[str, str], status: int, expected: dict[str, str]
) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("the root has the answer")

    settings = Settings(site, rules=RULES, not_found="404.html")
    static = await asyncio.to_thread(lambda: StaticFiles(settings))
    wrapped = StaticMiddleware(app, static, "/at", passes_on=lambda: False)
    for served, prefix in ((static, ""), (wrapped, "/at")):
        reply = await ask(served, prefix + target, asked)
        assert (reply.status, told(reply.headers)) == (status, expected)


OWN_PAGES = [
    # method, target, request lines -> status
    ("OPTIONS", "/other.txt", (), 204),
    ("GET", "/a/./b", (), 308),
    ("GET", "/old/x", (), 302),
    ("GET", "/docs", (), 301),
    ("GET", "/page.html", (), 301),
    ("GET", "/%00", (), 400),
    ("HEAD", "/%00", (), 400),
    ("POST", "/other.txt", (), 405),
    ("GET", "/other.txt", ('If-Match: "x"',), 412),
    ("GET", "/" + "x" * 9000, (), 414),
    ("GET", "/other.txt", ("Range: bytes=99-",), 416),
    ("GET", "/missing", (), 404),
    ("HEAD", "/missing", (), 404),
]


@pytest.mark.parametrize("entry", ["serve", "serve-no-direct", "hypercorn", "uvicorn"])
def test_our_own_pages_and_redirects_have_the_fields_of_rules_for_everything(
    site: Path, entry: str
) -> None:
    settings = {"rules": json.dumps(RULES), "redirects": "/old/* /new/:splat 302"}
    with serving(entry, site, clean_urls="1", **settings) as server:
        for method, target, lines, status in OWN_PAGES:
            for _ in range(2):
                answer = server.fetch(target, *lines, method=method)
                fields = dict(answer.fields)
                assert (answer.status, fields | BOTH) == (status, fields), (method, target)
                assert len(fields) == len(answer.fields)
                assert fields.get("cache-control") == (None if status == 204 else "no-store")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"authorize": lambda *_: False}, 403),
        ({"authorize": lambda *_: 410}, 410),
        ({"deny_from": "127.0.0.0/8"}, 403),
        ({"users": {"a": "$2b$04$Jf2Y8LNVxkEDxFJfpfmBxO0BTLpxxFPNFNAqdfIxKEMAMmmLQnKSy"}}, 401),
    ],
)
async def test_a_refusal_has_the_fields_of_rules_for_everything(
    site: Path, options: dict[str, Any], status: int
) -> None:
    static = await asyncio.to_thread(lambda: StaticFiles(site, preset="secure-headers", **options))
    reply = await ask(static, "/other.txt")
    assert (reply.status, reply.headers["cache-control"]) == (status, "no-store")
    assert reply.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_site_matches_with_the_path_of_the_mount(site: Path) -> None:
    rules = [Rule("/a/assets/**", {"X-A": "1"}), Rule("/assets/**", {"X-B": "1"})]
    mounts = {at: Settings(site, rules=rules, at=at) for at in ("/a", "/b")}
    app = await asyncio.to_thread(create_app, mounts)
    assert "x-a" in (await ask(app, "/a/assets/app.js")).headers
    for target in ("/b/assets/app.js", "/a/other.txt"):
        assert not (await ask(app, target)).headers.keys() & {"x-a", "x-b"}


async def test_a_view_follows_the_rules_of_its_root_and_counts_more(site: Path) -> None:
    rules = [
        Rule("*.js", {"X-A": "1", "Cache-Control": "max-age=9", "Content-Disposition": "inline"}),
        Rule("*.js", media_type="text/plain"),
    ]
    static = await asyncio.to_thread(lambda: StaticFiles(site, rules=rules))
    quart = Quart("views", static_folder=None)

    @quart.get("/plain")
    async def plain() -> Response:
        return await send_from_directory(static, "assets/app.js")

    @quart.get("/own")
    async def own() -> Response:
        return await send_from_directory(
            static, "assets/app.js", max_age=3, as_attachment=True, mimetype="a/b"
        )

    client = quart.test_client()
    names = ("X-A", "Cache-Control", "Content-Disposition", "Content-Type")
    found = [
        [(await client.get(at)).headers.get(name) for name in names] for at in ("/plain", "/own")
    ]
    assert found == [
        ["1", "max-age=9", "inline", "text/plain"],
        ["1", "public, max-age=3", 'attachment; filename="app.js"', "a/b"],
    ]


async def test_quarts_config_takes_rules_and_presets(site: Path) -> None:
    quart = Quart("config", static_folder=None)
    quart.config["ASYNCSTATIC_RULES"] = [Rule("/assets/**", {"X-A": "1"})]
    quart.config["ASYNCSTATIC_PRESET"] = "secure-headers"
    await asyncio.to_thread(lambda: AsyncStatic(quart, site, prefix="/s"))
    headers = (await ask(quart, "/s/assets/app.js")).headers
    assert (headers["x-a"], headers["referrer-policy"]) == ("1", "strict-origin-when-cross-origin")


async def test_a_private_root_stays_private(site: Path) -> None:
    rule = Rule("**", {"Cache-Control": "public, max-age=60"})
    static = await asyncio.to_thread(
        lambda: StaticFiles(site, authorize=lambda *_: True, rules=rule)
    )
    assert (await ask(static, "/other.txt")).headers["cache-control"] == "private, max-age=60"


async def test_a_server_in_front_gets_the_fields_of_rules_and_no_coded_file(site: Path) -> None:
    rules = [Rule("**", {"X-A": "1", "Cache-Control": "max-age=9"}), Rule("*.gz", coding="gzip")]
    static = await asyncio.to_thread(
        lambda: StaticFiles(site, rules=rules, offload="x-sendfile", cache_file_bytes=10)
    )
    handed_over = (await ask(static, "/assets/large.bin")).headers
    assert handed_over["x-sendfile"].endswith("/assets/large.bin")
    assert (handed_over["x-a"], handed_over["cache-control"]) == ("1", "max-age=9")
    coded = await ask(static, "/Build/web.wasm.gz")
    assert "x-sendfile" not in coded.headers
    assert (coded.headers["content-encoding"], coded.body) == ("gzip", CODED)


# -- foreign clients -------------------------------------------------------------------------


def test_curl_decodes_a_file_that_is_stored_in_a_coding(server: Server) -> None:
    curl = require("curl", "curl")
    url = f"http://{HOST}:{server.port}/Build/web.wasm.gz"
    for options, content in (([], CODED), (["--compressed"], WASM)):
        done = subprocess.run([curl, "-sf", *options, url], capture_output=True, check=True)
        assert done.stdout == content


def test_http_client_reads_each_field_once(server: Server) -> None:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.read() == FILES["index.html"]
    names = [name.lower() for name, _ in answer.getheaders()]
    assert len(names) == len(set(names))
    assert answer.headers.get_all("Content-Security-Policy") == ["default-src 'self'"]
    connection.close()


def test_parts_of_a_coded_file_are_parts_of_its_stored_bytes(server: Server) -> None:
    answer = server.fetch("/Build/web.wasm.gz", "Range: bytes=10-19", "Accept-Encoding: identity")
    assert (answer.status, answer.content) == (206, CODED[10:20])
    assert answer.field("content-encoding") == "gzip"
