"""What the tests of this folder share: both setups, over the wire."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", params=["hypercorn-no-direct", "serve"])
def setup(request: pytest.FixtureRequest) -> str:
    """The portable entry on Hypercorn, and the direct entry."""
    return str(request.param)
