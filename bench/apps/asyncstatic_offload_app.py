"""asyncstatic with the offload lane: the server may open files by name (ASGI's pathsend)."""

import os

from asyncstatic import StaticFiles

app = StaticFiles(os.environ["BENCH_ROOT"], unchanging=True)
