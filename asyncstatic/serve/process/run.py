"""`run` is the command `asyncstatic serve`: in this process, or in workers under a supervisor."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypercorn.config import Sockets

from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.middleware import StaticMiddleware
from asyncstatic.serve.process.bind import Place, listening
from asyncstatic.serve.process.options import Options
from asyncstatic.serve.process.sandbox import restrict
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.process.supervisor import supervise
from asyncstatic.serve.reload import Reloading
from asyncstatic.serve.server import serve_app, signalled
from asyncstatic.settings import Settings, SettingsError

Mounts = Mapping[str, Settings]  # by prefix; "" for all paths
Build = Callable[[Mounts], Any]

# A request makes no reference cycles, so a collection after every 700 new objects is wasted.
_YOUNG_OBJECTS = 20_000


@dataclass(frozen=True)
class Started:
    """The facts for the start-up line; `root` names each of several roots with its prefix."""

    places: tuple[Place, ...]
    root: str
    resolver: str
    loop: str


def run(build: Build, mounts: Mounts, options: Options, on_start: Callable[[Started], None]) -> int:
    """Serve until a signal comes.

    Args:
        build: makes the app, in each process; must be picklable.
        mounts: the settings of each root; `StaticMiddleware` says in which order they are asked.
        options: the other options.
        on_start: called once, when the sockets listen.

    Returns:
        The exit status.

    Raises:
        SettingsError: a root cannot be served, options contradict each other, or a package or
            kernel feature that they need is missing.
        OSError: the server cannot listen on an address.
    """
    loop_factory = _loop_factory(options.uvloop)
    if options.sandbox and (options.reload or not landlock_version()):
        raise SettingsError(
            "--sandbox needs Linux 5.13 with Landlock, and cannot be combined with --reload"
        )
    root, resolver = _probe(mounts)
    options.check()
    tls = options.certfile is not None
    with listening(options.bind, tls=tls, mode=options.socket_mode) as there:
        on_start(Started(tuple(there.places), root, resolver, _loop_name(loop_factory)))
        if options.workers == 1 and options.max_requests is None:
            return _work(build, mounts, options, there.sockets)
        work = partial(_work_and_exit, build, mounts, options, there.sockets)
        return supervise(work, options.workers, options.graceful_timeout)


def _probe(mounts: Mounts) -> tuple[str, str]:
    """Open each root once, before workers start; return roots and resolvers, for people."""
    found = list(find_mounts(StaticMiddleware(lambda *_: None, mounts)))  # without an app
    for mount in found:
        mount.static.close()
    several = [f"{mount.prefix or '/'}={mount.static.root}" for mount in found]
    resolvers = dict.fromkeys(mount.static.resolver_name for mount in found)
    return ", ".join(several[1:] and several) or found[0].static.root, ", ".join(resolvers)


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


def _work(build: Build, mounts: Mounts, options: Options, sockets: Sockets) -> int:
    """Serve in this process."""
    app, roots = build(mounts), [settings.root for settings in mounts.values()]
    reloading = Reloading(app, roots) if options.reload else None

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
        _enter_sandbox(roots, options)
    gc.collect()
    gc.freeze()  # present objects stay alive, so collections need not examine them again
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=_loop_factory(options.uvloop)) as runner:
        runner.run(main())
    for mount in find_mounts(app):
        mount.static.close()
    return 0


def _enter_sandbox(roots: list[str], options: Options) -> None:
    """Give up all files but those served, the log, and the TLS files that are read later."""
    reads = [file for file in (options.certfile, options.keyfile) if file is not None]
    log = options.access_logfile
    restrict(roots, reads=reads, logs=[] if log in (None, "-") else [str(log)])


def _work_and_exit(build: Build, mounts: Mounts, options: Options, sockets: Sockets) -> None:
    raise SystemExit(_work(build, mounts, options, sockets))
