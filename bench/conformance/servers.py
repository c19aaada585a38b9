"""The servers under examination: how each is started on a document root and a loopback port."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from bench import native
from bench.commands import asyncstatic_serve, granian, gunicorn, hypercorn, module, uvicorn
from bench.native import Stage
from bench.servers import StartError as NotStarted
from bench.servers import free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.native import Command

__all__ = ["SERVERS", "NotStarted", "Place", "Server", "free_port", "running"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its document root, a directory for its own files, and its port."""

    root: Path
    scratch: Path
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """One column of the table.

    `http2` is the command that makes it speak HTTP/2 in the clear, where it can.
    """

    name: str
    about: str
    command: Callable[[Stage], Command]
    versions: tuple[str, ...] = ()
    program: str | None = None
    http2: Callable[[Stage], Command] | None = None
    asks_version: str = "-v"
    ours: bool = False

    def absent(self) -> str | None:
        """Say what is missing to run this server, None when nothing is."""
        if self.program and not shutil.which(self.program):
            return f"{self.program} is not installed"
        for package in self.versions:
            try:
                version(package)
            except PackageNotFoundError:
                return f"{package} is not installed"
        return None

    def version(self) -> str:
        """Name and version of everything the server consists of."""
        if self.program:
            return _program_version(self.program, self.asks_version)
        if not self.versions:
            return f"Python {sys.version.split()[0]}"
        return ", ".join(f"{package} {version(package)}" for package in self.versions)


def _program_version(program: str, option: str) -> str:
    said = subprocess.run([program, option], capture_output=True, text=True, check=False, timeout=9)
    number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return f"{program} {number[0] if number else 'of unknown version'}"


@contextmanager
def running(server: Server, place: Place, *, http2: bool = False) -> Iterator[None]:
    """Run a server until the block ends.

    Raises:
        NotStarted: it ended, or did not listen in time.

    """
    command = server.http2 if http2 else server.command
    assert command is not None
    with listening(command, Stage(place.root, place.port, place.scratch)):
        yield


# -- the servers, with everything on that these requirements are about ------------------------

_APPS = "bench.conformance.apps"
_NGINX = "gzip_static on; gzip_vary on;"
_caddy = native.caddy(
    "file_server {\n    precompressed zstd br gzip\n  }",
    "servers {\n    protocols h1 h2c\n  }",
)
_lighttpd = native.lighttpd(
    '"mod_indexfile", "mod_staticfile"',
    'index-file.names = ("index.html")\ninclude_shell "/usr/share/lighttpd/create-mime.conf.pl"',
)
_granian = granian(
    f"{_APPS}:nothing",
    *("--static-path-route", "", "--static-path-dir-to-file", "index.html"),
    mount=True,
)
_quart = hypercorn(f"{_APPS}:quart_app()")
_ours, _ours_on_hypercorn = asyncstatic_serve(), hypercorn("asyncstatic:app")

SERVERS = (
    Server(
        "asyncstatic",
        "asyncstatic serve DIR",
        _ours,
        ("asyncstatic",),
        http2=_ours,
        ours=True,
    ),
    Server(
        "asyncstatic-asgi",
        "hypercorn asyncstatic:app",
        _ours_on_hypercorn,
        ("asyncstatic", "hypercorn"),
        http2=_ours_on_hypercorn,
        ours=True,
    ),
    Server(
        "nginx",
        "gzip_static on",
        native.nginx(_NGINX),
        program="nginx",
        http2=native.nginx(_NGINX, " http2"),
    ),
    Server(
        "caddy",
        "file_server, precompressed zstd br gzip",
        _caddy,
        program="caddy",
        http2=_caddy,
        asks_version="version",
    ),
    Server("lighttpd", "mod_staticfile", _lighttpd, program="lighttpd", http2=_lighttpd),
    Server(
        "starlette",
        "StaticFiles(html=True) on Uvicorn",
        uvicorn(f"{_APPS}:starlette_app", "--factory"),
        ("starlette", "uvicorn"),
    ),
    Server("aiohttp", "add_static", module("bench.apps.aiohttp_app", "{port}"), ("aiohttp",)),
    Server(
        "whitenoise",
        "on Gunicorn, gthread",
        gunicorn(f"{_APPS}:whitenoise_app()"),
        ("whitenoise", "gunicorn"),
    ),
    Server(
        "servestatic",
        "ServeStaticASGI on Uvicorn",
        uvicorn(f"{_APPS}:servestatic_app", "--factory"),
        ("servestatic", "uvicorn"),
    ),
    Server("quart", "static route on Hypercorn", _quart, ("quart", "hypercorn"), http2=_quart),
    Server(
        "flask",
        "send_from_directory on Gunicorn, gthread",
        gunicorn("bench.apps.flask_app:app"),
        ("flask", "werkzeug", "gunicorn"),
    ),
    Server("granian", "static mount", _granian, ("granian",), http2=_granian),
    Server(
        "http.server",
        "python -m http.server",
        module("http.server", "{port}", "--bind", "127.0.0.1", "--directory", "{root}"),
    ),
)
