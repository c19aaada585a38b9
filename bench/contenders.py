"""The contenders, with the command that starts each and the programs that it needs."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from bench import native
from bench.commands import asyncstatic_serve, granian, gunicorn, hypercorn, module, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.native import Command, Stage

EXTRA, PLAIN = "pip install '.[bench]'", "pip install ."


class Family(Enum):
    """The group in which a contender is compared."""

    OURS = "asyncstatic"
    SERVER = "file server"
    PYTHON = "Python"
    FLOOR = "floor"


@dataclass(frozen=True)
class Need:
    """Something a contender cannot run without, and the line that installs it."""

    present: Callable[[], bool]
    install: str


def package(name: str, install: str = EXTRA) -> Need:
    """Need an importable package."""
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
    needs for that; a floor takes part `only` in these works; what it served lately it may hold open.
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
    holds_open: bool = False

    def missing(self, *, tls: bool = False) -> list[str]:
        """Return the lines that install what is not there."""
        needs = self.needs + (self.tls_needs if tls else ())
        return list(dict.fromkeys(need.install for need in needs if not need.present()))


HELLO_WORK = frozenset({"1k", "1k+browser", "64k"})
PROTOCOL_WORK = frozenset({"1k", "1k+browser", "304", "304+browser"})
SITES_WORK = frozenset({"200+new", "200+new+query", "tags+new"})
FLOOR_WORK = HELLO_WORK | PROTOCOL_WORK | {"10m", "100m"}
OURS, HYPERCORN = package("asyncstatic", PLAIN), package("hypercorn", PLAIN)
UVICORN, GRANIAN, GUNICORN = package("uvicorn"), package("granian"), package("gunicorn")
UVLOOP = package("uvloop")
NGINX, CADDY = program("nginx", "nginx-light"), program("caddy", "caddy")
LISTING = package("markdown_it", "pip install '.[listing]'")
CODED = 'rules=[{"match": "/Build/*.gz", "coding": "gzip"}]'
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
        "asyncstatic-serve-asyncio", "asyncstatic serve --no-uvloop", Family.OURS,
        asyncstatic_serve("--no-uvloop"), (OURS,), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-serve-app", "asyncstatic serve module:app", Family.OURS,
        asyncstatic_serve(app="bench.apps.asyncstatic_quart_app:app"), (OURS,),
        prefix="/static", tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-hypercorn", "hypercorn asyncstatic:app", Family.OURS,
        hypercorn("asyncstatic:app"), (OURS,), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-hypercorn-uvloop", "hypercorn -k uvloop asyncstatic:app", Family.OURS,
        hypercorn("asyncstatic:app", "-k", "uvloop"), (OURS, UVLOOP), tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-quart", "hypercorn -k uvloop, Quart app with AsyncStatic", Family.OURS,
        hypercorn("bench.apps.asyncstatic_quart_app:app", "-k", "uvloop"), (OURS, UVLOOP),
        prefix="/static", tls=True, http2=True,
    ),
    Contender(
        "asyncstatic-spa", "asyncstatic serve, a single-page app", Family.OURS,
        asyncstatic_serve("--set", "preset=spa"), (OURS,), only=SITES_WORK,
    ),
    Contender(
        "asyncstatic-docs", "asyncstatic serve, documentation", Family.OURS,
        asyncstatic_serve("--set", "preset=docs", "--set", "redirects=/latest/* /:splat"),
        (OURS,), only=SITES_WORK,
    ),
    Contender(
        "asyncstatic-media", "asyncstatic serve, a media folder", Family.OURS,
        asyncstatic_serve("--listing", "--set", "deny=*.part"), (OURS, LISTING), only=SITES_WORK,
    ),
    Contender(
        "asyncstatic-wasm", "asyncstatic serve, a wasm build", Family.OURS,
        asyncstatic_serve("--set", "preset=cross-origin-isolated", "--set", CODED),
        (OURS,), only=SITES_WORK,
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
        "caddy", "Caddy", Family.SERVER, native.caddy(), (CADDY,), tls=True, http2=True
    ),
    Contender(
        "lighttpd", "lighttpd", Family.SERVER, native.lighttpd(),
        (program("lighttpd", "lighttpd"),), tls=True, http2=True, tls_needs=(LIGHTTPD_TLS,),
        holds_open=True,
    ),
    Contender(
        "granian-mount", "Granian static mount", Family.PYTHON,
        granian("bench.apps.hello:app", mount=True), (GRANIAN,),
        prefix="/static", tls=True, http2=True,
    ),
    Contender(
        "aiohttp", "aiohttp add_static", Family.PYTHON,
        module("bench.apps.aiohttp_app", "{port}"), (package("aiohttp"),),
    ),
    Contender(
        "whitenoise", "WhiteNoise, Gunicorn", Family.PYTHON,
        gunicorn("bench.apps.whitenoise_app:app"), (package("whitenoise"), GUNICORN),
    ),
    Contender(
        "servestatic", "ServeStatic, Uvicorn", Family.PYTHON,
        uvicorn("bench.apps.servestatic_app:app"), (package("servestatic"), UVICORN), tls=True,
    ),
    Contender(
        "starlette", "Starlette StaticFiles, Uvicorn", Family.PYTHON,
        uvicorn("bench.apps.starlette_app:app"), (package("starlette"), UVICORN), tls=True,
    ),
    Contender(
        "flask", "Flask send_file, Gunicorn", Family.PYTHON,
        gunicorn("bench.apps.flask_app:app"), (package("flask"), GUNICORN),
    ),
    Contender(
        "quart", "Quart send_from_directory, Hypercorn", Family.PYTHON,
        hypercorn("bench.apps.quart_app:app"), (HYPERCORN,), tls=True, http2=True,
    ),
    Contender(
        "http.server", "python -m http.server", Family.PYTHON, module("bench.apps.http_server", "{port}")
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
        "protocol", "receive and write, uvloop", Family.FLOOR,
        module("bench.apps.protocol", "{port}"), (UVLOOP,), only=PROTOCOL_WORK,
    ),
    Contender(
        "c-floor", "receive and send in C", Family.FLOOR,
        native.c_floor, (program("cc", "gcc"),), only=FLOOR_WORK,
    ),
)  # fmt: skip

BY_NAME = {contender.name: contender for contender in ALL}
