"""Connections over TLS in the direct entry, and behind it: they end in two steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import StaticFiles
from tests.serve.inside import LOOPS, serving_inside
from tests.support.raw import head
from tests.support.tls import over_tls


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_a_client_that_does_not_end_tls_keeps_no_other_from_its_deadline(
    site: Path, certificate: tuple[str, str], loop: str, direct: bool
) -> None:
    """asyncio's transport knows nothing any more once it has been closed twice."""
    chain, key = certificate
    errors: list[dict[str, Any]] = []
    with serving_inside(
        StaticFiles(site), loop=loop, direct=direct, certfile=chain, keyfile=key,
        keep_alive_timeout=0.3,
    ) as server:  # fmt: skip
        server.loop.set_exception_handler(lambda _, context: errors.append(context))
        with over_tls(server.connect(), chain) as lingering:
            lingering.send(head("/css/app.css", "Connection: close"))
            assert lingering.read().status == 200
            time.sleep(2.5)  # several times what the setup needs to look at all its connections
            with over_tls(server.connect(), chain) as idle:
                assert idle.get("/css/app.css").status == 200
                assert idle.ended()
    assert not errors


@pytest.mark.parametrize("loop", LOOPS)
def test_the_last_answer_ends_the_connection(
    site: Path, certificate: tuple[str, str], loop: str
) -> None:
    """TLS has no half-closed state, so nothing can be read after it."""
    chain, key = certificate
    with (
        serving_inside(
            StaticFiles(site), loop=loop, certfile=chain, keyfile=key, keep_alive_max_requests=2
        ) as server,
        over_tls(server.connect(), chain) as connection,
    ):
        connection.send(head("/css/app.css") * 3)
        last = [connection.read().field("connection") for _ in range(2)]
        assert last == [None, "close"]
        assert connection.ended()
