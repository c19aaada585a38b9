"""`run` is the command `asyncstatic serve`: in this process, or in workers under a supervisor."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypercorn.config import Sockets

from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.process.bind import Place, listening
from asyncstatic.serve.process.options import Options
from asyncstatic.serve.process.sandbox import restrict
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.process.supervisor import supervise
from asyncstatic.serve.reload import Reloading
from asyncstatic.serve.server import serve_app, signalled
from asyncstatic.settings import Settings, SettingsError

Build = Callable[[Settings], Any]

# A request makes no reference cycles, so a collection after every 700 new objects is wasted.
_YOUNG_OBJECTS = 20_000


@dataclass(frozen=True)
class Started:
    """The facts for the start-up line."""

    places: tuple[Place, ...]
    root: str
    resolver: str
    loop: str


def run(
    build: Build, settings: Settings, options: Options, on_start: Callable[[Started], None]
) -> int:
    """Serve until a signal comes.

    Args:
        build: makes the app, in each process; must be picklable.
        settings: of the root.
        options: the other options.
        on_start: called once, when the sockets listen.

    Returns:
        The exit status.

    Raises:
        SettingsError: the root cannot be served, options contradict each other, or a package or
            kernel feature that they need is missing.
        OSError: the server cannot listen on an address.
    """
    loop_factory = _loop_factory(options.uvloop)
    if options.sandbox and (options.reload or not landlock_version()):
        raise SettingsError(
            "--sandbox needs Linux 5.13 with Landlock, and cannot be combined with --reload"
        )
    probe = StaticFiles(settings)
    root, resolver = probe.root, probe.resolver_name
    probe.close()
    options.check()
    tls = options.certfile is not None
    with listening(options.bind, tls=tls, mode=options.socket_mode) as there:
        on_start(Started(tuple(there.places), root, resolver, _loop_name(loop_factory)))
        if options.workers == 1 and options.max_requests is None:
            return _work(build, settings, options, there.sockets)
        work = partial(_work_and_exit, build, settings, options, there.sockets)
        return supervise(work, options.workers, options.graceful_timeout)


def _loop_factory(wanted: bool | None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if wanted is False:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted:
            raise SettingsError("uvloop is not installed: pip install uvloop") from None
        return None
    return uvloop.new_event_loop


def _loop_name(factory: Callable[[], asyncio.AbstractEventLoop] | None) -> str:
    return "asyncio" if factory is None else "uvloop"


def _work(build: Build, settings: Settings, options: Options, sockets: Sockets) -> int:
    """Serve in this process."""
    app = build(settings)
    reloading = Reloading(app, settings.root) if options.reload else None

    async def until_signalled() -> None:
        await signalled()
        if reloading is not None:
            reloading.stop()

    async def main() -> None:
        await serve_app(
            reloading or app,
            options.config(),
            shutdown_trigger=until_signalled,
            direct=options.direct,
            limit_concurrency=options.limit_concurrency,
            sockets=sockets,
        )

    if options.sandbox:
        _enter_sandbox(settings, options)
    gc.collect()
    gc.freeze()  # present objects stay alive, so collections need not examine them again
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=_loop_factory(options.uvloop)) as runner:
        runner.run(main())
    for mount in find_mounts(app):
        mount.static.close()
    return 0


def _enter_sandbox(settings: Settings, options: Options) -> None:
    """Give up all files but those served, the log, and the TLS files that are read later."""
    reads = [file for file in (options.certfile, options.keyfile) if file is not None]
    log = options.access_logfile
    restrict([settings.root], reads=reads, logs=[] if log in (None, "-") else [str(log)])


def _work_and_exit(build: Build, settings: Settings, options: Options, sockets: Sockets) -> None:
    raise SystemExit(_work(build, settings, options, sockets))
