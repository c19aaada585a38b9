"""Under plain Hypercorn: see the module that is imported."""

import pytest

from tests.serve.test_direct_tls import *  # noqa: F403

pytestmark = pytest.mark.slow
