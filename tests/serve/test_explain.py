"""`asyncstatic explain`: the steps to an answer, which is the answer that a client gets."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from quart import Response, request
from starlette.applications import Starlette
from starlette.routing import Mount

from asyncstatic import Redirect, Rule, Settings, StaticFiles, create_app, send_from_directory
from asyncstatic.cli import main
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.explain import explain
from tests.asgi import ask
from tests.support.site import write_site

PAGE = b"<p>" + b"page" * 500
FILES = {
    "site/index.html": PAGE,
    "site/index.html.gz": gzip.compress(PAGE, mtime=0),
    "site/404.html": b"nothing",
    "site/docs/index.html": b"docs",
    "site/page.html": b"page",
    "site/.hidden": b"hidden",
    "site/lone.txt.gz": gzip.compress(b"lone", mtime=0),
    "app/app.js": b"let a",
}
RULES = [
    Rule("/app/**", {"Cache-Control": "max-age=9"}),
    Rule("*.js", {"X-A": "1", "Referrer-Policy": False}, media_type="a/b"),
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path, FILES)


def mounts(site: Path) -> dict[str, Settings]:
    return {
        "/app": Settings(site / "app", rules=RULES, preset="secure-headers", at="/app"),
        "": Settings(site / "site", not_found="404.html", clean_urls=True),
    }


STEPS = [
    # target, fields -> status, steps
    pytest.param("/", {}, 200, ["mount /", "index index.html", "sidecar there are"], id="index"),
    pytest.param(
        "/", {"Accept-Encoding": "gzip"}, 200,
        ["mount /", "index index.html", "sidecar index.html.gz: "], id="a sidecar",
    ),
    pytest.param(
        "/lone.txt", {}, 200, ["mount /", "file lone.txt", "sidecar lone.txt.gz: "], id="alone"
    ),
    pytest.param("/docs", {}, 301, ["mount /", "redirect to ./docs/"], id="a directory"),
    pytest.param("/a/./b", {}, 308, ["mount /", "redirect to /a/b"], id="a dot segment"),
    pytest.param("/%00", {}, 400, ["mount /", "refused GET /%00 "], id="malformed"),
    pytest.param(
        "/nope", {}, 404, ["mount /", "file nope: there is no ", "fallback 404.html"], id="missing"
    ),
    pytest.param(
        "/.hidden", {}, 404, ["mount /", "hidden the name ", "fallback 404.html"], id="hidden"
    ),
    pytest.param("/page", {}, 200, ["mount /", "page page.html (setting clean_urls)"], id="clean"),
    pytest.param(
        "/page.html", {}, 301, ["mount /", "file page.html", "redirect to ./page, "], id="its file"
    ),
    pytest.param(
        "/docs/", {"If-None-Match": "*"}, 304,
        ["mount /", "index docs/index.html", "condition the client's copy"], id="304",
    ),
    pytest.param(
        "/docs/", {"Range": "bytes=1-2"}, 206,
        ["mount /", "index docs/index.html", "range bytes=1-2 is sent"], id="206",
    ),
    pytest.param(
        "/docs/", {"Range": "bytes=9-"}, 416,
        ["mount /", "index docs/index.html", "range bytes=9- is not in"], id="416",
    ),
    pytest.param(
        "/app/app.js", {}, 200,
        [
            "mount /app", "file app.js", 'rule preset secure-headers "**" sets 5 fields',
            'rule rules[0] "/app/**" sets Cache-Control',
            'rule rules[1] "*.js" sets X-A; removes Referrer-Policy; media type a/b',
        ],
        id="rules",
    ),
    pytest.param("/app/app.js", {"If-Match": '"x"'}, 412, [
            "mount /app", "file app.js", 'rule preset secure-headers "**" sets 5 fields',
            'rule rules[0] "/app/**" sets Cache-Control', "condition If-Match ",
        ], id="our own page",
    ),
    pytest.param(
        "/app/./app.js", {}, 308,
        [
            "mount /app", "redirect to /app/app.js",
            'rule preset secure-headers "**" sets 5 fields',
            'rule rules[0] "/app/**" sets Cache-Control',
        ],
        id="rules of a redirect",
    ),
    pytest.param(
        "/app/nope", {}, 404,
        [
            "mount /app", "file nope: there is no ", "next ", "mount /",
            "file app/nope: there is no ", "fallback ",
        ],
        id="the next root",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "fields", "status", "steps"), STEPS)
async def test_the_steps_lead_to_the_answer_of_a_client(
    site: Path, target: str, fields: dict[str, str], status: int, steps: list[str]
) -> None:
    explained, served = [await asyncio.to_thread(create_app, mounts(site)) for _ in range(2)]
    told = await explain(explained, "GET", target, list(fields.items()))
    got = [f"{step.kind} {step.text}" for step in told.steps]
    assert len(got) == len(steps), got
    assert [
        text for text, begin in zip(got, steps, strict=True) if not text.startswith(begin)
    ] == []
    reply = await ask(served, target, fields)
    assert told.status == reply.status == status
    assert {name: value for name, value, _ in told.fields} == reply.headers
    assert told.length == len(reply.body)


async def test_a_field_of_our_own_page_names_its_rule(site: Path) -> None:
    app = await asyncio.to_thread(create_app, mounts(site))
    told = await explain(app, "GET", "/app/./app.js")
    origins = {each.origin for each in told.fields if each.name == "referrer-policy"}
    assert origins == {"preset secure-headers"}


async def test_each_field_of_a_rule_names_it(site: Path) -> None:
    app = await asyncio.to_thread(create_app, mounts(site))
    told = await explain(app, "GET", "/app/app.js")
    origins = {name: origin for name, _, origin in told.fields if origin}
    assert origins == {
        "cache-control": "rules[0]",
        "x-a": "rules[1]",
        "content-type": "rules[1]",
        "strict-transport-security": "preset secure-headers",
        "content-security-policy": "preset secure-headers",
        "permissions-policy": "preset secure-headers",
        "cross-origin-opener-policy": "preset secure-headers",
    }


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, "setting cache_control"),
        ({"spa": "app-DiwrgTda.js"}, "setting spa"),
        ({"immutable": "*-DiwrgTda.js"}, "setting immutable"),
        ({"manifest": "m.json"}, "setting manifest"),
    ],
)
async def test_cache_control_names_the_setting(
    site: Path, settings: dict[str, Any], origin: str
) -> None:
    (site / "app" / "app-DiwrgTda.js").write_bytes(b"let a")
    (site / "app" / "m.json").write_text('{"app.js": {"file": "app-DiwrgTda.js"}}')
    app = await asyncio.to_thread(create_app, site / "app", **settings)
    told = await explain(app, "GET", "/app-DiwrgTda.js")
    assert [each.origin for each in told.fields if each.name == "cache-control"] == [origin]


async def test_a_path_outside_of_all_roots_is_told(site: Path) -> None:
    app = await asyncio.to_thread(create_app, {"/app": Settings(site / "app")})
    told = await explain(app, "GET", "/nope")
    assert told.status == 404
    assert told.steps == [("site", "no root of the site is at this path")]


async def test_an_app_behind_the_roots_is_named(site: Path) -> None:
    app = await asyncio.to_thread(create_app, {"/app": Settings(site / "app")})
    app.add_url_rule("/view", "view", lambda: "hello")
    for target in ("/view", "/app/nope"):
        told = await explain(app, "GET", target)
        assert told.steps[-1] == ("app", "the app behind the static roots answers")


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("/static/docs/", ["/static is served", "docs/index.html"]),
        ("/static/nope", ["/static is served", "nope: there is no such file"]),
        ("/nope", ["the app behind"]),
    ],
)
async def test_a_root_that_a_framework_mounts_is_told(
    site: Path, target: str, steps: list[str]
) -> None:
    static = await asyncio.to_thread(StaticFiles, site / "site")
    told = await explain(Starlette(routes=[Mount("/static", static)]), "GET", target)
    assert [step.text for step in told.steps if not step.text.startswith(tuple(steps))] == []
    assert len(told.steps) >= len(steps)


async def test_a_root_that_a_view_asks_is_not_told_as_a_mount(site: Path) -> None:
    async def view() -> Response:
        return await send_from_directory(site / "app", "app.js")

    app = await asyncio.to_thread(create_app, {"/site": Settings(site / "site")})
    app.add_url_rule("/view", "view", view)
    told = await explain(app, "GET", "/view")
    assert told.status == 200
    assert told.steps == [("app", "the app behind the static roots answers")]


async def test_an_app_that_reads_the_content_of_a_request_gets_its_end(site: Path) -> None:
    async def echo() -> bytes:
        await request.get_data()
        return b"read"

    app = await asyncio.to_thread(create_app, {"/app": Settings(site / "app")})
    app.add_url_rule("/view", "view", echo, methods=["POST"])
    async with asyncio.timeout(5):
        told = await explain(app, "POST", "/view")
    assert (told.status, told.length) == (200, len(b"read"))


# -- the command -----------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["explain", *arguments])
    return done.exit_code, done.output


def test_the_command_prints_what_people_read(site: Path) -> None:
    rules = '--set=rules=[{"match": "/docs/**", "headers": {"X-A": "1"}}]'
    code, output = run("/docs/", str(site / "site"), rules, "-H", "Range: bytes=0-1")
    assert code == 0
    lines = output.splitlines()
    assert lines[:8] == [
        "GET /docs/",
        "Range: bytes=0-1",
        "",
        f"  mount  / is served from {site / 'site'}",
        "  index  docs/index.html",
        '  rule   rules[0] "/docs/**" sets X-A',
        "  range  bytes=0-1 is sent",
        "",
    ]
    assert lines[8] == "206 Partial Content"
    assert any(line.startswith("  x-a: 1 ") and line.endswith(" <- rules[0]") for line in lines)


def test_the_command_prints_json(site: Path) -> None:
    code, output = run("/nope", str(site / "site"), "--json", "-X", "HEAD")
    assert code == 0
    told = json.loads(output)
    assert (told["method"], told["target"], told["status"]) == ("HEAD", "/nope", 404)
    assert told["steps"][0] == {"kind": "mount", "text": f"/ is served from {site / 'site'}"}
    assert told["fields"][0].keys() == {"name", "value", "origin"}


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com/docs/?x=1", "/docs/?x=1"),
        ("https://example.com?x=1", "/?x=1"),
        ("/docs/?u=http://example.com/b", "/docs/?u=http://example.com/b"),
        ("http://example.com/docs/#top", "/docs/"),
    ],
)
def test_a_whole_url_counts_by_its_path(site: Path, url: str, target: str) -> None:
    assert run(url, str(site / "site"))[1].startswith(f"GET {target}\n")


def test_fields_are_sent_as_curl_sends_them(site: Path) -> None:
    """A repeated one twice, and text beyond ASCII as UTF-8."""
    arguments = ("/deep", str(site / "site"), "--set=spa=1", "-H", "X: \u20ac")
    assert "\n200 OK\n" in run(*arguments, "-H", "Accept: text/html")[1]
    twice = ("-H", "Sec-Fetch-Dest: script", "-H", "Sec-Fetch-Dest: document")
    assert "\n404 Not Found\n" in run(*arguments, *twice)[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["docs/"], "docs/: a path is needed, percent-encoded"),
        (["/a b"], "/a b: a path is needed, percent-encoded"),
        (["/", "-H", "Range"], "--header Range: say NAME: VALUE"),
        (["/", "--set", "preset=nothing"], "preset='nothing': known are "),
    ],
)
def test_what_cannot_be_asked_is_one_line(site: Path, arguments: list[str], says: str) -> None:
    url, *options = arguments
    code, output = run(url, str(site / "site"), *options)
    assert code == 2
    assert says in output
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "roots"), [("/app.js", ["app"]), ("/docs/", ["site"]), ("/nope", ["app", "site"])]
)
async def test_the_root_of_an_overlay_that_has_the_file_is_told(
    site: Path, target: str, roots: list[str]
) -> None:
    app = await asyncio.to_thread(create_app, {"/": Settings([site / "app", site / "site"])})
    told = await explain(app, "GET", target)
    assert told.steps[0].text == f"/ is served from {', '.join(str(site / at) for at in roots)}"


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("OPTIONS", 204)])
async def test_a_method_is_told(site: Path, method: str, status: int) -> None:
    app = await asyncio.to_thread(create_app, {"": Settings(site / "site")}, exclusive=True)
    told = await explain(app, method, "/page.html")
    assert told.status == status
    assert told.steps[-1] == ("method", f"{method} gets the same answer for every name")


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/"), ("GET", "/.hidden"), ("POST", "/"), ("GET", "/%00")]
)
async def test_a_refused_client_is_told(site: Path, method: str, target: str) -> None:
    settings = Settings(site / "site", deny_from="127.0.0.0/8")
    app = await asyncio.to_thread(create_app, {"": settings})
    told = await explain(app, method, target)
    assert told.status == 403
    assert told.steps[-1] == (
        "access",
        "this client is refused, or this process may not read the file",
    )


@pytest.mark.parametrize("target", ["/", "/.hidden", "/missing", "/%00", "/docs"])
@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"deny_from": "127.0.0.1"}, 403, "this client is refused, "),
        ({"deny_from": "127.0.0.1", "hide_forbidden": True}, 404, "this client is refused "),
        ({"users": {"bob": "$2y$04$V9bU4PlCmJBIQEDOYuyKF.0cG7vsyvh3MMCJQ3iFRNNF1eyBNyHRi"}}, 401, "a user "),
    ],
)  # fmt: skip
async def test_a_refusal_is_not_told_as_that_of_a_name(
    site: Path, settings: dict[str, Any], status: int, says: str, target: str
) -> None:
    app = await asyncio.to_thread(create_app, {"": Settings(site / "site", **settings)})
    told = await explain(app, "GET", target)
    assert told.status == status
    assert [step.kind for step in told.steps] == ["mount", "access"]
    assert told.steps[1].text.startswith(says)


async def test_a_listing_is_told(site: Path) -> None:
    (site / "site" / "empty").mkdir()
    settings = Settings(site / "site", listing=True, preset="downloads")
    app = await asyncio.to_thread(create_app, {"": settings})
    told = await explain(app, "GET", "/empty/", [("Accept-Encoding", "gzip")])
    assert told.status == 200
    assert told.steps[1] == ("listing", "empty has no index (setting listing)")
    assert [step.kind for step in told.steps] == ["mount", "listing", "rule", "rule"]


# -- whatever is asked -----------------------------------------------------------------------

_NAMES = ("app", "inner", "docs", "page", "page.html", "index", "index.html", "lone.txt", "old")
_TARGETS = st.lists(
    st.sampled_from((*_NAMES, "app.js", "a%20b", ".hidden", "%2F", "%00", "..", ".", "", "x")),
    max_size=3,
).map(lambda names: "/" + "/".join(names))
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(["text/html", "*/*", "text/html;q=0.1, text/plain"]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0"]),
        "Sec-Fetch-Dest": st.sampled_from(["document", "script"]),
        "Range": st.sampled_from(["bytes=0-1", "bytes=99999-"]),
        "If-None-Match": st.just("*"),
        "If-Match": st.just('"x"'),
        "Origin": st.just("https://o.example"),
    },
)


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Roots in roots, with a shell, a listing, clean URLs, redirects and presets."""
    place = write_site(tmp_path_factory.mktemp("whole"), {**FILES, "app/index.html": PAGE})
    others: dict[str, Any] = {"rules": RULES, "preset": "secure-headers"}
    leads = [Redirect("/old/*", "/new/:splat", 308)]
    return {
        "": Settings(place / "site", at="", clean_urls=True, not_found="404.html", redirects=leads),
        "/app": Settings(place / "app", at="/app", spa=True, **others),
        "/app/inner": Settings(place / "site", at="/app/inner", listing=True, cors="*", **others),
    }


@given(st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]), _TARGETS, _FIELDS)
def test_what_is_told_is_what_is_served(
    whole_site: dict[str, Settings], method: str, target: str, fields: dict[str, str]
) -> None:
    explained, served = (create_app(whole_site, exclusive=True) for _ in range(2))

    async def compare() -> None:
        told = await explain(explained, method, target, list(fields.items()))
        reply = await ask(served, target, fields, method=method)
        ours = {name: value for name, value, _ in told.fields}
        assert (told.status, ours) == (reply.status, reply.headers)
        assert told.length == len(reply.body)
        assert told.steps

    asyncio.run(compare())
    for mount in (*find_mounts(explained), *find_mounts(served)):
        mount.static.close()
