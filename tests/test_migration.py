"""docs/migration.md: what stands before and after answers the same; the tables are complete."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import flask
import pytest
import quart
from werkzeug.test import Client

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


@pytest.mark.parametrize(
    ("function", "column"),
    [
        (flask.send_file, 1),
        (flask.send_from_directory, 1),
        (quart.send_file, 2),
        (quart.send_from_directory, 2),
    ],
    ids=lambda value: getattr(value, "__module__", ""),
)
def test_the_table_of_parameters_has_no_gap(function: Any, column: int) -> None:
    rows = [line.split("|") for line in (DOCS / "quart.md").read_text().splitlines() if "|" in line]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}
    parameters = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    assert set(parameters) <= named
