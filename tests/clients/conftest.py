"""Real programs against the two setups a user starts: each module brings its own `root`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.clients.tap import Tap, tapping
from tests.support.servers import Server, serving

Run = Callable[..., str]
StartTap = Callable[..., Tap]


def aged(path: Path) -> None:
    """Wait until a file is so old that its metadata make a strong tag (RFC 9110 §8.8.1)."""
    while time.time() - path.stat().st_ctime < 2.1:
        time.sleep(0.05)


@pytest.fixture(
    scope="module",
    params=["serve", pytest.param("hypercorn-no-direct", marks=pytest.mark.slow)],
)
def setup(request: pytest.FixtureRequest) -> str:
    """The direct entry and the portable one."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(setup: str, root: Path) -> Iterator[Server]:
    """The module's `root`, served in each setup."""
    with serving(setup, root) as server:
        yield server


@pytest.fixture
def tapped(server: Server) -> Iterator[StartTap]:
    """Put a relay in front of the server: ``tapped(cut=(1000,))``."""
    with ExitStack() as taps:
        yield lambda **how: taps.enter_context(tapping(server.port, **how))


@pytest.fixture
def tap(tapped: StartTap) -> Tap:
    """A relay in front of the server that cuts nothing."""
    return tapped()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a program in an empty home: ``run("curl", url, status=22)`` returns its output."""
    short = TemporaryDirectory()  # for Chromium's socket, whose path may have 107 bytes

    def run(*command: str | Path, cwd: Path = tmp_path, status: int = 0, **more: str) -> str:
        done = subprocess.run(
            [os.fspath(word) for word in command],
            cwd=cwd,
            env=_environment(tmp_path, short.name, more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == status, f"{command}: {done.returncode}\n{output}"
        return output

    with short:
        yield run


def _environment(home: Path, temporary: str, more: dict[str, str]) -> dict[str, str]:
    """Nothing of the user's: no proxy, no configuration, no other index."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": temporary,
        "LC_ALL": "C.UTF-8",
        **more,
    }
