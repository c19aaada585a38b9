"""Programs that are foreign witnesses: found, or the test says how to install them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Debian keeps servers here, which is not on every user's PATH.
_SYSTEM_PATH = "/usr/sbin:/sbin"


def require(program: str, apt: str) -> str:
    """Return the path of a program.

    Where it is missing the test is skipped, or fails under ``ASYNCSTATIC_TEST_STRICT=1``.

    Args:
        program: its name.
        apt: the Debian package that has it.

    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
    if found is None:
        absent(program, apt)
    return found


def require_path(path: str, apt: str) -> Path:
    """Return a file or directory of a Debian package, links resolved; else as `require`."""
    if not os.path.exists(path):
        absent(path, apt)
    return Path(path).resolve()


def absent(what: str, apt: str) -> NoReturn:
    """Skip the test, or fail it under ``ASYNCSTATIC_TEST_STRICT=1``."""
    line = f"{what} is not here: apt-get install --no-install-recommends {apt}"
    if os.environ.get("ASYNCSTATIC_TEST_STRICT") == "1":
        pytest.fail(line)
    pytest.skip(line)
