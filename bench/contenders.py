"""The contenders: how each is started, and what it needs. One worker, no access log, each."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from bench import native

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.native import Command, Stage

BENCH_EXTRA = "pip install 'asyncstatic[bench]'"


class Family(Enum):
    """Who a contender is compared as."""

    OURS = "asyncstatic"
    SERVER = "file server"
    PYTHON = "Python"
    FLOOR = "floor"


@dataclass(frozen=True)
class Need:
    """Something a contender cannot run without, and the line that installs it."""

    present: Callable[[], bool]
    install: str


def module(name: str, install: str = BENCH_EXTRA) -> Need:
    """Need an importable module."""
    return Need(lambda: _importable(name), install)


def program(name: str, apt: str) -> Need:
    """Need a program on the PATH."""
    return Need(lambda: shutil.which(name) is not None, f"apt install {apt}")


def file(path: str, apt: str) -> Need:
    """Need a file, such as a server's loadable module."""
    return Need(Path(path).exists, f"apt install {apt}")


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True)
class Contender:
    """One server, or one app on one server.

    `prefix` stands before every path; `tls` and `http2` say what it can speak, `tls_needs` what it
    needs for that; a floor takes part `only` in these works.
    """

    name: str
    title: str
    family: Family
    command: Callable[[Stage], Command]
    needs: tuple[Need, ...] = ()
    prefix: str = ""
    tls: bool = False
    http2: bool = False
    tls_needs: tuple[Need, ...] = ()
    only: frozenset[str] = field(default=frozenset())

    def missing(self, *, tls: bool = False) -> list[str]:
        """Return the lines that install what is not there."""
        needs = self.needs + (self.tls_needs if tls else ())
        return list(dict.fromkeys(need.install for need in needs if not need.present()))


def python(*arguments: str) -> Command:
    """Return a command for this interpreter, so that a contender runs in the same environment."""
    return [sys.executable, "-m", *arguments]


def hypercorn(app: str) -> Callable[[Stage], Command]:
    """Return Hypercorn as it comes."""

    def command(stage: Stage) -> Command:
        bind = f"127.0.0.1:{stage.port}"
        options = ["--bind", bind, "--workers", str(stage.workers)]
        if stage.certificate:
            options += ["--certfile", str(stage.certificate.chain)]
            options += ["--keyfile", str(stage.certificate.key)]
        return python("hypercorn", *options, app)

    return command


def uvicorn(app: str) -> Callable[[Stage], Command]:
    """Return Uvicorn, whose access log is on unless told."""

    def command(stage: Stage) -> Command:
        options = ["--port", str(stage.port), "--no-access-log", "--log-level", "warning"]
        if stage.certificate:
            options += ["--ssl-certfile", str(stage.certificate.chain)]
            options += ["--ssl-keyfile", str(stage.certificate.key)]
        return python("uvicorn", *options, app)

    return command


def granian(app: str, *more: str, mount: bool = False) -> Callable[[Stage], Command]:
    """Return Granian; with `mount` it serves the root at /static before the app is asked."""

    def command(stage: Stage) -> Command:
        options = ["--interface", "asgi", "--port", str(stage.port), "--log-level", "error", *more]
        if mount:
            options += ["--static-path-mount", str(stage.root)]
        if stage.certificate:
            options += ["--ssl-certificate", str(stage.certificate.chain)]
            options += ["--ssl-keyfile", str(stage.certificate.key)]
        return python("granian", *options, app)

    return command


def gunicorn(app: str) -> Callable[[Stage], Command]:
    """Return Gunicorn with four threads: unlike its plain worker that one keeps connections."""
    return lambda stage: python(
        *("gunicorn", "--bind", f"127.0.0.1:{stage.port}", "--worker-class", "gthread"),
        *("--threads", "4", "--log-level", "error", app),
    )


def asyncstatic_serve(*more: str) -> Callable[[Stage], Command]:
    """Return our own command."""

    def command(stage: Stage) -> Command:
        options = ["--bind", f"127.0.0.1:{stage.port}", *more]
        if stage.workers > 1:
            options += ["--workers", str(stage.workers)]
        if stage.certificate:
            options += ["--certfile", str(stage.certificate.chain)]
            options += ["--keyfile", str(stage.certificate.key)]
        return python("asyncstatic", "serve", str(stage.root), *options)

    return command


def app_command(name: str) -> Callable[[Stage], Command]:
    """Return a program of `bench.apps` that takes its port as its argument."""
    return lambda stage: python(f"bench.apps.{name}", str(stage.port))


