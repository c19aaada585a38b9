"""What the tests of this folder share: both lanes, over the wire."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", params=["hypercorn-no-direct", "serve"])
def lane(request: pytest.FixtureRequest) -> str:
    """The portable lane on Hypercorn, and the direct lane."""
    return str(request.param)
