"""The snippets of docs/comparison.md: ours, nginx's and Caddy's, started and asked the same.

Where the servers differ, a row says what each answers, and why by a sentence of the page.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.support.programs import require
from tests.support.raw import HOST, Answer
from tests.support.servers import Server, environment, free_port, wait_until_it_answers
from tests.support.site import write_site

PAGE = (Path(__file__).parents[1] / "docs" / "comparison.md").read_text("utf-8")
SECTIONS = {
    title: text
    for title, text in re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if "```" in text
}
SCRIPT = b"console.log(1);\n" * 100
STALE = gzip.compress(b"console.log(0);\n" * 90, mtime=0)
FILES = {
    "site/index.html": b"<!doctype html><title>Home</title>",
    "site/about.html": b"<!doctype html><title>About</title>",
    "site/404.html": b"<!doctype html><title>Not found</title>",
    "site/docs/index.html": b"<!doctype html><title>Docs</title>",
    "site/new/a.html": b"<!doctype html><title>New</title>",
    "site/assets/app-3f9c2a1b.js": SCRIPT,
    "site/app.js": SCRIPT,
    "site/app.js.br": brotli.compress(SCRIPT),
    "site/app.js.gz": gzip.compress(SCRIPT, mtime=0),
    "site/app.js.zst": zstandard.compress(SCRIPT),
    "site/stale.js": SCRIPT,
    "site/stale.js.gz": STALE,
    "site/.env": b"SECRET=1",
    "site/.well-known/security.txt": b"Contact: mailto:a@example.org\n",
    "site/notes.bak": b"old notes",
    "media/clip.txt": b"a clip",
    "media/more/b.txt": b"b",
    "media/.hidden": b"hidden",
}
HOME, ABOUT, MISSING = (FILES[f"site/{name}.html"] for name in ("index", "about", "404"))

NGINX = """
daemon off; master_process off; worker_processes 1; pid pid; error_log error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; include {types}; default_type application/octet-stream;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen {host}:{port};
{snippet}
  }}
}}
"""
CADDY = """
{{
    admin off
    auto_https off
}}
:{port} {{
bind {host}
{snippet}
}}
"""

# -- the requests ----------------------------------------------------------------------------------

Expected = Mapping[str, Any]  # "status", "content", "lists", "leads to", or a field's name


class Row(NamedTuple):
    """One request, and the answers to it; nginx's and Caddy's are ours unless said."""

    target: str
    expected: Expected
    lines: tuple[str, ...] = ()
    nginx: Expected | None = None
    caddy: Expected | None = None
    why: str = ""

    def of(self, server: str) -> Expected:
        return {"nginx": self.nginx, "Caddy": self.caddy}.get(server) or self.expected


def found(content: bytes, **fields: Any) -> Expected:
    return {"status": 200, "content": content, **fields}


def leads(target: str) -> Expected:
    return {"status": 301, "leads to": target}


NONE: Expected = {"status": 404}
NAVIGATION = ("Sec-Fetch-Dest: document", "Accept: text/html,*/*;q=0.8")
FROM_SCRIPT = ("Sec-Fetch-Dest: empty", "Accept: */*")
NO_CACHE, LONG = "no-cache", "public, max-age=31536000, immutable"
ANNA = ("Authorization: Basic YW5uYTpzZWNyZXQ=",)
WRONG = ("Authorization: Basic YW5uYTp3cm9uZw==",)
SHELL_FOR_SCRIPT = "a missing script elsewhere gets the shell and 200 from nginx and Caddy"
NEEDS: dict[str, tuple[Row, ...]] = {
    "Two folders, one with a listing": (
        Row("/", found(HOME)),
        Row("/media/clip.txt", found(b"a clip")),
        Row(
            "/media/",
            {"status": 200, "lists": {"clip.txt", "more/"}},
            caddy={"status": 200, "lists": {"clip.txt", "more/", ".hidden"}},
            why="Caddy lists them as well",
        ),
        Row("/media/more/", {"status": 200, "lists": {"b.txt"}}),
        Row(
            "/media/.hidden",
            NONE,
            nginx=found(b"hidden"),
            caddy=found(b"hidden"),
            why="nginx and Caddy serve hidden files",
        ),
        Row("/media/index.html", NONE),
        Row(
            "/new/",
            NONE,
            nginx={"status": 403},
            why="nginx answers 403 for a folder without an index and a listing",
        ),
        Row("/media", leads("/media/")),
    ),
    "A single-page app": (
        Row("/", found(HOME, **{"cache-control": NO_CACHE}), NAVIGATION),
        Row("/users/7", found(HOME, **{"cache-control": NO_CACHE}), NAVIGATION),
        Row("/users/7?tab=1", found(HOME), NAVIGATION),
        Row("/assets/app-3f9c2a1b.js", found(SCRIPT)),
        Row("/assets/gone-11111111.js", NONE),
        Row("/gone.js", NONE, nginx=found(HOME), caddy=found(HOME), why=SHELL_FOR_SCRIPT),
        Row(
            "/api/users",
            NONE,
            FROM_SCRIPT,
            nginx=found(HOME),
            caddy=found(HOME),
            why="`fetch()` of a missing name is 404",
        ),
        Row(
            "/users/7",
            NONE,
            ("Accept: */*",),
            nginx=found(HOME),
            caddy=found(HOME),
            why="curl, and a crawler that names no type, get 404 from us",
        ),
    ),
    "Clean URLs": (
        Row("/about", found(ABOUT)),
        Row(
            "/about.html",
            leads("/about"),
            caddy={"status": 301, "location": "/about?"},
            why="Caddy 2.6 leaves a `?` at the end",
        ),
        Row("/about.html?a=1", leads("/about?a=1")),
        Row("/docs/", found(FILES["site/docs/index.html"])),
        Row("/about/", leads("/about"), nginx=NONE, caddy=NONE, why="404 from nginx and Caddy"),
        Row(
            "/docs/index.html",
            leads("/docs/"),
            nginx=leads("/docs/index"),
            caddy=leads("/docs/index"),
            why="They redirect `/docs/index.html` to `/docs/index`",
        ),
        Row("/missing", NONE),
    ),
    "A page for 404": (
        Row("/missing", {"status": 404, "content": MISSING}),
        Row("/new/missing.js", {"status": 404, "content": MISSING}),
        Row(
            "/missing",
            {"status": 404, "content": MISSING},
            ("Range: bytes=0-3",),
            caddy={"status": 404, "content": MISSING[:4]},
            why="Caddy sends a part of the page if the request has a Range",
        ),
        Row("/", found(HOME)),
    ),
    "Long caching for hashed assets": (
        Row("/assets/app-3f9c2a1b.js", found(SCRIPT, **{"cache-control": LONG})),
        Row("/", found(HOME, **{"cache-control": NO_CACHE})),
        Row(
            "/assets/gone.js",
            {"status": 404, "cache-control": "no-store"},
            nginx={"status": 404, "cache-control": None},
            caddy={"status": 404, "cache-control": LONG},
            why="A missing asset is `no-store` here, has no Cache-Control from nginx, and is "
            "`immutable` for a year from Caddy",
        ),
    ),
    "A security header on every answer": (
        Row("/", found(HOME, **{"x-frame-options": "DENY"})),
        Row("/app.js", found(SCRIPT, **{"x-frame-options": "DENY"})),
        Row("/missing", {"status": 404, "x-frame-options": "DENY"}),
        Row("/docs", {"x-frame-options": "DENY"}),  # a redirect
    ),
    "A redirect of a whole folder": (
        Row(
            "/old/a.html",
            {**leads("/new/a.html"), "cache-control": "no-store"},
            nginx={**leads("/new/a.html"), "cache-control": None},
            caddy={**leads("/new/a.html"), "cache-control": None},
            why="Ours are `no-store`",
        ),
        Row("/old/b/c?x=1&y=2", leads("/new/b/c?x=1&y=2")),
        Row("/old/a%20b", leads("/new/a%20b")),
        Row("/old/", leads("/new/")),
        Row("/old", leads("/new/"), caddy=NONE, why="Caddy does not redirect `/old` itself"),
        Row("/older", NONE),
    ),
    "Files compressed beforehand": (
        Row(
            "/app.js",
            found(SCRIPT, **{"content-encoding": None, "vary": "Accept-Encoding"}),
            caddy=found(SCRIPT, **{"content-encoding": None, "vary": None}),
            why="Caddy 2.6 leaves Vary out where it sends the file uncompressed",
        ),
        Row(
            "/app.js",
            {"content-encoding": "gzip", "vary": "Accept-Encoding"},
            ("Accept-Encoding: gzip",),
        ),
        Row(
            "/app.js",
            {"content-encoding": "br"},
            ("Accept-Encoding: gzip, br",),
            nginx={"content-encoding": "gzip"},
            why="nginx knows gzip only",
        ),
        Row(
            "/app.js",
            {"content-encoding": "zstd"},
            ("Accept-Encoding: zstd",),
            nginx={"content-encoding": None},
            why="nginx knows gzip only",
        ),
        Row("/app.js", {"content-encoding": None}, ("Accept-Encoding: gzip;q=0",)),
        Row(
            "/stale.js",
            found(SCRIPT, **{"content-encoding": None}),
            ("Accept-Encoding: gzip",),
            nginx=found(STALE, **{"content-encoding": "gzip"}),
            caddy=found(STALE, **{"content-encoding": "gzip"}),
            why="nginx and Caddy send the old script",
        ),
    ),
    "Hidden files and backups": (
        Row("/.env", NONE),
        Row("/%2eenv", NONE),
        Row(
            "/.well-known/../.env",
            {"status": 400},
            nginx=NONE,
            caddy=NONE,
            why="A path with `..` is 400 here",
        ),
        Row("/notes.bak", NONE),
        Row("/.well-known/security.txt", found(FILES["site/.well-known/security.txt"])),
        Row("/", found(HOME)),
    ),
    "A password": (
        Row("/", {"status": 401}),
        Row("/missing", {"status": 401}),
        Row("/", {"status": 401}, WRONG),
        Row(
            "/",
            found(HOME, **{"cache-control": "private, no-cache"}),
            ANNA,
            nginx=found(HOME, **{"cache-control": None}),
            caddy=found(HOME, **{"cache-control": None}),
            why="Our answers become `private`",
        ),
    ),
}
ROWS = [
    pytest.param(need, row, id=f"{need}: {row.target} {' '.join(row.lines)}".strip())
    for need, rows in NEEDS.items()
    for row in rows
]

# -- the servers -----------------------------------------------------------------------------------


def snippet(need: str, server: str) -> str:
    """The snippet of a server on the page."""
    match = re.search(rf"^{server}:\n\n```\w+\n(.+?)^```", SECTIONS[need], re.MULTILINE | re.DOTALL)
    assert match, (need, server)
    return match[1]


def filled(template: str, need: str, server: str, port: int) -> str:
    types = "/etc/nginx/mime.types"
    return template.format(host=HOST, port=port, types=types, snippet=snippet(need, server))


def command_of(server: str, need: str, place: Path, port: int) -> list[str]:
    """Write the configuration of a server, and return its command."""
    if server == "nginx":
        program = require("nginx", apt="nginx-light")
        (place / "nginx.conf").write_text(filled(NGINX, need, server, port))
        return [program, "-p", str(place), "-e", "error.log", "-c", "nginx.conf"]
    if server == "Caddy":
        program = require("caddy", apt="caddy")
        (place / "Caddyfile").write_text(filled(CADDY, need, server, port))
        return [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    (place / "asyncstatic.toml").write_text(snippet(need, "asyncstatic"))
    return [sys.executable, "-m", "asyncstatic", "serve", "--bind", f"{HOST}:{port}"]


@contextmanager
def started(server: str, need: str, place: Path) -> Iterator[Server]:
    """Run one server with its snippet of a need."""
    port, log = free_port(), place / f"{server}.log"
    command = command_of(server, need, place, port)
    variables = environment(XDG_DATA_HOME=str(place / "data"), XDG_CONFIG_HOME=str(place / "c"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Server(process, port, log)
    try:
        wait_until_it_answers(running)
        yield running
    finally:
        running.stop()


SERVERS = ("asyncstatic", "nginx", "Caddy")


@pytest.fixture(scope="module")
def servers_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], dict[str, Server]]]:
    """Start the three servers with their snippets of a need, and end those of the one before."""
    now: dict[str, dict[str, Server]] = {}
    with ExitStack() as stack:

        def of(need: str) -> dict[str, Server]:
            if need not in now:
                stack.close()
                now.clear()
                place = place_of_a_site(tmp_path_factory)
                now[need] = {
                    server: stack.enter_context(started(server, need, place)) for server in SERVERS
                }
            return now[need]

        yield of


def place_of_a_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the two folders, and the file of users."""
    place = write_site(tmp_path_factory.mktemp("need"), FILES)
    place.chmod(0o755)
    user = snippet("A password", "static-web-server").split('"')[3]
    (place / "users.htpasswd").write_text(f"{user}\n")
    return place


