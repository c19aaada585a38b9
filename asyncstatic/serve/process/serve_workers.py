"""`serve_app` with ``config.workers``: worker processes that import the app by its name."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from functools import partial
from typing import Any

from hypercorn.config import Config, Sockets

from asyncstatic.serve.process.control import StartError, close_sockets, control
from asyncstatic.serve.process.supervisor import Supervisor
from asyncstatic.serve.process.target import App
from asyncstatic.serve.server import Trigger, Until, bind, serve
from asyncstatic.serve.server_options import ServerOptions
from asyncstatic.settings import SettingsError


async def serve_by_workers(
    app: Any,
    config: Config,
    shutdown_trigger: Trigger | None,
    options: ServerOptions,
    sockets: Sockets | None,
) -> None:
    """Serve in worker processes, which this process supervises; the arguments are `serve_app`'s.

    Raises:
        SettingsError: workers cannot import the app.
        RuntimeError: a worker ended before it was ready.
    """
    if not isinstance(app, str):
        raise SettingsError(
            f"config.workers = {config.workers}: workers are new processes, and each imports the "
            "app; name it, as in serve_app('main:app', config)"
        )
    if options.ssl_context is not None:
        raise SettingsError(
            "ssl_context: no process can pass it to another; set config.certfile and config.keyfile"
        )
    if threading.current_thread() is not threading.main_thread():
        raise SettingsError(
            f"config.workers = {config.workers}: workers are supervised by signals, which only the "
            "main thread gets; call serve_app there"
        )
    # As multiprocessing itself finds out, in a page of text.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SettingsError(
            "a worker has called serve_app, because it imports the main module; put the call there "
            "below: if __name__ == '__main__':"
        )
    sockets = sockets or bind(config, secure=False)
    work = partial(_work, app, config, options, sockets)
    patience = options.drain_seconds + config.graceful_timeout
    supervisor = Supervisor(work, config.workers, patience, sockets)
    try:
        status = await control(supervisor, shutdown_trigger)
    except StartError as error:
        raise RuntimeError(str(error)) from None
    finally:
        close_sockets(sockets)
    if status == 1:
        raise RuntimeError("the workers ended, again and again; the log says why")


def _work(
    name: str,
    config: Config,
    options: ServerOptions,
    sockets: Sockets,
    until: Until,
) -> None:
    """Serve in a worker process."""
    loop_factory = None
    if config.worker_class == "uvloop":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(App(name).build(), config, until, options, sockets))
