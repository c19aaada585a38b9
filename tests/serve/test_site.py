"""Sites in real processes: several mounts, `asyncstatic.toml`, its precedence and its reload."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import pytest
from quart import Quart

from asyncstatic import AsyncStatic, Settings, SettingsError, StaticFiles, create_app
from asyncstatic.serve.middleware import StaticMiddleware
from asyncstatic.serve.process.sandbox import version as landlock_version
from tests.asgi import ask
from tests.serve.inside import eventually
from tests.support.raw import HOST
from tests.support.servers import Server, running
from tests.support.site import write_site
from tests.support.strict_clients import StrictClients

pytestmark = pytest.mark.grid

FILES = {
    "site/index.html": b"site",
    "site/a.txt": b"a of site",
    "dist/index.html": b"dist",
    "theme/t.txt": b"t of theme",
    "base/t.txt": b"t of base",
    "base/b.txt": b"b of base",
}
TOML = """
cache_control = "max-age=1"

[mounts]
"/" = "site"
"/app" = { root = "dist", cache_control = "max-age=2" }
"/t" = ["theme", "base"]
"""
_SERVE = ("-m", "asyncstatic", "serve")
_BIND = ("--bind", f"{HOST}:{{port}}")
#: Every server that reads the file.
SERVERS = {
    "serve": (*_SERVE, *_BIND),
    "serve, no direct entry": (*_SERVE, "--no-direct", *_BIND),
    "serve, workers": (*_SERVE, "--workers", "2", *_BIND),
    "hypercorn": ("-m", "hypercorn", *_BIND, "asyncstatic:app"),
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", "asyncstatic:app"),
}
_SLOW = ("serve, no direct entry", "serve, workers", "uvicorn")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW)) for name in SERVERS]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with roots and a configuration file."""
    write_site(tmp_path, FILES)
    (tmp_path / "asyncstatic.toml").write_text(TOML)
    return tmp_path


@contextmanager
def served(place: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    named = {f"ASYNCSTATIC_{name}": value for name, value in variables.items()}
    with running(arguments, named, cwd=str(place)) as server:
        yield server


def content(server: Server, target: str) -> tuple[int, bytes]:
    answer = server.fetch(target)
    return answer.status, answer.content


def age(server: Server, target: str) -> str:
    return dict(server.fetch(target).fields)["cache-control"]


# -- mounts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_server_serves_the_mounts_of_the_file(place: Path, name: str) -> None:
    with served(place, *SERVERS[name]) as server:
        for _ in range(2):  # the second answer is a prepared one
            assert content(server, "/a.txt") == (200, b"a of site")
            assert content(server, "/app/") == (200, b"dist")
            assert content(server, "/t/t.txt") == (200, b"t of theme")
            assert content(server, "/t/b.txt") == (200, b"b of base")
            assert server.fetch("/app/a.txt").status == 404
            assert server.fetch("/app").status == 301
            assert age(server, "/a.txt") == "max-age=1"
            assert age(server, "/app/") == "max-age=2"


@pytest.mark.parametrize("name", NAMES)
def test_only_the_mount_with_the_longest_prefix_answers(place: Path, name: str) -> None:
    write_site(place, {"site/app/only_in_site.txt": b"hidden", "dist/missing.html": b"of dist"})
    text = TOML.replace('root = "dist"', 'root = "dist", not_found = "missing.html"')
    (place / "asyncstatic.toml").write_text(text)
    with served(place, *SERVERS[name]) as server:
        assert content(server, "/app/only_in_site.txt") == (404, b"of dist")
        assert "site/app is not served: the mount /app hides it" in server.log


def test_the_command_line_names_mounts(place: Path) -> None:
    arguments = ("/=site", "/m/=theme,base", "/h=~/dist")
    command = (*_SERVE, *arguments, *_BIND)
    with running(command, {"HOME": str(place)}, cwd=str(place)) as server:
        assert content(server, "/m/b.txt") == (200, b"b of base")
        assert server.fetch("/app/").status == 404  # the mounts of the file are replaced
        assert age(server, "/a.txt") == "max-age=1"  # but its settings hold
        assert f"/={place}/site, /m={place}/theme,{place}/base" in server.log


def test_the_start_line_shows_each_mount_and_the_file(place: Path) -> None:
    with served(place, *_SERVE, *_BIND) as server:
        assert f"/={place}/site, /app={place}/dist" in server.log
        assert "(asyncstatic.toml, resolver" in server.log


@pytest.mark.parametrize("name", NAMES)
def test_redirects_of_the_site_lead_out_of_mounts(place: Path, name: str) -> None:
    rows = {
        "/old/x": "/new/x",
        "/app/a": "/app/b",
        "/app/c?q": "/t/c?q",
        "/t/d": "https://e.example/",
    }
    redirects = [
        '"/old/*", to = "/new/:splat"',
        '"/app/a", to = "/app/b"',
        '"/app/c", to = "/t/c"',
        '"/t/d", to = "https://e.example/"',
    ]
    text = "".join(f"\n[[redirects]]\nfrom = {row}".replace(", to", "\nto") for row in redirects)
    (place / "asyncstatic.toml").write_text(TOML + text)
    with served(place, *SERVERS[name]) as server:
        told = {path: dict(server.fetch(path).fields).get("location") for path in rows}
        assert told == rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("source", "target", "at_point", "at_slash"),
    [
        ("/app", "/t/", "/t/", None),
        ("/app", "/app/", "/app/", None),
        ("/app", "/app/b", "/app/b", None),
        ("/app/", "/app/b", "/app/b", "/app/b"),  # where the slash would lead
        ("/app/*", "/t/:splat", "/t/", "/t/"),
    ],
)
def test_a_redirect_from_a_mount_point_is_not_one_from_its_slash(
    place: Path, name: str, source: str, target: str, at_point: str, at_slash: str | None
) -> None:
    text = f'\n[[redirects]]\nfrom = "{source}"\nto = "{target}"\n'
    (place / "asyncstatic.toml").write_text(TOML + text)
    with served(place, *SERVERS[name]) as server:
        assert server.fetch("/app").field("location") == at_point
        assert server.fetch("/app/").field("location") == at_slash


