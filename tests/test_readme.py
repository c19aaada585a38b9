"""The README says the truth."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from asyncstatic import Limits, Settings

README = Path(__file__).parents[1] / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="tested without the source tree")

_ROW = re.compile(r"^\| `(\w+)` \| (.*?) ?\|", re.M)
_SIZES = {"128 MiB": 128 << 20, "64 KiB": 64 << 10}


FIELDS = [
    *(field for field in dataclasses.fields(Settings) if field.name != "limits"),
    *dataclasses.fields(Limits),
]


def default_as_told(told: str) -> object:
    """A default as the table writes it: nothing, a number, words, or a size."""
    return _SIZES.get(told, told.strip("`"))


def default_as_is(field: dataclasses.Field[object]) -> object:
    """A default as the table would write it."""
    if field.default is dataclasses.MISSING or field.default in ((), "", None):
        return ""
    if isinstance(field.default, tuple):
        return ",".join(field.default)
    if isinstance(field.default, bool | float):
        return f"{field.default:g}"
    return field.default


def test_the_table_names_every_setting_in_its_order() -> None:
    told = [name for name, _ in _ROW.findall(README.read_text())]
    assert told == [field.name for field in FIELDS]


def test_the_table_tells_the_defaults() -> None:
    told = {name: default_as_told(text) for name, text in _ROW.findall(README.read_text())}
    for field in FIELDS:
        if field.name != "root":  # found at start-up
            assert str(told[field.name]) == str(default_as_is(field)), field.name


@pytest.mark.parametrize(
    "code", re.findall(r"```python\n(.*?)```", README.read_text() if README.exists() else "", re.S)
)
def test_the_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    exec(code, names)
    assert callable(names["app"])


PAGES = [README, *sorted((README.parent / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_named_in_the_readme() -> None:
    for page in PAGES[1:]:
        assert f"](docs/{page.name}" in README.read_text(), page.name