def seen(answer: Answer, target: str, keys: Expected) -> Expected:
    """The same keys, as they are in an answer."""
    values: dict[str, Any] = {}
    for key in keys:
        match key:
            case "status":
                values[key] = answer.status
            case "content":
                values[key] = answer.content
            case "lists":
                hrefs = re.findall(rb'href="(?:\./)?(\.?\w[\w.-]*/?)"', answer.content)
                values[key] = {href.decode() for href in hrefs}
            case "leads to":
                url = urlsplit(urljoin(target, answer.field("location") or ""))
                values[key] = url.path + (f"?{url.query}" if url.query else "")
            case _:
                values[key] = answer.field(key)
    return values


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("need", "row"), ROWS)
def test_the_servers_answer_as_the_page_says(
    need: str, row: Row, server: str, servers_of: Callable[[str], dict[str, Server]]
) -> None:
    answer = servers_of(need)[server].fetch(row.target, *row.lines)
    expected = row.of(server)
    assert seen(answer, row.target, expected) == expected


# -- the page --------------------------------------------------------------------------------------


def test_the_page_has_ten_needs_with_a_snippet_for_each_server() -> None:
    assert list(SECTIONS) == list(NEEDS)
    assert len(NEEDS) == 10
    for need in NEEDS:
        for server in (*SERVERS, "static-web-server"):
            assert snippet(need, server)


@pytest.mark.parametrize(("need", "row"), ROWS)
def test_a_difference_is_named_on_the_page(need: str, row: Row) -> None:
    differs = row.nginx is not None or row.caddy is not None
    assert bool(row.why) == differs
    assert row.why in " ".join(SECTIONS[need].split())
