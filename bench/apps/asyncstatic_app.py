"""asyncstatic as a plain ASGI app, for servers other than Hypercorn."""

import os

from asyncstatic import StaticFiles

app = StaticFiles(os.environ["BENCH_ROOT"])
