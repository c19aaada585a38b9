"""`send_file` and `send_from_directory`: what a view returns, and what a user cannot make of it."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile, TemporaryFile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart, Response

from asyncstatic import SettingsError, StaticFiles, send_file, send_from_directory
from asyncstatic.files import kernel
from asyncstatic.files.pool import Pool
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.quart import sendable
from tests.asgi import Reply, ask
from tests.support.site import write_site

BIG = bytes(range(256)) * 4096  # 1 MiB: streamed
FILES = {"a.txt": b"hello", "big.bin": BIG, "docs/index.html": b"<p>", ".env": b"SECRET=1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    write_site(place / "files", FILES)
    write_site(place, {"secret.txt": b"SECRET=2", "server/package/own.txt": b"own"})
    (place / "files" / "out").symlink_to(place / "secret.txt")
    (place / "files" / "within").symlink_to("a.txt")
    os.mkfifo(place / "files" / "fifo")
    return place


@pytest.fixture
def app(place: Path) -> Quart:
    app = Quart("app", root_path=str(place / "server" / "package"), static_folder=None)

    @app.route("/download/<path:name>", methods=["GET", "POST"])
    async def download(name: str) -> Response:
        return await send_from_directory("../../files", name)

    return app


async def sent(
    app: Quart, what: Any, headers: dict[str, str] | None = None, **options: Any
) -> Reply:
    """Send something from a view, and ask for it."""
    method = options.pop("method", "GET")

    async def view() -> Response:
        return await send_file(what, **options)

    app.add_url_rule("/view", "view", view, methods=["GET", "POST"])
    return await ask(app, "/view", headers, method=method)


# -- names from users --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("a.txt", 200, id="a file"),
        pytest.param("within", 200, id="a link that stays inside"),
        pytest.param("out", 404, id="a link out"),
        pytest.param("missing", 404, id="missing"),
        pytest.param("docs", 404, id="a directory"),
        pytest.param("docs/", 404, id="a directory with a slash"),
        pytest.param("docs/index.html", 200, id="below a directory"),
        pytest.param("a.txt/", 404, id="a file with a slash"),
        pytest.param(".env", 404, id="hidden"),
        pytest.param("fifo", 404, id="no regular file"),
        pytest.param("..%2f..%2fsecret.txt", 400, id="encoded dot-dot"),
        pytest.param("../secret.txt", 400, id="dot-dot"),
        pytest.param("%2e%2e/secret.txt", 400, id="encoded dots"),
        pytest.param("docs/../a.txt", 400, id="dot-dot inside"),
        pytest.param("./a.txt", 404, id="dot"),
        pytest.param("/etc/passwd", 308, id="absolute"),  # Quart's router merges slashes
        pytest.param("a.txt%00.png", 400, id="NUL"),
        pytest.param("a%5cb", 400, id="backslash"),
        pytest.param("C:%5cWindows", 400, id="drive"),
        pytest.param("a%252etxt", 404, id="encoded twice"),
        pytest.param("%FF", 404, id="no UTF-8"),  # the server has put U+FFFD there
        pytest.param("x" * 300, 404, id="longer than any name"),
        pytest.param("x/" * 5000, 414, id="longer than any path"),
    ],
)
async def test_a_name_from_a_user_finds_a_file_below_or_nothing(
    app: Quart, name: str, status: int
) -> None:
    reply = await ask(app, f"/download/{name}")
    assert reply.status == status
    assert b"SECRET" not in reply.body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=40) | st.text("./\\%\0a~:", max_size=12))
def test_no_text_at_all_leads_out_or_to_a_traceback(app: Quart, name: str) -> None:
    async def view() -> Reply:
        from werkzeug.exceptions import HTTPException

        async with app.test_request_context("/"):
            try:
                response = await send_from_directory("../../files", name)
            except HTTPException as error:
                return Reply(status=error.code or 0)
            return Reply(response.status_code, body=await response.get_data(as_text=False))

    reply = asyncio.run(view())
    assert reply.status in (200, 400, 403, 404, 414)
    assert reply.status != 200 or reply.body in FILES.values()
    assert b"SECRET" not in reply.body


async def test_the_path_may_be_named_as_flask_or_quart_do(app: Quart) -> None:
    async with app.test_request_context("/"):
        flask = await send_from_directory(directory="../../files", path="a.txt")
        quart = await send_from_directory(directory="../../files", file_name="a.txt")
    assert await flask.get_data(as_text=False) == b"hello"
    assert await quart.get_data(as_text=False) == b"hello"


async def test_a_static_root_brings_its_settings_and_its_hook(app: Quart, place: Path) -> None:
    def root(**options: Any) -> StaticFiles:
        return StaticFiles(place / "files", **options)

    open_root = await asyncio.to_thread(root, dotfiles=True, cache_control="max-age=7")
    closed_root = await asyncio.to_thread(root, authorize=lambda *_: False)

    @app.route("/open")
    async def open_view() -> Response:
        return await send_from_directory(open_root, ".env")

    @app.route("/closed")
    async def closed_view() -> Response:
        return await send_from_directory(closed_root, "a.txt")

    reply = await ask(app, "/open")
    assert (reply.status, reply.headers["cache-control"]) == (200, "max-age=7")
    assert (await ask(app, "/closed")).status == 403


@pytest.mark.parametrize(
    ("name", "options", "immutable"),
    [
        pytest.param("app-1a2b.js", {}, True, id="its own name"),
        pytest.param("app-1a2b.js", {"download_name": "app.js"}, True, id="sent as another"),
        pytest.param("app-1a2b.js", {"mimetype": "a/b"}, True, id="with a type"),
        pytest.param("app-1a2b.js", {"max_age": 5}, False, id="the view says how long"),
        pytest.param("app.js", {"download_name": "app-1a2b.js"}, False, id="only sent as one"),
    ],
)
async def test_the_files_own_name_says_whether_it_is_immutable(
    app: Quart, tmp_path: Path, name: str, options: Any, immutable: bool
) -> None:
    write_site(tmp_path, {name: b"js"})
    root = await asyncio.to_thread(StaticFiles, tmp_path, immutable="app-????.js")

    @app.route("/view")
    async def view() -> Response:
        return await send_from_directory(root, name, **options)

    cache_control = (await ask(app, "/view")).headers["cache-control"]
    assert ("immutable" in cache_control) is immutable


async def test_a_view_reads_all_lines_of_accept_encoding(app: Quart, tmp_path: Path) -> None:
    table = b"1,2,3\n" * 100
    root = write_site(tmp_path, {"table.csv": table, "table.csv.gz": gzip.compress(table)})

    @app.route("/table")
    async def view() -> Response:
        return await send_from_directory(root, "table.csv")

    lines = {"Accept-Encoding": "identity;q=0.5", "accept-encoding": "gzip"}  # two lines
    assert (await ask(app, "/table", lines)).headers["content-encoding"] == "gzip"


async def test_error_handlers_of_the_app_see_what_is_not_there(app: Quart) -> None:
    @app.errorhandler(404)
    async def own_page(error: object) -> tuple[str, int]:
        return "our own page", 404

    assert (await ask(app, "/download/missing")).body == b"our own page"


# -- what is sent ------------------------------------------------------------------------------


async def test_a_relative_path_is_relative_to_the_app(app: Quart) -> None:
    assert (await sent(app, "own.txt")).body == b"own"


def written(file: Any) -> Any:
    file.write(b"written")
    return file


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: b"written", id="bytes"),
        pytest.param(lambda: bytearray(b"written"), id="bytearray"),
        pytest.param(lambda: memoryview(b"written"), id="memoryview"),
        pytest.param(lambda: io.BytesIO(b"written"), id="BytesIO"),
        pytest.param(lambda: written(io.BytesIO()), id="BytesIO after writing"),
        pytest.param(lambda: written(TemporaryFile()), id="TemporaryFile"),  # noqa: SIM115 - send_file closes it
        pytest.param(lambda: written(NamedTemporaryFile()), id="NamedTemporaryFile"),  # noqa: SIM115 - as above
        pytest.param(lambda: written(SpooledTemporaryFile(99)), id="Spooled"),  # noqa: SIM115 - as above
        pytest.param(
            lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"written"))), id="GzipFile"
        ),
    ],
)
async def test_bytes_and_files_are_sent_whole(app: Quart, make: Any) -> None:
    what = await asyncio.to_thread(make)
    reply = await sent(app, what, mimetype="text/plain")
    assert reply.body == b"written"
    assert reply.headers["content-length"] == "7"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert getattr(what, "closed", True)


async def test_a_large_file_object_is_not_read_into_memory(app: Quart, place: Path) -> None:
    file = await asyncio.to_thread(open, place / "files" / "big.bin", "rb")
    reply = await sent(app, file, {"range": "bytes=1000-1999"})
    assert (reply.status, reply.body) == (206, BIG[1000:2000])
    assert file.closed


class Asynchronous:
    """A file as aiofiles opens them."""

    async def read(self, size: int = -1) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("what", "options", "error"),
    [
        pytest.param(b"x", {}, ValueError, id="bytes of no type"),
        pytest.param(io.StringIO("x"), {"mimetype": "text/plain"}, TypeError, id="text file"),
        pytest.param(5, {"mimetype": "text/plain"}, TypeError, id="a number"),
        pytest.param(Asynchronous(), {"mimetype": "text/plain"}, TypeError, id="an async file"),
        pytest.param(None, {}, TypeError, id="nothing"),
        pytest.param("own.txt", {"mimetpye": "x"}, TypeError, id="a typo"),
        pytest.param("own.txt", {"mimetype": "a/b\r\nc: d"}, ValueError, id="line end in a type"),
        pytest.param("own.txt", {"cache_control": "a\r\nb"}, ValueError, id="line end in a field"),
    ],
)
async def test_a_developers_mistake_is_an_exception(
    app: Quart, what: Any, options: Any, error: type[Exception]
) -> None:
    async with app.test_request_context("/"):
        with pytest.raises(error):
            await send_file(what, **options)


async def test_a_directory_that_is_missing_is_not_found_until_it_is_there(
    app: Quart, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as that of a user who has uploaded nothing yet."""

    @app.route("/uploads/<path:name>")
    async def view(name: str) -> Response:
        return await send_from_directory(place / "uploads", name)

    assert (await ask(app, "/uploads/a.txt")).status == 404
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "uploads: does not exist" in caplog.text
    write_site(place / "uploads", {"a.txt": b"there"})
    assert (await ask(app, "/uploads/a.txt")).body == b"there"


