"""Mounts: which static root answers for which path of an app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.middleware import StaticMiddleware


@dataclass(frozen=True, slots=True)
class Mount:
    """A static root and the path it answers for.

    Attributes:
        prefix: decoded, such as "/static"; "" for all paths.
        static: the root.
        passes_on: tells whether an app behind the root gets what the root does not have.
    """

    prefix: str
    static: StaticFiles
    passes_on: Callable[[], bool]


#: Wrappers of other projects that change no answer of a static root.
_TRANSPARENT = frozenset(
    {
        "hypercorn.middleware.proxy_fix.ProxyFixMiddleware",
        "uvicorn.middleware.message_logger.MessageLoggerMiddleware",
        "uvicorn.middleware.proxy_headers.ProxyHeadersMiddleware",
    }
)


def find_mounts(app: Any) -> Iterator[Mount]:
    """Find the static roots in front of an app, as far as nothing else is around them.

    Our own wrappers, Quart, and wrappers that are transparent (`unwrapped`) do not count. A subclass
    with a `__call__` of its own does, since it may change every answer.
    """
    app = unwrapped(app)
    if _calls(app) is StaticFiles.__call__:
        yield Mount("", app, lambda: False)
    elif _calls(app) is StaticMiddleware.__call__:
        yield Mount(app.prefix, app.static, app.passes_on)
        yield from find_mounts(app.app)


def answered(mounts: list[Mount]) -> list[Mount]:
    """Return the mounts that the direct entry answers for: those before one with `direct` off."""
    return list(takewhile(lambda mount: mount.static.settings.direct, mounts))


def behind_mounts(app: Any) -> Any:
    """Return the first app that `find_mounts` does not look into."""
    app = unwrapped(app)
    while _calls(app) is StaticMiddleware.__call__:
        app = unwrapped(app.app)
    return app


def unwrapped(app: Any) -> Any:
    """Return the app behind everything around it that changes no answer of a static root.

    That is `asyncstatic.app`, a Quart app whose `asgi_app` was replaced, the known wrappers for
    proxies, and each object with a true attribute `asyncstatic_transparent`; its `app` is the app
    behind it.
    """
    while True:
        if callable(built := getattr(app, "built", None)):  # `asyncstatic.app`: built when needed
            app = built()
        elif _is_transparent(app):
            app = app.app
        elif getattr(_calls(app), "__module__", "") == "quart.app" and "asgi_app" in vars(app):
            app = app.asgi_app
        else:
            return app


def _is_transparent(app: Any) -> bool:
    kind = type(app)
    known = f"{kind.__module__}.{kind.__qualname__}" in _TRANSPARENT
    return (known or getattr(app, "asyncstatic_transparent", False) is True) and hasattr(app, "app")


def _calls(app: Any) -> Any:
    """Return the function that a call of an object calls."""
    return getattr(type(app), "__call__", None)  # noqa: B004 - compared, not called
