"""The same call of `send_file` and `send_from_directory` in Flask, in Quart and here."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import flask
import quart
import quart.helpers
from werkzeug.http import parse_options_header

import asyncstatic
from tests.asgi import Reply, ask

Ask = Callable[[str, dict[str, str]], Awaitable[Reply]]

MODIFIED = 1_700_000_000  # of every file; Tue, 14 Nov 2023 22:13:20 GMT
MODIFIED_FIELD = "Tue, 14 Nov 2023 22:13:20 GMT"
TEXT = b"0123456789"
FILES = {
    "notes.txt": TEXT,
    "page.html": b"<p>page",
    "style.css": b"body {}",
    "app.js": b"let a;",
    "data.json": b"{}",
    "picture.png": b"\x89PNG",
    "archive.tar.gz": b"\x1f\x8b archive",
    "thing.unknown": TEXT,
    "noextension": TEXT,
    "empty.txt": b"",
    "large.bin": bytes(range(256)) * 800,
    "drawing.svg": b"<svg/>",
    "feed.xml": b"<feed/>",
    "été.txt": TEXT,
    ".hidden": TEXT,
    "sub/below.txt": TEXT,
    "sub/index.html": b"<p>index",
}

#: Flask's name of a parameter -> Quart's; None: Quart has no such parameter.
QUART_NAMES = {
    "mimetype": "mimetype",
    "as_attachment": "as_attachment",
    "download_name": "attachment_filename",
    "etag": "add_etags",
    "max_age": "cache_timeout",
    "conditional": "conditional",
    "last_modified": "last_modified",
}


@dataclass(frozen=True)
class Case:
    """One call and one request.

    Attributes:
        name: of the source, the options and the request.
        source: makes the first argument in a directory; a str for `send_from_directory`.
        options: keyword arguments, by Flask's names.
        method: of the request.
        fields: of the request; "{etag}" is the tag that the same call sent before.
        directory: call `send_from_directory` with this path below the directory.
    """

    name: str
    source: Callable[[Path], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    method: str = "GET"
    fields: dict[str, str] = field(default_factory=dict)
    directory: str | None = None

    def make(self, place: Path) -> Any:
        """Make the first argument."""
        assert self.source is not None
        return self.source(place)

    @property
    def quart_options(self) -> dict[str, Any] | None:
        """The options by Quart's names; None where Quart has no such option or type."""
        if isinstance(self.options.get("etag"), str) or callable(self.options.get("max_age")):
            return None
        return {QUART_NAMES[name]: value for name, value in self.options.items()}


class Outcome(NamedTuple):
    """What came of a call: an exception or a response, in comparable words."""

    result: str  # a status, or the name of an exception
    content_type: str | None = None
    content_length: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    expires: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    accept_ranges: str | None = None
    content_range: str | None = None
    body: bytes | None = None
    others: str | None = None  # names of all other fields


def outcome(case: Case, reply: Reply) -> Outcome:
    """Put a response into comparable words."""
    status, headers, body = reply.status, reply.headers, reply.body
    names = Outcome._fields[1:-2]
    values = {name: headers.get(name.replace("_", "-")) for name in names}
    if values["expires"] is not None:
        values["expires"] = "sent"  # the present time is in it
    if (tag := values["etag"]) is not None and not isinstance(case.options.get("etag"), str):
        values["etag"] = "weak" if tag.startswith("W/") else "strong"
    if status >= 400:  # the content is an error page
        values["content_type"] = values["content_length"] = None
    if status >= 400 or case.method == "HEAD":  # of which servers send no content
        body = b""
    values["content_disposition"] = _parsed(values["content_disposition"])
    others = headers.keys() - {name.replace("_", "-") for name in names} - {"date"}
    return Outcome(str(status), **values, body=body, others=" ".join(sorted(others)))


def _parsed(disposition: str | None) -> str | None:
    """Return type and filename, without differences in quoting."""
    if disposition is None:
        return None
    kind, parameters = parse_options_header(disposition)
    return f"{kind}: {parameters.get('filename')}"


def write_tree(place: Path) -> None:
    for name, content in FILES.items():
        path = place / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (MODIFIED, MODIFIED))
    (place / "secret.txt").write_bytes(b"SECRET")
    (place / "files" / "inside").symlink_to("notes.txt")
    (place / "files" / "outside").symlink_to("../secret.txt")


# -- the three implementations -----------------------------------------------------------------


