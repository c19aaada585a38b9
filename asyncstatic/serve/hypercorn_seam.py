"""The direct entry under plain Hypercorn: ``hypercorn asyncstatic:app``, ``hypercorn app:app``.

Hypercorn has no setting for the protocol of its connections (docs/hypercorn-proposal.md proposes
one). So this module uses a private seam: `hypercorn.asyncio.run` looks its global `TCPServer` up for
each connection, and awaits ``TCPServer(app, loop, config, context, state, reader, writer)``. An app
answers ``lifespan.startup`` before Hypercorn accepts connections. At that moment `begin` replaces
the global by `_connection`, which has the same parameters. It gives the connections of an app whose
outermost layer is ours to the direct entry, and those of every other app to Hypercorn's TCPServer.

Everything that belongs to Hypercorn stays there: sockets, TLS, workers, configuration, access log,
counters and the task of each connection. QUIC has another server (`UDPServer`) and is not touched.

A connection that is handed over goes on in Hypercorn's own TCPServer, not in `protocols.Server` as
under ``asyncstatic serve``. That subclass mends faults of Hypercorn. But the app under plain
Hypercorn is the user's, who gets the same answers with and without this module, at the same cost:
`Server` costs an app 4 % more per request. Added is only the deadline for clients that read nothing.

Before anything is replaced, `_problem` checks that the seam is as it was in the releases that the
tests know. Otherwise one line is logged, and the app answers every request by ASGI.

Nothing here changes the process: `gc.freeze` and a higher threshold, which ``asyncstatic serve``
sets, are for the owner of the process to decide.
"""

# ruff: noqa: SLF001 - StreamReader cannot be asked without waiting whether it holds data
from __future__ import annotations

import asyncio
import inspect
import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from hypercorn.asyncio import run
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer

from asyncstatic.config.variables import PREFIX
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.direct.mounts import Mount, answered, behind_mounts, find_mounts
from asyncstatic.serve.middleware import StaticMiddleware
from asyncstatic.settings.values import from_text

if TYPE_CHECKING:
    from hypercorn.asyncio.worker_context import WorkerContext
    from hypercorn.config import Config
    from hypercorn.typing import AppWrapper, LifespanState

    from asyncstatic.serve.hypercorn import PlainHypercorn

#: The releases that the tests know, from the first to before the last; pyproject.toml says the same.
KNOWN = ((0, 17), (0, 19))
_PARAMETERS = ["app", "loop", "config", "context", "state", "reader", "writer"]
_SWITCH = f"{PREFIX}DIRECT"

_workers: dict[WorkerContext, PlainHypercorn] = {}
_reported: WeakKeyDictionary[Lifespan, WeakSet[StaticFiles]] = WeakKeyDictionary()
_lines: WeakKeyDictionary[Lifespan, set[str]] = WeakKeyDictionary()


async def begin(app: StaticFiles | StaticMiddleware) -> None:
    """Let the direct entry answer for the app that starts now; say in one line whether it does.

    Args:
        app: received ``lifespan.startup``. Not every server that runs it is plain Hypercorn: for
            another one nothing is done.
    """
    lifespan = _lifespan()
    if lifespan is None:
        return
    try:
        await _begin(lifespan, app)
    except Exception as error:  # the app must start all the same
        await lifespan.config.log.warning(f"asyncstatic: not direct: {error!r}")


async def _begin(lifespan: Lifespan, app: StaticFiles | StaticMiddleware) -> None:
    reported = _reported.setdefault(lifespan, WeakSet())
    new = [mount for mount in find_mounts(app) if mount.static not in reported]
    reported.update(mount.static for mount in new)
    if not new:
        return
    say = lifespan.config.log.info
    if off := _switched_off():
        line = f"not direct: {off}"
    elif problem := await asyncio.to_thread(_problem):  # it reads files
        say, line = lifespan.config.log.warning, f"not direct: {problem}"
    else:
        if _mounts(lifespan.app):
            vars(run)["TCPServer"] = _connection
        line = _summary(lifespan.app, new)
    if line not in (said := _lines.setdefault(lifespan, set())):  # by a root beside this one
        said.add(line)
        await say(f"asyncstatic: {line}")


def _lifespan() -> Lifespan | None:
    """Return Hypercorn's object that starts the app up; None under another server.

    It runs in this task, unless a wrapper has started a task of its own. `serve_app` uses a subclass.
    """
    current = asyncio.current_task()
    found = [_runs(task) for task in (current, *asyncio.all_tasks()) if task is not None]
    return next((lifespan for lifespan in found if lifespan is not None), None)


