"""Under plain Hypercorn: see the module that is imported."""

from tests.serve.test_direct_tls import *  # noqa: F403
