"""The n-th system call fails, for n = 1, 2, 3 ... until a request completes without reaching n.

Whatever fails, the client gets the right bytes, a status that says what is wrong, or a transfer
that visibly ends too early; no handle stays open; and the next request is answered.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.serve.asgi import StaticFiles
from tests.asgi import ask as asgi_ask
from tests.support.raw import Answer
from tests.support.site import write_site
from tests.trust.inside import (
    FaultyKernel,
    ask,
    open_handles,
    serving_inside,
    settled_handles,
)

pytestmark = pytest.mark.grid

CODES = (
    errno.EIO,
    errno.ESTALE,
    errno.ENOMEM,
    errno.EINTR,
    errno.EAGAIN,
    errno.EACCES,
    errno.ETIMEDOUT,
)
BIG = random.Random(9).randbytes(200_000)
SCRIPT = b"export const page = 'page'\n" * 99
SITE = {
    "page.html": b"<p>page",
    "docs/index.html": b"<p>index",
    "app.js": SCRIPT,
    "app.js.gz": gzip.compress(SCRIPT, mtime=0),
    "lone.txt.gz": gzip.compress(SCRIPT, mtime=0),
    "big.bin": BIG,
}
GZIP = "Accept-Encoding: gzip"

NUMBERS = itertools.count()
#: Target, field lines, and the status and content when nothing fails.
REQUESTS = [
    pytest.param("/page.html", (), 200, SITE["page.html"], id="small"),
    pytest.param("/link.html", (), 200, SITE["page.html"], id="link"),
    pytest.param("/docs/", (), 200, SITE["docs/index.html"], id="index"),
    pytest.param("/docs", (), 301, None, id="directory"),
    pytest.param("/app.js", (GZIP,), 200, SITE["app.js.gz"], id="sidecar"),
    pytest.param("/app.js", (), 200, SCRIPT, id="beside-a-sidecar"),
    pytest.param("/lone.txt", (), 200, SCRIPT, id="decoded"),
    pytest.param("/big.bin", (), 200, BIG, id="large"),
    pytest.param("/big.bin", ("Range: bytes=9-150000",), 206, BIG[9:150_001], id="range"),
    pytest.param("/missing-{}", (), 404, None, id="missing"),  # another each time: it is remembered
]
#: Every error once, and for good.
FAULTS = [
    pytest.param(code, persistent, id=f"{errno.errorcode[code]}-{when}")
    for code in CODES
    for when, persistent in (("once", False), ("for-good", True))
]
#: What may be answered instead: our own limits, permission, and broken disks.
INSTEAD = {errno.EACCES: 403, errno.ENOMEM: 503, errno.EAGAIN: 503}
SETTINGS = [
    pytest.param({"cache_bytes": 0}, id="openat2"),
    pytest.param({"cache_bytes": 0, "resolver": "walk"}, id="walk"),
    pytest.param({}, id="cached"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_site(tmp_path_factory.mktemp("faults") / "site", SITE)
    (root / "link.html").symlink_to("page.html")
    (root / "no-index").mkdir()
    return root


@pytest.fixture(scope="module", params=[True, False], ids=["direct", "portable"])
def direct(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module", params=SETTINGS)
def port(request: pytest.FixtureRequest, root: Path, direct: bool) -> Iterator[int]:
    app = StaticFiles(root, **request.param)
    with serving_inside(app, direct=direct) as port:
        yield port
    app.close()


def is_right(answer: Answer | None, status: int, content: bytes | None) -> bool:
    return (
        answer is not None
        and answer.complete
        and answer.status == status
        and content in (None, answer.content)
    )


def is_explained(answer: Answer | None, code: int, content: bytes) -> bool:
    """A status that says what is wrong, or an answer that ended too early."""
    if answer is None:
        return True
    if not answer.complete:
        return content.startswith(answer.content)
    if answer.status == 503 and answer.field("retry-after") is None:
        return False
    allowed = {INSTEAD.get(code, 500), 503 if code == errno.ETIMEDOUT else 500}
    return answer.status in allowed and answer.field("cache-control") == "no-store"


def is_without_sidecar(answer: Answer | None, code: int, target: str) -> bool:
    """What may not be read is not there: a sidecar that is forbidden is none."""
    if code != errno.EACCES or answer is None:
        return False
    if target == "/app.js":
        return is_right(answer, 200, SCRIPT)
    return target == "/lone.txt" and is_right(answer, 404, None)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "persistent"), FAULTS)
@pytest.mark.parametrize(("target", "lines", "status", "content"), REQUESTS)
def test_a_fault_at_any_call_is_explained_and_leaves_nothing_behind(
    port: int,
    code: int,
    persistent: bool,
    target: str,
    lines: tuple[str, ...],
    status: int,
    content: bytes | None,
) -> None:
    # The root's handle, which earlier faults took away, is there again: this asks the disk each time.
    ask(port, "/no-index/")
    assert is_right(ask(port, target, *lines), status, content)
    before = settled_handles(at_most=0, seconds=0.02)
    for n in range(1, 300):
        asked = target.format(next(NUMBERS))
        with pytest.MonkeyPatch.context() as patch:
            faulty = FaultyKernel(patch, n, code, persistent=persistent)
            answer = ask(port, asked, *lines)
        right = is_right(answer, status, content) or is_without_sidecar(answer, code, target)
        assert right or is_explained(answer, code, content or b""), (n, answer)
        assert is_right(ask(port, asked, *lines), status, content), n
        if not faulty.struck:
            break
    else:
        pytest.fail("the request never completed")
    assert settled_handles(before) <= before
    assert open_handles() <= before


@pytest.mark.parametrize(
    ("code", "status", "lines"),
    [
        pytest.param(errno.EIO, 500, 1, id="disk"),
        pytest.param(errno.ESTALE, 500, 1, id="server-of-files"),
        pytest.param(errno.EMFILE, 503, 1, id="descriptors"),
        pytest.param(errno.ENOMEM, 503, 1, id="memory"),
        pytest.param(errno.EAGAIN, 503, 0, id="is-being-changed"),
        pytest.param(errno.EACCES, 403, 0, id="permission"),
        pytest.param(errno.ENOENT, 404, 0, id="missing"),
    ],
)
async def test_a_fault_is_one_line_that_names_the_file(
    root: Path,
    code: int,
    status: int,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code), 7)

    # A cache of its own: where it held files open, it would close them and try once more.
    static = await asyncio.to_thread(
        StaticFiles, root, resolver="walk", precompressed=False, cache_bytes=0
    )
    monkeypatch.setattr(kernel, "openat", fail)
    assert (await asgi_ask(static, "/docs/index.html")).status == status
    line = f"'{root}/docs/index.html' cannot be read: {os.strerror(code)}"
    assert [record.getMessage() for record in caplog.records] == [line] * lines
    static.close()


async def test_a_sidecar_without_an_original_that_cannot_be_read_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_site(tmp_path / "site", {"lone.txt.gz": SITE["lone.txt.gz"]})
    static = await asyncio.to_thread(StaticFiles, tmp_path / "site")
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "pread", fail)
        assert (await asgi_ask(static, "/lone.txt")).status == 500
    assert (await asgi_ask(static, "/lone.txt")).body == SCRIPT
    static.close()
