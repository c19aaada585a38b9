"""The listing: which names it shows, that each link gives its file, and that no name does harm."""

from __future__ import annotations

import asyncio
import gzip
import html
import io
import json
import os
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart

from asyncstatic import AsyncStatic, Settings, SettingsError, StaticFiles, StaticMiddleware
from asyncstatic.files import kernel, zip_archive, zipped
from asyncstatic.files.directory import DirectoryTree
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http.listing import _ORDINARY, human_size, natural_key, servable_in
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.http.target import TargetPath, parse_target
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.listing import source
from tests.asgi import Reply, ask
from tests.support.servers import SETUPS, Server, running, serving
from tests.support.zips import write_zip

JSON = {"accept": "application/json"}
HTML = {"accept": "text/html"}

#: Names that are listed, whatever they look like.
NAMES = [
    pytest.param("plain.txt", id="plain"),
    pytest.param("two words.txt", id="a space"),
    pytest.param("a#b?.txt", id="fragment and query"),
    pytest.param("100%.txt", id="a percent sign"),
    pytest.param("%2e%2e", id="an encoded spelling"),
    pytest.param("'\"><script>alert(1)<script>.txt", id="markup"),
    pytest.param("{{ 7 * 7 }}", id="a template"),
    pytest.param("&amp;&lt;", id="entities"),
    pytest.param("javascript:alert(1)", id="a scheme"),
    pytest.param("http:", id="another scheme"),
    pytest.param("?sort=size", id="a query"),
    pytest.param("photo\u202egpj.exe", id="right-to-left override"),
    pytest.param("\u0627\u0644\u0639\u0631\u0628\u064a\u0629.txt", id="Arabic"),
    pytest.param("\U0001f4c4 \u00e9\u0301.txt", id="emoji and combining characters"),
    pytest.param("n" * 255, id="255 bytes"),
    pytest.param("\u00e9" * 127, id="254 bytes of two each"),
    pytest.param("index.htm", id="nearly an index"),
    pytest.param("-rf", id="an option"),
    pytest.param("~", id="home"),
    pytest.param(" ", id="a blank"),
    pytest.param("con", id="a device of Windows"),
    pytest.param("+&=;,", id="separators"),
]


