"""Roots in installed packages: ``package:bootstrap_pkg/static``."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

_PACKAGE = "package:"


def is_in_package(root: Any) -> bool:
    """Tell whether a root is named as the folder of a package."""
    return isinstance(root, str) and root.startswith(_PACKAGE)


def package_folder(root: str) -> str:
    """Return the path of ``package:NAME/DIR``.

    `importlib.resources.files` would import the package; this asks for its place, and runs nothing of
    it, except of the packages around it.

    Raises:
        ValueError: there is no such package; the message begins with the root.
    """
    name, _, folder = root.removeprefix(_PACKAGE).partition("/")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{root}: {name} is not an installed package")
    paths = [os.path.join(place, folder) for place in spec.submodule_search_locations]
    return next(filter(os.path.exists, paths), paths[0])