async def test_a_directory_that_is_a_file_is_a_mistake(app: Quart, place: Path) -> None:
    write_site(place, {"file.txt": b"x"})
    async with app.test_request_context("/"):
        with pytest.raises(SettingsError, match="is a file"):
            await send_from_directory(place / "file.txt", "a.txt")


@pytest.mark.parametrize("send", [send_file, send_from_directory])
async def test_a_view_that_is_not_async_is_told_to_be(
    app: Quart, caplog: pytest.LogCaptureFixture, send: Any
) -> None:
    @app.route("/sync")
    def view() -> Any:
        return send("own.txt")

    assert (await ask(app, "/sync")).status == 500
    assert f"return await {send.__name__}(...)" in caplog.text


@pytest.mark.parametrize("send", [send_file, send_from_directory])
async def test_a_view_of_another_framework_is_told_what_to_mount(send: Any) -> None:
    with pytest.raises(RuntimeError, match="in another app mount a StaticFiles"):
        await send("own.txt")


@pytest.mark.parametrize(
    ("path", "status"), [("missing", 404), ("/", 404), ("../package", 404), ("a\0b", 404)]
)
async def test_a_path_that_is_no_file_is_not_found(app: Quart, path: str, status: int) -> None:
    assert (await sent(app, path)).status == status


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        pytest.param({}, "content-type", "text/plain; charset=utf-8", id="type by name"),
        pytest.param({"mimetype": "a/b"}, "content-type", "a/b", id="mimetype"),
        pytest.param({"download_name": "x.json"}, "content-type", "application/json", id="by name"),
        pytest.param({}, "content-disposition", None, id="no disposition"),
        pytest.param(
            {"as_attachment": True},
            "content-disposition",
            'attachment; filename="own.txt"',
            id="save",
        ),
        pytest.param(
            {"as_attachment": True, "download_name": "é\r\n.txt"},
            "content-disposition",
            "attachment; filename=\"e__.txt\"; filename*=UTF-8''%C3%A9__.txt",
            id="any name",
        ),
        pytest.param(
            {"download_name": "x.txt"},
            "content-disposition",
            'inline; filename="x.txt"',
            id="inline",
        ),
        pytest.param(
            {"as_attachment": True, "attachment_filename": "x"},
            "content-disposition",
            'attachment; filename="x"',
            id="attachment_filename",
        ),
        pytest.param({}, "cache-control", "no-cache", id="asked each time"),
        pytest.param({"max_age": 60}, "cache-control", "public, max-age=60", id="max_age"),
        pytest.param(
            {"cache_timeout": 60}, "cache-control", "public, max-age=60", id="cache_timeout"
        ),
        pytest.param({"max_age": len}, "cache-control", "public, max-age=7", id="a function"),
        pytest.param({"cache_control": "private"}, "cache-control", "private", id="cache_control"),
        pytest.param({"etag": False}, "etag", None, id="no tag"),
        pytest.param({"add_etags": False}, "etag", None, id="add_etags"),
        pytest.param(
            {"last_modified": datetime(2001, 2, 3, tzinfo=UTC)},
            "last-modified",
            "Sat, 03 Feb 2001 00:00:00 GMT",
            id="a date",
        ),
        pytest.param(
            {"last_modified": 981_158_400}, "last-modified", "Sat, 03 Feb 2001 00:00:00 GMT", id="s"
        ),
        pytest.param({}, "accept-ranges", "bytes", id="ranges"),
        pytest.param({}, "x-content-type-options", "nosniff", id="nosniff"),
    ],
)
async def test_a_parameter_shows_in_its_field(
    app: Quart, options: Any, field: str, value: str | None
) -> None:
    reply = await sent(app, "own.txt", **options)
    assert reply.status == 200
    assert reply.headers.get(field) == value


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"mimetype": ""}, "mimetype='': say type/subtype", id="no type"),
        pytest.param({"mimetype": "a/b\r\nc: d"}, "mimetype='a/b.*say type", id="a line end"),
        pytest.param({"cache_control": "no-stroe, x y"}, "cache_control='no-s.*dir", id="words"),
        pytest.param({"cache_control": "é"}, "cache_control='é': printable", id="no ASCII"),
    ],
)
async def test_a_parameter_that_no_field_can_hold_is_named(
    app: Quart, options: Any, problem: str
) -> None:
    async with app.test_request_context("/"):
        with pytest.raises(SettingsError, match=problem):
            await send_file("own.txt", **options)


