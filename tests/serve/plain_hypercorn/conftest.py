"""The tests of the direct entry once more, under plain Hypercorn instead of `serve_app`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve import inside


@pytest.fixture(scope="package", autouse=True)
def _plain_hypercorn() -> Iterator[None]:
    """Run Hypercorn's own `worker_serve`, whose TCPServer the app replaces."""
    inside.plain = True
    yield
    inside.plain = False
