"""Archives as roots: deflated members, real wheels, replaced archives, and other programs as judges."""

from __future__ import annotations

import asyncio
import ensurepip
import errno
import gc
import gzip
import json
import os
import random
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest

from asyncstatic import SettingsError, StaticFiles
from asyncstatic.files import unpacked
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.process import sandbox
from tests.asgi import ask
from tests.serve.inside import eventually, serving_inside
from tests.support.programs import require
from tests.support.raw import Answer, Connection, head
from tests.support.servers import free_port, running, serving
from tests.support.site import write_site
from tests.support.strict_clients import StrictClients
from tests.support.zips import Entry, archive, write_zip
from tests.trust.inside import FaultyKernel, open_handles

TEXT = random.Random(7).randbytes(60_000).hex().encode()
LARGE = random.Random(8).randbytes(5_000_000).hex().encode()  # more than the hash of files takes
SITE = {
    "index.html": b"<p>index" * 50,
    "docs/index.html": b"<p>docs" * 50,
    "empty.txt": b"",
    "text.txt": TEXT,
    "large.txt": LARGE,
    "app.js": TEXT,
    "app.js.gz": gzip.compress(TEXT, mtime=0),
    "404.html": b"<p>not here" * 50,
}
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/docs", {}),
    ("/docs/", {}),
    ("/empty.txt", {}),
    ("/text.txt", {}),
    ("/text.txt", {"range": "bytes=100-199"}),
    ("/text.txt", {"range": "bytes=-1"}),
    ("/text.txt", {"range": "bytes=120000-"}),
    ("/large.txt", {}),
    ("/large.txt", {"range": "bytes=0-0,5000000-6000000"}),
    ("/large.txt", {"range": "bytes=3000000-"}),
    ("/text.txt", {"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"}),
    ("/text.txt", {"if-none-match": "*"}),
    ("/app.js", {"accept-encoding": "gzip"}),
    ("/app.js.gz", {}),
    ("/missing", {}),
    ("/text.txt/", {}),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A deflated archive, and a directory with the same files and times."""
    write_zip(tmp_path / "site.zip", SITE, zipfile.ZIP_DEFLATED)
    write_site(tmp_path / "site", SITE)
    for name in SITE:
        os.utime(tmp_path / "site" / name, (1_700_000_000, 1_700_000_000))
    return tmp_path


def comparable(fields: dict[str, str], target: str) -> dict[str, str]:
    """Drop what differs rightly: gzip exists for each file of the archive, so answers vary."""
    left_out = {"date", "connection", "vary"}
    if "multipart" in fields.get("content-type", ""):
        left_out.add("content-type")
    if target == "/large.txt":  # the archive has a hash of it, the directory a summary
        left_out.add("etag")
    return {name: value for name, value in fields.items() if name not in left_out}


@contextmanager
def entry(app: StaticFiles, kind: str) -> Iterator[Connection]:
    with serving_inside(app, direct=kind == "direct") as server, server.connect() as connection:
        yield connection


kinds = pytest.mark.parametrize("kind", ["direct", "hypercorn"])


def content_of(answer: Answer) -> bytes:
    boundary = (answer.field("content-type") or "").partition("boundary=")[2]
    return answer.content.replace(boundary.encode() or b"\0", b"")


@kinds
def test_deflated_members_are_served_as_files_of_a_directory_are(place: Path, kind: str) -> None:
    zipped = StaticFiles(place / "site.zip", not_found="404.html")
    judge = StaticFiles(place / "site", not_found="404.html")
    with entry(zipped, kind) as ours, entry(judge, kind) as theirs:
        for target, fields in REQUESTS:
            lines = [f"{name}: {value}" for name, value in fields.items()]
            for _ in range(3):  # unpacked, prepared, and once more
                one, other = ours.get(target, *lines), theirs.get(target, *lines)
                assert (one.status, one.complete) == (other.status, True), target
                assert comparable(dict(one.fields), target) == comparable(
                    dict(other.fields), target
                ), (target, fields)
                assert content_of(one) == content_of(other), target


@kinds
def test_a_client_that_accepts_gzip_gets_the_deflated_data(place: Path, kind: str) -> None:
    zipped = StaticFiles(place / "site.zip", not_found="404.html")
    with zipfile.ZipFile(place / "site.zip") as made, entry(zipped, kind) as connection:
        for name in ("text.txt", "large.txt", "index.html", "docs/index.html"):
            target = "/" + name.removesuffix("index.html")
            plain = connection.get(target)
            for _ in range(3):
                coded = connection.get(target, "Accept-Encoding: gzip, br")
                assert coded.field("content-encoding") == "gzip"
                assert len(coded.content) == made.getinfo(name).compress_size + 18
                assert gzip.decompress(coded.content) == plain.content == SITE[name]
                assert coded.field("vary") == plain.field("vary") == "Accept-Encoding"
                tag = coded.field("etag")
                assert tag != plain.field("etag")
                assert (tag or "").endswith('-gzip"')
            again = connection.get(target, "Accept-Encoding: gzip", f"If-None-Match: {tag}")
            assert again.status == 304
            part = connection.get(target, "Accept-Encoding: gzip", "Range: bytes=2-30")
            assert (part.status, part.content) == (206, coded.content[2:31])
        missing = connection.get("/missing", "Accept-Encoding: gzip")
        assert (missing.status, missing.field("content-encoding")) == (404, "gzip")


async def test_nothing_is_coded_that_should_not_be(place: Path) -> None:
    app = await asyncio.to_thread(StaticFiles, place / "site.zip", precompressed=False)
    reply = await ask(app, "/text.txt", {"accept-encoding": "gzip"})
    assert reply.body == TEXT
    assert not reply.headers.keys() & {"content-encoding", "vary"}


async def test_a_gzip_file_is_not_sent_in_gzip_although_it_is_deflated(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(1_000_000), mtime=0)
    files = {"a.tar.gz": packed, "b.svgz": packed, "c.tgz": packed}
    write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED)
    app = await asyncio.to_thread(StaticFiles, tmp_path / "a.zip")
    for name in files:
        reply = await ask(app, f"/{name}", {"accept-encoding": "gzip"})
        assert reply.body == packed
        assert not reply.headers.keys() & {"content-encoding", "vary"}


@pytest.mark.parametrize("accepted", ["", "gzip", "br", "gzip, br", "gzip;q=0.5, br"])
async def test_a_sidecar_without_its_original_is_coded_once_although_it_is_deflated(
    tmp_path: Path, accepted: str
) -> None:
    """The deflated data are the sidecar in gzip, and not the content in gzip."""
    zeros = bytes(1_000_000)  # deflate makes their gzip smaller once more
    lone = {"a.txt.br": brotli.compress(zeros), "b.txt.gz": gzip.compress(zeros, mtime=0)}
    write_zip(tmp_path / "a.zip", lone, zipfile.ZIP_DEFLATED)
    app = await asyncio.to_thread(StaticFiles, tmp_path / "a.zip")
    decoders = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}
    for target in ("/a.txt", "/b.txt"):
        reply = await ask(app, target, {"accept-encoding": accepted})
        coding = reply.headers.get("content-encoding", "identity")
        assert decoders[coding](reply.body) == zeros, (target, coding)
        assert coding in (*accepted.replace(";q=0.5", "").split(", "), "identity")


async def test_a_large_sidecar_beside_deflated_content_is_not_used(tmp_path: Path) -> None:
    """A small one is; for the large one, the proof would need the content a second time."""
    files = {"small.txt": TEXT, "large.txt": LARGE}
    sidecars = {f"{name}.br": brotli.compress(text, quality=1) for name, text in files.items()}
    write_zip(tmp_path / "a.zip", {**files, **sidecars}, zipfile.ZIP_DEFLATED)
    app = await asyncio.to_thread(StaticFiles, tmp_path / "a.zip")
    for name, coding in (("small.txt", "br"), ("large.txt", "gzip")):
        reply = await ask(app, f"/{name}", {"accept-encoding": "br, gzip;q=0.5"})
        assert reply.headers["content-encoding"] == coding


async def test_pages_and_listings_work_in_an_archive(place: Path) -> None:
    app = await asyncio.to_thread(
        StaticFiles, place / "site.zip", clean_urls=True, spa="index.html", listing=True, index=()
    )
    listing = await ask(app, "/", {"accept": "application/json"})
    assert {entry["name"] for entry in json.loads(listing.body)["entries"]} == {
        name.partition("/")[0] for name in SITE
    }
    assert (await ask(app, "/404")).body == SITE["404.html"]
    shell = await ask(app, "/deep/link", {"accept": "text/html", "sec-fetch-dest": "document"})
    assert (shell.status, shell.body) == (200, SITE["index.html"])


async def test_tags_are_equal_for_each_archive_with_the_content(place: Path) -> None:
    """A replica, and a copy that was packed in another way at another time."""
    write_zip(place / "other.zip", dict(reversed(SITE.items())))
    tags = []
    for name in ("site.zip", "other.zip", "site"):
        app = await asyncio.to_thread(StaticFiles, place / name)
        tags.append((await ask(app, "/text.txt")).headers["etag"])
    assert len(set(tags)) == 1


@kinds
def test_memory_is_free_when_nothing_is_sent(place: Path, kind: str) -> None:
    before = unpacked._Memory.held
    app = StaticFiles(place / "site.zip")
    with serving_inside(app, direct=kind == "direct") as server:
        with server.connect(receive_buffer=16 * 1024) as slow:
            slow.send(head("/large.txt"))
            slow.receive(100_000)
            assert unpacked._Memory.held > before + len(LARGE)
        assert eventually(lambda: unpacked._Memory.held <= before)


@kinds
def test_an_archive_that_changes_while_a_deflated_member_is_sent_changes_nothing(
    place: Path, kind: str
) -> None:
    app = StaticFiles(place / "site.zip")
    with (
        serving_inside(app, direct=kind == "direct") as server,
        server.connect(receive_buffer=16 * 1024) as connection,
    ):
        connection.send(head("/large.txt"))
        connection.receive(100_000)
        (place / "site.zip").write_bytes(b"gone")
        answer = connection.read()
        assert answer.complete
        assert answer.content == LARGE
        assert connection.get("/large.txt").status == 503


@kinds
def test_a_bomb_is_missing_and_takes_no_memory(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"".join(deflate.compress(bytes(2**20)) for _ in range(64)) + deflate.flush()
    bomb = Entry(b"bomb", b"", deflated=True, data=stream, size=2**24)
    (tmp_path / "a.zip").write_bytes(archive([Entry(b"index.html"), bomb]))
    before = unpacked._Memory.held
    with entry(StaticFiles(tmp_path / "a.zip"), kind) as connection:
        for _ in range(5):
            assert connection.get("/bomb").status == 404
            assert connection.get("/bomb", "Accept-Encoding: gzip").status == 404
            assert connection.get("/").content == b"content"
    assert unpacked._Memory.held <= before
    assert sum("bomb" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("size", [9, 200_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_clients_get_whole_answers_while_archives_replace_each_other(
    tmp_path: Path, size: int, method: int
) -> None:
    """Each answer is one whole version; the index is at another offset in each archive."""

    def deploy(number: int) -> None:
        before = {f"{n}.txt": b"x" * 100 * n for n in range(number % 7)}
        page = b"%d" % (number % 10) * size
        write_zip(tmp_path / "next.zip", {**before, "index.html": page}, method)
        (tmp_path / "next.zip").replace(tmp_path / "site.zip")

    deploy(1)
    seen: set[bytes] = set()
    with serving_inside(StaticFiles(tmp_path / "site.zip"), direct=True) as server:
        stop = threading.Event()

        def read() -> None:
            with server.connect() as connection:
                while not stop.is_set():
                    seen.add(connection.get("/").content)

        reader = threading.Thread(target=read)
        with StrictClients(server.port, "/", size) as clients:
            reader.start()
            for number in range(40):
                deploy(number)
                clients.more(5)
            stop.set()
            reader.join()
    assert clients.failures == []
    assert all(len(content) == size and len(set(content)) == 1 for content in seen)
    assert len(seen) > 3


CODES = [errno.EIO, errno.EMFILE, errno.ENOENT]


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_fault_at_any_system_call_leaks_nothing_and_passes(
    tmp_path: Path, code: int, method: int
) -> None:
    """The n-th call fails, for each n, also while a new archive is read."""
    versions = [{"a.txt": b"%d" % n * 100_000, "b.txt": b"small"} for n in range(2)]
    for number, files in enumerate(versions):
        write_zip(tmp_path / f"{number}.zip", files, method)
    link, new_link = tmp_path / "site.zip", tmp_path / "new"
    link.symlink_to("0.zip")

    async def fail_each() -> int:
        app = await asyncio.to_thread(StaticFiles, link, cache_bytes=0)
        before = None
        for at in range(1, 200):
            new_link.symlink_to(f"{at % 2}.zip")
            new_link.replace(link)
            with pytest.MonkeyPatch.context() as patch:
                faults = FaultyKernel(patch, at, code)
                with suppress(TransferAborted, OSError):
                    reply = await ask(app, "/a.txt", {"accept-encoding": "gzip"})
                    assert reply.status in (200, 403, 404, 500, 503), reply.status
            for name, content in versions[at % 2].items():
                assert (await ask(app, f"/{name}")).body == content
            gc.collect()
            before = before or open_handles()
            assert open_handles() <= before + 1, "a descriptor leaks"
            if not faults.struck:
                app.close()
                return at
        raise AssertionError("the calls do not end")

    assert asyncio.run(fail_each()) > 8


# -- parts of archives, and settings -------------------------------------------------------------


async def test_a_directory_in_an_archive_is_a_root(place: Path) -> None:
    app = await asyncio.to_thread(StaticFiles, place / "site.zip" / "docs")
    assert (await ask(app, "/")).body == SITE["docs/index.html"]
    assert (await ask(app, "/text.txt")).status == 404
    assert app.root == str(place / "site.zip" / "docs")


WRONG: list[tuple[str, bytes, str]] = [
    ("a.txt", b"hello", "is a file, not a directory or a zip archive; name the one that holds"),
    ("a.zip", archive([])[:-1], "is a file, not a directory or a zip archive"),
    ("a.zip", b"x" + archive([]), "cannot be served: it has offsets that do not fit"),
    ("a.zip/missing", archive([]), "does not exist; create it or name another"),
    ("a.zip/a", archive([Entry(b"a")]), "is not a directory"),
]


@pytest.mark.parametrize(("root", "data", "says"), WRONG, ids=str)
def test_a_root_that_is_no_archive_says_so(
    tmp_path: Path, root: str, data: bytes, says: str
) -> None:
    (tmp_path / root.partition("/")[0]).write_bytes(data)
    with pytest.raises(SettingsError, match=says) as error:
        StaticFiles(tmp_path / root)
    assert "\n" not in str(error.value)


async def test_names_that_are_hidden_or_denied_in_a_directory_are_in_an_archive(
    tmp_path: Path,
) -> None:
    names = (".env", "d/.git/config", "a.bak", ".well-known/security.txt", "private/a")
    write_zip(tmp_path / "a.zip", dict.fromkeys(names, b"content"), zipfile.ZIP_DEFLATED)
    app = await asyncio.to_thread(StaticFiles, tmp_path / "a.zip", deny=("*.bak", "private/*"))
    found = [(await ask(app, f"/{name}")).status for name in names]
    assert found == [404, 404, 404, 200, 404]


async def test_an_archive_in_an_overlay(place: Path) -> None:
    (place / "top").mkdir()
    (place / "top" / "text.txt").write_bytes(b"on top")
    app = await asyncio.to_thread(StaticFiles, [place / "top", place / "site.zip"])
    assert (await ask(app, "/text.txt")).body == b"on top"
    assert (await ask(app, "/large.txt")).body == LARGE


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_manifest_in_an_archive_proves_its_names(tmp_path: Path, method: int) -> None:
    files = {"app-3f2a1b9c.js": b"1", "other-3f2a1b9c.js": b"2"}
    listed = json.dumps({"app.js": "app-3f2a1b9c.js"}).encode()
    write_zip(tmp_path / "a.zip", {**files, ".vite/manifest.json": listed}, method)
    app = await asyncio.to_thread(StaticFiles, tmp_path / "a.zip", manifest=".vite/manifest.json")
    assert "immutable" in (await ask(app, "/app-3f2a1b9c.js")).headers["cache-control"]
    assert "immutable" not in (await ask(app, "/other-3f2a1b9c.js")).headers["cache-control"]
    assert (await app.fresh_manifest()).integrity["app-3f2a1b9c.js"].startswith("sha384-")
    listed = json.dumps({"other.js": "other-3f2a1b9c.js"}).encode()
    write_zip(tmp_path / "next.zip", {**files, ".vite/manifest.json": listed}, method)
    (tmp_path / "next.zip").replace(tmp_path / "a.zip")
    await asyncio.sleep(0.3)  # it is checked a few times a second
    assert (await app.fresh_manifest()).files == {"other.js": "other-3f2a1b9c.js"}


async def test_a_manifest_that_is_missing_in_an_archive_says_so(place: Path) -> None:
    with pytest.raises(SettingsError, match=r"manifest .*site\.zip/m\.json: No such file"):
        await asyncio.to_thread(StaticFiles, place / "site.zip", manifest="m.json")


def test_previous_root_grace_is_refused(place: Path) -> None:
    with pytest.raises(SettingsError, match=r"previous_root_grace=5\.0: not for an archive"):
        StaticFiles(place / "site.zip", previous_root_grace=5)


# -- the command ---------------------------------------------------------------------------------


def test_the_command_serves_an_archive(place: Path) -> None:
    with serving("serve", place / "site.zip") as server, Connection(server.port) as connection:
        assert connection.get("/text.txt").content == TEXT
        assert f"serves {place / 'site.zip'}" in server.log
        assert "zip" in server.log


@pytest.mark.skipif(not sandbox.version(), reason="this kernel has no Landlock")
def test_a_replaced_archive_is_read_in_the_sandbox(place: Path) -> None:
    command = ["-m", "asyncstatic", "serve", str(place / "site.zip"), "--sandbox"]
    command += ["--bind", "127.0.0.1:{port}"]
    with running(command, {}) as server, Connection(server.port) as connection:
        assert connection.get("/text.txt").content == TEXT
        write_zip(place / "next.zip", {"text.txt": b"next"}, zipfile.ZIP_DEFLATED)
        (place / "next.zip").replace(place / "site.zip")
        assert connection.get("/text.txt").content == b"next"


# -- real archives, and other programs -----------------------------------------------------------

WHEEL = next(iter(sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))), None)


@pytest.mark.skipif(WHEEL is None, reason="this Python comes without a wheel of pip")
async def test_each_file_of_a_real_wheel_is_what_zipfile_reads() -> None:
    assert WHEEL is not None
    app = await asyncio.to_thread(StaticFiles, WHEEL, dotfiles=True)
    with zipfile.ZipFile(WHEEL) as wheel:
        for member in wheel.infolist():
            reply = await ask(app, f"/{member.filename}")
            assert (reply.status, reply.body) == (200, wheel.read(member)), member.filename


def test_a_package_in_a_zip_is_a_root(tmp_path: Path) -> None:
    """Python imports from the archive, so the package has no directory."""
    files = {"packed/__init__.py": b"", "packed/static/a.txt": b"packed"}
    write_zip(tmp_path / "packed.zip", files, zipfile.ZIP_DEFLATED)
    code = (
        "import asyncio, sys; from asyncstatic import StaticFiles\n"
        "app = StaticFiles('package:packed/static'); print(app.root)"
    )
    path = os.pathsep.join((str(tmp_path / "packed.zip"), os.getcwd()))
    child = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.stdout.strip() == str(tmp_path / "packed.zip" / "packed" / "static"), child.stderr


NGINX = """
daemon off; master_process off; pid {scratch}/pid; error_log stderr crit;
events {{}}
http {{
  access_log off; client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/f; uwsgi_temp_path {scratch}/u; scgi_temp_path {scratch}/s;
  types {{ text/html html; text/plain txt; application/javascript js; }}
  server {{ listen 127.0.0.1:{port}; root {root}; max_ranges 1; }}
}}
"""


@contextmanager
def nginx(scratch: Path, root: Path) -> Iterator[int]:
    program, port = require("nginx", "nginx-light"), free_port()
    for directory in (scratch, *scratch.parents[:2]):
        with suppress(OSError):
            directory.chmod(0o755)
    (scratch / "nginx.conf").write_text(NGINX.format(scratch=scratch, port=port, root=root))
    command = [program, "-p", str(scratch), "-c", str(scratch / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: _answers(port))
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    with suppress(OSError), Connection(port):
        return True
    return False


@kinds
def test_nginx_answers_alike_from_the_unpacked_archive(place: Path, kind: str) -> None:
    with zipfile.ZipFile(place / "site.zip") as made:
        made.extractall(place / "unpacked")
    for path in (place / "unpacked").rglob("*"):
        path.chmod(0o755)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    compared = ("content-length", "content-range", "last-modified")
    with (
        nginx(place, place / "unpacked") as port,
        Connection(port) as theirs,
        entry(StaticFiles(place / "site.zip"), kind) as ours,
    ):
        for target, fields in REQUESTS:
            if target in ("/docs", "/text.txt/") or "," in fields.get("range", ""):
                continue  # other pages, other redirects
            lines = [f"{name}: {value}" for name, value in fields.items()]
            if "accept-encoding" in fields:
                continue
            one, other = ours.get(target, *lines), theirs.get(target, *lines)
            assert one.status == other.status, target
            if one.status in (200, 206):
                assert one.content == other.content
                assert [one.field(name) for name in compared] == [
                    other.field(name) for name in compared
                ]


def test_curl_resumes_and_decodes(place: Path) -> None:
    curl = require("curl", "curl")
    with serving("serve", place / "site.zip") as server:
        url = f"http://127.0.0.1:{server.port}/large.txt"
        (place / "part").write_bytes(LARGE[:4_000_000])
        resume: list[Any] = [curl, "-sf", "-C", "-", "-o", place / "part", url]
        subprocess.run(resume, check=True)
        assert (place / "part").read_bytes() == LARGE
        coded = subprocess.run([curl, "-sf", "--compressed", url], check=True, capture_output=True)
        assert coded.stdout == LARGE
