"""`netlify_files`: a root's own ``_redirects`` and ``_headers``, at the start and while it is served."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import Redirect, SettingsError, StaticFiles
from tests.asgi import ask
from tests.support.servers import serving
from tests.support.site import write_site

REDIRECTS = b"/old/* /new/:splat 302\n/* /index.html 200\n"
HEADERS = b"/*\n  X-Frame-Options: DENY\n/a.txt\n  X-A: 1\n"
FILES = {
    "_redirects": REDIRECTS,
    "_headers": HEADERS,
    "_headers.gz": b"",
    "index.html": b"home",
    "a.txt": b"a",
    "x/_headers": b"not at the top",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site", FILES)


async def serve(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(lambda: StaticFiles(root, netlify_files=True, **settings))


def rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    time.sleep(0.03)  # a tick of the file system's clock


async def test_redirects_rules_and_shell_are_those_of_the_files(site: Path) -> None:
    static = await serve(site)
    moved = await ask(static, "/old/a?b=1")
    assert (moved.status, moved.headers["location"]) == (302, "/new/a?b=1")
    assert (await ask(static, "/deep/link", {"accept": "text/html"})).body == b"home"
    for _ in range(2):
        reply = await ask(static, "/a.txt")
        assert (reply.headers["x-frame-options"], reply.headers["x-a"]) == ("DENY", "1")
    assert "x-a" not in (await ask(static, "/")).headers


@pytest.mark.parametrize(
    "target", ["/_redirects", "/_headers", "/_HEADERS", "/%5Fheaders", "/_headers.gz", "/_headers/"]
)
async def test_the_files_are_never_served(site: Path, target: str) -> None:
    assert (await ask(await serve(site), target)).status == 404
    plain = await asyncio.to_thread(StaticFiles, site)
    assert (await ask(plain, "/_redirects")).body == REDIRECTS


async def test_only_files_at_the_top_count(site: Path) -> None:
    assert (await ask(await serve(site), "/x/_headers")).body == b"not at the top"


async def test_settings_come_before_the_files(site: Path) -> None:
    static = await serve(site, redirects=[Redirect("/old/*", "/first/:splat")])
    assert (await ask(static, "/old/a")).headers["location"] == "/first/a"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("_redirects", b"/a /b\n/c\n", "_redirects:2: "),
        ("_redirects", b"/a /b\n/b /a\n", "into a loop"),
        ("_redirects", b"\xff", "_redirects: not UTF-8"),
        ("_headers", b"/*\n  ETag: 1\n", "_headers:2: "),
    ],
)
async def test_a_wrong_line_is_refused_at_the_start(
    site: Path, name: str, content: bytes, says: str
) -> None:
    (site / name).write_bytes(content)
    with pytest.raises(SettingsError, match=says):
        await serve(site)


def test_a_redirect_that_the_policy_leads_back_is_refused_at_the_start(site: Path) -> None:
    (site / "x" / "index.html").touch()
    (site / "_redirects").write_text("/x/ /x\n")
    with pytest.raises(SettingsError, match=r"^_redirects or redirects: /x/ -> /x: .* a loop"):
        StaticFiles(site, netlify_files=True)


@pytest.mark.parametrize("name", ["_redirects", "_headers"])
async def test_a_file_that_cannot_be_read_is_refused_at_the_start(site: Path, name: str) -> None:
    for target in ("/etc/passwd", name):  # out of the root; to itself
        (site / name).unlink()
        (site / name).symlink_to(target)
        with pytest.raises(SettingsError, match=rf"^{name}: .+; make it a file that can be read"):
            await serve(site)


async def test_a_file_that_can_be_read_again_counts_at_once(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the stamps of the link that could not be followed."""
    (site / "_headers").unlink()
    (site / "_headers").symlink_to("later")
    static = await serve(site)
    (site / "later").symlink_to("later")
    await asyncio.to_thread(time.sleep, 0.03)
    for _ in range(2):
        assert (await ask(static, "/old/a")).status == 302
    assert caplog.text.count("_headers: Too many levels of symbolic links") == 1
    (site / "later").unlink()
    await asyncio.to_thread(rewrite, site / "later", HEADERS)
    assert (await ask(static, "/a.txt")).headers["x-a"] == "1"


async def test_a_root_without_the_files_is_served(tmp_path: Path) -> None:
    write_site(tmp_path, {"a.txt": b"a"})
    static = await serve(tmp_path)
    assert (await ask(static, "/a.txt")).body == b"a"
    await asyncio.to_thread(rewrite, tmp_path / "_headers", HEADERS)
    assert (await ask(static, "/a.txt")).headers["x-a"] == "1"


