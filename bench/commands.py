"""The commands of the Python servers: one worker, no access log, defaults otherwise."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.native import Command, Stage


def python(*arguments: str) -> Command:
    """Return a command for this interpreter, so that a server runs in the same environment."""
    return [sys.executable, "-m", *arguments]


def module(*arguments: str) -> Callable[[Stage], Command]:
    """Return a module to run with these arguments; {root} and {port} are filled in."""
    return lambda stage: python(
        *(argument.format(root=stage.root, port=stage.port) for argument in arguments)
    )


def hypercorn(app: str, *more: str) -> Callable[[Stage], Command]:
    """Return Hypercorn, whose loop is asyncio's unless told."""

    def command(stage: Stage) -> Command:
        options = ["--bind", f"127.0.0.1:{stage.port}", "--workers", str(stage.workers), *more]
        return python("hypercorn", *options, *_tls(stage, "--certfile", "--keyfile"), app)

    return command


def uvicorn(app: str, *more: str) -> Callable[[Stage], Command]:
    """Return Uvicorn, whose access log is on unless told."""

    def command(stage: Stage) -> Command:
        options = ["--port", str(stage.port), "--no-access-log", "--log-level", "warning", *more]
        return python("uvicorn", *options, *_tls(stage, "--ssl-certfile", "--ssl-keyfile"), app)

    return command


def granian(app: str, *more: str, mount: bool = False) -> Callable[[Stage], Command]:
    """Return Granian; with `mount` it serves the root at /static before the app is asked."""

    def command(stage: Stage) -> Command:
        options = ["--interface", "asgi", "--port", str(stage.port), "--log-level", "error", *more]
        if mount:
            options += ["--static-path-mount", str(stage.root)]
        return python("granian", *options, *_tls(stage, "--ssl-certificate", "--ssl-keyfile"), app)

    return command


def gunicorn(app: str) -> Callable[[Stage], Command]:
    """Return Gunicorn with four threads: unlike its plain worker that one keeps connections."""
    return lambda stage: python(
        *("gunicorn", "--bind", f"127.0.0.1:{stage.port}", "--worker-class", "gthread"),
        *("--threads", "4", "--log-level", "error", app),
    )


def asyncstatic_serve(*more: str, app: str = "") -> Callable[[Stage], Command]:
    """Return our own command, for the root or for an app."""

    def command(stage: Stage) -> Command:
        options = ["--bind", f"127.0.0.1:{stage.port}", *more]
        if stage.workers > 1:
            options += ["--workers", str(stage.workers)]
        options += _tls(stage, "--certfile", "--keyfile")
        return python("asyncstatic", "serve", app or str(stage.root), *options)

    return command


def _tls(stage: Stage, chain: str, key: str) -> Command:
    """Return the options that make a server speak TLS, where the stage wants it."""
    if not stage.certificate:
        return []
    return [chain, str(stage.certificate.chain), key, str(stage.certificate.key)]