async def test_the_first_parameter_may_be_named_as_in_quart(app: Quart) -> None:
    async with app.test_request_context("/"):
        response = await send_file(filename_or_io="own.txt")
    assert await response.get_data(as_text=False) == b"own"


async def test_an_own_tag_tells_versions_apart(app: Quart) -> None:
    tags = []
    for version in ("1", "2", "2"):
        async with app.test_request_context("/", headers={"want-repr-digest": "sha-256=1"}):
            response = await send_file(b"same", "text/plain", etag=version)
            tags.append(response.headers["ETag"])
            assert "Repr-Digest" not in response.headers
    assert tags[0] != tags[1] == tags[2]


async def test_the_apps_default_age_is_used(app: Quart) -> None:
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 9
    assert (await sent(app, "own.txt")).headers["cache-control"] == "public, max-age=9"


# -- conditions, ranges, methods ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        pytest.param({"range": "bytes=1-3"}, 206, b"ell", id="a range"),
        pytest.param({"range": "bytes=-2"}, 206, b"lo", id="a suffix"),
        pytest.param({"range": "bytes=9-"}, 416, None, id="beyond the end"),
        pytest.param({"range": "lines=1-3"}, 200, b"hello", id="another unit"),
        pytest.param({"range": "bytes=1-3", "if-range": '"other"'}, 200, b"hello", id="If-Range"),
        pytest.param({"if-none-match": "*"}, 304, b"", id="If-None-Match"),
        pytest.param({"if-match": '"other"'}, 412, None, id="If-Match"),
    ],
)
async def test_conditions_and_ranges_are_honoured(
    app: Quart, headers: dict[str, str], status: int, body: bytes | None
) -> None:
    reply = await ask(app, "/download/a.txt", headers)
    assert reply.status == status
    if body is not None:
        assert reply.body == body
    if status != 304:
        assert int(reply.headers["content-length"]) == len(reply.body)


