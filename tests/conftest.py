"""What all tests share: the setups, a small site, and a loop on which nothing may block."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from blockbuster import BlockBusterFunction, blockbuster_ctx
from hypothesis import settings

import asyncstatic
from asyncstatic.files import kernel  # before it is watched: fstat and stat stay as they are
from tests.support.servers import SETUPS, Server, serving
from tests.support.site import write_site
from tests.support.tls import make_certificate

pytest_plugins = ("tests.support.selection",)

settings.register_profile("asyncstatic", deadline=None)  # a busy machine is no defect
settings.load_profile("asyncstatic")

StartServer = Callable[..., Server]


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_call_on_the_loop() -> Iterator[None]:
    """A call of ours that may wait, made on a running loop, raises BlockingError."""
    with blockbuster_ctx(scanned_modules=[asyncstatic]) as watched:
        reads = BlockBusterFunction(kernel, "pread", scanned_modules=[asyncstatic])
        watched.functions["kernel.pread"] = reads.activate()
        yield


@pytest.fixture(scope="session", autouse=True)
def _children_hear_ctrl_c() -> None:
    """A shell makes jobs in the background deaf to SIGINT, and what they start with them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small site; nobody may change it."""
    return write_site(tmp_path_factory.mktemp("small") / "site")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for the loopback, and its key: the paths of both."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    """Each way to run a root, in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(setup: str, site: Path) -> Iterator[Server]:
    """The small site, served in each setup."""
    with serving(setup, site) as server:
        yield server


@pytest.fixture
def start(setup: str) -> Iterator[StartServer]:
    """Serve another root in each setup: ``start(root, **settings)``."""
    with ExitStack() as servers:

        def start(root: Path, **settings: str) -> Server:
            return servers.enter_context(serving(setup, root, **settings))

        yield start
