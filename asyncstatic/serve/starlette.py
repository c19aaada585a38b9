"""Starlette's names for our settings, its exception handlers, and its methods.

``StaticFiles(directory="static", html=True, packages=["pkg"])`` works with either import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Roots, Settings, SettingsError
from asyncstatic.settings.paths import paths_of
from asyncstatic.settings.root import SettingsOptions, StrPath

_MISSING_PAGE = "404.html"
_PACKAGE_FOLDER = "statics"  # where Starlette looks in a package when no name is given

# Statuses that Starlette's class, or an app's own code in its place, raises as HTTPException.
_RAISED = frozenset({400, 401, 403, 404, 405, 410, 414, 429})
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


class StarletteOptions(SettingsOptions, total=False):
    """Keyword arguments of `StaticFiles`: our settings, and Starlette's names (`settings_of`)."""

    directory: StrPath | None
    packages: Sequence[str | tuple[str, str]] | None
    html: bool
    check_dir: bool
    follow_symlink: bool


def settings_of(root: Roots | None, options: dict[str, Any]) -> Settings:
    """Build settings from our names and Starlette's.

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
    if "prefix" in options:
        raise SettingsError(
            f"prefix={options['prefix']!r}: the framework that mounts this says the path, or "
            "StaticMiddleware(app, root, prefix)"
        )
    roots = _roots(root, options)
    options.pop("check_dir", None)
    html = options.pop("html", None)
    if html:
        options.setdefault("not_found", _MISSING_PAGE)
    elif html is not None:
        options.setdefault("index", ())
    if options.pop("follow_symlink", False):
        options.setdefault("symlinks", "follow")
    return Settings(roots or None, **options)


def _roots(root: Roots | None, options: dict[str, Any]) -> list[StrPath]:
    """Return the named roots, then the folders of packages."""
    directory = options.pop("directory", None)
    if root is not None and directory is not None:
        raise SettingsError("directory= is Starlette's name of the root: leave one of them out")
    named = paths_of(directory if root is None else root)
    packages = options.pop("packages", None) or ()
    if isinstance(packages, str):
        raise SettingsError(f"packages={packages!r}: a list is needed, [{packages!r}]")
    return [*named, *map(_folder_of, packages)]


def _folder_of(package: str | Sequence[str]) -> str:
    """Name a folder of an installed package; "statics" if none is named."""
    name, folder = (package, _PACKAGE_FOLDER) if isinstance(package, str) else package
    return f"package:{name}/{folder}"


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
