"""`--reload`: which responses get the script, and which changes are noticed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncstatic.serve.watch import Watch, watch_files
from tests.support.raw import HOST, Answer
from tests.support.servers import Server, running

pytestmark = pytest.mark.grid

PAGE = b"<!doctype html><title>a page</title>" + b"<p>text</p>" * 40
VIDEO = bytes(range(256)) * 2000
SCRIPT = re.compile(rb'<script src="/\.asyncstatic/reload\.js\?[0-9a-f]+-\d+" async></script>\n')
VERSION = "/.asyncstatic/version"
PATIENCE = 20.0  # seconds for a change to be noticed: a loaded two-core machine
NAVIGATES = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reload")
    (root / "docs").mkdir()
    for name, content in {
        "index.html": PAGE,
        "large.html": PAGE + b"<p>more</p>" * 20_000,
        "saved.html": PAGE,
        "docs/index.html": PAGE,
        "page.xhtml": PAGE,
        "notes.txt": b"text",
        "video.mp4": VIDEO,
    }.items():
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", f"{HOST}:{{port}}", "--reload"]
    saved = {"match": "/saved.html", "headers": {"Content-Disposition": "attachment"}}
    with running(command, {"ASYNCSTATIC_RULES": json.dumps([saved])}) as server:
        yield server


def script_of(answer: Answer) -> bytes:
    found = SCRIPT.search(answer.content)
    assert found is None or answer.content.endswith(found[0])
    return found[0] if found else b""


# -- which responses get the script ------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "lines", "has_script"),
    [
        pytest.param("/", (), True, id="no Sec-Fetch-Dest"),
        pytest.param("/", ("Accept: */*",), True, id="curl"),
        pytest.param("/", ("Sec-Fetch-Dest: document",), True, id="a document"),
        pytest.param("/", ("Sec-Fetch-Dest: iframe",), True, id="an iframe"),
        pytest.param("/", ("Sec-Fetch-Dest: empty",), False, id="fetch()"),
        pytest.param(
            "/", ("Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors"), False, id="fetch() of a script"
        ),
        pytest.param(
            "/",
            ("Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: navigate"),
            True,
            id="a navigation that a service worker passes on",
        ),
        pytest.param("/saved.html", ("Sec-Fetch-Dest: document",), False, id="a download"),
        pytest.param("/", ("Sec-Fetch-Dest: script",), False, id="another destination"),
        pytest.param("/", ("Referer: http://10.1.1.1/", NAVIGATES), True, id="a link, no TLS"),
        pytest.param("/", ("Referer: http://10.1.1.1/", "Accept: */*"), False, id="fetch, no TLS"),
        pytest.param("/", ("Accept-Encoding: gzip",), True, id="a coding is accepted"),
        pytest.param("/", ("If-None-Match: *",), True, id="a condition"),
        pytest.param("/", ("Range: bytes=0-9",), True, id="a range of a document"),
        pytest.param("/large.html", (), True, id="in several messages"),
        pytest.param("/docs/", (), True, id="an index"),
        pytest.param("/missing", (NAVIGATES,), True, id="an error page"),
        pytest.param("/missing", (), False, id="an error in plain text"),
        pytest.param("/page.xhtml", ("Sec-Fetch-Dest: document",), False, id="XHTML"),
        pytest.param("/notes.txt", ("Sec-Fetch-Dest: document",), False, id="plain text"),
        pytest.param("/video.mp4", ("Sec-Fetch-Dest: document",), False, id="a video"),
    ],
)
def test_only_html_documents_get_the_script(
    server: Server, target: str, lines: tuple[str, ...], has_script: bool
) -> None:
    answer = server.fetch(target, *lines)
    assert bool(script_of(answer)) is has_script
    assert answer.complete


def test_a_document_is_whole_and_never_stored(server: Server, root: Path) -> None:
    lines = ("Range: bytes=0-9", "If-None-Match: *", "Accept-Encoding: gzip, br")
    answer = server.fetch("/large.html", *lines, "Want-Repr-Digest: sha-256=1")
    assert answer.status == 200
    assert answer.content == (root / "large.html").read_bytes() + script_of(answer)
    assert answer.field("cache-control") == "no-store"
    names = {name for name, _ in answer.fields}
    assert not names & {"etag", "last-modified", "accept-ranges", "content-encoding", "repr-digest"}
    head = server.fetch("/large.html", method="HEAD")
    assert head.field("content-length") == str(len(answer.content))


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        pytest.param("/video.mp4", ("Sec-Fetch-Dest: video",), id="a video"),
        pytest.param("/video.mp4", ("Sec-Fetch-Dest: document",), id="a video in its own tab"),
        pytest.param("/video.mp4", (), id="no Sec-Fetch-Dest"),
        pytest.param("/large.html", ("Sec-Fetch-Dest: empty",), id="a fetched fragment"),
    ],
)
def test_other_responses_have_ranges_conditions_and_tags(
    server: Server, root: Path, target: str, lines: tuple[str, ...]
) -> None:
    content = (root / target[1:]).read_bytes()
    part = server.fetch(target, *lines, "Range: bytes=1000-1999")
    assert (part.status, part.content) == (206, content[1000:2000])
    assert part.field("content-range") == f"bytes 1000-1999/{len(content)}"
    assert part.field("cache-control") == "no-cache"
    tag = part.field("etag")
    assert tag
    assert server.fetch(target, *lines, f"If-None-Match: {tag}").status == 304
    assert server.fetch(target, *lines, "Range: bytes=9999999-").status == 416


def test_an_error_and_a_redirect_are_not_reused_without_asking(server: Server) -> None:
    for target in ("/missing", "/docs"):
        answer = server.fetch(target, "Sec-Fetch-Dest: document")
        assert answer.status in (301, 308, 404)
        assert answer.field("cache-control") in ("no-cache", "no-store")


def test_the_script_is_a_file_that_a_content_security_policy_allows(server: Server) -> None:
    answer = server.fetch("/.asyncstatic/reload.js", "Sec-Fetch-Dest: script")
    assert answer.field("content-type") == "text/javascript; charset=utf-8"
    assert VERSION.encode() in answer.content
    assert answer.field("cache-control") == "no-store"


OWN = "default-src 'self'; script-src 'sha256-YQ=='; connect-src 'self'"


def test_a_page_that_names_its_scripts_by_hash_names_the_script_too(tmp_path: Path) -> None:
    """Such as a listing. Other policies stay as they are."""
    build(tmp_path / "dist")
    (tmp_path / "dist" / "folder").mkdir()
    rules = [
        {"match": "/index.html", "headers": {"Content-Security-Policy": OWN}},
        {"match": "/404.html", "headers": {"Content-Security-Policy": "script-src 'self'"}},
    ]
    (tmp_path / "dist" / "404.html").write_bytes(PAGE)
    command = ["-m", "asyncstatic", "serve", str(tmp_path / "dist"), "--listing", "--reload"]
    variables = {"ASYNCSTATIC_RULES": json.dumps(rules), "ASYNCSTATIC_NOT_FOUND": "404.html"}
    with running([*command, "--bind", f"{HOST}:{{port}}"], variables) as server:
        for target in ("/", "/folder/"):
            answer = server.fetch(target, NAVIGATES)
            nonce = re.findall(
                rb'<script [^>]+ nonce="([^"]+)" async></script>\n\Z', answer.content
            )
            policy = answer.field("content-security-policy") or ""
            assert re.search(rf"script-src 'sha256-[^;]+' 'nonce-{nonce[0].decode()}';", policy)
            assert answer.field("content-length") == str(len(answer.content))
        missing = server.fetch("/missing", NAVIGATES)
        assert missing.field("content-security-policy") == "script-src 'self'"
        assert script_of(missing)


def test_a_document_names_the_version_it_was_made_from(server: Server, root: Path) -> None:
    first = server.fetch(VERSION).content
    assert b"?" + first + b'"' in script_of(server.fetch("/"))
    (root / "notes.txt").write_bytes(b"new text")
    second = until(lambda: server.fetch(VERSION).content, lambda version: version != first)
    assert b"?" + second + b'"' in script_of(server.fetch("/"))


def until(read: Callable[[], bytes], wanted: Callable[[bytes], bool]) -> bytes:
    deadline = time.monotonic() + PATIENCE
    while not wanted(value := read()):
        assert time.monotonic() < deadline, value
        time.sleep(0.05)
    return value


# -- which changes are noticed -----------------------------------------------------------------


class Changes:
    """The changes that a `Watch` has told."""

    def __init__(self) -> None:
        self._noticed = asyncio.Event()

    def note(self) -> None:
        self._noticed.set()

    async def one(self) -> bool:
        """Wait for a change, and tell whether there was one."""
        try:
            await asyncio.wait_for(self._noticed.wait(), PATIENCE)
        except TimeoutError:
            return False
        self._noticed.clear()
        return True

    async def settle(self) -> None:
        """Wait until nothing more comes of the changes so far."""
        while True:
            try:
                await asyncio.wait_for(self._noticed.wait(), 0.8)
            except TimeoutError:
                return
            self._noticed.clear()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Changes]:
    changes = Changes()
    watch = await asyncio.to_thread(Watch, str(path), changes.note)
    task = asyncio.create_task(watch.run())
    await changes.settle()
    try:
        yield changes
    finally:
        watch.stop()
        await asyncio.wait_for(task, PATIENCE)


def build(folder: Path, text: str = "built") -> Path:
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(text)
    (folder / "assets" / "app.js").write_text(text)
    return folder


def shell(script: str) -> Callable[[Path], None]:
    """Return a function that runs a script in the directory that `prepare` makes."""

    def run(place: Path) -> None:
        subprocess.run(["sh", "-ec", script], cwd=place, check=True)

    return run


def replace_by_rename(place: Path) -> None:
    (place / "dist" / "index.html.tmp").write_text("as editors write")
    (place / "dist" / "index.html.tmp").rename(place / "dist" / "index.html")


def empty_and_fill(place: Path) -> None:
    """As vite does with `emptyOutDir`."""
    for entry in os.scandir(place / "dist"):
        shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
    (place / "dist" / "assets").mkdir()
    (place / "dist" / "assets" / "app.js").write_text("filled")
    (place / "dist" / "index.html").write_text("filled")


REBUILDS = {
    "a file is rewritten": shell("echo b >dist/index.html"),
    "a file is replaced by rename": replace_by_rename,
    "a file below is rewritten": shell("echo b >dist/assets/app.js"),
    "the folder is emptied and filled": empty_and_fill,
    "rm -rf, mkdir, cp": shell("rm -rf dist; mkdir dist; cp -r new/. dist/"),
    "rm -rf, later mkdir and cp": shell("rm -rf dist; sleep 0.6; mkdir dist; cp -r new/. dist/"),
    "rm -rf, cp -r": shell("rm -rf dist; cp -r new dist"),
    "mv aside, mv into place": shell("mv dist old; mv new dist"),
    "rm -rf, mv": shell("rm -rf dist; mv new dist"),
    "a folder below is replaced": shell("rm -rf dist/assets; mv new/assets dist/assets"),
    "tar": shell("tar -C new -cf new.tar .; rm -rf dist; mkdir dist; tar -C dist -xf new.tar"),
}
SWAPS = {
    "ln -sfn": shell("ln -sfn releases/2 dist"),
    "a link renamed over a link": shell("ln -s releases/2 next; mv -T next dist"),
    "rm, ln -s": shell("rm dist; ln -s releases/2 dist"),
    "a link becomes a folder": shell("rm dist; cp -r new dist"),
    "the target is rebuilt": shell("rm -rf releases/1; cp -r new releases/1"),
    "the parent of the target is renamed": shell("mv releases r; cp -r r releases; rm -rf r"),
}


@pytest.mark.slow
async def test_every_rebuild_and_every_edit_after_it_is_noticed(tmp_path: Path) -> None:
    """All cases at the same time, because each is mostly waiting."""
    cases = [
        not_noticed(tmp_path / str(number), name, rebuild)
        for number, (name, rebuild) in enumerate({**REBUILDS, **SWAPS}.items())
    ]
    assert [missed for missed in await asyncio.gather(*cases) if missed] == []


async def not_noticed(place: Path, name: str, rebuild: Callable[[Path], None]) -> str:
    """Rebuild twice, edit two files after each rebuild, and return what was not noticed."""
    await asyncio.to_thread(prepare, place, name in SWAPS)
    async with watching(place / "dist") as changes:
        for time_ in ("first", "second"):
            await asyncio.to_thread(prepare, place, name in SWAPS)
            await changes.settle()
            await asyncio.to_thread(rebuild, place)
            if not await changes.one():
                return f"the {time_} time: {name}"
            await changes.settle()
            for file in ("index.html", "assets/app.js"):
                await asyncio.to_thread((place / "dist" / file).write_text, "edited")
                if not await changes.one():
                    return f"an edit of {file} after the {time_} time: {name}"
                await changes.settle()
    return ""


def prepare(place: Path, is_linked: bool) -> None:
    """Make `new`, `releases/{1,2}`, and `dist`: a folder, or a link to the first release."""
    dist = place / "dist"
    for name in ("old", "new", "releases"):
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("new", "releases/1", "releases/2"):
        build(place / name)
    if is_linked:
        dist.unlink() if dist.is_symlink() else shutil.rmtree(dist, ignore_errors=True)
        dist.symlink_to("releases/1")
    elif not dist.exists():
        build(dist)


async def test_a_folder_above_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    def replace() -> None:
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "new").rename(tmp_path / "a")

    for above in ("a", "new"):
        await asyncio.to_thread(build, tmp_path / above / "b" / "dist")
    dist = tmp_path / "a" / "b" / "dist"
    async with watching(dist) as changes:
        await asyncio.to_thread(replace)
        assert await changes.one()
        await changes.settle()
        await asyncio.to_thread((dist / "index.html").write_text, "2")
        assert await changes.one()


async def test_a_folder_that_appears_later_is_noticed(tmp_path: Path) -> None:
    async with watching(tmp_path / "dist") as changes:
        await asyncio.to_thread(build, tmp_path / "dist")
        assert await changes.one()


@pytest.mark.slow
async def test_a_link_below_is_followed_to_its_new_target(tmp_path: Path) -> None:
    def prepare_links() -> None:
        for name in ("dist", "shared/1", "shared/2"):
            build(tmp_path / name)
        (tmp_path / "dist" / "shared").symlink_to("../shared/1")

    await asyncio.to_thread(prepare_links)
    async with watching(tmp_path / "dist") as changes:
        for number in (2, 1, 2):
            await asyncio.to_thread(shell(f"ln -sfn ../shared/{number} dist/shared"), tmp_path)
            assert await changes.one()
            await changes.settle()
            page = tmp_path / "shared" / str(number) / "index.html"
            await asyncio.to_thread(page.write_text, "edited")
            assert await changes.one(), number
            await changes.settle()


async def test_packages_are_served_and_so_they_are_watched(tmp_path: Path) -> None:
    dist = tmp_path / "node_modules" / "dist"
    await asyncio.to_thread(build, dist / "node_modules")
    async with watching(dist) as changes:
        await asyncio.to_thread((dist / "node_modules" / "index.html").write_text, "2")
        assert await changes.one()


def test_a_page_that_was_missing_has_the_script_and_then_the_new_version(tmp_path: Path) -> None:
    """A reload in the middle of a build finds no page; that document must not be the last."""
    dist = build(tmp_path / "dist")
    command = ["-m", "asyncstatic", "serve", str(dist), "--bind", f"{HOST}:{{port}}", "--reload"]
    with running(command, {}) as server:
        assert script_of(server.fetch("/", NAVIGATES))
        shutil.rmtree(dist)
        gone = until(
            lambda: server.fetch("/", NAVIGATES).content, lambda content: b"404" in content
        )
        assert SCRIPT.search(gone)
        build(dist, "new page")
        version = until(
            lambda: server.fetch(VERSION).content, lambda version: b"?" + version + b'"' not in gone
        )
        page = until(
            lambda: server.fetch("/", NAVIGATES).content, lambda content: b"new page" in content
        )
        assert SCRIPT.search(page)
        assert version


async def test_a_change_of_the_configuration_while_the_server_starts_is_noticed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "asyncstatic.toml"
    file.write_text("before")
    watch = await asyncio.to_thread(watch_files, [str(file)])
    file.write_text("changed while it starts")
    changed = asyncio.Event()
    watching = asyncio.ensure_future(watch(changed.set))
    await asyncio.wait_for(changed.wait(), PATIENCE)
    watching.cancel()
