"""Roots as they are named: a path, several, or a folder of a package, ``package:bootstrap_pkg/static``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from asyncstatic.settings.values import SettingsError, printable

_PACKAGE = "package:"


def paths_of(roots: Any) -> list[Any]:
    """Return the path of one root, or of each of several; none for None.

    Raises:
        SettingsError: one is no path, or names no installed package.
    """
    if roots is None:
        return []
    several = isinstance(roots, Sequence) and not isinstance(roots, str | bytes)
    return list(map(_path, roots if several else [roots]))


def _path(root: Any) -> Any:
    try:
        path = os.fspath(root)
    except TypeError:
        raise SettingsError(f"root={root!r}: the path of a directory is needed") from None
    return package_folder(path) if is_in_package(path) else path


def is_in_package(root: Any) -> bool:
    """Tell whether a root is named as the folder of a package."""
    return isinstance(root, str) and root.startswith(_PACKAGE)


def package_folder(root: str) -> str:
    """Return the path of ``package:NAME/DIR``.

    `importlib.resources.files` would import the package; this asks for its place, and runs nothing of
    it, except of the packages around it.

    Raises:
        SettingsError: there is no such package, or one around it cannot be imported.
    """
    name, _, folder = root.removeprefix(_PACKAGE).partition("/")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        problem = f"{name}: a package around it cannot be imported: {printable(reason)}"
        raise SettingsError(f"root {root}: {problem}") from None
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"root {root}: {name} is not an installed package")
    paths = [os.path.join(place, folder) for place in spec.submodule_search_locations]
    return next(filter(os.path.exists, paths), paths[0])
