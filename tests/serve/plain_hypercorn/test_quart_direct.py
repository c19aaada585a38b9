"""Under plain Hypercorn: see the module that is imported."""

from tests.serve.test_quart_direct import *  # noqa: F403
