"""``python -m bench.conformance [--only NAMES] [--check IDS] [--http2] [--verbose] [--write]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

try:
    from bench.conformance import report, terminal
    from bench.conformance.examine import Column, examine, rows
    from bench.conformance.findings import Grade
    from bench.conformance.servers import SERVERS, Server
except ModuleNotFoundError as error:
    package = str(error.name).partition(".")[0]
    sys.exit(
        f"python -m bench.conformance needs {package}, which is not here: pip install '.[bench]'"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the servers, print what was found; 1 when a server of ours is wrong somewhere."""
    options = _options(arguments)
    servers = [server for server in SERVERS if not options.only or server.name in options.only]
    http1 = [] if options.http2 else _examine(servers, options, http2=False)
    http2 = _examine(servers, options, http2=True) if options.http2 or options.write else []
    for columns, title in ((http1, "HTTP/1.1"), (http2, "HTTP/2")):
        if columns:
            terminal.show(columns, title, verbose=options.verbose)
    if options.write:
        report.write(http1, http2)
    ours = [column for column in (*http1, *http2) if column.server.ours]
    return int(any(column.total(Grade.WRONG) for column in ours))


def _examine(
    servers: Sequence[Server], options: argparse.Namespace, *, http2: bool
) -> list[Column]:
    """Examine a few servers at a time; they mostly wait, for closes that come and closes that do not."""

    def one(server: Server) -> Column:
        print(f"{server.name} ...", file=sys.stderr, flush=True)
        return examine(server, options.check, http2=http2)

    with ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(one, servers))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.conformance", description=__doc__)
    names = [server.name for server in SERVERS]
    ids = [check.id for check in rows()]
    parser.add_argument("--only", nargs="+", metavar="SERVER", choices=names, default=[])
    parser.add_argument("--check", nargs="+", metavar="ID", choices=ids, default=[])
    parser.add_argument("--http2", action="store_true", help="ask over HTTP/2 instead")
    parser.add_argument("--jobs", type=int, default=3, help="servers at a time (default: 3)")
    parser.add_argument("--verbose", action="store_true", help="show the answers behind a cell")
    parser.add_argument("--write", action="store_true", help="render docs/supported-http.md")
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.check or options.http2):
        parser.error("--write needs every server, every row and both HTTP versions")
    return options


if __name__ == "__main__":
    sys.exit(main())
