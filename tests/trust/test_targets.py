"""No spelling of a target reads a foreign byte, is answered 5xx, hangs, or keeps a handle."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.raw import Answer, Connection, EndedError, ProtocolError, head
from tests.support.servers import Server, running, serving
from tests.support.site import write_site
from tests.trust.targets import attacks, mutations

FOREIGN = b"foreign octets"
OWN = {"page.html": b"own page", "dir/page.html": b"own page below", "index.html": b"own index"}
OUTSIDE = {
    "secret.txt": FOREIGN,
    "site-two/secret.txt": FOREIGN,  # shares the beginning of its name with the root
    "site/.hidden": FOREIGN,
    "site/.git/config": FOREIGN,
    "site/dir/.env": FOREIGN,
}
LINKS = {
    "out": "../secret.txt",
    "outdir": "..",
    "root_of_all": "/",
    "to_hidden": ".hidden",
    "loop": "loop",
}
FUZZED = int(os.environ.get("ASYNCSTATIC_TEST_FUZZ", "3000"))  # by hand: a million
SEED = int(os.environ.get("ASYNCSTATIC_TEST_SEED", "1"))
#: A mounted root beside another: targets of one never reach the other.
MOUNTED = """
import asyncio, sys
from hypercorn.config import Config
from asyncstatic import StaticMiddleware, serve_app

async def nothing(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"the app"})

config = Config()
config.bind = [sys.argv[2]]
app = StaticMiddleware(nothing, sys.argv[1], prefix="/static")
asyncio.run(serve_app(app, config, direct=sys.argv[3] == "serve"))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("targets")
    write_site(base, OUTSIDE)
    write_site(base / "site", OWN)
    for name, target in LINKS.items():
        (base / "site" / name).symlink_to(target)
    return base / "site"


@pytest.fixture(scope="module", params=["openat2", "walk", "mounted"])
def attacked(request: pytest.FixtureRequest, setup: str, root: Path) -> Iterator[Server]:
    if request.param == "mounted":
        arguments = ("-c", MOUNTED, str(root), "127.0.0.1:{port}", setup)
        with running(arguments, {}) as server:
            yield server
    else:
        with serving(setup, root, resolver=request.param) as server:
            yield server


@pytest.fixture(scope="module")
def prefix(attacked: Server) -> bytes:
    """Where the root is: found by asking."""
    return b"" if attacked.fetch("/page.html").status == 200 else b"/static"


class Attacker:
    """Sends targets one after another on a connection that is renewed when it ends."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Connection | None = None

    def send(self, target: bytes, method: str) -> Answer | None:
        """Send one target; None when the server ended the connection instead of an answer."""
        if self._connection is None:
            self._connection = self._server.connect()
        try:
            self._connection.send(head(target, method=method))
            answer = self._connection.read(method)
        except (EndedError, ConnectionError):
            self.close()
            return None
        if answer.field("connection") == "close":
            self.close()
        return answer

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        # Hypercorn keeps an idle connection that its client has closed until the keep-alive
        # timeout; this one it closes itself.
        if self._connection is not None:
            self._connection.get("/", "Connection: close")
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None


def assault(server: Server, targets: Iterable[bytes]) -> Counter[int]:
    """Send all, on as few connections as the server allows; count the statuses."""
    statuses: Counter[int] = Counter()
    with Attacker(server) as attacker:
        for position, target in enumerate(targets):
            method = "HEAD" if position % 7 == 0 else "GET"
            try:
                answer = attacker.send(target, method)
            except (TimeoutError, ProtocolError) as error:
                pytest.fail(f"{target!r}: {error!r}")
            if answer is not None:
                assert is_harmless(answer, method), (target, answer)
                statuses[answer.status] += 1
    return statuses


def is_harmless(answer: Answer, method: str) -> bool:
    """An answer that is whole, ours, and no fault."""
    if not answer.complete or answer.status >= 500 or FOREIGN in answer.content:
        return False
    return method == "HEAD" or answer.status != 200 or answer.content in OWN.values()


def still_serves(server: Server, prefix: bytes) -> bool:
    return server.fetch(prefix + b"/page.html").content == OWN["page.html"]


@pytest.fixture
def _no_handle_stays(attacked: Server, prefix: bytes) -> Iterator[None]:
    assert still_serves(attacked, prefix)
    assert attacked.fetch(prefix + b"/loop", "Connection: close").status == 404
    before = attacked.settled_handles(at_most=0, seconds=0.3)
    yield
    assert attacked.settled_handles(before, seconds=10.0) <= before
    assert still_serves(attacked, prefix)


@pytest.mark.usefixtures("_no_handle_stays")
def test_no_spelling_of_a_target_gets_out_of_the_root(attacked: Server, prefix: bytes) -> None:
    targets = attacks()
    assert len(targets) > 500
    statuses = assault(attacked, (prefix + t if t[:1] == b"/" else t for t in targets))
    assert {400, 404, 414} <= set(statuses) or prefix
    assert sum(statuses.values()) > 500, "the connection was simply closed"


@pytest.mark.slow
@pytest.mark.usefixtures("_no_handle_stays")
def test_no_mutation_of_an_attack_gets_out_of_the_root(attacked: Server, prefix: bytes) -> None:
    statuses = assault(attacked, (prefix + t for t in mutations(SEED, FUZZED)))
    assert sum(statuses.values()) > FUZZED / 2


def test_mutations_are_the_same_for_the_same_seed() -> None:
    assert list(mutations(7, 50)) == list(mutations(7, 50)) != list(mutations(8, 50))


def test_a_root_that_holds_the_secret_would_be_found_out(setup: str, root: Path) -> None:
    """The attacks are real: where links are followed at will, one of them gets through."""
    with serving(setup, root, symlinks="follow") as server, pytest.raises(AssertionError):
        assault(server, attacks())
