"""asyncstatic: serve static files from Python, to the letter of RFC 9110.

All public names, each imported when it is first used (PEP 562): importing this package
must stay light. `app` alone is a real global, because servers look for it in `vars()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asyncstatic.application import app

if TYPE_CHECKING:
    from asyncstatic.application import create_app
    from asyncstatic.serve.asgi import StaticFiles
    from asyncstatic.serve.middleware import StaticMiddleware
    from asyncstatic.settings import Settings, SettingsError

__all__ = [
    "Settings",
    "SettingsError",
    "StaticFiles",
    "StaticMiddleware",
    "app",
    "create_app",
]

_HOME = {
    "Settings": "asyncstatic.settings",
    "SettingsError": "asyncstatic.settings",
    "StaticFiles": "asyncstatic.serve.asgi",
    "StaticMiddleware": "asyncstatic.serve.middleware",
    "create_app": "asyncstatic.application",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
