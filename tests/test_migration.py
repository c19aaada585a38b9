"""docs/migration.md: what stands before and after answers the same; the tables are complete."""

from __future__ import annotations

import asyncio
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import flask
import pytest
import quart
import werkzeug.utils
from werkzeug.test import Client

import asyncstatic
from asyncstatic.serve.quart.options import DirectoryOptions, FileOptions, ViewOptions
from tests.asgi import ask
from tests.support.site import write_site

DOCS = Path(__file__).parents[1] / "docs"
PAIR = re.compile(
    r"^## (?P<title>[^\n]+)\n\nBefore:\n\n```python\n(?P<before>.*?)```\n\n"
    r"After:\n\n```python\n(?P<after>.*?)```\n",
    re.DOTALL | re.MULTILINE,
)
TEXT = (DOCS / "migration.md").read_text()
PAIRS = [
    pytest.param(pair["before"], pair["after"], id=pair["title"]) for pair in PAIR.finditer(TEXT)
]


@pytest.fixture
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path / "static", {"app.css": b"a{color:red}", "docs/index.html": b"<p>"})
    write_site(tmp_path, {"secret": b"SECRET"})
    monkeypatch.chdir(tmp_path)


def made(code: str) -> Any:
    names: dict[str, Any] = {"__name__": "migration"}
    exec(compile(code, "migration.md", "exec"), names)
    return names["app"]


def answer(app: Any, target: str, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
    """Ask an app of either kind: WSGI, or ASGI."""
    if isinstance(app, flask.Flask) or "environ" in inspect.signature(app).parameters:
        with Client(app).get(target, headers=headers) as response:
            return response.status_code, response.get_data(), response.headers.get("Content-Type")
    reply = asyncio.run(ask(app, target, headers))
    return reply.status, reply.body, reply.headers.get("content-type")


def test_every_section_is_a_pair() -> None:
    assert len(PAIRS) == TEXT.count("\n## ") == TEXT.count("Before:\n") == TEXT.count("After:\n")


@pytest.mark.usefixtures("_site")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param("/static/app.css", {}, id="a file"),
        pytest.param("/static/app.css", {"Range": "bytes=0-2"}, id="a range"),
        pytest.param("/static/missing", {}, id="missing"),
        pytest.param("/elsewhere", {}, id="elsewhere"),
    ],
)
def test_before_and_after_answer_the_same(
    before: str, after: str, target: str, headers: dict[str, str]
) -> None:
    theirs, ours = answer(made(before), target, headers), answer(made(after), target, headers)
    assert ours[0] == theirs[0]
    if theirs[0] < 400:
        assert ours[1] == theirs[1]
        assert ours[2] is not None
        assert ours[2].split(";")[0] == (theirs[2] or "").split(";")[0]


# -- the table of parameters -------------------------------------------------------------------

_TABLE = re.search(r"^\| Flask \| Quart \|.*?\n\n", (DOCS / "quart.md").read_text(), re.M | re.S)
assert _TABLE is not None
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]] for line in _TABLE[0].strip().splitlines()[2:]
]
COLUMNS: dict[str, tuple[Any, ...]] = {
    "Flask": (
        *(flask.send_file, flask.send_from_directory),
        *(werkzeug.utils.send_file, werkzeug.utils.send_from_directory),
    ),
    "Quart": (quart.send_file, quart.send_from_directory),
    "here": (asyncstatic.send_file, asyncstatic.send_from_directory),
}


def parameters(function: Any) -> set[str]:
    """What may be passed by name, with what `**options` are declared to be."""
    return {
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_table_names_every_parameter_and_no_other(column: str) -> None:
    position = list(COLUMNS).index(column)
    told = [name for row in ROWS for name in names(row[position])]
    real = set[str]().union(*map(parameters, COLUMNS[column]))
    if column == "here":
        real |= FileOptions.__annotations__.keys() | DirectoryOptions.__annotations__.keys()
    assert set(told) == real
    assert len(told) == len(real), "a parameter stands in two rows"


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0] or row[2]) for row in ROWS])
def test_a_gap_in_the_table_has_its_reason(row: list[str]) -> None:
    theirs, ours = [*names(row[0]), *names(row[1])], names(row[2])
    if ours:
        assert set(theirs) <= set(ours), "their names are taken here"
    else:
        assert len(row[3]) > 20, "a reason"


_PATHS = {"filename_or_io": "path_or_file", "file_name": "path"}


@pytest.mark.parametrize(
    "name", sorted(FileOptions.__annotations__ | DirectoryOptions.__annotations__)
)
def test_a_name_of_an_option_stands_for_one_of_flask_or_our_own(name: str) -> None:
    """So that nothing is accepted and then forgotten."""
    flasks = _PATHS.get(name)
    if flasks is None:
        value: Any = object()
        options = ViewOptions.of({name: value})
        (flasks,) = [it.name for it in fields(options) if getattr(options, it.name) is value]
    assert flasks in parameters(flask.send_file) | {"path", "cache_control"}


@pytest.mark.parametrize("name", ["file_name", "path", "mimetpye"])
async def test_a_parameter_of_another_function_is_no_option(name: str) -> None:
    options: dict[str, Any] = {name: "x"}
    async with quart.Quart(__name__).test_request_context("/"):
        with pytest.raises(TypeError, match=f"no such parameter: {name}"):
            await asyncstatic.send_file(b"x", "text/plain", **options)