HELLO_WORK = frozenset({"1k", "1k+browser", "64k"})
FLOOR_WORK = HELLO_WORK | {"10m", "100m"}
OURS = module("asyncstatic", "pip install asyncstatic")
HYPERCORN = module("hypercorn", "pip install asyncstatic")
UVICORN, GRANIAN, GUNICORN = module("uvicorn"), module("granian"), module("gunicorn")
NGINX, CADDY = program("nginx", "nginx-light"), program("caddy", "caddy")
LIGHTTPD_TLS = file("/usr/lib/lighttpd/mod_openssl.so", "lighttpd-mod-openssl")

ALL = (
    Contender(
        "asyncstatic-serve", "asyncstatic serve", Family.OURS,
        asyncstatic_serve(), (OURS,), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-no-direct", "asyncstatic serve --no-direct", Family.OURS,
        asyncstatic_serve("--no-direct"), (OURS,), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-hypercorn", "hypercorn asyncstatic:app", Family.OURS,
        hypercorn("asyncstatic:app"), (OURS,), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-uvicorn", "asyncstatic StaticFiles, Uvicorn", Family.OURS,
        uvicorn("bench.apps.asyncstatic_app:app"), (OURS, UVICORN), tls=True,
    ),
    Contender(
        "asyncstatic-granian", "asyncstatic StaticFiles, Granian", Family.OURS,
        granian("bench.apps.asyncstatic_app:app"), (OURS, GRANIAN), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-offload", "asyncstatic StaticFiles, Granian, offload", Family.OURS,
        granian("bench.apps.asyncstatic_offload_app:app"), (OURS, GRANIAN),
    ),
    Contender(
        "nginx", "nginx, sendfile", Family.SERVER,
        native.nginx(), (NGINX,), tls=True, http2=True,
    ),
    Contender(
        "nginx-cache", "nginx, open_file_cache", Family.SERVER,
        native.nginx(native.OPEN_FILE_CACHE), (NGINX,), tls=True, http2=True,
    ),
    Contender(
        "nginx-nopush", "nginx, sendfile, tcp_nopush", Family.SERVER,
        native.nginx("tcp_nopush on;"), (NGINX,), tls=True, http2=True,
    ),
    Contender(
        "caddy", "Caddy", Family.SERVER, native.caddy, (CADDY,), tls=True, http2=True
    ),
    Contender(
        "lighttpd", "lighttpd", Family.SERVER, native.lighttpd,
        (program("lighttpd", "lighttpd"),), tls=True, http2=True, tls_needs=(LIGHTTPD_TLS,),
    ),
    Contender(
        "granian-mount", "Granian static mount", Family.PYTHON,
        granian("bench.apps.hello:app", mount=True), (GRANIAN,),
        prefix="/static", tls=True, http2=True,
    ),
    Contender(
        "aiohttp", "aiohttp add_static", Family.PYTHON,
        app_command("aiohttp_app"), (module("aiohttp"),),
    ),
    Contender(
        "whitenoise", "WhiteNoise, Gunicorn", Family.PYTHON,
        gunicorn("bench.apps.whitenoise_app:app"), (module("whitenoise"), GUNICORN),
    ),
    Contender(
        "servestatic", "ServeStatic, Uvicorn", Family.PYTHON,
        uvicorn("bench.apps.servestatic_app:app"), (module("servestatic"), UVICORN), tls=True,
    ),
    Contender(
        "starlette", "Starlette StaticFiles, Uvicorn", Family.PYTHON,
        uvicorn("bench.apps.starlette_app:app"), (module("starlette"), UVICORN), tls=True,
    ),
    Contender(
        "flask", "Flask send_file, Gunicorn", Family.PYTHON,
        gunicorn("bench.apps.flask_app:app"), (module("flask"), GUNICORN),
    ),
    Contender(
        "quart", "Quart send_from_directory, Hypercorn", Family.PYTHON,
        hypercorn("bench.apps.quart_app:app"), (HYPERCORN,), tls=True, http2=True,
    ),
    Contender(
        "http.server", "python -m http.server", Family.PYTHON, app_command("http_server")
    ),
    Contender(
        "hello-hypercorn", "hello world, Hypercorn", Family.FLOOR,
        hypercorn("bench.apps.hello:app"), (HYPERCORN,), only=HELLO_WORK,
    ),
    Contender(
        "hello-uvicorn", "hello world, Uvicorn", Family.FLOOR,
        uvicorn("bench.apps.hello:app"), (UVICORN,), only=HELLO_WORK,
    ),
    Contender(
        "hello-granian", "hello world, Granian", Family.FLOOR,
        granian("bench.apps.hello:app"), (GRANIAN,), only=HELLO_WORK,
    ),
    Contender(
        "c-floor", "receive and send in C", Family.FLOOR,
        native.c_floor, (program("cc", "gcc"),), only=FLOOR_WORK,
    ),
)  # fmt: skip

BY_NAME = {contender.name: contender for contender in ALL}
