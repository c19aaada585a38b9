"""The servers under examination: how each is started on a document root and a loopback port."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_SECONDS = 15.0
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its document root, a directory for its own files, and its port."""

    root: Path
    scratch: Path
    port: int

    def config(self, name: str, text: str) -> str:
        """Write a configuration file and give its path."""
        path = self.scratch / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Server:
    """One column of the table."""

    name: str
    about: str
    command: Callable[[Place], list[str]]
    versions: tuple[str, ...] = ()
    program: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    http2: Callable[[Place], list[str]] | None = None
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


class NotStarted(Exception):  # noqa: N818  (reported as a column that could not be measured)
    """The server did not accept connections in time."""


@contextmanager
def running(server: Server, place: Place, *, http2: bool = False) -> Iterator[None]:
    """Run a server until the block ends.

    Raises:
        NotStarted: it ended, or did not listen within `START_SECONDS`.

    """
    command = server.http2 if http2 else server.command
    assert command is not None
    with (place.scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command(place),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(server, place),
            start_new_session=True,
        )
    try:
        _wait(process, place)
        yield
    finally:
        _end(process)


def free_port() -> int:
    """Give a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(server: Server, place: Place) -> dict[str, str]:
    """Build an environment without anything of ours that could change a server's ways."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ASYNCSTATIC_", "GRANIAN_"))}
    own = {name: value.format(root=place.root) for name, value in server.environment.items()}
    home = {"HOME": str(place.scratch), "PYTHONPATH": str(REPOSITORY)}
    return kept | home | {"CONFORMANCE_ROOT": str(place.root)} | own


def _wait(process: subprocess.Popen[bytes], place: Place) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", place.port), timeout=1):
            return
        time.sleep(0.05)
    last = (place.scratch / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise NotStarted(last[0] if last else "it does not listen")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole session to end, then insist; workers must not outlive their parent."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)


def _nginx(place: Place, listen: str = "") -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    prefix = place.scratch
    config = f"""{user} daemon off; worker_processes 1; pid {prefix}/pid; error_log stderr crit;
events {{}}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  access_log off; sendfile on; gzip_static on; gzip_vary on;
  client_body_temp_path {prefix}/b; proxy_temp_path {prefix}/p; fastcgi_temp_path {prefix}/f;
  uwsgi_temp_path {prefix}/u; scgi_temp_path {prefix}/s;
  server {{ listen 127.0.0.1:{place.port}{listen}; root {place.root}; index index.html; }}
}}
"""
    return ["nginx", "-e", "stderr", "-p", str(prefix), "-c", place.config("nginx.conf", config)]


def _nginx_http2(place: Place) -> list[str]:
    return _nginx(place, " http2")


def _caddy(place: Place) -> list[str]:
    config = f"""{{
  admin off
  auto_https off
  servers {{
    protocols h1 h2c
  }}
}}
http://:{place.port} {{
  bind 127.0.0.1
  root * {place.root}
  file_server {{
    precompressed zstd br gzip
  }}
}}
"""
    path = place.config("Caddyfile", config)
    return ["caddy", "run", "--config", path, "--adapter", "caddyfile"]


def _lighttpd(place: Place) -> list[str]:
    config = f"""server.modules = ( "mod_indexfile", "mod_staticfile" )
server.document-root = "{place.root}"
server.bind = "127.0.0.1"
server.port = {place.port}
server.errorlog = "{place.scratch}/error.log"
server.upload-dirs = ( "{place.scratch}" )
index-file.names = ( "index.html" )
include_shell "/usr/share/lighttpd/create-mime.conf.pl"
"""
    return ["lighttpd", "-D", "-f", place.config("lighttpd.conf", config)]


def _python(*arguments: str) -> Callable[[Place], list[str]]:
    """Run a module of this interpreter; {root} and {port} are filled in."""
    return lambda place: [
        *(sys.executable, "-m"),
        *(argument.format(root=place.root, port=place.port) for argument in arguments),
    ]


_APPS = "bench.conformance.apps"
_uvicorn = ("uvicorn", "--factory", "--port", "{port}", "--log-level", "critical")
_gunicorn = ("gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "4")
_hypercorn = ("hypercorn", "-b", "127.0.0.1:{port}")
_granian = _python(
    *("granian", "--port", "{port}", "--interface", "asgi", "--no-log"),
    *("--static-path-route", "", "--static-path-mount", "{root}"),
    *("--static-path-dir-to-file", "index.html", f"{_APPS}:nothing"),
)
_quart = _python(*_hypercorn, f"{_APPS}:quart_app()")
_ours_on_hypercorn = _python(*_hypercorn, "asyncstatic:app")
_ours = _python("asyncstatic", "serve", "{root}", "--bind", "127.0.0.1:{port}")

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
        environment={"ASYNCSTATIC_ROOT": "{root}"},
        http2=_ours_on_hypercorn,
        ours=True,
    ),
    Server("nginx", "gzip_static on", _nginx, program="nginx", http2=_nginx_http2),
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
        _python(*_uvicorn, f"{_APPS}:starlette_app"),
        ("starlette", "uvicorn"),
    ),
    Server("aiohttp", "add_static", _python(_APPS, "{port}"), ("aiohttp",)),
    Server(
        "whitenoise",
        "on Gunicorn, gthread",
        _python(*_gunicorn, f"{_APPS}:whitenoise_app()"),
        ("whitenoise", "gunicorn"),
    ),
    Server(
        "servestatic",
        "ServeStaticASGI on Uvicorn",
        _python(*_uvicorn, f"{_APPS}:servestatic_app"),
        ("servestatic", "uvicorn"),
    ),
    Server("quart", "static route on Hypercorn", _quart, ("quart", "hypercorn"), http2=_quart),
    Server(
        "flask",
        "send_from_directory on Gunicorn, gthread",
        _python(*_gunicorn, f"{_APPS}:flask_app()"),
        ("flask", "werkzeug", "gunicorn"),
    ),
    Server("granian", "static mount", _granian, ("granian",), http2=_granian),
    Server(
        "http.server",
        "python -m http.server",
        _python("http.server", "{port}", "--bind", "127.0.0.1", "--directory", "{root}"),
    ),
)
