"""`run` is the command `asyncstatic serve`: in this process, or in workers under a supervisor.

One worker for directories needs no supervisor: this process serves, and reloads by itself. There are
exceptions, where only a new process will do: an app, whose modules must be imported anew; a worker
that ends after ``max_requests``; and a sandbox, which nobody can leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from hypercorn.config import Sockets

from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.operations import open_metrics
from asyncstatic.serve.process.bind import Place, keep_standard_streams, listening
from asyncstatic.serve.process.control import (
    Service,
    StartError,
    Watching,
    control,
    log_to_stderr,
    logger,
)
from asyncstatic.serve.process.options import Options
from asyncstatic.serve.process.pid_file import pid_file
from asyncstatic.serve.process.sandbox import restrict
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.process.shared_metrics import shared_metrics
from asyncstatic.serve.process.signals import OBEYED, held
from asyncstatic.serve.process.single import (
    SingleProcess,
    Site,
    serve_site,
    tune_garbage_collection,
)
from asyncstatic.serve.process.supervisor import Supervisor
from asyncstatic.serve.process.target import App, Facts, Folders, Target
from asyncstatic.serve.process.worker import Work
from asyncstatic.serve.reload import Reloading
from asyncstatic.serve.server import Until
from asyncstatic.serve.server_options import Exposition
from asyncstatic.serve.watch import watch_files
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import printable


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
    keep_standard_streams()
    facts = check(target, options)
    with held(OBEYED) as deliver, ExitStack() as left:
        there = left.enter_context(
            listening(
                options.plain,
                options.secure,
                mode=options.socket_mode,
                tls_option="--tls-bind" if options.tls_bind else "--bind",
            )
        )
        exposition = left.enter_context(shared_metrics(options.metrics))
        started = Started(there.places, facts, _loop_name(options.uvloop))

        def announce() -> None:
            left.enter_context(pid_file(options.pid))
            deliver()
            on_start(started)

        return _serve(target, options, exposition, there.sockets, announce, left)


def check(target: Target, options: Options) -> Facts:
    """Find everything that is wrong before the server listens; return facts about the target.

    Raises:
        SettingsError: as `run` says.
    """
    _loop_factory(options.uvloop)
    if options.sandbox and (options.reload or not landlock_version()):
        raise SettingsError(
            "--sandbox needs Linux 5.13 with Landlock, and cannot be combined with --reload"
        )
    if isinstance(target, App):
        _refuse_for_app(target, options)
    options.check()
    return target.examine(direct=options.direct)


def _serve(
    target: Target,
    options: Options,
    exposition: Exposition | None,
    sockets: Sockets,
    announce: Callable[[], None],
    left: ExitStack,
) -> int:
    """Serve in this process or in workers, until a signal comes.

    Args:
        target: makes the app.
        options: the other options.
        exposition: the metrics.
        sockets: listen.
        announce: called when signals are obeyed.
        left: removes all files that would be left behind.

    Returns:
        The exit status.
    """
    log_to_stderr()
    is_one = options.workers == 1 and options.max_requests is None and not options.sandbox
    is_single = is_one and isinstance(target, Folders)
    watch = _watch_of(target) if options.reload else None

    def renewed() -> Target:
        options.check()
        return target.renewed()

    @contextmanager
    def announced() -> Iterator[None]:
        with left:  # while signals are still obeyed
            announce()
            yield

    async def main() -> int:
        if is_single:
            site = partial(_site, options=options, exposition=exposition)
            service: Service = SingleProcess(
                lambda: site(target), sockets, lambda: site(renewed()), left.close
            )
        else:
            service = _supervisor(target, renewed, options, exposition, sockets)
        try:
            return await control(service, during=announced(), watch=watch)
        except StartError as error:
            logger.error("%s: %s", printable(target.name), error)
            return 1

    factory = _loop_factory(options.uvloop) if is_single else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _supervisor(
    target: Target,
    renewed: Callable[[], Target],
    options: Options,
    exposition: Exposition | None,
    sockets: Sockets,
) -> Supervisor:
    """Return the service that serves a target in workers."""

    def work(target: Target) -> Work:
        return partial(_work, target.for_worker(), options, exposition, sockets)

    metrics = [] if exposition is None else exposition.sockets
    every = Sockets(sockets.secure_sockets, [*sockets.insecure_sockets, *metrics], [])
    patience = options.drain_seconds + options.graceful_timeout
    return Supervisor(work(target), options.workers, patience, every, lambda: work(renewed()))


def _watch_of(target: Target) -> Watching | None:
    """Return what asks for a reload when the configuration file of directories changes."""
    return watch_files(target.configured) if isinstance(target, Folders) else None


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


def _loop_name(wanted: bool | None) -> str:
    return "asyncio" if _loop_factory(wanted) is None else "uvloop"


def _site(target: Target, options: Options, exposition: Exposition | None) -> Site:
    """Read certificates and roots; called again for each reload."""
    app = target.build()
    reloading = Reloading(app, target.roots) if options.reload else None

    def stop() -> None:
        if reloading is not None:
            reloading.stop()

    def close() -> None:
        for mount in find_mounts(app):
            mount.static.close()

    server = options.server_options(exposition)
    return Site(reloading or app, options.config(), server, options.certificates(), stop, close)


def _work(
    target: Target,
    options: Options,
    exposition: Exposition | None,
    sockets: Sockets,
    until: Until,
) -> None:
    """Serve in a worker process."""
    site = _site(target, options, exposition)
    if options.sandbox:
        _enter_sandbox(target, options, exposition)
    if isinstance(target, Folders):  # an app may make reference cycles
        tune_garbage_collection()
    with asyncio.Runner(loop_factory=_loop_factory(options.uvloop)) as runner:
        runner.run(serve_site(site, until, sockets))
    site.close()


def _enter_sandbox(target: Target, options: Options, exposition: Exposition | None) -> None:
    """Give up all files but those served, the log, the metrics, and the directories of TLS and users.

    A renewed certificate is a new file, which has no rule of its own.
    """
    # The app imports it when it starts; a source tree is out of reach then.
    import_module("asyncstatic.serve.hypercorn_seam")
    roots = target.roots
    reads = {directory for pair in options.pairs() for directory in pair.directories()}
    reads |= target.reads
    log = options.access_logfile
    if exposition is not None:
        open_metrics(exposition)  # creates files
        roots = [*roots, exposition.directory]
    restrict(roots, reads=reads, logs=[] if log in (None, "-") else [str(log)])
