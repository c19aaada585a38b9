"""Where a run took place: the machine, its kernel, and the version of everything that took part."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    "asyncstatic", "hypercorn", "quart", "uvloop", "httptools", "h11", "h2",
    "flask", "werkzeug", "gunicorn", "uvicorn", "granian", "starlette", "aiohttp",
    "whitenoise", "servestatic",
)  # fmt: skip

PROGRAMS = {
    "nginx": ("nginx", "-v"),
    "caddy": ("caddy", "version"),
    "lighttpd": ("lighttpd", "-v"),
    "wrk": ("wrk", "-v"),
    "h2load": ("h2load", "--version"),
    "cc": ("cc", "--version"),
}


def describe() -> dict[str, Any]:
    """Return the machine and the versions, ready for JSON."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "commit": _commit() if shutil.which("git") else "unknown",
        "packages": {name: version for name in PACKAGES if (version := _package(name))},
        "programs": {
            name: _program(*command)
            for name, command in PROGRAMS.items()
            if shutil.which(command[0])
        },
    }


def in_a_sentence(machine: dict[str, Any]) -> str:
    """Return the machine as a reader wants it named beside a figure."""
    gib = machine["memory_bytes"] / 2**30
    return (
        f"{machine['processor']}, {machine['cores']} cores, {gib:.0f} GiB, {machine['system']}, "
        f"{machine['python']}"
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown processor"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else "unknown processor"


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """Return the commit that is checked out, and whether the tree differs from it."""
    described = _run("git", "describe", "--always", "--dirty")
    return described.stdout.strip() if described.returncode == 0 else "unknown"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=10)


def _program(*command: str) -> str:
    """Return the version a program names, on whichever stream and with whatever status."""
    done = _run(*command)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"