async def test_a_change_counts_at_once_also_for_cached_files(site: Path) -> None:
    static = await serve(site)
    await asyncio.to_thread(time.sleep, 0.03)
    for value in ("2", "3"):
        content = b"/a.txt\n  X-A: %b\n" % value.encode()
        await asyncio.to_thread(rewrite, site / "_headers", content)
        for _ in range(3):
            assert (await ask(static, "/a.txt")).headers["x-a"] == value
    await asyncio.to_thread(rewrite, site / "_redirects", b"/a.txt /b.txt 308\n")
    assert (await ask(static, "/a.txt")).status == 308
    await asyncio.to_thread((site / "_redirects").unlink)
    await asyncio.to_thread((site / "_headers").unlink)
    assert "x-a" not in (await ask(static, "/a.txt")).headers


@pytest.mark.parametrize("kind", ["an archive", "a link", "directories"])
async def test_the_files_of_a_new_release_count_with_it(tmp_path: Path, kind: str) -> None:
    def deploy(value: int) -> None:
        if kind == "an archive":
            with zipfile.ZipFile(tmp_path / "new", "w") as archive:
                archive.writestr("_headers", f"/*\n  X-A: {value}\n")
                archive.writestr("a.txt", "a")
            os.replace(tmp_path / "new", root)
            return
        headers = b"/*\n  X-A: %d\n" % value
        write_site(tmp_path / f"release{value}", {"_headers": headers, "a.txt": b"a"})
        if kind == "a link":
            os.symlink(f"release{value}", tmp_path / "new")
            os.replace(tmp_path / "new", root)
            return
        if root.exists():
            root.rename(tmp_path / f"old{value}")
        (tmp_path / f"release{value}").rename(root)

    root = tmp_path / "site.zip" if kind == "an archive" else tmp_path / "site"
    await asyncio.to_thread(deploy, 1)
    static = await serve(root)
    for value in (2, 3):
        assert (await ask(static, "/a.txt")).headers["x-a"] == str(value - 1)
        await asyncio.to_thread(deploy, value)
        await asyncio.sleep(0.03)
        for _ in range(3):
            assert (await ask(static, "/a.txt")).headers["x-a"] == str(value)


async def test_a_change_that_is_wrong_changes_nothing_and_is_logged_once(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    static = await serve(site)
    await asyncio.to_thread(rewrite, site / "_headers", b"/*\n  X-A 1\n")
    for _ in range(3):
        assert (await ask(static, "/a.txt")).headers["x-a"] == "1"
    assert caplog.text.count("_headers:2: say NAME: VALUE") == 1
    assert "stay as they were" in caplog.text
    await asyncio.to_thread(rewrite, site / "_headers", b"/*\n  X-A: 5\n")
    assert (await ask(static, "/a.txt")).headers["x-a"] == "5"


async def test_a_client_that_leaves_does_not_end_a_change(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = await serve(site)
    assert static._site_files is not None
    read, was_read, may_end = static._site_files._read, threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        settings = read(*arguments)
        was_read.set()
        assert may_end.wait(10)
        return settings

    await asyncio.to_thread(rewrite, site / "_headers", b"/*\n  X-A: 5\n")
    with monkeypatch.context() as patch:
        patch.setattr(static._site_files, "_read", slowly)
        asked = asyncio.ensure_future(ask(static, "/a.txt"))
        await asyncio.to_thread(was_read.wait, 10)
        asked.cancel()
        await asyncio.wait([asked])
        may_end.set()
    assert (await ask(static, "/a.txt")).headers["x-a"] == "5"


async def test_a_disk_that_hangs_stops_its_own_root_only(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes threads of this root, and no longer than its timeout."""
    static = await serve(site, pool_threads=1, pool_timeout=0.1)
    disk = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    monkeypatch.setattr(static._site_files, "_read", lambda *_: disk.wait(10))
    await asyncio.to_thread(rewrite, site / "_headers", b"")
    replies = await asyncio.gather(*(ask(static, "/a.txt") for _ in range(3)))
    assert {reply.status for reply in replies} == {503}
    await asyncio.wait_for(asyncio.to_thread(int), 10)
    disk.set()
    monkeypatch.undo()
    async with asyncio.timeout(10):
        while (await ask(static, "/a.txt")).status != 200:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("setup", ["serve", "serve-no-direct", "hypercorn"])
def test_every_entry_follows_a_change(site: Path, setup: str) -> None:
    with serving(setup, site, netlify_files="1") as server, server.connect() as connection:
        time.sleep(0.03)
        for value in ("1", "2", "3"):
            rewrite(site / "_headers", b"/a.txt\n  X-A: %b\n" % value.encode())
            for _ in range(4):  # from the second one on it is prepared
                answer = connection.get("/a.txt")
                assert (answer.status, answer.field("x-a")) == (200, value)
            assert connection.get("/old/x").field("location") == "/new/x"
