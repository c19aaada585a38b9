"""Fallbacks: which page of the site is sent for which absence, and what stays when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from asyncstatic.files.fallback import Fallbacks, page_with
from asyncstatic.files.source import Found, Opened
from asyncstatic.http.model import Absence, Lookup
from tests.support.core import stored

STATUSES = {absence: absence.value for absence in Absence}
CODINGS = (("identity",),)


class Known:
    """A source that knows some outcomes, and has nothing else; it may have to wait."""

    def __init__(self, outcomes: Mapping[str, Found], *, waits: bool = False) -> None:
        self._outcomes = outcomes
        self._waits = waits
        self.asked: list[str] = []

    def open_nowait(self, lookup: Lookup) -> Found | None:
        return None if self._waits else self._find(lookup)

    async def open(self, lookup: Lookup) -> Found:
        return self._find(lookup)

    def close(self) -> None:
        pass

    def _find(self, lookup: Lookup) -> Found:
        self.asked.append("/".join(lookup.segments))
        return self._outcomes.get(self.asked[-1], Absence.MISSING)


def page(name: str) -> Opened:
    return Opened(stored(name.encode(), name), name.encode())


def found_by(source: Known, pages: Mapping[int, str], lookup: Lookup) -> tuple[object, int]:
    """The content and status of a fallback; or the absence, and its status."""
    fallbacks = Fallbacks(
        source, "shell.html", pages, STATUSES, lambda names: "hidden" not in names
    )
    found = fallbacks.open_nowait(lookup) or asyncio.run(fallbacks.open(lookup))
    if isinstance(found, Opened):
        return found.content, found.representation.fallback
    assert isinstance(found, Absence)
    return found, found.value


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("absence", list(Absence))
def test_each_absence_has_the_page_of_its_status(absence: Absence, waits: bool) -> None:
    source = Known({"x": absence, "e.html": page("e.html")}, waits=waits)
    lookup = Lookup(("x",), False, CODINGS)
    assert found_by(source, {absence.value: "e.html"}, lookup) == (b"e.html", absence.value)
    assert found_by(source, {}, lookup) == (absence, absence.value)
    broken = Known({"x": absence, "e.html": Absence.BROKEN}, waits=waits)
    assert found_by(broken, {absence.value: "e.html"}, lookup) == (absence, absence.value)


@pytest.mark.parametrize("waits", [False, True])
def test_the_shell_is_for_missing_names_alone(waits: bool) -> None:
    known: dict[str, Found] = {"shell.html": page("shell.html"), "closed": Absence.FORBIDDEN}
    source = Known(known, waits=waits)
    for name, navigation, outcome in (
        ("a", True, (b"shell.html", 200)),
        ("a", False, (Absence.MISSING, 404)),
        ("closed", True, (Absence.FORBIDDEN, 403)),
    ):
        lookup = Lookup((name,), False, CODINGS, navigation=navigation)
        assert found_by(source, {}, lookup) == outcome


def test_the_nearest_page_is_looked_for_in_a_bounded_number_of_public_directories() -> None:
    source = Known({})
    found_by(source, {404: "**/e.html"}, Lookup(("a", "b", "c"), False, CODINGS))
    assert source.asked == ["a/b/c", "a/b/e.html", "a/e.html", "e.html"]
    source = Known({})
    found_by(source, {404: "**/e.html"}, Lookup(("a", "hidden", "c"), False, CODINGS))
    assert source.asked == ["a/hidden/c", "a/e.html", "e.html"]
    source = Known({})
    found_by(source, {404: "**/e.html"}, Lookup(("d",) * 1000, False, CODINGS))
    assert len(source.asked) == 18


async def test_a_refusal_gets_the_page_of_its_status_only() -> None:
    lookup = Lookup(("x",), False, CODINGS, navigation=True)
    known = {"e.html": page("e.html"), "shell.html": page("shell.html")}
    pages = {404: "e.html"}
    hiding = {**STATUSES, Absence.FORBIDDEN: 404}
    source = Fallbacks(Known(known), "shell.html", pages, hiding, lambda _: True)
    assert await page_with(403, lookup, source) is None
    assert await page_with(410, lookup, source) is None
    assert await page_with(403, lookup, Known(known)) is None
    found = await page_with(404, lookup, source)
    assert found is not None
    assert found.content == b"e.html"