class Grid:
    """Calls each implementation, in one app each.

    Args:
        place: where `write_tree` has written.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._call: Callable[[], Any] = lambda: None
        self._flask = flask.Flask("grid", root_path=str(place), static_folder=None)
        self._quart = quart.Quart("grid", root_path=str(place), static_folder=None)

        def view() -> Any:
            return self._call()

        async def async_view() -> Any:
            return await self._call()

        self._flask.add_url_rule("/view", "view", view, methods=["GET", "POST"])
        self._quart.add_url_rule("/view", "view", async_view, methods=["GET", "POST"])
        self._flask.config["PROPAGATE_EXCEPTIONS"] = True
        self._quart.config["PROPAGATE_EXCEPTIONS"] = True

    async def flask(self, case: Case) -> Outcome:
        """Call Flask's function."""

        def call() -> Any:
            if case.directory is not None:
                return flask.send_from_directory("files", case.directory, **case.options)
            return flask.send_file(case.make(self._place), **case.options)

        return await self._outcome(case, call, self._ask_flask)

    async def quart(self, case: Case) -> Outcome:
        """Call Quart's function."""
        options = case.quart_options
        assert options is not None

        async def call() -> Any:
            if case.directory is not None:
                directory = self._place / "files"
                return await quart.helpers.send_from_directory(directory, case.directory, **options)
            source = await asyncio.to_thread(case.make, self._place)
            return await quart.helpers.send_file(source, **options)

        return await self._outcome(case, call, self._ask_quart)

    async def ours(self, case: Case) -> Outcome:
        """Call the function of this package."""

        async def call() -> Any:
            if case.directory is not None:
                return await asyncstatic.send_from_directory(
                    "files", case.directory, **case.options
                )
            source = await asyncio.to_thread(case.make, self._place)
            return await asyncstatic.send_file(source, **case.options)

        return await self._outcome(case, call, self._ask_quart)

    async def _outcome(self, case: Case, call: Callable[[], Any], ask: Ask) -> Outcome:
        self._call = call
        try:
            fields = case.fields
            if any("{etag}" in value for value in fields.values()):
                fields = _filled(fields, (await ask("GET", {})).headers)
            reply = await ask(case.method, fields)
        except Exception as error:
            return Outcome(type(error).__name__)
        return outcome(case, reply)

    async def _ask_quart(self, method: str, fields: dict[str, str]) -> Reply:
        return await ask(self._quart, "/view", fields, method=method)

    async def _ask_flask(self, method: str, fields: dict[str, str]) -> Reply:
        return await asyncio.to_thread(self._ask_flask_here, method, fields)

    def _ask_flask_here(self, method: str, fields: dict[str, str]) -> Reply:
        with self._flask.test_client().open("/view", method=method, headers=fields) as response:
            headers = {name.lower(): value for name, value in response.headers}
            return Reply(response.status_code, headers, response.data)


def _filled(fields: dict[str, str], headers: dict[str, str]) -> dict[str, str]:
    return {
        name: value.replace("{etag}", headers.get("etag", "")) for name, value in fields.items()
    }


# -- the grid ----------------------------------------------------------------------------------


def path_of(name: str) -> Callable[[Path], Path]:
    return lambda place: place / "files" / name


def opened(name: str, position: int = 0, mode: str = "rb") -> Callable[[Path], Any]:
    def make(place: Path) -> Any:
        file = open(place / "files" / name, mode)  # noqa: SIM115 - what is called closes it
        file.seek(position)
        return file

    return make


def in_memory(content: bytes, position: int = 0) -> Callable[[Path], io.BytesIO]:
    def make(_: Path) -> io.BytesIO:
        file = io.BytesIO(content)
        file.seek(position)
        return file

    return make


