"""A service in one process: it reloads by serving twice for a while, on the same sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from hypercorn.config import Config, Sockets

from asyncstatic.serve.access_log import reopen_logs
from asyncstatic.serve.hypercorn_log import prepare_logger
from asyncstatic.serve.process.control import close_sockets, logger
from asyncstatic.serve.server import Closed, Until, Waiter, first, serve
from asyncstatic.serve.server_options import ServerOptions
from asyncstatic.serve.tls import Certificates, renewed

# A request makes no reference cycles, so a collection after every 700 new objects is wasted.
_YOUNG_OBJECTS = 20_000


class Site(NamedTuple):
    """An app with the configuration of the server that serves it.

    Attributes:
        app: the ASGI app.
        config: of Hypercorn.
        options: of the server.
        certificates: renewed while they are in use; None without TLS.
        stop: called before the server stops; ends responses that would last.
        close: called after its end; gives up what the app holds.
    """

    app: object
    config: Config
    options: ServerOptions
    certificates: Certificates | None
    stop: Callable[[], None]
    close: Callable[[], None]


async def serve_site(site: Site, until: Until, sockets: Sockets) -> None:
    """Serve a site until `until` returns."""
    async with renewed(site.certificates) as context:
        options = replace(site.options, ssl_context=context)
        await serve(site.app, site.config, until, options, sockets)


def tune_garbage_collection() -> None:
    """Let collections examine only new objects: those that are there now stay alive."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


class SingleProcess:
    """Serves in this process; `control.Service` says how it is used.

    Args:
        build: makes the app; called in a thread.
        sockets: listen; they are closed when the service ends.
        renewed: reads the settings again for a reload, and makes the app; called in a thread.
        clean_up: removes the files that `kill` would leave behind.
    """

    status = "1 process"

    def __init__(
        self,
        build: Callable[[], Site],
        sockets: Sockets,
        renewed: Callable[[], Site] | None = None,
        clean_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._build = build
        self._renewed = renewed or build
        self._sockets = sockets
        self._clean_up = clean_up
        self._starting: asyncio.Future[_Serving] | None = None
        self._current: _Serving | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to serve; errors of `build` and of the app are raised as they are."""
        self._starting = asyncio.ensure_future(self._new(self._build))
        self._current = await asyncio.shield(self._starting)
        tune_garbage_collection()

    async def reload(self) -> None:
        """Serve a new site; then let the responses of the old one finish.

        If the new one cannot be served, the error is raised as it is, and the old one goes on.
        """
        old = self._current
        self._current = await self._new(self._renewed)
        if old is not None:
            ending = self._end(old, gently=True)
            await first(old.has_closed.wait, partial(asyncio.wait, [ending]))

    async def _new(self, build: Callable[[], Site]) -> _Serving:
        site = await asyncio.to_thread(build)  # the old one answers meanwhile
        serving = _Serving(site, self._sockets)
        try:
            await serving.start()
        except BaseException:  # also a stop: it may accept connections already
            self._end(serving, gently=False)
            raise
        return serving

    def _end(self, serving: _Serving, *, gently: bool) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(serving.end(gently=gently))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    def reopen(self) -> None:
        reopen_logs()

    async def answers(self, _seconds: float) -> bool:
        """Tell that this process answers: it does, because it runs this."""
        return True

    async def failed(self) -> str:
        """Wait until serving has ended with an error, and raise that."""
        while self._current is not None:
            await self._current.failed()
        return "the service has ended"

    async def stop(self) -> None:
        """Let responses finish, and wait for the end.

        A start goes on: clients may have connected already.
        """
        if self._current is None and self._starting is not None:
            with suppress(Exception):  # `start` raises it
                self._current = await self._starting
        close_sockets(self._sockets)
        if self._current is not None:
            self._end(self._current, gently=False)
        while self._ending:
            await asyncio.gather(*self._ending)

    def kill(self, number: int) -> None:
        """End this process as a signal without a handler does."""
        with suppress(Exception):  # it was under way
            self._clean_up()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # the first process of a container ignores the signal


class _Serving:
    """One site, served from its start to its end.

    Attributes:
        has_closed: set when it ends gently, and accepts no more connections.
    """

    def __init__(self, site: Site, sockets: Sockets) -> None:
        self._site = site
        config = site.config
        if config.log.access_logger is not None:  # it is shared with what is served now
            prepare_logger(config.log.access_logger, config)
        # asyncio closes the socket of a server that ends.
        self._sockets = Sockets(
            [sock.dup() for sock in sockets.secure_sockets],
            [sock.dup() for sock in sockets.insecure_sockets],
            [],
        )
        self._is_gentle = False
        self._is_ready, self._must_end = asyncio.Event(), asyncio.Event()
        self.has_closed = asyncio.Event()

    async def start(self) -> None:
        """Serve; wait until connections are accepted."""
        self._task = asyncio.get_running_loop().create_task(
            serve_site(self._site, self._until, self._sockets)
        )
        await first(self._is_ready.wait, self.ended)

    async def _until(self, _worn: Waiter) -> Closed | None:
        self._is_ready.set()
        await self._must_end.wait()
        return self.has_closed.set if self._is_gentle else None

    async def ended(self) -> None:
        """Wait until serving has ended, and raise its error if it failed."""
        await asyncio.wait([self._task])
        self._task.result()

    async def failed(self) -> None:
        """Wait until serving has ended with an error, and raise that, or until it is told to end."""
        await first(self.ended, self._must_end.wait)

    async def end(self, *, gently: bool) -> None:
        """Finish responses, and give up what the site holds."""
        self._site.stop()
        self._is_gentle = gently
        self._must_end.set()
        await asyncio.wait([self._task])
        self._site.close()
        if gently:
            tune_garbage_collection()
            if (error := self._task.exception()) is not None:
                logger.error("the old settings ended with %r", error)