async def test_several_ranges_are_one_multipart_answer(app: Quart) -> None:
    reply = await ask(app, "/download/big.bin", {"range": "bytes=0-9,1000-1009"})
    assert reply.status == 206
    assert reply.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert BIG[1000:1010] in reply.body
    assert int(reply.headers["content-length"]) == len(reply.body)


@pytest.mark.parametrize("headers", [{"range": "bytes=1-3"}, {"if-none-match": "*"}])
async def test_conditional_false_ignores_them(app: Quart, headers: dict[str, str]) -> None:
    reply = await sent(app, "own.txt", headers, conditional=False)
    assert (reply.status, reply.body) == (200, b"own")


@pytest.mark.parametrize("name", ["a.txt", "big.bin"])
async def test_head_is_get_without_content(app: Quart, name: str) -> None:
    get = await ask(app, f"/download/{name}")
    head = await ask(app, f"/download/{name}", {"range": "bytes=1-3"}, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


async def test_the_answer_to_a_post_has_no_ranges(app: Quart) -> None:
    reply = await ask(app, "/download/a.txt", {"range": "bytes=1-3"}, method="POST")
    assert (reply.status, reply.body) == (200, b"hello")


# -- the transfer ------------------------------------------------------------------------------


async def test_a_download_outlives_the_response_timeout(app: Quart) -> None:
    app.config["RESPONSE_TIMEOUT"] = 0.001

    @app.route("/slow")
    async def slow() -> Response:
        response = await send_from_directory("../../files", "big.bin")
        await asyncio.sleep(0.01)
        return response

    assert (await ask(app, "/slow")).body == BIG


async def test_nothing_is_buffered(app: Quart) -> None:
    reply = await ask(app, "/download/big.bin")
    bodies = [message.get("body", b"") for message in reply.messages[1:]]
    assert b"".join(bodies) == BIG
    assert max(map(len, bodies)) <= 256 * 1024


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("when", ["sent", "dropped", "cancelled"])
async def test_no_handle_is_left(app: Quart, when: str) -> None:
    await ask(app, "/download/big.bin")
    before = open_handles()
    for _ in range(10):
        if when == "sent":
            await ask(app, "/download/big.bin")
        elif when == "dropped":
            async with app.test_request_context("/"):
                await send_from_directory("../../files", "big.bin")
        else:
            task = asyncio.ensure_future(ask(app, "/download/big.bin"))
            await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.wait([task])
    await asyncio.sleep(0)
    assert open_handles() <= before


@pytest.mark.parametrize(("version", "aborts"), [("1.1", True), ("2", False)])
async def test_a_file_that_changes_is_never_ended_cleanly(
    app: Quart, tmp_path: Path, version: str, aborts: bool
) -> None:
    path = tmp_path / "log.bin"
    path.write_bytes(BIG)

    @app.route("/log")
    async def log() -> Response:
        response = await send_file(path)
        os.truncate(path, 500_000)
        return response

    if aborts:
        app.config["PROPAGATE_EXCEPTIONS"] = True
        with pytest.raises(TransferAborted):
            await ask(app, "/log", http_version=version)
    else:
        reply = await ask(app, "/log", http_version=version)
        assert len(reply.body) < int(reply.headers["content-length"])


async def test_a_stalled_client_is_dropped(app: Quart, place: Path) -> None:
    root = await asyncio.to_thread(StaticFiles, place / "files", send_timeout=0.05)
    async with app.test_request_context("/stall"):
        response = await send_from_directory(root, "big.bin")

    async def take_one_piece() -> None:
        async with response.response as body:
            async for _ in body:
                await asyncio.sleep(3600)

    with pytest.raises(TransferAborted, match="no progress"):
        await take_one_piece()


async def test_a_disk_that_fails_is_a_status(app: Quart, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(kernel, "openat2", fail)
    monkeypatch.setattr(kernel, "open_path", fail)
    assert (await sent(app, "own.txt")).status == 503


async def test_an_open_file_for_which_there_is_no_thread_is_a_status(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(threads=1, timeout=10)
    pool.close()
    monkeypatch.setattr(sendable, "_pool", pool)
    with TemporaryFile() as file:
        assert (await sent(app, file, mimetype="text/plain")).status == 503


async def test_a_descriptor_whose_close_fails_is_closed_once(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be that of another file then."""
    closed: list[int] = []

    def fail(fd: int) -> None:
        os.close(fd)
        closed.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(kernel, "close", fail)
    assert (await sent(app, "own.txt")).body == b"own"
    assert len(closed) == 1


async def test_a_cold_file_is_opened_in_a_thread(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(kernel, "openat2", wait)
    assert (await sent(app, "own.txt")).body == b"own"
