"""What the direct lane remembers, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from asyncstatic.files.memory import BoundedOctets
from asyncstatic.http.model import Absence, ResponsePlan
from asyncstatic.serve.direct.lane import (
    Admitted,
    Lane,
    Mount,
    Terms,
    cost_of_request,
)
from tests.support.raw import head

KIB = 1024


class Behind:
    """A full server that nothing is handed to."""

    terms = Terms()
    observes = False


@pytest.fixture
def static(site: Path) -> Iterator[StaticFiles]:
    static = StaticFiles(site, cache_bytes=256 * KIB)
    yield static
    static.close()


@pytest.fixture
def lane(static: StaticFiles) -> Lane:
    return _lane(static)


def _lane(static: StaticFiles, passes_on: Callable[[], bool] = lambda: False) -> Lane:
    return Lane([Mount("", static, passes_on)], Behind())  # type: ignore[arg-type] # it is not asked for more


def _admitted(lane: Lane, target: str, *fields: str, method: str = "GET") -> Admitted:
    admitted = lane.admit(head(target, *fields, method=method))
    assert admitted is not None
    return admitted


def test_a_request_that_is_repeated_is_read_once(lane: Lane) -> None:
    first = _admitted(lane, "/css/app.css")
    assert lane.remembered.get(head("/css/app.css")) is first
    assert lane.remembered.get(head("/css/app.csS")) is None
    assert lane.remembered.get(head("/css/app.css", "Range: bytes=0-1")) is None


def test_a_long_head_is_not_remembered(lane: Lane) -> None:
    octets = head("/css/app.css", "Cookie: " + "c" * 2048)
    assert lane.admit(octets) is not None
    assert lane.remembered.get(octets) is None


@pytest.mark.parametrize("length", [1, 100, 2000])
def test_what_is_remembered_is_bounded_in_octets_and_the_newest_is_there(length: int) -> None:
    requests = BoundedOctets(64 * KIB, cost_of_request)
    for number in range(2000):
        octets = b"%08d" % number + b"x" * length
        requests.put(octets, None)  # type: ignore[arg-type] # its size is not looked at
        assert sum(map(len, requests)) + 720 * len(requests) <= 64 * KIB
        assert octets in requests
    assert len(requests) >= 64 * KIB // (length + 8 + 720) // 2 - 1


def test_of_the_many_requests_of_a_root_a_fourth_of_its_cache_is_kept(lane: Lane) -> None:
    for number in range(1000):
        _admitted(lane, f"/{number}")
    assert 64 * KIB // 2 // 900 <= len(lane.remembered) <= 64 * KIB // 720


def test_without_a_cache_nothing_is_remembered(site: Path) -> None:
    static = StaticFiles(site, cache_bytes=0)
    lane = _lane(static)
    assert lane.admit(head("/css/app.css")) is not None
    assert not lane.remembered
    static.close()


def test_requests_that_agree_in_what_decides_share_what_is_remembered(lane: Lane) -> None:
    """However much else differs: cookies, user agents."""
    keys = {
        _admitted(lane, "/css/app.css").key,
        _admitted(lane, "/css/app.css", "Cookie: a=1").key,
        _admitted(lane, "/css/app.css", "User-Agent: other").key,
    }
    assert len(keys) == 1
    keys.add(_admitted(lane, "/css/app.css", "Range: bytes=0-1").key)
    keys.add(_admitted(lane, "/css/app.css", "If-None-Match: *").key)
    keys.add(_admitted(lane, "/css/app.css", method="HEAD").key)
    assert len(keys) == 4


async def test_what_is_missing_has_one_page_for_all_who_get_the_same(lane: Lane) -> None:
    missing = Absence.MISSING
    requests = [
        _admitted(lane, target, *fields)
        for target in ("/one", "/two", "/.hidden")
        for fields in ((), ("Cookie: a=1",))
    ]
    plans = [each.mount.static.plan(each.request, missing)[0] for each in requests]
    assert len({id(lane.page(plan)) for plan in plans}) == 1
    html = _admitted(lane, "/one", "Accept: text/html")
    other = lane.page(html.mount.static.plan(html.request, missing)[0])
    assert other.content != lane.page(plans[0]).content


async def test_pages_take_bounded_memory(lane: Lane) -> None:
    for number in range(1000):
        lane.page(ResponsePlan(308, ((b"location", b"%d" % number),), (b"page",)))
    assert len(lane._pages) <= 256


async def test_what_is_missing_is_passed_on_as_soon_as_there_is_an_app(
    static: StaticFiles,
) -> None:
    """It may get its first view at any time."""
    app_has_views: list[bool] = []
    lane = _lane(static, lambda: bool(app_has_views))
    admitted = _admitted(lane, "/missing.txt")
    plan, _ = await static.find(admitted.request)
    admitted.page = lane.page(plan)
    admitted.find_entry()
    assert admitted.recall() is admitted.page
    app_has_views.append(True)
    assert admitted.recall() is None
