"""`run` is the command `asyncstatic serve`: in this process, or in workers under a supervisor."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hypercorn.config import Sockets
from hypercorn.utils import LifespanFailureError, LifespanTimeoutError

from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.process.bind import Place, listening
from asyncstatic.serve.process.options import Options
from asyncstatic.serve.process.sandbox import restrict
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.process.supervisor import supervise
from asyncstatic.serve.process.target import App, Facts, Folders, Target
from asyncstatic.serve.reload import Reloading
from asyncstatic.serve.server import serve_app, signalled
from asyncstatic.serve.tls import renewed
from asyncstatic.settings import SettingsError
from asyncstatic.values import printable

# A request makes no reference cycles, so a collection after every 700 new objects is wasted.
_YOUNG_OBJECTS = 20_000


@dataclass(frozen=True)
class Started:
    """The facts for the start-up line."""

    places: tuple[Place, ...]
    target: Facts
    loop: str


def run(target: Target, options: Options, on_start: Callable[[Started], None]) -> int:
    """Serve until a signal comes.

    Args:
        target: makes the app, in each process.
        options: the other options.
        on_start: called once, when the sockets listen.

    Returns:
        The exit status.

    Raises:
        SettingsError: the target cannot be served, options contradict each other, or a package or
            kernel feature that they need is missing.
        OSError: the server cannot listen on an address.
    """
    loop_factory = _loop_factory(options.uvloop)
    if options.sandbox and (options.reload or not landlock_version()):
        raise SettingsError(
            "--sandbox needs Linux 5.13 with Landlock, and cannot be combined with --reload"
        )
    if isinstance(target, App):
        _refuse_for_app(target, options)
    options.check()
    alone = options.workers == 1 and options.max_requests is None
    facts = target.examine(here=alone, direct=options.direct)
    with listening(options.plain, options.secure, mode=options.socket_mode) as there:
        on_start(Started(there.places, facts, _loop_name(loop_factory)))
        if alone:
            return _work(target, options, there.sockets)
        work = partial(_work_and_exit, target, options, there.sockets)
        return supervise(work, options.workers, options.graceful_timeout)


def _refuse_for_app(target: App, options: Options) -> None:
    """Refuse options for a directory."""
    if options.sandbox:
        raise SettingsError(
            f"--sandbox is for a directory: it would keep {target.name} from its files"
        )
    if options.reload:
        raise SettingsError(
            f"--reload is for a directory: for {target.name} use the command of its framework, "
            "such as quart run, or hypercorn --reload"
        )


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


def _work(target: Target, options: Options, sockets: Sockets) -> int:
    """Serve in this process."""
    app = target.build()
    certificates = options.certificates()
    roots = target.roots if isinstance(target, Folders) else []
    reloading = Reloading(app, roots) if options.reload else None

    async def until_signalled() -> None:
        await signalled()
        if reloading is not None:
            reloading.stop()

    async def main() -> None:
        async with renewed(certificates) as context:
            await serve_app(
                reloading or app,
                options.config(),
                shutdown_trigger=until_signalled,
                direct=options.direct,
                limit_concurrency=options.limit_concurrency,
                sockets=sockets,
                redirect_https=options.redirect_https,
                trusted_proxies=options.trusted_proxies,
                proxy_protocol=options.proxy_protocol,
                ssl_context=context,
            )

    if options.sandbox:
        _enter_sandbox(roots, options)
    gc.collect()
    gc.freeze()  # present objects stay alive, so collections need not examine them again
    if isinstance(target, Folders):  # an app may make cycles
        gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=_loop_factory(options.uvloop)) as runner:
        try:
            runner.run(main())
        except (LifespanFailureError, LifespanTimeoutError) as error:  # the app logs the reason
            sys.stderr.write(f"Error: {printable(target.name)}: {printable(str(error))}\n")
            return 1
    for mount in find_mounts(app):
        mount.static.close()
    return 0


def _enter_sandbox(roots: list[str], options: Options) -> None:
    """Give up all files but those served, the log, and the directories of the TLS files.

    A renewed certificate is a new file, which has no rule of its own.
    """
    reads = {directory for pair in options.pairs() for directory in pair.directories()}
    log = options.access_logfile
    restrict(roots, reads=reads, logs=[] if log in (None, "-") else [str(log)])


def _work_and_exit(target: Target, options: Options, sockets: Sockets) -> None:
    try:
        raise SystemExit(_work(target, options, sockets))
    except SettingsError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(2) from None
