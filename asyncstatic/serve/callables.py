"""Kinds of apps, told by how they are called."""

from __future__ import annotations

import inspect
from typing import Any


def problem_of_wsgi(app: Any) -> str:
    """Return why a WSGI app cannot be served, and the next step; "" for any other object."""
    if not callable(app) or takes(app, 3) or is_async(app) or not takes(app, 2):
        return ""
    return (
        "it is a WSGI app, and an ASGI app is needed; wrap it: "
        "app = hypercorn.middleware.AsyncioWSGIMiddleware(app)"
    )


def is_async(app: Any) -> bool:
    """Tell whether an app is an async function, or an object that is called like one."""
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(
        getattr(app, "__call__", None)  # noqa: B004 - the method itself is meant
    )


def takes(function: Any, count: int) -> bool:
    """Tell whether a callable takes so many positional arguments; True if nobody knows."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        pass
    return True