PATHS: dict[str, Callable[[Path], Any]] = {
    **{name: path_of(name) for name in FILES},
    "a str": lambda place: str(place / "files" / "notes.txt"),
    "a relative str": lambda _: "files/notes.txt",
    "a relative Path": lambda _: Path("files/notes.txt"),
    "a link": path_of("inside"),
    "a link out of the directory": path_of("outside"),
    "a missing file": path_of("missing.txt"),
    "a directory": path_of("sub"),
}
OBJECTS: dict[str, Callable[[Path], Any]] = {
    "BytesIO": in_memory(TEXT),
    "BytesIO at 4": in_memory(TEXT, 4),
    "an empty BytesIO": in_memory(b""),
    "a file": opened("notes.txt"),
    "a file at 4": opened("notes.txt", 4),
    "a text file": opened("notes.txt", 0, "r"),
    "StringIO": lambda _: io.StringIO("text"),
    "bytes": lambda _: TEXT,
    "None": lambda _: None,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "mimetype text": {"mimetype": "text/csv"},
    "mimetype with charset": {"mimetype": "text/csv; charset=latin-1"},
    "mimetype": {"mimetype": "application/x-own"},
    "as_attachment": {"as_attachment": True},
    "download_name": {"download_name": "report.csv"},
    "as_attachment, download_name": {"as_attachment": True, "download_name": "report.csv"},
    "etag False": {"etag": False},
    "etag str": {"etag": "v1"},
    "conditional": {"conditional": True},
    "conditional False": {"conditional": False},
    "last_modified naive": {"last_modified": datetime(2001, 2, 3, 4, 5, 6)},
    "last_modified aware": {"last_modified": datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)},
    "max_age 0": {"max_age": 0},
    "max_age 60": {"max_age": 60},
}
# Only for a path and for BytesIO.
MORE_OPTIONS: dict[str, dict[str, Any]] = {
    "etag quoted": {"etag": '"v1"'},
    "etag weak": {"etag": 'W/"v1"'},
    "etag empty": {"etag": ""},
    "etag with a space": {"etag": "a b"},
    "etag with a quote": {"etag": 'a"b'},
    "etag None": {"etag": None},
    "etag with an accent": {"etag": "\xe9"},
    "last_modified in another zone": {
        "last_modified": datetime(2001, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=5)))
    },
    "last_modified with a fraction": {
        "last_modified": datetime(2001, 2, 3, 4, 5, 6, 9, tzinfo=UTC)
    },
    "last_modified int": {"last_modified": 981_173_106},
    "last_modified float": {"last_modified": 981_173_106.75},
    "last_modified 0": {"last_modified": 0},
    "last_modified date": {"last_modified": datetime(2001, 2, 3, 4, 5, 6).date()},
    "last_modified negative": {"last_modified": -1000},
    "last_modified in the future": {"last_modified": 4_000_000_000},
    "max_age negative": {"max_age": -1},
    "max_age float": {"max_age": 1.5},
    "max_age function": {"max_age": lambda path: 60},
    "max_age function of None": {"max_age": lambda path: None},
    "max_age function of 0": {"max_age": lambda path: 0},
    "max_age function of the path": {"max_age": lambda path: len(str(path))},
    "mimetype empty": {"mimetype": ""},
    "mimetype json": {"mimetype": "application/json"},
    "mimetype javascript": {"mimetype": "application/javascript"},
    "mimetype xml": {"mimetype": "application/xml"},
    "mimetype svg": {"mimetype": "image/svg+xml"},
    "mimetype upper case": {"mimetype": "TEXT/PLAIN"},
    "mimetype with a line end": {"mimetype": "text/plain\r\nx: y"},
    "as_attachment 1": {"as_attachment": 1},
}
NAMES = {
    "a space": "my report.csv",
    "a quote": 'my "report".csv',
    "a backslash": "my\\report.csv",
    "a slash": "../up/report.csv",
    "a semicolon": "a;b.csv",
    "a percent sign": "100%25.csv",
    "accents": "été.csv",
    "a character without ASCII form": "日本.csv",
    "a line end": "a\r\nx: y.csv",
    "NUL": "a\0b.csv",
    "nothing": "",
    "dots": "..",
    "no extension": "report",
    "another type": "page.html",
    "a coding": "logs.tar.gz",
}
REQUESTS: dict[str, tuple[str, dict[str, str]]] = {
    "HEAD": ("HEAD", {}),
    "POST": ("POST", {}),
    "a range": ("GET", {"range": "bytes=2-4"}),
    "a range without an end": ("GET", {"range": "bytes=2-"}),
    "a suffix": ("GET", {"range": "bytes=-3"}),
    "a range past the end": ("GET", {"range": "bytes=2-999999"}),
    "a range beyond the end": ("GET", {"range": "bytes=999999-"}),
    "an empty suffix": ("GET", {"range": "bytes=-0"}),
    "the whole as a range": ("GET", {"range": "bytes=0-"}),
    "two ranges": ("GET", {"range": "bytes=0-1,4-5"}),
    "another unit": ("GET", {"range": "lines=1-2"}),
    "a malformed range": ("GET", {"range": "bytes=x"}),
    "a reversed range": ("GET", {"range": "bytes=4-2"}),
    "HEAD with a range": ("HEAD", {"range": "bytes=2-4"}),
    "POST with a range": ("POST", {"range": "bytes=2-4"}),
    "If-Range with the tag": ("GET", {"range": "bytes=2-4", "if-range": "{etag}"}),
    "If-Range with another tag": ("GET", {"range": "bytes=2-4", "if-range": '"other"'}),
    "If-Range with the date": ("GET", {"range": "bytes=2-4", "if-range": MODIFIED_FIELD}),
    "If-Range with a later date": (
        "GET",
        {"range": "bytes=2-4", "if-range": "Tue, 14 Nov 2023 22:13:21 GMT"},
    ),
    "If-Range with an earlier date": (
        "GET",
        {"range": "bytes=2-4", "if-range": "Tue, 14 Nov 2023 22:13:19 GMT"},
    ),
    "If-None-Match with the tag": ("GET", {"if-none-match": "{etag}"}),
    "If-None-Match with the weak tag": ("GET", {"if-none-match": "W/{etag}"}),
    "If-None-Match with a list": ("GET", {"if-none-match": '"other", {etag}'}),
    "If-None-Match with another tag": ("GET", {"if-none-match": '"other"'}),
    "If-None-Match *": ("GET", {"if-none-match": "*"}),
    "HEAD with If-None-Match": ("HEAD", {"if-none-match": "{etag}"}),
    "POST with If-None-Match": ("POST", {"if-none-match": "{etag}"}),
    "If-None-Match with a range": ("GET", {"if-none-match": "{etag}", "range": "bytes=2-4"}),
    "If-Modified-Since the date": ("GET", {"if-modified-since": MODIFIED_FIELD}),
    "If-Modified-Since a later date": (
        "GET",
        {"if-modified-since": "Wed, 15 Nov 2023 22:13:20 GMT"},
    ),
    "If-Modified-Since an earlier date": (
        "GET",
        {"if-modified-since": "Mon, 13 Nov 2023 22:13:20 GMT"},
    ),
    "If-Modified-Since nonsense": ("GET", {"if-modified-since": "yesterday"}),
    "another tag and the date": (
        "GET",
        {"if-none-match": '"other"', "if-modified-since": MODIFIED_FIELD},
    ),
    "If-Match with the tag": ("GET", {"if-match": "{etag}"}),
    "If-Match with another tag": ("GET", {"if-match": '"other"'}),
    "If-Match *": ("GET", {"if-match": "*"}),
    "If-Unmodified-Since an earlier date": (
        "GET",
        {"if-unmodified-since": "Mon, 13 Nov 2023 22:13:20 GMT"},
    ),
}
BELOW = (
    *("notes.txt", "page.html", "empty.txt", "large.bin", "été.txt", "sub/below.txt", ".hidden"),
    *("inside", "outside", "missing.txt", "sub", "sub/", "", ".", "..", "../secret.txt"),
    *("sub/../notes.txt", "./notes.txt", "sub//below.txt", "/etc/passwd", "notes.txt/"),
    *("notes.txt\0", "a\\b", "C:notes.txt", "con", "x" * 300, "\udcff"),
)


