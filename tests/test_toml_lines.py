"""The scanner finds the line of each key that `tomllib` reads."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.config.toml_lines import Key, lines_of

ROWS = [
    # the document, the place, its line
    ("a = 1", ("a",), 1),
    ("# a = 1\n\na = 1 # a", ("a",), 3),
    ("a = 1\r\nb = 2", ("b",), 2),
    ("[t]\na = 1\n[u]\na = 2", ("u", "a"), 4),
    ("[t]\na = 1", ("t",), 1),
    ("a.b = 1\na.c = 2", ("a", "c"), 2),
    ('[ "x.y" . z ]\na = 1', ("x.y", "z", "a"), 2),
    ("'/app' = 'dist'", ("/app",), 1),
    ('"\\u002Fapp" = 1', ("/app",), 1),
    ('a = """\nb = 1\n"""\nb = 2', ("b",), 4),
    ("a = '''\nb = 1\n'''\nb = 2", ("b",), 4),
    ('a = "]} # \\" ="\nb = 2', ("b",), 2),
    ('a = """x\\"""y"""\nb = 2', ("b",), 2),
    ('a = """x"""""\nb = 2', ("b",), 2),
    ("a = [\n  1, # ]\n  2,\n]\nb = 1", ("a", 1), 3),
    ("a = [\n  1,\n  2,\n]\nb = 1", ("b",), 5),
    ("a = [[1],\n[2, 3]]", ("a", 1, 1), 2),
    ("a = { b = 1, c = { d = 2 } }\ne = 1", ("a", "c", "d"), 1),
    ("a = [\n{ b = 1 },\n{ b = 2 }]", ("a", 1, "b"), 3),
    ("[[r]]\na = 1\n[[r]]\na = 2", ("r", 1, "a"), 4),
    ("[[r]]\na = 1\n[[r]]\na = 2", ("r", 1), 3),
    ("[[r]]\na = 1\n[r.h]\nx = 1\n[[r]]\n[r.h]\nx = 2", ("r", 1, "h", "x"), 7),
    ("a = 1979-05-27 07:32:00\nb = 1", ("b",), 2),
    ("a = {}\nb = []\nc = 1", ("c",), 3),
]


@pytest.mark.parametrize(("text", "place", "line"), ROWS)
def test_the_line_of_a_key_is_found(text: str, place: Key, line: int) -> None:
    assert lines_of(text)[place] == line


def places(value: Any, place: Key = ()) -> Iterator[Key]:
    """Every place of a document."""
    if place:
        yield place
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, below in items:
        yield from places(below, (*place, name))


@pytest.mark.parametrize("text", [text for text, *_ in ROWS])
def test_every_place_of_a_document_has_a_line(text: str) -> None:
    assert set(places(tomllib.loads(text))) <= lines_of(text).keys()


_TEXTS = st.text(alphabet="ab.#=[]{}\"'\\\n, é", max_size=6)


def _string(text: str) -> str:
    escaped = "".join(f"\\u{ord(each):04X}" if each in '"\\\n' else each for each in text)
    return f'"{escaped}"'


@given(st.lists(st.tuples(_TEXTS, _TEXTS), unique_by=lambda pair: pair[0], max_size=6))
def test_any_key_has_its_own_line(pairs: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{_string(key)} = {_string(value)}" for key, value in pairs)
    assert lines_of(text) == {(key,): index for index, (key, _) in enumerate(pairs, start=1)}
