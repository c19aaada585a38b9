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
    from asyncstatic.settings import Limits, Rule, Settings, SettingsError

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

_NAMES = {
    "application": ("create_app",),
    "http.redirects": ("Redirect",),
    "serve.asgi": ("StaticFiles",),
    "serve.middleware": ("StaticMiddleware",),
    "serve.quart": ("AsyncStatic", "send_file", "send_from_directory", "static_tag", "static_url"),
    "serve.server": ("serve_app",),
    "serve.signing": ("SignedURLs", "sign_url"),
    "settings": ("Limits", "Rule", "Settings", "SettingsError"),
}
_HOME = {name: f"asyncstatic.{module}" for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