def cases() -> Iterator[Case]:
    """Return every case of the grid."""
    for source, make in {**PATHS, **OBJECTS}.items():
        for option, options in OPTIONS.items():
            yield Case(f"{source}; {option}", make, options)
    for source in ("notes.txt", "BytesIO"):
        yield from _calls(source)
    for source in ("notes.txt", "large.bin", "empty.txt", "BytesIO", "a file"):
        yield from _requests(source, {"mimetype": "text/plain", "conditional": True})
    yield from _requests("notes.txt", {"conditional": False}, "unconditional; ")
    yield from _requests("notes.txt", {"etag": "v1"}, "own tag; ")
    yield from _names_from_users()


def _calls(source: str) -> Iterator[Case]:
    make = {**PATHS, **OBJECTS}[source]
    typed = {} if source in PATHS else {"mimetype": "text/plain"}
    for option, options in MORE_OPTIONS.items():
        yield Case(f"{source}; {option}", make, {**typed, **options})
    for option, name in NAMES.items():
        for attached in ({}, {"as_attachment": True}):
            named = {"download_name": name, **attached}
            yield Case(f"{source}; download_name with {option}", make, named)


def _requests(source: str, options: dict[str, Any], name: str = "") -> Iterator[Case]:
    make = {**PATHS, **OBJECTS}[source]
    for request, (method, fields) in REQUESTS.items():
        yield Case(f"{source}; {name}{request}", make, options, method, fields)


def _names_from_users() -> Iterator[Case]:
    for path in BELOW:
        case = Case(f"below: {path!r}", directory=path)
        yield case
        yield replace(case, name=f"{case.name}; as_attachment", options={"as_attachment": True})
        yield replace(case, name=f"{case.name}; HEAD", method="HEAD")
        yield replace(case, name=f"{case.name}; a range", fields={"range": "bytes=2-4"})
    for option, options in {**OPTIONS, **MORE_OPTIONS}.items():
        yield Case(f"below: notes.txt; {option}", directory="notes.txt", options=options)