def test_a_switch_holds_for_all_roots_of_the_line(place: Path) -> None:
    with served(place, *_SERVE, "/=site", "/app=dist", "--spa", *_BIND) as server:
        for path, shell in {"/deep/link": b"site", "/app/deep/link": b"dist"}.items():
            answer = server.fetch(path, "Sec-Fetch-Dest: document", "Accept: text/html")
            assert (answer.status, answer.content) == (200, shell)


ISSUE = """
[mounts]
"/"      = { root = "site", preset = "docs" }
"/app"   = { root = "dist", spa = true }
"/media" = { root = "media", listing = true }
"/lib"   = "vendor.zip"

[[rules]]
match = "/app/assets/**"
headers = { Cache-Control = "public, max-age=31536000, immutable", X-Content-Type-Options = false }

[[redirects]]
from = "/old/*"
to = "/new/:splat"
status = 301
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_site_is_one_file(place: Path, name: str) -> None:
    write_site(place, {"dist/assets/a.js": b"a()", "media/film.txt": b"film"})
    write_site(place, {"site/about.html": b"about"})
    with ZipFile(place / "vendor.zip", "w") as archive:
        archive.writestr("lib.js", "lib()")
    (place / "asyncstatic.toml").write_text(ISSUE)
    with served(place, *SERVERS[name]) as server:
        for _ in range(2):
            assert content(server, "/about") == (200, b"about")  # clean URLs
            asset = server.fetch("/app/assets/a.js")
            assert dict(asset.fields)["cache-control"] == "public, max-age=31536000, immutable"
            assert "x-content-type-options" not in dict(asset.fields)
            deep = server.fetch("/app/deep", "Sec-Fetch-Dest: document", "Accept: text/html")
            assert (deep.status, deep.content) == (200, b"dist")
            assert server.fetch("/app/assets/old.js").status == 404
            assert b"film.txt" in server.fetch("/media/").content
            assert content(server, "/lib/lib.js") == (200, b"lib()")
            assert dict(server.fetch("/old/x?y").fields)["location"] == "/new/x?y"


def test_the_file_is_not_served(place: Path) -> None:
    (place / "asyncstatic.toml").write_text('root = "."')
    with served(place, *_SERVE, *_BIND) as server:
        assert server.fetch("/asyncstatic.toml").status == 404
        assert server.fetch("/site/a.txt").status == 200


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_sandbox_holds_each_root_of_an_overlay(place: Path) -> None:
    with served(place, *_SERVE, "--sandbox", *_BIND) as server:
        assert content(server, "/t/b.txt") == (200, b"b of base")
        assert content(server, "/app/") == (200, b"dist")


MAPPING: dict[str, Any] = {
    "/app": {"root": "dist", "cache_control": "max-age=2"},
    "/t": ["theme", "base"],
    "/s": Settings("site"),
}


def _quart(mounts: Mapping[str, Any]) -> Quart:
    app = Quart("app", root_path=os.getcwd(), static_folder=None)
    AsyncStatic(app, mounts)
    return app


@pytest.mark.parametrize(
    "make",
    [create_app, _quart, lambda mounts: StaticMiddleware(create_app("site"), mounts)],
    ids=["create_app", "AsyncStatic", "StaticMiddleware"],
)
async def test_apps_take_the_mounts_of_a_file_as_a_mapping(
    place: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    monkeypatch.chdir(place)
    app = await asyncio.to_thread(make, MAPPING)
    reply = await ask(app, "/app/index.html")
    assert (reply.body, reply.headers["cache-control"]) == (b"dist", "max-age=2")
    assert (await ask(app, "/t/t.txt")).body == b"t of theme"
    assert (await ask(app, "/t/b.txt")).body == b"b of base"
    assert (await ask(app, "/s/a.txt")).body == b"a of site"


async def test_several_roots_of_static_files_are_an_overlay(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    app = await asyncio.to_thread(StaticFiles, ["theme", "base"])
    assert (await ask(app, "/t.txt")).body == b"t of theme"
    assert (await ask(app, "/b.txt")).body == b"b of base"
    with pytest.raises(SettingsError, match="root bsae: does not exist"):
        await asyncio.to_thread(StaticFiles, ["theme", "bsae"])


def test_two_spellings_of_a_prefix_are_refused() -> None:
    with pytest.raises(SettingsError, match="'/a' and '/a/' are one prefix: leave one out"):
        create_app({"/a": ".", "/a/": "."})


# -- which value counts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ((), {}, "max-age=1"),
        ((), {"CACHE_CONTROL": "max-age=3"}, "max-age=3"),
        (("--set", "cache_control=max-age=4"), {"CACHE_CONTROL": "max-age=3"}, "max-age=4"),
    ],
)
def test_a_flag_counts_more_than_a_variable_and_that_more_than_the_file(
    place: Path, arguments: tuple[str, ...], variables: dict[str, str], expected: str
) -> None:
    with served(place, *_SERVE, *arguments, *_BIND, **variables) as server:
        assert age(server, "/a.txt") == expected


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ((), {}, 0),
        ((), {"WORKERS": "2"}, 2),
        (("--workers", "3"), {"WORKERS": "2"}, 3),
    ],
)
def test_an_option_comes_from_a_flag_a_variable_or_the_file(
    place: Path, arguments: tuple[str, ...], variables: dict[str, str], expected: int
) -> None:
    text = f'workers = 1\nbind = ["unix:s"]\naccess_logfile = "log"\n{TOML}'
    (place / "asyncstatic.toml").write_text(text)
    with served(place, *_SERVE, *arguments, *_BIND, **variables) as server:
        server.fetch("/a.txt")
        tasks = Path(f"/proc/{server.pid}/task").iterdir()
        children = [pid for task in tasks for pid in (task / "children").read_text().split()]
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
        assert sum(b"spawn_main" in command for command in commands) == expected
        assert not (place / "s").exists()  # --bind replaces the address of the file
        assert eventually(lambda: "/a.txt" in (place / "log").read_text(), 10)


@pytest.mark.parametrize("how", ["--config", "ASYNCSTATIC_CONFIG"])
def test_the_file_may_be_named(place: Path, how: str) -> None:
    write_site(place, {"etc/x.toml": b'root = "../dist"'})
    flags, variables = (
        (("--config", "etc/x.toml"), {}) if how == "--config" else ((), {"CONFIG": "etc/x.toml"})
    )
    with served(place, *_SERVE, *flags, *_BIND, **variables) as server:
        assert content(server, "/") == (200, b"dist")
    if variables:
        with served(place, *SERVERS["hypercorn"], **variables) as server:
            assert content(server, "/") == (200, b"dist")


def test_another_server_says_which_options_of_the_file_it_does_not_read(place: Path) -> None:
    (place / "asyncstatic.toml").write_text(f'workers = 2\nbind = ":1"\n{TOML}')
    with served(place, *SERVERS["hypercorn"]) as server:
        assert content(server, "/app/") == (200, b"dist")
        (line,) = (line for line in server.log.splitlines() if "ignored here" in line)
        assert "asyncstatic.toml: ignored here" in line
        assert "bind, workers; use the options of this server" in line


def test_a_wrong_file_ends_the_start_of_another_server(place: Path) -> None:
    (place / "asyncstatic.toml").write_text('rot = "site"')
    with served_until_its_end(place, *SERVERS["hypercorn"]) as log:
        assert "Error: asyncstatic.toml:1: rot: unknown key; did you mean root?\n" in log


@contextmanager
def served_until_its_end(place: Path, *arguments: str) -> Iterator[str]:
    with running(arguments, {}, cwd=str(place), answers=False) as server:
        assert eventually(lambda: not server.alive(), 30)
        yield server.log


def test_an_app_gets_the_options_of_the_file_and_a_word_about_its_roots(place: Path) -> None:
    (place / "asyncstatic.toml").write_text(f'access_logfile = "-"\n{TOML}')
    (place / "mine.py").write_text("from asyncstatic import StaticFiles\napp = StaticFiles('dist')")
    with served(place, *_SERVE, "mine:app", *_BIND) as server:
        assert content(server, "/") == (200, b"dist")
        assert "its roots and their settings are not for mine:app" in server.log
        assert eventually(lambda: '"GET / HTTP/1.1" 200' in server.log, 10)


# -- reload ------------------------------------------------------------------------------------


@contextmanager
def ready(place: Path, *arguments: str) -> Iterator[Server]:
    """Serve, and wait until every worker is ready."""
    with (
        TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(f"{directory}/notify")
        sock.settimeout(30)
        variables = {"NOTIFY_SOCKET": f"{directory}/notify"}
        with running([*_SERVE, *arguments, *_BIND], variables, cwd=str(place)) as server:
            assert sock.recv(1000).startswith(b"READY=1")
            yield server


def hang_up(server: Server, text: str, times: int = 1) -> None:
    """Send HUP, and wait until the log has a text so often."""
    os.kill(server.pid, signal.SIGHUP)
    assert eventually(lambda: server.log.count(text) == times, 30), server.log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_hup_reads_the_file_again_and_a_wrong_one_changes_nothing(
    place: Path, workers: str
) -> None:
    file = place / "asyncstatic.toml"
    with (
        ready(place, "--workers", workers) as server,
        StrictClients(server.port, "/a.txt", len(FILES["site/a.txt"])) as clients,
    ):
        clients.more(20)
        file.write_text(TOML.replace("max-age=1", "max-age=9").replace('"/app"', '"/new"'))
        hang_up(server, "] reloaded")
        assert age(server, "/a.txt") == "max-age=9"
        assert content(server, "/new/") == (200, b"dist")
        before = len(server.log.splitlines())
        for number, (text, says) in enumerate(WRONG, start=1):
            file.write_text(text)
            hang_up(server, "not reloaded, the old settings stay: asyncstatic.toml", number)
            assert re.search(says, server.log.splitlines()[-1]), server.log
            assert len(server.log.splitlines()) == before + number  # one line each
        assert content(server, "/new/") == (200, b"dist")
        file.write_text(TOML)
        hang_up(server, "] reloaded", 2)
        assert age(server, "/a.txt") == "max-age=1"
        clients.more(20)
        assert clients.failures == []


def edit(file: Path, text: str) -> None:
    file.write_text(text)


def replace(file: Path, text: str) -> None:
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (edit, ()),
        (replace, ()),
        pytest.param(edit, ("--max-requests", "1000"), marks=pytest.mark.slow),
    ],
)
def test_reload_reads_the_file_again_when_it_changes(
    place: Path, write: Callable[[Path, str], None], options: tuple[str, ...]
) -> None:
    file = place / "asyncstatic.toml"
    with ready(place, "--reload", *options) as server:
        version = content(server, "/.asyncstatic/version")
        write(file, TOML.replace('"/app"', '"/new"'))
        assert eventually(lambda: "] reloaded" in server.log, 30)
        assert content(server, "/new/")[0] == 200
        assert content(server, "/.asyncstatic/version") != version  # so that documents reload
        write(file, "wrong")
        assert eventually(lambda: "not reloaded, the old settings stay: async" in server.log, 30)
        file.unlink()
        write_site(place, {"static/only.txt": b"default root"})
        write(file, 'root = "static"')
        assert eventually(lambda: content(server, "/only.txt") == (200, b"default root"), 30)


WRONG = [
    ("[mounts", r"asyncstatic.toml:1: not TOML"),
    ('rot = "site"\n[mounts]\n"/" = "stie"', r"toml:1: rot: unknown key.* toml:2: |:3: mounts"),
    ('root = "site"\nnot_found = "x.html"', r"toml:2: not_found='x.html': .* has no such page"),
]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs proc(5)")
def test_a_worker_that_dies_is_replaced_with_the_settings_that_are_served(place: Path) -> None:
    with ready(place, "--workers", "2") as server:
        (place / "asyncstatic.toml").write_text("wrong")
        (task, *_) = Path(f"/proc/{server.pid}/task").iterdir()
        for child in (task / "children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
        assert eventually(lambda: server.log.count("it is replaced") == 2, 30)
        assert content(server, "/app/") == (200, b"dist")


def test_an_option_that_only_a_restart_takes_is_named_at_a_reload(place: Path) -> None:
    with ready(place) as server:
        (place / "asyncstatic.toml").write_text(f"\nkeep_alive = 3\n{TOML}")
        hang_up(server, "] reloaded")
        assert "asyncstatic.toml:2: keep_alive: an option of the server; restart it" in server.log
