"""Starlette's names for our settings, its exception handlers, and its methods.

``StaticFiles(directory="static", html=True, packages=["pkg"])`` works with either import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Options, Path, Settings, SettingsError

_MISSING_PAGE = "404.html"
_PACKAGE_FOLDER = "statics"  # where Starlette looks in a package when no name is given

# Statuses that Starlette's class, or an app's own code in its place, raises as HTTPException.
_RAISED = frozenset({400, 403, 404, 405, 410, 414})
_OF_OUR_PAGE = frozenset({b"content-type", b"content-length"})
_FRAMEWORKS = ("starlette", "fastapi")
# Methods that subclasses of Starlette's class override, each with its replacement here.
_MIDDLEWARE = "wrap StaticFiles in an ASGI middleware, or put StaticMiddleware in front of an app"
_DIRECTORIES = "name the directories: StaticFiles(directory, packages=[...])"
_FIELDS = "use the settings cache_control, immutable, media_types and etag, or an ASGI middleware"
_INSTEAD = {
    "get_response": _MIDDLEWARE,
    "get_path": 'change scope["path"] in an ASGI middleware',
    "lookup_path": _DIRECTORIES,
    "get_directories": _DIRECTORIES,
    "file_response": _FIELDS,
    "is_not_modified": _FIELDS,
    "check_config": "leave it out: the root is checked at the start",
}


class StarletteOptions(Options, total=False):
    """Keyword arguments of `StaticFiles`: our settings, and Starlette's names (`settings_of`)."""

    directory: Path | None
    packages: Sequence[str | tuple[str, str]] | None
    html: bool
    check_dir: bool
    follow_symlink: bool


def settings_of(root: Path | None, options: dict[str, Any]) -> tuple[Settings, tuple[str, ...]]:
    """Build settings from our names and Starlette's, and name the roots behind the first.

    * ``directory=``: the root.
    * ``packages=["pkg"]`` or ``[("pkg", "folder")]``: folders of packages, looked in for what the
      directory, or a package named before, does not have.
    * ``html=False``: no index file is served for a directory. It is by default here, and with
      ``True``, which also sends the root's ``404.html`` for what is missing.
    * ``follow_symlink=True``: ``symlinks="follow"``, also out of the root.
    * ``check_dir``: a root must always exist at the start.

    Raises:
        SettingsError: a wrong setting, or one that would mean something else here.
    """
    first, *more = _roots(root, options)
    options.pop("check_dir", None)
    html = options.pop("html", None)
    if html:
        options.setdefault("not_found", _MISSING_PAGE)
    elif html is not None:
        options.setdefault("index", ())
    if options.pop("follow_symlink", False):
        options.setdefault("symlinks", "follow")
    settings = Settings(first, **options)
    if more and (settings.unchanging or settings.offload != "off"):
        raise SettingsError("several roots: not together with offload or unchanging, of one root")
    return settings, tuple(map(str, more))


def _roots(root: Path | None, options: dict[str, Any]) -> list[Path | None]:
    """Return the named root, then the folders of packages; at least one item, perhaps None."""
    directory = options.pop("directory", None)
    if root is not None and directory is not None:
        raise SettingsError("directory= is Starlette's name of the root: leave one of them out")
    named = [name for name in (root, directory) if name is not None]
    folders = [_folder_of(package) for package in options.pop("packages", None) or ()]
    return [*named, *folders] or [None]


def _folder_of(package: str | Sequence[str]) -> str:
    """Find a folder of an installed package; "statics" if none is named."""
    name, folder = (package, _PACKAGE_FOLDER) if isinstance(package, str) else package
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"packages: {name} is not an installed package")
    return os.path.join(next(iter(spec.submodule_search_locations)), folder)


def refuse_methods(cls: type) -> None:
    """Refuse a subclass that overrides a method of Starlette's class: nothing here calls it.

    Raises:
        SettingsError: the message names the method and its replacement.
    """
    for name, instead in _INSTEAD.items():
        if hasattr(cls, name):
            raise SettingsError(f"{cls.__name__}.{name} would never be called here: {instead}")


def raise_for_handler(plan: ResponsePlan, scope: Scope) -> None:
    """Raise the exception of Starlette's class, if the app has its own handler for it.

    Starlette puts the handlers of the innermost app into the scope. If that app has only the
    handler of its framework, our own page is sent.

    Raises:
        starlette.exceptions.HTTPException: with the fields of `plan`, except those of its page.
    """
    handlers = scope.get("starlette.exception_handlers")
    if handlers is None or plan.status not in _RAISED:
        return
    from starlette.exceptions import HTTPException

    by_class, by_status = handlers
    handler = by_status.get(plan.status) or by_class.get(HTTPException)
    if handler is None or _is_of_framework(handler):
        return
    fields = {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in plan.fields
        if name not in _OF_OUR_PAGE
    }
    raise HTTPException(plan.status, headers=fields)


def _is_of_framework(handler: Any) -> bool:
    return str(getattr(handler, "__module__", "")).partition(".")[0] in _FRAMEWORKS
