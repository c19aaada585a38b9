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
    from asyncstatic.http.redirects import Redirect
    from asyncstatic.rules import Rule
    from asyncstatic.serve.asgi import StaticFiles
    from asyncstatic.serve.middleware import StaticMiddleware
    from asyncstatic.serve.quart import (
        AsyncStatic,
        send_file,
        send_from_directory,
        static_tag,
        static_url,
    )
    from asyncstatic.serve.server import serve_app
    from asyncstatic.serve.signing import SignedURLs, sign_url
    from asyncstatic.settings import Limits, Settings, SettingsError

__all__ = [
    "AsyncStatic",
    "Limits",
    "Redirect",
    "Rule",
    "Settings",
    "SettingsError",
    "SignedURLs",
    "StaticFiles",
    "StaticMiddleware",
    "app",
    "create_app",
    "send_file",
    "send_from_directory",
    "serve_app",
    "sign_url",
    "static_tag",
    "static_url",
]

_HOME = {
    "AsyncStatic": "asyncstatic.serve.quart",
    "Limits": "asyncstatic.settings",
    "Redirect": "asyncstatic.http.redirects",
    "Rule": "asyncstatic.rules",
    "Settings": "asyncstatic.settings",
    "SettingsError": "asyncstatic.settings",
    "SignedURLs": "asyncstatic.serve.signing",
    "StaticFiles": "asyncstatic.serve.asgi",
    "StaticMiddleware": "asyncstatic.serve.middleware",
    "create_app": "asyncstatic.application",
    "send_file": "asyncstatic.serve.quart",
    "send_from_directory": "asyncstatic.serve.quart",
    "serve_app": "asyncstatic.serve.server",
    "sign_url": "asyncstatic.serve.signing",
    "static_tag": "asyncstatic.serve.quart",
    "static_url": "asyncstatic.serve.quart",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
