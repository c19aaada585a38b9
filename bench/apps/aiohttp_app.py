"""aiohttp's `add_static`; aiohttp is its own server."""

import os
import sys

from aiohttp import web


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    app = web.Application()
    app.router.add_static("/", os.environ["BENCH_ROOT"])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
