"""Prepared answers: equal to the ones that are decided anew, bounded, and never stale."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from asyncstatic.files import kernel
from asyncstatic.serve.answer import Answer
from asyncstatic.serve.direct.admission import Admission, PreparedAnswer
from asyncstatic.serve.direct.head import match_head
from asyncstatic.serve.direct.mounts import Mount
from asyncstatic.serve.direct.response import head_of
from asyncstatic.serve.direct.server import Terms
from tests.support.raw import head

KIB = 1024
OLD = 1_600_000_000
CONTENT = b"console.log('content')\n" * 20


class Visits:
    """One root, asked as the direct entry asks it."""

    def __init__(self, root: Path, cache_bytes: int) -> None:
        self.static = StaticFiles(root, cache_bytes=cache_bytes)
        self.admission = Admission([Mount("", self.static, lambda: False)], Terms())
        self._forgetful = StaticFiles(root, cache_bytes=0)

    def close(self) -> None:
        self.static.close()
        self._forgetful.close()

    async def __call__(
        self, target: str, *fields: str, method: str = "GET"
    ) -> PreparedAnswer | None:
        """Answer one request; return the prepared answer that it got, None without one."""
        match = match_head(head(target, *fields, method=method))
        assert match is not None
        prepared = self.admission.prepared(self.admission.key(match))
        if prepared is None:
            await self._decide(target, *fields, method=method)
        return prepared

    async def _decide(self, target: str, *fields: str, method: str = "GET") -> None:
        match = match_head(head(target, *fields, method=method))
        assert match is not None
        admitted = self.admission.admit(match, self.admission.key(match))
        assert admitted is not None
        answer = await self.static.find(admitted.request)
        self.admission.prepare(admitted, answer, head_of(answer.plan))
        answer.close()

    async def decided(self, target: str, *fields: str, method: str = "GET") -> Answer:
        """Return the answer of a root that holds nothing."""
        match = match_head(head(target, *fields, method=method))
        assert match is not None
        admitted = self.admission.admit(match, self.admission.key(match))
        assert admitted is not None
        answer = await self._forgetful.find(admitted.request)
        answer.close()
        return answer

    async def tag(self, target: str) -> str:
        return dict((await self.decided(target)).plan.fields)[b"etag"].decode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    sizes = {"medium.bin": 50 * KIB, "large.bin": 200 * KIB}
    for name in ("a.js", "b.js", *sizes):
        (tmp_path / name).write_bytes(os.urandom(sizes[name]) if name in sizes else CONTENT)
        os.utime(tmp_path / name, (OLD, OLD))
    time.sleep(0.05)  # more than a clock tick: nothing here is racy any more
    return tmp_path


@pytest.fixture
def visits(root: Path, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """The root with a cache of 1 MiB, or as large as the test asks for."""
    visits = Visits(root, getattr(request, "param", 1024 * KIB))
    yield visits
    visits.close()


REQUESTS = [
    pytest.param("/a.js", (), "GET", id="plain"),
    pytest.param("/a.js", (), "HEAD", id="HEAD"),
    pytest.param("/a.js?v=1", (), "GET", id="query"),
    pytest.param("/a.js", ("Range: bytes=0-9",), "GET", id="a range"),
    pytest.param("/a.js", ("Range: bytes=0-9, 20-29",), "GET", id="two ranges"),
    pytest.param("/a.js", ("Range: bytes=9999-",), "GET", id="a range beyond the end"),
    pytest.param("/a.js", ("Range: bytes=0-9",), "HEAD", id="HEAD ignores Range"),
    pytest.param("/a.js", ("If-None-Match: TAG",), "GET", id="its tag"),
    pytest.param("/a.js", ("If-None-Match: W/TAG",), "GET", id="its tag, weak"),
    pytest.param("/a.js", ('If-None-Match: "x", TAG',), "GET", id="its tag in a list"),
    pytest.param("/a.js", ("If-None-Match: *",), "GET", id="any tag"),
    pytest.param("/a.js", ('If-None-Match: "x"',), "GET", id="another tag"),
    pytest.param("/a.js", ("If-None-Match: nonsense",), "GET", id="no tag"),
    pytest.param("/a.js", ("If-None-Match: TAG", 'If-None-Match: "x"'), "GET", id="two fields"),
    pytest.param("/a.js", ("If-None-Match: TAG",), "HEAD", id="its tag, HEAD"),
    pytest.param("/a.js", ("If-None-Match: TAG", "Range: bytes=0-9"), "GET", id="its tag, a range"),
    pytest.param("/a.js", ('If-None-Match: "x"', "Range: bytes=0-9"), "GET", id="another tag, a range"),
    pytest.param("/a.js", ('If-None-Match: "x"', "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT"), "GET", id="another tag, and a date"),
    pytest.param("/a.js", ("If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT",), "GET", id="a date"),
    pytest.param("/a.js", ("If-None-Match: TAG", 'If-Match: "x"'), "GET", id="If-Match fails first"),
    pytest.param("/a.js", ("If-Range: TAG", "Range: bytes=0-9"), "GET", id="If-Range"),
    pytest.param("/a.js", ('If-Range: "x"', "Range: bytes=0-9"), "GET", id="If-Range of another"),
    pytest.param("/a.js", ("Accept-Encoding: gzip, br",), "GET", id="codings"),
    pytest.param("/a.js", ("Origin: https://a.example",), "GET", id="Origin"),
    pytest.param("/a.js", ("Want-Repr-Digest: sha-256=1",), "GET", id="digest"),
    pytest.param("/large.bin", (), "GET", id="large"),
    pytest.param("/large.bin", ("Range: bytes=5-9",), "GET", id="a range of a large file"),
    pytest.param("/none.js", ("Accept: text/html",), "GET", id="missing"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "fields", "method"), REQUESTS)
async def test_a_prepared_answer_is_the_one_that_would_be_decided(
    visits: Visits, target: str, fields: tuple[str, ...], method: str
) -> None:
    """Whichever request of the table came first, and was prepared."""
    tag = await visits.tag(target) if "none" not in target else ""
    fields = tuple(field.replace("TAG", tag) for field in fields)
    others = [("/a.js", ()), ("/a.js", ("Range: bytes=0-9",)), ("/large.bin", ())]
    for other, more in others:
        for _ in range(2):
            await visits(other, *more)
            await visits(other, *more, method="HEAD")
            await visits(other, f"If-None-Match: {await visits.tag(other)}", *more)
    expected = await visits.decided(target, *fields, method=method)
    for _ in range(3):
        prepared = await visits(target, *fields, method=method)
        if prepared is not None and b"boundary" not in prepared.head:
            assert prepared.plan == expected.plan


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("Cookie: session={n}", "Referer: http://a/{n}"), id="Cookie and Referer"),
        pytest.param(("User-Agent: {n}", "Sec-Fetch-Dest: d{n}", "X-{n}: 1"), id="others"),
    ],
)
async def test_visitors_who_differ_in_nothing_that_decides_share_an_answer(
    visits: Visits, fields: tuple[str, ...]
) -> None:
    answers = {
        id(await visits(f"/a.js?v={n}", *(field.format(n=n) for field in fields)))
        for n in range(100)
    }
    assert len(answers) == 2, "None for the first, and one answer for all others"


@pytest.mark.parametrize(
    "field",
    ['If-None-Match: "{n}"', 'If-Range: "{n}"', "If-Modified-Since: {n}", 'If-Match: "{n}"'],
)
async def test_values_of_conditions_take_no_memory(visits: Visits, field: str) -> None:
    for n in range(20):
        await visits("/a.js", field.format(n=n))
    held = visits.static.cache.size
    for n in range(20, 400):
        await visits("/a.js", field.format(n=n))
    assert visits.static.cache.size == held


async def test_its_own_if_none_match_is_answered_without_a_decision(visits: Visits) -> None:
    tag = await visits.tag("/a.js")
    for _ in range(2):
        await visits("/a.js", f"If-None-Match: {tag}")
    same = await visits("/a.js", f'If-None-Match: "other", {tag}', "Cookie: 1")
    other = await visits("/a.js", 'If-None-Match: "other"', "Cookie: 2")
    assert same is not None
    assert other is not None
    assert (same.plan.status, other.plan.status) == (304, 200)


async def test_a_changed_file_has_no_prepared_answer(visits: Visits, root: Path) -> None:
    tag = await visits.tag("/a.js")
    for _ in range(2):
        await visits("/a.js")
        await visits("/a.js", f"If-None-Match: {tag}")
    assert await visits("/a.js") is not None
    (root / "a.js").write_bytes(CONTENT.replace(b"content", b"CONTENT"))
    os.utime(root / "a.js", (OLD, OLD))  # and as large and as old as before
    assert await visits("/a.js", f"If-None-Match: {tag}") is None
    assert await visits("/a.js") is None


async def test_an_evicted_representation_has_no_prepared_answer(visits: Visits) -> None:
    for _ in range(2):
        prepared = await visits("/a.js")
    assert prepared is not None
    visits.static.cache.evict(prepared.source)
    assert await visits("/a.js") is None


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda n: ("/a.js", f"Host: h{n}.example"), id="Host"),
        pytest.param(lambda n: ("/a.js", f"Accept-Encoding: c{n}"), id="Accept-Encoding"),
        pytest.param(lambda n: ("/a.js", f"Range: bytes={n % 400}-"), id="Range"),
        pytest.param(lambda n: ("/a.js", f"Origin: https://h{n}.example"), id="Origin"),
        pytest.param(lambda n: (f"/{n}.js",), id="missing names"),
        pytest.param(lambda n: ("/a.js", "Accept-Encoding: " + "x" * 2000 + str(n)), id="long"),
    ],
)
@pytest.mark.parametrize("visits", [64 * KIB], indirect=True)
async def test_requests_without_end_take_bounded_memory(
    visits: Visits, request_of: Callable[[int], tuple[str, ...]]
) -> None:
    for n in range(1000):
        target, *fields = request_of(n)
        await visits(target, *fields)
        assert visits.static.cache.size <= 64 * KIB


@pytest.mark.parametrize("visits", [0], indirect=True)
async def test_without_a_cache_nothing_is_prepared(visits: Visits) -> None:
    for _ in range(3):
        assert await visits("/a.js") is None


async def test_what_an_app_may_answer_is_asked_anew_each_time(visits: Visits) -> None:
    """Missing names are never prepared: the app may get a route for them at any time."""
    for _ in range(3):
        assert await visits("/missing.js") is None


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has anonymous files")
@pytest.mark.parametrize("target", ["/medium.bin", "/large.bin"])
async def test_large_content_that_is_sent_again_is_in_memory_and_charged(
    visits: Visits, target: str
) -> None:
    fields = () if target == "/medium.bin" else ("Range: bytes=100-60099",)
    for _ in range(2):
        prepared = await visits(target, *fields)
    assert prepared is not None
    before = visits.static.cache.size
    assert visits.admission.memory_file(prepared) is None, "once is not again"
    file = visits.admission.memory_file(prepared)
    assert file is not None
    assert file is visits.admission.memory_file(prepared)
    assert visits.static.cache.size == before + file.length
    assert prepared.entry is not None
    visits.static.cache.evict(prepared.entry)
    assert file.fd == -1
    assert visits.static.cache.size < before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has anonymous files")
async def test_without_descriptors_large_content_is_sent_as_any_other(
    visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: bytes) -> int:
        raise OSError(24, "no more descriptors")

    monkeypatch.setattr(kernel, "memory_file", none)
    for _ in range(2):
        prepared = await visits("/medium.bin")
    assert prepared is not None
    assert [visits.admission.memory_file(prepared) for _ in range(3)] == [None] * 3