def _runs(task: asyncio.Task[Any]) -> Lifespan | None:
    frame = getattr(task.get_coro(), "cr_frame", None)
    owner = None if frame is None else frame.f_locals.get("self")
    return owner if type(owner) is Lifespan else None


# -- the start-up line ---------------------------------------------------------------------------


def _switched_off() -> str:
    """Return why the environment switches the direct entry off; "" if it does not."""
    text = os.environ.get(_SWITCH, "1")
    try:
        return "" if from_text("direct", bool, text) else f"{_SWITCH}={text}"
    except ValueError as error:
        return f"{_SWITCH}={text!r}: {error}"


def _summary(app: AppWrapper, mounts: list[Mount]) -> str:
    """Say which roots the direct entry answers for, and for each other one why not."""
    outermost = app.app  # type: ignore[attr-defined] # both kinds of AppWrapper have it
    paths: dict[str, list[str]] = {}
    for mount in mounts:
        paths.setdefault(_reason(mount, outermost), []).append(f"{mount.prefix}/")
    if len(paths) == 1 and "" not in paths:
        return f"not direct: {next(iter(paths))}"
    return "; ".join(
        f"not direct: {', '.join(named)}: {reason}" if reason else f"direct: {', '.join(named)}"
        for reason, named in paths.items()
    )


def _reason(mount: Mount, outermost: object) -> str:
    """Return why the direct entry does not answer for a root; "" if it does."""
    found = list(find_mounts(outermost))
    if mount.static.needs_scope:
        return "access rules, authorize= and offload= need ASGI"
    if any(mount.static is other.static for other in answered(found)):
        return ""
    if any(mount.static is other.static for other in found):
        return "direct=False"
    stop = behind_mounts(outermost)
    name = getattr(stop, "__name__", type(stop).__name__)
    if "quart" in sys.modules:
        return f"{name} wraps the app; wrap `app.asgi_app` before AsyncStatic"
    return f"{name} wraps the app; put StaticMiddleware around {name}"


# -- the seam ------------------------------------------------------------------------------------


@cache
def _problem() -> str:
    """Return why the seam cannot be used, in one line; "" if it is as we know it."""
    release = version("hypercorn")
    number = tuple(int(part) for part in release.split(".")[:2])
    if not KNOWN[0] <= number < KNOWN[1]:
        return f"Hypercorn {release} is not known to this release of asyncstatic"
    if vars(run)["TCPServer"] is not TCPServer:
        return "another package has replaced Hypercorn's TCPServer"
    if list(inspect.signature(TCPServer).parameters) != _PARAMETERS or not _is_looked_up():
        return f"Hypercorn {release} calls its TCPServer in another way"
    if not {"_buffer", "_eof"} <= set(asyncio.StreamReader.__init__.__code__.co_names):
        return "asyncio's StreamReader has changed"
    try:
        import_module("asyncstatic.serve.hypercorn")
    except (ImportError, AttributeError) as error:
        return f"Hypercorn {release} has changed: {error}"
    return ""


def _is_looked_up() -> bool:
    """Tell whether `worker_serve` looks the global up for each connection."""
    inner = (const for const in run.worker_serve.__code__.co_consts if inspect.iscode(const))
    return any("TCPServer" in code.co_names for code in inner)


def _mounts(app: AppWrapper) -> list[Mount]:
    """Return the roots of an app if the direct entry answers for one of them."""
    mounts = list(find_mounts(app.app))  # type: ignore[attr-defined] # both kinds have it
    return mounts if answered(mounts) else []


async def _connection(
    app: AppWrapper,
    loop: asyncio.AbstractEventLoop,
    config: Config,
    context: WorkerContext,
    state: LifespanState,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Serve a connection that Hypercorn has accepted."""
    worker = _workers.get(context) or _new_worker(app, config, context, state)
    if worker is None:
        await TCPServer(app, loop, config, context, state, reader, writer)
        return
    data, eof = bytes(reader._buffer), reader._eof  # type: ignore[attr-defined]
    await worker.serve(writer.transport, data, eof=eof)


def _new_worker(
    app: AppWrapper, config: Config, context: WorkerContext, state: LifespanState
) -> PlainHypercorn | None:
    """Return what the connections of a worker share; None where Hypercorn serves alone."""
    mounts = _mounts(app)
    if not mounts or context.terminated.is_set():
        return None
    from asyncstatic.serve.hypercorn import PlainHypercorn

    worker = _workers[context] = PlainHypercorn(app, config, context, state, mounts)
    worker.ending.add_done_callback(lambda _: _workers.pop(context, None))
    return worker
