"""Starlette's names for our settings, where they mean the same.

``StaticFiles(directory="static", html=True, packages=["pkg"])`` works with either import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

from asyncstatic.settings import Settings, SettingsError

_MISSING_PAGE = "404.html"
_PACKAGE_FOLDER = "statics"  # where Starlette looks in a package when no name is given


Path: TypeAlias = str | os.PathLike[str]


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
    settings = Settings.of(first, **options)
    if more and (settings.unchanging or settings.offload != "off"):
        raise SettingsError("several roots: not together with offload or unchanging, of one root")
    return settings, tuple(map(str, more))


def _roots(root: Path | None, options: dict[str, Any]) -> list[Path | None]:
    """What was named as root, then the folders of packages; at least one, which may be None."""
    directory = options.pop("directory", None)
    if root is not None and directory is not None:
        raise SettingsError("directory= is Starlette's name of the root: leave one of them out")
    named = [name for name in (root, directory) if name is not None]
    folders = [_folder_of(package) for package in options.pop("packages", None) or ()]
    return [*named, *folders] or [None]


def _folder_of(package: str | Sequence[str]) -> str:
    """Find a folder of an installed package; "statics" where none is named."""
    name, folder = (package, _PACKAGE_FOLDER) if isinstance(package, str) else package
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"packages: {name} is not an installed package")
    return os.path.join(next(iter(spec.submodule_search_locations)), folder)
