"""Signals, and the service manager: how an operator controls a service of one or many processes.

==============  ==================================================================
TERM, INT       stop: finish responses; at once when repeated
QUIT            stop: finish responses, as in nginx
HUP             reload: serve with new settings, then finish the old responses
USR1            reopen the log files, as in nginx
==============  ==================================================================

A terminal that is closed sends HUP too. Then a server that was started in it stops.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol

from hypercorn.config import Sockets

from asyncstatic.serve.process.notify import Notifier
from asyncstatic.serve.process.signals import had_terminal, has_terminal
from asyncstatic.serve.server import Trigger, first

logger = logging.getLogger("asyncstatic.supervisor")
_FAILED = 1  # exit status
_TERMINATING = ("SIGINT", "SIGTERM", "SIGBREAK")
_BY_SIGNAL = 128  # and the number of the signal, as shells say

Watching = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


class StartError(Exception):
    """A service cannot start, or not reload; the message, one line, says why."""


class Service(Protocol):
    """Serves in one process or many.

    Attributes:
        status: its state, for people.
    """

    @property
    def status(self) -> str: ...

    async def start(self) -> None:
        """Begin to serve, or raise StartError."""

    async def reload(self) -> None:
        """Serve with new settings, then end what served before. After an error that goes on."""

    def reopen(self) -> None:
        """Reopen the log files."""

    async def answers(self, seconds: float) -> bool:
        """Tell whether the service gives a sign of life in this time."""

    async def failed(self) -> str:
        """Wait until the service cannot go on; return why."""

    async def stop(self) -> None:
        """Finish responses, and wait for the end."""

    def kill(self, number: int) -> None:
        """End at once, because of this signal."""


async def control(
    service: Service,
    until: Trigger | None = None,
    during: AbstractContextManager[None] | None = None,
    watch: Watching | None = None,
) -> int:
    """Run a service until a signal ends it.

    Args:
        service: not started yet.
        until: returns when the service must stop; SIGINT and SIGTERM say that if None.
        during: entered when signals are handled, and left when the service has ended. So whoever
            is told the process id can send signals.
        watch: runs while the service does, and calls its argument when a reload is due.

    Returns:
        The exit status: 0 after a graceful stop, 1 when the service cannot go on, 128 and the
        number of the signal when it was repeated.

    Raises:
        StartError: the service cannot start.
    """
    return await _Control(service, Notifier(), watch).run(until, during or nullcontext())


class _Control:
    def __init__(self, service: Service, notifier: Notifier, watch: Watching | None) -> None:
        self._service = service
        self._notifier = notifier
        self._watch = watch
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._status = 0
        # Under nohup(1) the signal is ignored when we start: then only an operator sends it.
        hup = getattr(signal, "SIGHUP", None)
        is_ignored = hup is None or signal.getsignal(hup) is signal.SIG_IGN
        self._had_terminal = not is_ignored and had_terminal()

    async def run(self, until: Trigger | None, during: AbstractContextManager[None]) -> int:
        with self._signals(stop_too=until is None), during:
            try:
                await first(self._serve, self._stop.wait, *([until] if until else []))
            finally:
                self._stop.set()
                self._notifier.stopping()
                await self._service.stop()
        return self._status

    async def _serve(self) -> None:
        await self._service.start()
        self._notifier.ready(self._service.status)
        works = [self._reload_on_request(), self._show_life()]
        if self._watch is not None:
            works.append(self._watch(self._reload.set))
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            logger.error("%s", await self._service.failed())
            self._status = _FAILED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reload_on_request(self) -> None:
        """Reload as often as requested, one at a time."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            try:
                await self._service.reload()
            except Exception as error:  # whatever it is, the next reload may succeed
                status = f"not reloaded, the old settings stay: {one_line(error)}"
            else:
                status = f"reloaded: {self._service.status}"
            logger.warning("%s", status)
            self._notifier.ready(status)

    async def _show_life(self) -> None:
        """Tell the service manager that the service answers, as long as it does."""
        seconds = self._notifier.watchdog_seconds
        while seconds is not None:
            if await self._service.answers(seconds / 4):
                self._notifier.alive()
            await asyncio.sleep(seconds / 4)

    # -- signals ---------------------------------------------------------------------------

    @contextmanager
    def _signals(self, *, stop_too: bool) -> Iterator[None]:
        """Handle signals. SIGINT stays ignored if the parent process wants that."""
        handlers: dict[str, Callable[[], object]] = {
            "SIGHUP": self._hang_up,
            "SIGUSR1": self._service.reopen,
        }
        if stop_too:
            handlers["SIGQUIT"] = self._stop.set
            handlers |= {name: partial(self._terminate, name) for name in _TERMINATING}
        before = {
            name: signal.getsignal(getattr(signal, name))
            for name in handlers
            if hasattr(signal, name)
        }
        if before.get("SIGINT") is signal.SIG_IGN:
            del before["SIGINT"]
        for name in before:
            _handle(getattr(signal, name), handlers[name])
        try:
            yield
        finally:
            for name, handler in before.items():
                _unhandle(getattr(signal, name))
                signal.signal(getattr(signal, name), handler)

    def _terminate(self, name: str) -> None:
        """Stop. From now on a signal is not left to the event loop, which an app may block."""
        if self._stop.is_set():
            self._end_at_once(getattr(signal, name))
        self._stop.set()
        for other in _TERMINATING:
            number = getattr(signal, other, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                _unhandle(number)
                signal.signal(number, self._end_at_once)

    def _end_at_once(self, number: int, _frame: object = None) -> None:
        self._status = _BY_SIGNAL + number
        self._service.kill(number)

    def _hang_up(self) -> None:
        """Reload; or stop, when the terminal in which the server was started is gone."""
        if self._had_terminal and not has_terminal():
            self._stop.set()
        else:
            self._reload.set()


def _handle(number: int, handler: Callable[[], object]) -> None:
    """Let the event loop handle a signal."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, handler)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))


def _unhandle(number: int) -> None:
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().remove_signal_handler(number)


def one_line(error: Exception) -> str:
    """Return the message of an error in one line; its type if it has none."""
    of_getcwd = (None, os.strerror(errno.ENOENT))  # it names no file
    if isinstance(error, FileNotFoundError) and (error.filename, error.strerror) == of_getcwd:
        return "the working directory was removed"
    if isinstance(error, PermissionError) and error.filename == os.curdir:
        return "the working directory may not be entered; start in another, such as /"
    return " ".join(str(error).split()) or type(error).__name__


def close_sockets(sockets: Sockets) -> None:
    """Close the listening sockets of this process."""
    for sock in (*sockets.secure_sockets, *sockets.insecure_sockets):
        sock.close()


def log_to_stderr() -> None:
    """Show what happens to the service, with time and process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s [%(process)d] %(message)s", "[%Y-%m-%d %H:%M:%S %z]")
    )
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
