"""Hypercorn's dispatcher: it compares beginnings of paths, so name the longer prefix first.

hypercorn dispatcher_app:app
"""

from pathlib import Path

from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware

from asyncstatic import StaticFiles

HERE = Path(__file__).parent

app = AsyncioDispatcherMiddleware(
    {
        "/staticfoo": StaticFiles(HERE, index=()),
        "/static": StaticFiles(HERE / "site"),
    }
)
