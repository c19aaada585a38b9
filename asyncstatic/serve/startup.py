"""Start-up under every server: begin the direct entry under plain Hypercorn, or refuse in one line."""

# ruff: noqa: SLF001 - Hypercorn does not tell an app about the event that stops its workers
from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import PurePath
from typing import Any

# These servers print a traceback for `lifespan.startup.failed`. Hypercorn also loses the status.
_COMMANDS = frozenset({"hypercorn", "anycorn"})


def asyncio_problem() -> str:
    """Return why this coroutine cannot serve files here; "" under an asyncio event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "asyncstatic needs asyncio: start hypercorn with -k asyncio or -k uvloop"
    return ""


async def start(app: Any, receive: Any, send: Any) -> bool:
    """Refuse the start, by the lifespan protocol, if this event loop cannot serve; tell whether it can.

    If the server is plain Hypercorn, the direct entry answers from now on.

    Args:
        app: the `StaticFiles` or `StaticMiddleware` that starts.
        receive: of the lifespan protocol.
        send: of the lifespan protocol.
    """
    if problem := asyncio_problem():
        await refuse_startup(problem, receive, send)
        return False
    if "hypercorn.asyncio.run" not in sys.modules:  # so that no other server loads Hypercorn
        return True
    try:
        from asyncstatic.serve.hypercorn_seam import begin
    except ImportError as error:
        logging.getLogger("asyncstatic").warning("not direct: Hypercorn has changed: %s", error)
    else:
        await begin(app)
    return True


async def refuse_startup(problem: str, receive: Any, send: Any) -> None:
    """Tell the server, by the lifespan protocol, that the app cannot start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": problem})


async def answer_lifespan(receive: Any, send: Any) -> None:
    """Answer the lifespan protocol. Nothing is closed: a test client may start the app again."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def end_command(problem: str, *names: str) -> None:
    """End the command ``hypercorn asyncstatic:app`` with one line and a status other than 0.

    `hypercorn.run.run` returns 0 when its only worker has failed, so the worker ends its parent by
    SIGUSR1. In every other process - under another server, or in another application that runs
    Hypercorn - this function does nothing and returns.

    Args:
        problem: the line.
        *names: names of the application; the command line must contain one of them.
    """
    if not _is_command_of(names):
        return
    if _is_first_to_report():
        sys.stderr.write(f"Error: {problem}\n")
        sys.stderr.flush()
    _end_supervisor()
    os._exit(1)


def _end_supervisor() -> None:
    """End the process that started this worker, if one did, so that its status is not 0."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None or supervisor.pid != os.getppid():
        return
    event = _shutdown_event()
    if supervisor.pid != 1:
        _unlink(event)
        os.kill(supervisor.pid, getattr(signal, "SIGUSR1", signal.SIGTERM))
    elif event is not None:
        # The first process of a container ignores every signal without a handler
        # (pid_namespaces(7)). So make its SIGTERM handler fail, in `Event.set`: status 1.
        event._cond._wait_semaphore.release()
        os.kill(supervisor.pid, signal.SIGTERM)


def _is_command_of(names: tuple[str, ...]) -> bool:
    """Tell whether this process is the command, or a worker that the command has started.

    Workers are started by "spawn", which gives them the arguments of the command.
    """
    command = PurePath(sys.argv[0]) if sys.argv else PurePath()
    name = command.parent.name if command.name == "__main__.py" else command.stem
    arguments = {argument.removeprefix("asgi:") for argument in sys.argv[1:]}
    return name in _COMMANDS and not arguments.isdisjoint(names)


def _shutdown_event() -> Any:
    """Return the event by which Hypercorn stops this worker; None if it cannot be found."""
    arguments = getattr(multiprocessing.current_process(), "_kwargs", {})
    event = arguments.get("shutdown_event")
    return event if hasattr(event, "_cond") and hasattr(event, "_flag") else None


def _is_first_to_report() -> bool:
    """Make the other workers stop; False if one of them has already reported the problem."""
    event = _shutdown_event()
    if event is None:
        return True
    with event._cond:  # as Event.is_set and Event.set, in one step
        first = not event._flag.acquire(False)
        event._flag.release()
        if first:
            event._cond.notify_all()
    return first


def _unlink(event: Any) -> None:
    """Unlink the semaphores of an event, because its owner is about to be ended.

    Otherwise the resource tracker of `multiprocessing` does it, with a warning.
    """
    if event is None:
        return
    from _multiprocessing import sem_unlink  # type: ignore[import-not-found]  # has no stub
    from multiprocessing.resource_tracker import unregister

    condition = event._cond
    waiting = (condition._sleeping_count, condition._woken_count, condition._wait_semaphore)
    for semaphore in (event._flag, condition._lock, *waiting):
        name = semaphore._semlock.name
        with suppress(OSError):  # the second worker finds none
            sem_unlink(name)
            unregister(name, "semaphore")
