"""Starlette's names for our settings, where they mean the same.

``StaticFiles(directory="static", html=True, packages=["pkg"])`` works with either import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from asyncstatic.settings import Settings, SettingsError

_PACKAGE_FOLDER = "statics"  # where Starlette looks in a package when no name is given


def settings_of(root: str | os.PathLike[str] | None, options: dict[str, Any]) -> Settings:
    """Build settings from our names and Starlette's.

    * ``directory=``: the root.
    * ``packages=["pkg"]`` or ``[("pkg", "folder")]``: the root is a folder of that package.
    * ``html=False``: no index file is served for a directory. True is our default.
    * ``follow_symlink=True``: ``symlinks="follow"``, also out of the root.
    * ``check_dir=True``: always so here.

    Raises:
        SettingsError: a wrong setting, or one that would mean something else here.
    """
    directory = options.pop("directory", None)
    packages = options.pop("packages", None) or ()
    roots = [name for name in (root, directory, *map(_folder_of, packages)) if name is not None]
    if len(roots) > 1:
        raise SettingsError(
            "several roots: give each its own StaticFiles, or StaticMiddleware all of them"
        )
    if not options.pop("check_dir", True):
        raise SettingsError("check_dir=False: a root is opened at the start; create it before")
    if not options.pop("html", True):
        options.setdefault("index", ())
    if options.pop("follow_symlink", False):
        options.setdefault("symlinks", "follow")
    return Settings.of(roots[0] if roots else None, **options)


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
