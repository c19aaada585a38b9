"""Under plain Hypercorn: see the module that is imported."""

from tests.serve.test_direct_differential import *  # noqa: F403
