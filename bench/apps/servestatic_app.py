"""ServeStatic, the ASGI heir of WhiteNoise; without an app it answers 404 itself."""

import os

from servestatic import ServeStaticASGI  # type: ignore[import-untyped]  # it has no types

app = ServeStaticASGI(None, root=os.environ["BENCH_ROOT"])
