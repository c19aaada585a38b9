"""WhiteNoise around an app that knows nothing."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from whitenoise import WhiteNoise  # type: ignore[import-untyped]  # it has no types

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def nothing(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer 404 to what WhiteNoise passes on."""
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


app = WhiteNoise(nothing, root=os.environ["BENCH_ROOT"])
