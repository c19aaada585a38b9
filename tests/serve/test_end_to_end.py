"""A real site that nobody here wrote, crawled as a browser would."""

from __future__ import annotations

import gzip
import http.client
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.support.programs import require_path
from tests.support.raw import HOST
from tests.support.servers import Server, serving

_LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "iframe": "src"}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and name == _LINKS.get(tag)]


@cache  # pages are equal in every setup: parsed once
def links(page: bytes) -> tuple[str, ...]:
    """Every link of a page, as it is written."""
    parser = _Links()
    parser.feed(page.decode())
    parser.close()
    return tuple(parser.found)


@pytest.fixture(scope="session")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python's own documentation as Debian ships it; links out of its tree become files."""
    packaged = require_path(
        "/usr/share/doc/python3-doc/html", apt="python3-doc libjs-jquery libjs-underscore"
    )
    copied = tmp_path_factory.mktemp("manual") / "html"
    return Path(shutil.copytree(packaged, copied))


@pytest.fixture(scope="module")
def manual_server(setup: str, manual: Path) -> Iterator[Server]:
    with serving(setup, manual) as server:
        yield server


def internal(base: str, page: bytes) -> Iterator[str]:
    """The paths on our own host that a page links to."""
    for link in links(page):
        parts = urlsplit(urljoin(base, link))
        if parts.scheme == "http" and parts.netloc == HOST:
            yield parts.path or "/"


def crawl(connection: http.client.HTTPConnection) -> Iterator[tuple[str, int, bytes]]:
    """Get every path that can be reached from "/", over one connection."""
    seen, waiting = {"/"}, ["/"]
    while waiting:
        path = waiting.pop()
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
        yield path, response.status, content
        if response.getheader("Content-Type", "").startswith("text/html"):
            found = set(internal(f"http://{HOST}{path}", content)) - seen
            seen |= found
            waiting += sorted(found)


def content_of(root: Path, path: str) -> bytes:
    """What a path means on disk; Debian keeps the largest page as .gz only."""
    name = unquote(path).removeprefix("/")
    file = root / name / "index.html" if name.endswith("/") or not name else root / name
    if file.exists():
        return file.read_bytes()
    return gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes())


@pytest.mark.slow
def test_every_internal_link_of_a_real_site_gives_the_bytes_of_its_file(
    manual_server: Server, manual: Path
) -> None:
    crawled, wrong = 0, []
    with closing(http.client.HTTPConnection(HOST, manual_server.port, timeout=30)) as connection:
        for path, status, content in crawl(connection):
            crawled += 1
            if status != 200 or content != content_of(manual, path):
                wrong.append((path, status))
    assert wrong == []
    assert crawled > 500