class Links(HTMLParser):
    """Reads a page as a browser does: the links of its entries, in order, and all its elements."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self._href: str | None = None
        self._text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.elements.append(tag)
        self.attributes |= known.keys()
        if tag == "a" and "data-kind" in known:
            self._href, self._text = known["href"], ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links.append((self._text, self._href))
            self._href = None


def links(reply: Reply) -> dict[str, str]:
    assert reply.status == 200
    return dict(Links(reply.body).links)


def names(reply: Reply) -> list[str]:
    """The names in a listing, whichever form it has."""
    assert reply.status == 200, reply.body
    if reply.headers["content-type"] == "application/json":
        return [entry["name"] for entry in json.loads(reply.body)["entries"]]
    return [name for name, _ in Links(reply.body).links]


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    """An app of somebody else: says hello to everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def serve(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(lambda: StaticFiles(root, **{"listing": True, **settings}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def fill(root: Path, *files: str) -> None:
    """Write files, each with its own name as content; directories where a name ends in a slash."""
    for name in files:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_of_any_name_is_listed_and_its_link_gives_it(root: Path, name: str) -> None:
    fill(root, name)
    static = await serve(root)
    page = await ask(static, "/", HTML)
    (href,) = [href for shown, href in links(page).items() if shown == name]
    target = urljoin("http://localhost/", href).removeprefix("http://localhost")
    assert (await ask(static, target)).body == name.encode()
    (entry,) = json.loads((await ask(static, "/", JSON)).body)["entries"]
    assert (entry["name"], entry["href"]) == (name, href)


@pytest.mark.parametrize("name", NAMES)
async def test_a_directory_of_any_name_is_listed_and_its_link_lists_it(
    root: Path, name: str
) -> None:
    (root / name).mkdir()
    (root / name / "inside").write_text("x")
    static = await serve(root)
    href = links(await ask(static, "/", HTML))[name]
    target = urljoin("http://localhost/", href).removeprefix("http://localhost")
    assert names(await ask(static, target)) == ["inside"]
    without_slash = await ask(static, target.rstrip("/"))
    assert without_slash.status == 301
    assert urljoin(f"http://localhost{target[:-1]}", without_slash.headers["location"]).endswith(
        target
    )


@pytest.mark.parametrize("name", NAMES[5:8])
async def test_a_name_adds_no_element_and_no_attribute_to_the_page(root: Path, name: str) -> None:
    fill(root, "a.txt", "sub/a.txt")
    before = Links((await ask(await serve(root), "/sub/", HTML)).body)
    (root / "sub").rename(root / name)
    (root / name / "a.txt").rename(root / name / f"{name}")
    static = await serve(root)
    href = links(await ask(static, "/", HTML))[name]
    after = Links((await ask(static, href[1:], HTML)).body)
    assert after.elements == before.elements
    assert after.attributes == before.attributes


UNLISTED: dict[str, Callable[[Path], None]] = {
    "hidden": lambda root: fill(root, ".env"),
    "denied": lambda root: fill(root, "x.bak"),
    "denied by path": lambda root: fill(root, "private/"),
    "fifo": lambda root: os.mkfifo(root / "fifo"),
    "socket": lambda root: socket.socket(socket.AF_UNIX).bind(str(root / "s")),
    "link that leads out": lambda root: (root / "out").symlink_to("/etc/hostname"),
    "link to a directory outside": lambda root: (root / "out").symlink_to("/etc"),
    "link that leads nowhere": lambda root: (root / "nowhere").symlink_to("missing"),
    "link to itself": lambda root: (root / "loop").symlink_to("loop"),
    "link to a hidden name": lambda root: (root / "env").symlink_to("sub/.env"),
    "link to a device": lambda root: (root / "null").symlink_to("/dev/null"),
    "nobody may read it": lambda root: (root / "x").touch(mode=0),
    "a line feed": lambda root: fill(root, "a\nb"),
    "a control character": lambda root: fill(root, "a\x1bb"),
    "a backslash": lambda root: fill(root, "a\\b"),
    "no UTF-8": lambda root: os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT)),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("resolver", ["openat2", "walk"])
@pytest.mark.parametrize("case", UNLISTED)
async def test_a_name_that_cannot_be_requested_is_not_listed(
    root: Path, case: str, resolver: str
) -> None:
    fill(root, "sub/.env", "shown.txt")
    UNLISTED[case](root)
    static = await serve(root, deny=("*.bak", "private/*", "private"), resolver=resolver)
    for accept in (HTML, JSON):
        assert names(await ask(static, "/", accept)) == ["sub", "shown.txt"]
    assert json.loads((await ask(static, "/", JSON)).body)["total"] == 2


async def test_links_that_stay_inside_are_listed_as_what_they_lead_to(root: Path) -> None:
    fill(root, "d/x", "f")
    (root / "to-d").symlink_to("d")
    (root / "to-f").symlink_to("f")
    static = await serve(root)
    shown = links(await ask(static, "/", HTML))
    assert list(shown) == ["d", "to-d", "f", "to-f"]
    assert shown["to-d"] == "./to-d/"
    assert names(await ask(static, "/to-d/")) == ["x"]


@pytest.mark.parametrize("resolver", ["openat2", "walk"])
async def test_the_time_of_a_directory_is_not_that_of_what_its_path_leads_to(
    root: Path, resolver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and describing it, somebody puts a link in its place."""
    fill(root, "sub/x")
    outside = root.parent / "outside"
    outside.mkdir()
    for path, seconds in ((root / "sub", 1_700_000_000), (outside, 1_000_000_000)):
        os.utime(path, (seconds, seconds))
    static = await serve(root, resolver=resolver)

    def swap(fd: int) -> os.stat_result:
        status = os.fstat(fd)
        if status.st_ino == inode and not (root / "sub").is_symlink():
            (root / "sub").rename(root / "moved")
            (root / "sub").symlink_to(outside)
        return status

    inode = (root / "sub").stat().st_ino
    monkeypatch.setattr(kernel, "fstat", swap)
    (entry,) = json.loads((await ask(static, "/", JSON)).body)["entries"]
    assert (entry["name"], entry["modified"]) == ("sub", "2023-11-14T22:13:20Z")


async def test_dotfiles_are_listed_where_they_are_served(root: Path) -> None:
    fill(root, ".a", ".well-known/x")
    assert names(await ask(await serve(root), "/")) == [".well-known"]
    assert names(await ask(await serve(root, dotfiles=True), "/")) == [".well-known", ".a"]


# -- which requests get one ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/", 200, id="the root"),
        pytest.param("/sub/", 200, id="a directory"),
        pytest.param("/sub", 301, id="without its slash"),
        pytest.param("/indexed/", 200, id="a directory with an index"),
        pytest.param("/missing/", 404, id="a missing directory"),
        pytest.param("/a.txt/", 404, id="a file as a directory"),
        pytest.param("/missing", 404, id="a missing name"),
        pytest.param("/.git/", 404, id="a hidden directory"),
        pytest.param("/out/", 404, id="a link that leads out"),
        pytest.param("/sub/../", 400, id="a dot segment"),
    ],
)
async def test_a_directory_answers(root: Path, target: str, status: int) -> None:
    fill(root, "sub/x", "indexed/index.html", "a.txt", ".git/config")
    (root / "out").symlink_to("/etc")
    static = await serve(root)
    for _ in range(2):
        assert (await ask(static, target, JSON)).status == status
    if target == "/indexed/":
        assert (await ask(static, target, JSON)).body == b"indexed/index.html"


async def test_without_the_setting_nothing_is_listed(root: Path) -> None:
    fill(root, "a.txt", "sub/x")
    static = await asyncio.to_thread(StaticFiles, root)
    for target in ("/", "/sub/", "/sub"):
        assert (await ask(static, target)).status == 404


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
async def test_a_directory_that_may_not_be_read_is_403(root: Path) -> None:
    fill(root, "shut/x")
    (root / "shut").chmod(0o111)
    assert (await ask(await serve(root), "/shut/")).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_are_refused(root: Path, method: str) -> None:
    assert (await ask(await serve(root), "/", method=method)).status == 405


async def test_an_index_that_appears_and_goes_is_seen_at_once(root: Path) -> None:
    static = await serve(root)
    assert names(await ask(static, "/")) == []
    fill(root, "index.html")
    assert (await ask(static, "/")).body == b"index.html"
    (root / "index.html").unlink()
    fill(root, "b.txt")
    assert names(await ask(static, "/")) == ["b.txt"]


async def test_a_root_that_a_deploy_replaces_is_listed_anew(tmp_path: Path) -> None:
    for release in "1", "2":
        fill(tmp_path, f"{release}/file-{release}")
    (tmp_path / "site").symlink_to("1")
    static = await serve(tmp_path / "site")
    assert names(await ask(static, "/")) == ["file-1"]
    (tmp_path / "new").symlink_to("2")
    (tmp_path / "new").rename(tmp_path / "site")
    await asyncio.sleep(0.3)  # the root's own check of where it leads
    assert names(await ask(static, "/")) == ["file-2"]


async def test_the_not_found_page_is_for_what_is_no_directory(root: Path) -> None:
    fill(root, "404.html", "sub/x")
    static = await serve(root, not_found="404.html")
    assert (await ask(static, "/missing/")).body == b"404.html"
    assert names(await ask(static, "/sub/")) == ["x"]


async def test_a_file_that_vanishes_meanwhile_is_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "a.txt", "b.txt")
    static = await serve(root)
    chosen = source._chosen

    def choose(*arguments: Any) -> Any:
        (root / "a.txt").unlink(missing_ok=True)
        return chosen(*arguments)

    monkeypatch.setattr(source, "_chosen", choose)
    assert names(await ask(static, "/")) == ["b.txt"]


# -- fields ----------------------------------------------------------------------------------


async def test_a_page_allows_nothing_but_its_own_style_and_script(root: Path) -> None:
    page = await ask(await serve(root), "/", HTML)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert re.findall(r"(?:style|script)-src ('sha256-\S+'|\S+)(?: [^;]*)?;", policy)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["vary"] == "Accept-Encoding, Accept"
    assert not re.search(rb'\son\w+=|style="|https?://(?!www.w3.org/2000/svg)', page.body)


async def test_a_page_that_a_client_has_is_304_until_a_name_or_a_size_changes(root: Path) -> None:
    fill(root, "a.txt")
    static = await serve(root)
    for accept in (HTML, JSON):
        tag = (await ask(static, "/", accept)).headers["etag"]
        again = await ask(static, "/", {**accept, "if-none-match": tag})
        assert (again.status, again.headers["vary"]) == (304, again.headers["vary"])
        (root / "a.txt").write_text(f"longer {accept}")
        assert (await ask(static, "/", {**accept, "if-none-match": tag})).status == 200


async def test_head_has_the_fields_of_get(root: Path) -> None:
    static = await serve(root)
    get, head = [await ask(static, "/", HTML, method=method) for method in ("GET", "HEAD")]
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")


async def test_a_long_page_is_compressed_for_a_client_that_accepts_it(root: Path) -> None:
    static = await serve(root)
    plain = await ask(static, "/", HTML)
    coded = await ask(static, "/", {**HTML, "accept-encoding": "gzip, br"})
    assert coded.headers["content-encoding"] == "gzip"
    assert gzip.decompress(coded.body) == plain.body
    assert coded.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=0.1", "gzip"),
        ("gzip, identity", "gzip"),
        ("*", "gzip"),
        ("identity;q=0.1, gzip", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("identity, *;q=0.5", None),
        ("gzip;q=0", None),
        ("br", None),
        ("*;q=0", None),
    ],
)
async def test_a_page_has_the_coding_that_a_client_prefers(
    root: Path, accepted: str, coding: str | None
) -> None:
    page = await ask(await serve(root), "/", {**HTML, "accept-encoding": accepted})
    assert page.headers.get("content-encoding") == coding


async def test_a_listing_is_private_where_authorize_is_asked(root: Path) -> None:
    fill(root, "a/x", "b/x")
    asked: list[str] = []

    def authorize(_scope: Any, path: str) -> bool:
        asked.append(path)
        return path != "/b/"

    static = await serve(root, authorize=authorize)
    page = await ask(static, "/a/")
    assert page.headers["cache-control"] == "private, no-cache"
    assert (await ask(static, "/b/")).status == 403
    assert asked == ["/a/", "/b/"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param(None, "text/html; charset=utf-8", id="no Accept"),
        pytest.param("*/*", "text/html; charset=utf-8", id="curl"),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", id="browser"),
        pytest.param("application/json", "application/json", id="JSON"),
        pytest.param("Application/JSON", "application/json", id="JSON in capitals"),
        pytest.param("application/json, */*;q=0.1", "application/json", id="JSON rather"),
        pytest.param("application/json, */*", "application/json", id="JSON, or anything"),
        pytest.param("application/json, text/html", "text/html; charset=utf-8", id="both"),
        pytest.param("application/json;q=0.5, text/html", "text/html; charset=utf-8", id="HTML rather"),
        pytest.param("application/json;q=0", "text/html; charset=utf-8", id="no JSON"),
    ],
)  # fmt: skip
async def test_accept_chooses_between_page_and_json(
    root: Path, accept: str | None, kind: str
) -> None:
    reply = await ask(await serve(root), "/", {"accept": accept} if accept else {})
    assert reply.headers["content-type"] == kind


# -- order, filter, pages --------------------------------------------------------------------

SIZES = {"file 10": 5, "file 9": 300, "File 1": 40, "Été": 7, "eta": 8, "zeta": 1}


@pytest.fixture
def sizes(root: Path) -> Path:
    fill(root, "dir 2/", "dir 10/")
    for age, (name, size) in enumerate(SIZES.items()):
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (1_700_000_000 - age, 1_700_000_000 - age))
    os.utime(root / "dir 2", (1_600_000_000,) * 2)
    os.utime(root / "dir 10", (1_600_000_001,) * 2)
    return root


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", "dir 2|dir 10|eta|Été|File 1|file 9|file 10|zeta", id="natural order"),
        pytest.param("?order=desc", "dir 10|dir 2|zeta|file 10|file 9|File 1|Été|eta", id="reversed"),
        pytest.param("?sort=size", "dir 2|dir 10|zeta|file 10|Été|eta|File 1|file 9", id="size"),
        pytest.param("?sort=size&order=desc", "dir 10|dir 2|file 9|File 1|eta|Été|file 10|zeta", id="largest first"),
        pytest.param("?sort=modified", "dir 2|dir 10|zeta|eta|Été|File 1|file 9|file 10", id="time"),
        pytest.param("?sort=modified&order=desc", "dir 10|dir 2|file 10|file 9|File 1|Été|eta|zeta", id="newest first"),
        pytest.param("?q=ETA", "eta|zeta", id="filter"),
        pytest.param("?q=1&sort=size", "dir 10|file 10|File 1", id="filter and order"),
        pytest.param("?q=nothing", "", id="nothing found"),
        pytest.param("?sort=colour&order=up&page=0&x=%ff", "dir 2|dir 10|eta|Été|File 1|file 9|file 10|zeta", id="nonsense"),
        pytest.param("?page=99999999999999999999", "dir 2|dir 10|eta|Été|File 1|file 9|file 10|zeta", id="no such page"),
        pytest.param("?" + "&".join(f"a{n}=1" for n in range(50)), "dir 2|dir 10|eta|Été|File 1|file 9|file 10|zeta", id="too many fields"),
    ],
)  # fmt: skip
async def test_the_query_chooses_order_and_names(sizes: Path, query: str, expected: str) -> None:
    static = await serve(sizes)
    for accept in (HTML, JSON):
        assert "|".join(names(await ask(static, f"/{query}", accept))) == expected


async def test_each_column_head_sorts_and_says_so(sizes: Path) -> None:
    static = await serve(sizes)
    page = (await ask(static, "/?sort=size&order=desc&q=e", HTML)).body.decode()
    heads = re.findall(
        r'<th scope="col" class="(\w+)"(?: aria-sort="(\w+)")?><a href="([^"]+)"', page
    )
    assert heads == [
        ("name", "", "?q=e"),
        ("size", "descending", "?q=e&amp;sort=size"),
        ("modified", "", "?q=e&amp;sort=modified&amp;order=desc"),
    ]


@pytest.mark.parametrize("query", ["", "?sort=size&order=desc", "?q=9"])
async def test_pages_together_have_each_name_once(root: Path, query: str) -> None:
    fill(root, *(f"f{number}" for number in range(2500)))
    expected = sorted(f"f{n}" for n in range(2500) if query != "?q=9" or "9" in str(n))
    static = await serve(root)
    found, pages, target = [], 0, f"/{query}"
    while target:
        page = await ask(static, target, HTML)
        shown = names(page)
        assert len(shown) <= 1000
        found += shown
        pages += 1
        (target,) = re.findall(r'rel="next" href="([^"]+)"', page.body.decode()) or [""]
        target = target and "/" + target.replace("&amp;", "&")
    assert sorted(found) == expected
    shape = json.loads((await ask(static, f"/{query}", JSON)).body)
    assert (shape["pages"], shape["total"]) == (pages, len(expected))


async def test_a_directory_with_more_names_than_are_read_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MOST_NAMES", 3)
    fill(root, *"abcde")
    static = await serve(root)
    assert b"more names than are listed" in (await ask(static, "/", HTML)).body
    shape = json.loads((await ask(static, "/", JSON)).body)
    assert (shape["complete"], len(shape["entries"])) == (False, 3)


async def test_the_event_loop_never_touches_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "a.txt", "sub/x", "README.md")
    static = await serve(root)
    loop_thread = threading.get_ident()

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any) -> Any:
            assert threading.get_ident() != loop_thread
            return call(*arguments)

        return checked

    for name in ("scandir_fd", "lstat_at", "pread", "readlinkat"):
        monkeypatch.setattr(kernel, name, guarded(getattr(kernel, name)))
    for target in ("/", "/?sort=size", "/sub/", "/sub"):
        assert (await ask(static, target)).status in (200, 301)


async def test_a_missing_name_needs_no_thread_once_the_names_are_known(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "sub/x")
    await asyncio.sleep(0.05)  # a directory that has just changed is read again each time
    static = await serve(root)
    assert (await ask(static, "/sub/missing")).status == 404
    with monkeypatch.context() as patched:
        patched.setattr(TreeSource, "in_pool", None)
        for target in ("/sub/missing", "/sub/other", "/sub/other/"):
            assert (await ask(static, target)).status == 404
    (root / "sub" / "other").mkdir()
    assert names(await ask(static, "/sub/other/")) == []


async def test_a_file_does_not_wait_for_listings(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "a.txt", "sub/b.txt")
    static = await serve(root, resolver="walk", listing_zip="1MiB")  # each file needs a thread
    lists, may_list = threading.Event(), threading.Event()

    def entries(*arguments: Any, **options: Any) -> Any:
        lists.set()
        may_list.wait()
        return really(*arguments, **options)

    really = DirectoryTree.entries
    monkeypatch.setattr(DirectoryTree, "entries", entries)
    targets = ("/", "/?zip") * static.settings.limits.pool_threads
    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            listings = [group.create_task(ask(static, target)) for target in targets]
            await asyncio.to_thread(lists.wait)
            assert (await ask(static, "/a.txt")).body == b"a.txt"
            assert (await ask(static, "/sub")).status == 301
            assert not any(listing.done() for listing in listings)
            while static.waiting_calls < len(targets) - 2:  # two threads list
                await asyncio.sleep(0)
            assert static.waiting_calls == len(targets) - 2
            may_list.set()
    finally:
        may_list.set()
    assert {listing.result().status for listing in listings} == {200}


# -- the shape of JSON -----------------------------------------------------------------------


async def test_json_has_the_documented_shape(root: Path) -> None:
    fill(root, "d é/e.txt", "d é/sub/x")
    for name in ("d é/e.txt", "d é/sub"):
        os.utime(root / name, (1_700_000_000, 1_700_000_000))
    reply = await ask(await serve(root), "/d%20%C3%A9/?sort=size&q=e", JSON)
    assert json.loads(reply.body) == {
        "path": "/d é/",
        "sort": "size",
        "order": "asc",
        "q": "e",
        "page": 1,
        "pages": 1,
        "total": 1,
        "complete": True,
        "entries": [
            {
                "name": "e.txt",
                "type": "file",
                "href": "./e.txt",
                "size": len("d é/e.txt".encode()),
                "modified": "2023-11-14T22:13:20Z",
            }
        ],
    }
    whole = json.loads((await ask(await serve(root), "/d%20%C3%A9/", JSON)).body)
    assert whole["entries"][0] == {
        "name": "sub",
        "type": "directory",
        "href": "./sub/",
        "size": None,
        "modified": "2023-11-14T22:13:20Z",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (9949, "9.9 kB"), (9950, "10 kB"),
     (999_499, "999 kB"), (999_500, "1.0 MB"), (1_500_000_000, "1.5 GB"), (2**63, "9.2 EB"), (10**22, "10000 EB")],
)  # fmt: skip
def test_a_size_is_readable(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "b"), ("a9", "a10"), ("a", "a1"), ("a1", "ab"), ("A1", "a2"), ("", "0"), ("x2y3", "x2y10"),
     ("1", "a"), ("é", "f"), ("e", "é"), ("a" + "9" * 254, "b"), ("v007", "v10"), ("v07", "v7"), ("0", "1")],
)  # fmt: skip
def test_names_have_a_natural_order(first: str, second: str) -> None:
    assert natural_key(first) < natural_key(second)


@given(
    name=st.from_regex(_ORDINARY, fullmatch=True) | st.sampled_from(["a.bak", "A.BAK.gz", "B~1"]),
    deny=st.sampled_from([(), ("*.bak", "*a*"), ("d/b*",)]),
)
def test_a_name_that_is_judged_by_its_characters_is_judged_as_a_request_for_it(
    name: str, deny: tuple[str, ...]
) -> None:
    settings = Settings(deny=deny)
    for is_directory in (False, True):
        target = f"/d/{quote(name)}{'/' * is_directory}".encode()
        admitted = isinstance(parse_target(target, settings), TargetPath)
        assert servable_in(("d",), settings)(name, is_directory) == admitted
        assert admitted or deny


# -- README ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("README.md", "# Hi *you*", "<h1>Hi <em>you</em></h1>", id="Markdown"),
        pytest.param("readme.markdown", "a | b\n--|--\n1 | 2", "<td>1</td>", id="a table"),
        pytest.param("README.md", "<script>alert(1)</script>", "&lt;script&gt;alert(1)", id="HTML"),
        pytest.param("README.md", "[x](javascript:alert(1))", "[x](javascript:alert(1))", id="a script as a link"),
        pytest.param("README.md", "![pic](./a.png)", 'src="./a.png" alt="pic"', id="an image of this site"),
        pytest.param("README.md", "![<b>](https://example.com/a.png)", "<p>&lt;b&gt;</p>", id="an image of another site"),
        pytest.param("README.md", "![pic](//example.com/a.png)", "<p>pic</p>", id="an image without a scheme"),
        pytest.param("README", "<b> & 1 < 2", "<pre>&lt;b&gt; &amp; 1 &lt; 2</pre>", id="plain text"),
        pytest.param("Readme.txt", "# no heading", "<pre># no heading</pre>", id="plain text with a suffix"),
    ],
)  # fmt: skip
async def test_a_readme_is_shown_below(root: Path, name: str, text: str, expected: str) -> None:
    (root / name).write_text(text)
    page = (await ask(await serve(root), "/", HTML)).body.decode()
    assert expected in page
    assert 'class="card readme"' in page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("README.md", b"\xff\xfe", id="no UTF-8"),
        pytest.param("README.md", b"x" * 200_000, id="too large"),
        pytest.param("README.md/", b"", id="a directory"),
        pytest.param("other.md", b"x", id="another name"),
    ],
)
async def test_other_files_are_not_shown_below(root: Path, name: str, content: bytes) -> None:
    if name.endswith("/"):
        (root / name).mkdir()
    else:
        (root / name).write_bytes(content)
    assert b'class="card readme"' not in (await ask(await serve(root), "/", HTML)).body


_EMPTY_CELLS = "a|" * 256 + "\n" + "-|" * 256 + "\n" + "x\n" * 255 + "\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_EMPTY_CELLS * 4, id="tables that are filled up with empty cells"),
        pytest.param(f"[a]: /{'x' * 20_000}\n\n{'[a] ' * 1000}", id="a long link used often"),
        pytest.param(f"[a]: /x '{'x' * 20_000}'\n\n{'![a] ' * 1000}", id="a title used often"),
    ],
)
async def test_a_readme_that_would_become_much_longer_is_shown_as_text(
    root: Path, text: str
) -> None:
    (root / "README.md").write_text(text)
    page = (await ask(await serve(root), "/", HTML)).body.decode()
    assert f"<pre>{text}" in html.unescape(page)


# -- a folder as a zip -----------------------------------------------------------------------


async def unzipped(static: Any, target: str) -> dict[str, bytes]:
    reply = await ask(static, target)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_a_zip_has_all_that_is_served_below_a_folder_and_nothing_else(root: Path) -> None:
    fill(root, "a/é 1.txt", "a/sub/deep/x", "a/.env", "a/x.bak", "other")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "out").symlink_to("/etc/hostname")
    (root / "a" / "same").symlink_to("é 1.txt")
    static = await serve(root, listing_zip="1MiB", deny=("*.bak",))
    found = await unzipped(static, "/a/?zip")
    assert found.keys() == {"é 1.txt", "sub/deep/x", "same"}
    assert found["sub/deep/x"] == b"a/sub/deep/x"
    reply = await ask(static, "/a/?zip")
    assert reply.headers["content-disposition"] == 'attachment; filename="a.zip"'
    assert "etag" not in reply.headers
    assert "content-length" not in reply.headers


def exclusive(opened: dict[str, Any], closed: dict[str, Any]) -> Any:
    return StaticMiddleware(hello, {"": opened, "/a/closed": closed}, exclusive=True)


def in_order(opened: dict[str, Any], closed: dict[str, Any]) -> Any:
    return StaticMiddleware(hello, {"/a/closed": closed, "": opened})


def in_front_of_files(opened: dict[str, Any], closed: dict[str, Any]) -> Any:
    return StaticMiddleware(StaticFiles(**opened), prefix="/a/closed", **closed)


def in_front_of_quart(opened: dict[str, Any], closed: dict[str, Any]) -> Any:
    app = Quart("here", static_folder=None)
    AsyncStatic(app, {"/a/closed": closed, "": opened})
    return app


async def test_a_listing_shows_no_file_that_authorize_was_not_asked_about(root: Path) -> None:
    fill(root, "README.md")
    (root / "README.md").write_text("the text of it")
    static = await serve(root, authorize=lambda _, path: path == "/")
    listing = await ask(static, "/", HTML)
    assert names(listing) == ["README.md"]
    assert b"the text of it" not in listing.body
    assert (await ask(static, "/README.md")).status == 403
    assert b"the text of it" in (await ask(await serve(root), "/", HTML)).body


@pytest.mark.parametrize(
    "build", [exclusive, in_order, in_front_of_files, in_front_of_quart], ids=lambda f: f.__name__
)
async def test_a_zip_has_nothing_of_a_folder_that_a_mount_in_front_answers_for(
    root: Path, build: Callable[..., Any]
) -> None:
    fill(root, "a/open", "a/closed/deep/secret", "b/closed", "a/closed2/x")
    opened = {"root": root, "listing": True, "listing_zip": "1MiB"}
    closed = {"root": root / "a" / "closed", "deny_from": "*"}
    app = await asyncio.to_thread(build, opened, closed)
    assert (await unzipped(app, "/?zip")).keys() == {"a/open", "b/closed", "a/closed2/x"}
    assert (await unzipped(app, "/a/?zip")).keys() == {"open", "closed2/x"}
    assert (await ask(app, "/a/closed/?zip")).status == 403


async def test_a_zip_has_no_file_that_a_mount_in_front_answers_for(root: Path) -> None:
    fill(root, "a/open", "a/closed")
    opened = {"root": root, "listing": True, "listing_zip": "1MiB"}
    mounts: dict[str, Any] = {"/a/closed": root / "a", "": opened}
    app = await asyncio.to_thread(lambda: StaticMiddleware(hello, mounts))
    assert (await unzipped(app, "/a/?zip")).keys() == {"open"}


@pytest.mark.parametrize("seconds", [-(2**33), -1, 0, 2**31 - 1, 2**31, 2**32, 2**33])
async def test_a_zip_has_files_of_every_time(root: Path, seconds: int) -> None:
    fill(root, "a", "b")
    os.utime(root / "a", (seconds, seconds))
    static = await serve(root, listing_zip="1MiB")
    assert (await unzipped(static, "/?zip")).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("settings", "status"),
    [({}, 404), ({"listing_zip": 999}, 403), ({"listing_zip": 1000}, 200)],
    ids=["not enabled", "too large", "within the bound"],
)
async def test_a_zip_is_opt_in_and_bounded_in_bytes(
    root: Path, settings: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "large").write_bytes(b"x" * 1000)
    static = await serve(root, **settings)
    assert (await ask(static, "/?zip")).status == status
    assert (b"Download all" in (await ask(static, "/", HTML)).body) == bool(settings)
    assert ("no zip of /: " in caplog.text) == (status == 403)


async def test_a_zip_is_bounded_in_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_MEMBERS", 3)
    fill(root, "a", "b/c")
    static = await serve(root, listing_zip="1MiB")
    assert len(await unzipped(static, "/?zip")) == 2
    fill(root, "empty/")
    assert (await ask(static, "/?zip")).status == 403


async def test_a_zip_whose_client_leaves_closes_its_files(root: Path) -> None:
    (root / "large").write_bytes(os.urandom(8_000_000))
    static = await serve(root, listing_zip="16MiB")

    async def disconnected() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        await asyncio.sleep(0)

    before = len(os.listdir("/proc/self/fd"))
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    await static({**scope, "raw_path": b"/", "query_string": b"zip"}, disconnected, send)
    for _ in range(100):
        if len(os.listdir("/proc/self/fd")) <= before + 1:
            break
        await asyncio.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # one may be the open root


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"B" * path.stat().st_size)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("change", "is_cut"),
    [
        pytest.param(rewrite, True, id="rewritten in place"),
        pytest.param(lambda path: os.truncate(path, 500_000), True, id="cut"),
        pytest.param(append, False, id="appended to"),
        pytest.param(Path.unlink, False, id="removed"),
    ],
)
async def test_a_zip_has_one_version_of_each_file_or_no_end(
    root: Path, change: Callable[[Path], None], is_cut: bool
) -> None:
    """The checksum is made from what is sent, so it cannot tell."""
    (root / "large").write_bytes(b"A" * 4_000_000)
    (root / "small").write_bytes(b"small")
    static = await serve(root, listing_zip="16MiB")
    content = zipped._content

    def changing(file: Any) -> Iterator[bytes]:
        for number, piece in enumerate(content(file)):
            yield piece
            if number == 1:
                change(root / "large")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zipped, "_content", changing)
        if is_cut:
            with pytest.raises(TransferAborted, match="changed while it was read"):
                await ask(static, "/?zip")
        else:
            found = await unzipped(static, "/?zip")
            assert found == {"large": b"A" * 4_000_000, "small": b"small"}


# -- templates and settings ------------------------------------------------------------------


async def test_a_template_of_the_user_is_used_and_may_extend_ours(
    root: Path, tmp_path: Path
) -> None:
    fill(root, "<b>.txt")
    template = tmp_path / "mine.html"
    template.write_text("{% for row in listing.rows %}{{ row.name }} {{ row.href }}{% endfor %}")
    page = await ask(await serve(root, listing_template=str(template)), "/")
    assert page.body == b"&lt;b&gt;.txt ./%3Cb%3E.txt"
    assert "style-src 'sha256-" in page.headers["content-security-policy"]
    template.write_text(
        '{% extends "asyncstatic/listing.html" %}{% block footer %}Our footer{% endblock %}'
    )
    page = await ask(await serve(root, listing_template=str(template)), "/")
    assert b"Our footer" in page.body
    assert names(page) == ["<b>.txt"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listing_template": "missing.html"}, "listing_template='missing.html': there is no such"),
        ({"listing_template": "broken.html"}, "listing_template='broken.html': line 2: "),
        ({"listing": False, "listing_zip": 1}, "listing_zip=1: listing=True is needed"),
        (
            {"listing_zip": "many"},
            "listing_zip='many': a number is needed, or a size such as 64KiB",
        ),
        ({"listing": "yes"}, "bool is needed"),
        ({"listing_zip": 1, "authorize": lambda *_: True}, "not with authorize"),
    ],
)
async def test_a_wrong_setting_is_one_line_at_the_start(
    root: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.html").write_text("\n{% for %}")
    with pytest.raises(SettingsError) as error:
        await serve(root, **settings)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("package", "settings", "setting"),
    [("jinja2", {}, "listing"), ("stream_zip", {"listing_zip": 1}, "listing_zip")],
)
async def test_a_missing_package_is_one_line_at_the_start(
    root: Path,
    package: str,
    settings: dict[str, Any],
    setting: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(SettingsError, match=rf"{setting} needs {package}: pip install"):
        await serve(root, **settings)


async def test_without_markdown_a_readme_is_shown_as_text(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "README.md").write_text("# Plain &c.")
    monkeypatch.setitem(__import__("sys").modules, "markdown_it", None)
    assert b"<pre># Plain &amp;c.</pre>" in (await ask(await serve(root), "/", HTML)).body


@pytest.mark.parametrize(
    ("files", "options", "hints"),
    [
        pytest.param(["a.txt"], (), True, id="no index"),
        pytest.param(["index.html"], (), False, id="an index"),
        pytest.param(["a.txt"], ("--listing",), False, id="listed"),
        pytest.param(["200.html"], ("--set", "spa=200.html"), False, id="a shell"),
        pytest.param(["en/index.html"], ("--set", "redirects=/ /en/"), False, id="a redirect"),
    ],
)
def test_the_start_up_line_says_how_to_list_a_folder_without_an_index(
    root: Path, files: list[str], options: tuple[str, ...], hints: bool
) -> None:
    fill(root, *files)
    command = ("-m", "asyncstatic", "serve", str(root), "--bind", "127.0.0.1:{port}", *options)
    with running(command, {}) as server:
        status = server.fetch("/", "Accept: text/html").status
        assert status == 404 if hints else status in (200, 301)
        assert (f"{root} has no index: --listing shows its files\n" in server.log) == hints


# -- every entry -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    fill(
        root, "a#b?.txt", "sub dir/é.txt", "indexed/index.html", *(f"many/{n}" for n in range(1500))
    )
    return root


@pytest.fixture(scope="module", params=[*SETUPS])
def server(request: pytest.FixtureRequest, tree: Path) -> Iterator[Server]:
    with serving(request.param, tree, listing="1", listing_zip="1MiB") as server:
        yield server


def test_every_entry_lists_pages_sorts_and_sends_a_zip(server: Server) -> None:
    for _ in range(3):
        shape = json.loads(server.fetch("/", "Accept: application/json").content)
        assert [entry["name"] for entry in shape["entries"]] == [
            "indexed",
            "many",
            "sub dir",
            "a#b?.txt",
        ]
        assert server.fetch("/a%23b%3F.txt").content == b"a#b?.txt"
        page = server.fetch("/", "Accept: text/html")
        assert [name for name, _ in Links(page.content).links][:2] == ["indexed", "many"]
        backwards = server.fetch("/?order=desc", "Accept: text/html")
        assert [name for name, _ in Links(backwards.content).links][:2] == ["sub dir", "many"]
        assert (
            server.fetch("/", f"If-None-Match: {page.field('etag')}", "Accept: text/html").status
            == 304
        )
        assert server.fetch("/indexed/?zip").content == b"indexed/index.html"
        assert server.fetch("/sub%20dir").field("location") == "./sub%20dir/"
        assert server.fetch("/missing/").status == 404
        second = json.loads(server.fetch("/many/?page=2", "Accept: application/json").content)
        assert (len(second["entries"]), second["entries"][-1]["name"]) == (500, "1499")
    archive = server.fetch("/sub%20dir/?zip")
    assert archive.complete
    assert zipfile.ZipFile(io.BytesIO(archive.content)).namelist() == ["é.txt"]
    assert server.fetch("/sub%20dir/?zip", method="HEAD").content == b""


async def test_a_listing_in_front_of_an_app_leaves_other_paths_to_it(root: Path) -> None:
    fill(root, "a.txt")
    app = await asyncio.to_thread(
        lambda: StaticMiddleware(hello, Settings(root, listing=True), "/files")
    )
    assert names(await ask(app, "/files/")) == ["a.txt"]
    assert (await ask(app, "/files")).status == 301
    assert (await ask(app, "/files/missing/")).body == b"hello"
    assert (await ask(app, "/")).body == b"hello"


async def test_a_quart_app_lists_a_mounted_root(root: Path) -> None:
    fill(root, "a.txt", "sub/b.txt")
    app = Quart("lists", static_folder=None)
    await asyncio.to_thread(
        lambda: AsyncStatic(app, root, "/files", listing=True, listing_zip=1000)
    )
    client = app.test_client()
    found = await client.get("/files/", headers=JSON)
    assert [entry["name"] for entry in json.loads(await found.get_data())["entries"]] == [
        "sub",
        "a.txt",
    ]
    archive = await client.get("/files/sub/?zip")
    assert zipfile.ZipFile(io.BytesIO(await archive.get_data(as_text=False))).namelist() == [
        "b.txt"
    ]


async def test_a_zip_is_listed_without_unpacking_it(root: Path) -> None:
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("docs/é 9.txt", "docs/é 10.txt", "docs/.hidden", "README.md", "../up"):
            archive.writestr(name, f"{name} " * 1000)
    static = await serve(root / "a.zip", listing_zip="1MiB")
    assert names(await ask(static, "/")) == ["docs", "README.md"]
    assert names(await ask(static, "/docs/")) == ["é 9.txt", "é 10.txt"]
    assert (await ask(static, "/docs")).status == 301
    for missing in ("/README.md/", "/none/", "/docs/.hidden/"):
        assert (await ask(static, missing)).status == 404
    (_, entry) = json.loads((await ask(static, "/?sort=size", JSON)).body)["entries"]
    assert entry["size"] == len("README.md ") * 1000
    found = await unzipped(static, "/docs/?zip")
    assert found.keys() == {"é 9.txt", "é 10.txt"}
    assert found["é 9.txt"] == "docs/é 9.txt ".encode() * 1000


async def test_a_readme_that_is_too_large_is_not_unpacked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"README.md": bytes(1_000_000), "README": b"a small one"}
    write_zip(root / "a.zip", files, zipfile.ZIP_DEFLATED)
    static = await serve(root / "a.zip")
    unpacked: list[Any] = []

    def unpack(opened: Any, segments: Any, member: Any) -> Any:
        unpacked.append(segments)
        return really(opened, segments, member)

    really = zip_archive.Archive.unpack
    monkeypatch.setattr(zip_archive.Archive, "unpack", unpack)
    assert b"<pre>a small one" in (await ask(static, "/", HTML)).body
    assert unpacked == [("README",)]


async def test_an_archive_that_is_replaced_meanwhile_is_listed_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(root / "a.zip", {"gone": b"", "x": b"a file"})
    static = await serve(root / "a.zip")

    def entries(tree: ZipTree, *arguments: Any, **options: Any) -> Any:
        found = really(tree, *arguments, **options)
        if "gone" in [entry.name for entry in found]:
            write_zip(root / "next", {"new": b"", "x/y": b"x is a directory"})
            (root / "next").replace(root / "a.zip")
            tree.find(Lookup((), True, ()), lambda _: Absence.MISSING)  # another request
        return found

    really = ZipTree.entries
    monkeypatch.setattr(ZipTree, "entries", entries)
    assert names(await ask(static, "/")) == ["x", "new"]


async def test_several_roots_are_listed_as_one(tmp_path: Path) -> None:
    fill(tmp_path, "one/a.txt", "one/both.txt", "two/b.txt", "two/both.txt", "two/sub/index.html")
    fill(tmp_path, "one/sub/x")
    static = await serve(tmp_path / "one", more_roots=(str(tmp_path / "two"),))
    assert names(await ask(static, "/")) == ["sub", "a.txt", "b.txt", "both.txt"]
    assert (await ask(static, "/both.txt")).body == b"one/both.txt"
    assert (await ask(static, "/sub/")).body == b"two/sub/index.html"


async def test_a_rule_adds_fields_to_a_listing_but_cannot_break_its_page(root: Path) -> None:
    policy = "default-src 'self'"
    rules = [{"match": "/**", "headers": {"X-Robots-Tag": "noindex", "Content-Security-Policy": policy,
                                          "Cache-Control": "public, max-age=9"}}]  # fmt: skip
    page = await ask(await serve(root, rules=rules), "/")
    assert page.headers["x-robots-tag"] == "noindex"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("trailing_slash", ["auto", "always", "never"])
async def test_listings_go_with_clean_urls_and_a_single_page_app(
    root: Path, trailing_slash: str
) -> None:
    fill(root, "sub/x", "about.html", "shell.html")
    page = {"accept": "text/html", "sec-fetch-dest": "document"}
    static = await serve(root, clean_urls=True, trailing_slash=trailing_slash, spa="shell.html")
    assert names(await ask(static, "/sub/", page)) == ["x"]
    assert (await ask(static, "/sub", page)).headers["location"] == "./sub/"
    assert (await ask(static, "/nowhere", page)).body == b"shell.html"
    assert names(await ask(static, "/", page)) == ["sub", "about.html", "shell.html"]
