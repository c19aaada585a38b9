"""The configuration file: ``asyncstatic.toml``, or ``[tool.asyncstatic]`` in ``pyproject.toml``.

Its keys are the names of keyword arguments and variables, in lower case: settings of all roots, limits,
and options of ``asyncstatic serve``. A table of ``[mounts]`` has the settings of one root. `tomllib`
reads the file, and `settings.checked` converts and checks each value as it does a keyword argument.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from asyncstatic.config.toml_lines import Key, lines_of
from asyncstatic.config.variables import OTHER_VARIABLES, PATHS
from asyncstatic.settings import FIELDS, HINTS, Rule, SettingsError, checked
from asyncstatic.settings.paths import is_in_package, package_folder
from asyncstatic.settings.values import (
    nearest,
    printable,
    problem_with_missing,
    problem_with_prefix,
)

NAMES = ("asyncstatic.toml", "pyproject.toml")
_TABLE = ("tool", "asyncstatic")  # of pyproject.toml
#: Options of ``asyncstatic serve``, as keys.
OPTIONS = frozenset(name.lower() for name in OTHER_VARIABLES) - {"config"}
_ADDRESSES = ("bind", "tls_bind")
_UNIX = "unix:"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
#: Settings, as keys. Only the site itself sets `at`, the prefix of a mount.
SETTINGS = tuple(name for name in FIELDS if name != "at")
#: Lists of tables that hold for the whole site: those of a mount are added to them.
OF_SITE = ("rules", "redirects")


#: The keys of the tables in a list, by the name of the setting.
TABLES: dict[str, list[str]] = {
    "rules": [each.name for each in fields(Rule)],
    "redirects": ["from", "to", "status"],
}
_WORDS = {"source": "from", "target": "to"}  # of a `Redirect`, and in its problems


class Value(NamedTuple):
    """A value, and where it came from: ``asyncstatic.toml:3``, a variable, a flag or ``default``."""

    value: Any
    origin: str


Values = dict[str, Value]
_NONE = Value(None, "default")


@dataclass(frozen=True)
class Document:
    """The content of a configuration file.

    Attributes:
        path: the file.
        settings: of all roots.
        mounts: for each prefix, "" for all paths, the settings of its root.
        options: of ``asyncstatic serve``, not checked.
        places: of each redirect, as in ``asyncstatic.toml:3: redirects[0]``.
    """

    path: str
    settings: Values = field(default_factory=dict)
    mounts: dict[str, Values] = field(default_factory=dict)
    options: Values = field(default_factory=dict)
    places: dict[object, str] = field(default_factory=dict)


def find_document(named: str | None) -> Document | None:
    """Read the configuration file.

    Args:
        named: its name; None looks in the working directory.

    Returns:
        Its content; None if there is no file, or only a ``pyproject.toml`` without our table.

    Raises:
        SettingsError: the file cannot be read, or is wrong: one line for each problem, with file,
            line and key.
    """
    path = named or next(filter(os.path.isfile, NAMES), None)
    if path is None:
        return None
    text = _text_of(path)
    try:
        data: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax_problem(path, text, str(error))) from None
    place = _TABLE if os.path.basename(path) == NAMES[1] else ()
    for name in place:
        data = data.get(name) if isinstance(data, dict) else None
    if data is None and named:
        raise SettingsError(f"{printable(path)}: it has no table [{'.'.join(place)}]")
    return None if data is None else _Reader(path, text, place).read(data)


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{printable(path)}:{line}: not UTF-8; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{printable(path)}: {reason}; name a configuration file that can be read"
        ) from None


def _syntax_problem(path: str, text: str, message: str) -> str:
    """Return the error of `tomllib` with the line in front."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    reason, line, column = match.groups() if match else (message, None, None)
    where = f"{line}" if line else str(text.count("\n") + 1)
    at = f" at column {column}" if column else " at the end"
    step = "; put text in quotes" if reason == "Invalid value" else ""
    return f"{printable(path)}:{where}: not TOML: {reason}{at}{step}"


class _Reader:
    """Reads a document, and collects its problems."""

    def __init__(self, path: str, text: str, place: Key) -> None:
        self._path = path
        self._place = place
        self._lines = lines_of(text)
        self._directory = os.path.dirname(path)
        self._problems: list[tuple[int, str]] = []
        self._document = Document(path)

    def read(self, data: Any) -> Document:
        """Return the document; SettingsError: one line for each problem."""
        if not isinstance(data, dict):
            self._report(self._place, "a table is needed")
        else:
            for name, value in data.items():
                self._read((*self._place, name), name, value)
            self._refuse_root_beside_mounts()
        if self._problems:
            raise SettingsError("\n".join(text for _, text in sorted(self._problems)))
        return self._document

    def _read(self, place: Key, name: str, value: Any) -> None:
        if name == "mounts":
            self._read_mounts(place, value)
        elif name in OPTIONS:
            if name in FIELDS:  # `direct` is both: check it as a setting
                self._read_setting(place, name, value, self._document.options)
            else:
                self._document.options[name] = self._at(place, self._paths(name, value))
        elif name in SETTINGS:
            self._read_setting(place, name, value, self._document.settings)
        else:
            known = ["mounts", *SETTINGS, *OPTIONS]
            self._report(place, f"unknown key; {nearest(name, known)}")

    def _read_mounts(self, place: Key, mounts: Any) -> None:
        if not isinstance(mounts, dict):
            self._report(place, 'a table is needed: "/" = "site"')
            return
        for name, root in mounts.items():
            prefix, problem = name.rstrip("/"), problem_with_prefix(name.rstrip("/"))
            if problem or not name:
                problem = 'a path such as "/" or "/app" is needed'
                if name in SETTINGS or name in OPTIONS:
                    problem = "this is a key of the whole file: write it above the first [table]"
                self._report((*place, name), problem)
            elif prefix in self._document.mounts:
                self._report((*place, name), "this prefix is named twice; leave one of them out")
            else:
                self._document.mounts[prefix] = self._mount((*place, name), root)

    def _mount(self, place: Key, root: Any) -> Values:
        found: Values = {}
        if isinstance(root, str | list):
            self._read_setting(place, "root", root, found)
            return found
        if not isinstance(root, dict):
            self._report(place, "a directory, a list of them, or a table is needed")
            return found
        for name, value in root.items():
            if name in SETTINGS:
                self._read_setting((*place, name), name, value, found)
            elif name in OPTIONS:
                problem = "this is a key of the whole file: write it above the first [table]"
                self._report((*place, name), problem)
            else:
                self._report((*place, name), f"unknown key; {nearest(name, SETTINGS)}")
        if "root" not in root:
            self._report(place, 'the root is missing: root = "DIRECTORY"')
        return found

    def _read_setting(self, place: Key, name: str, value: Any, into: Values) -> None:
        if name in ("root", "more_roots"):
            value = self._roots(place, value)
            if value is not None:
                into[name] = self._at(place, value)
        elif name in TABLES:
            into[name] = self._at(place, self._tables(place, name, value))
        elif HINTS[name] is bool and not isinstance(value, bool):
            self._report(place, "true or false is needed, without quotes")
        else:
            into[name] = self._at(place, self._checked(place, name, self._paths(name, value)))

    def _checked(self, place: Key, name: str, value: Any) -> Any:
        """Return the value, converted; None if it is wrong, which is reported."""
        try:
            return checked(name, value)
        except ValueError as error:
            problem = re.sub(rf"^{name}\[\d+\](: |=)", "", str(error))
            if name == "redirects":
                problem = re.sub(r"^\w+(?= ')", lambda word: _WORDS.get(word[0], word[0]), problem)
            self._report(self._culprit(place, value, problem), problem)
            return None

    def _tables(self, place: Key, name: str, value: Any) -> Any:
        """Return a list of tables, each checked by itself."""
        tables = value if isinstance(value, list) else [value]
        found: list[Any] = []
        for index, table in enumerate(tables):
            its_place = (*place, index) if isinstance(value, list) else place
            unknown = (
                [key for key in table if key not in TABLES[name]] if isinstance(table, dict) else []
            )
            for key in unknown:
                self._report((*its_place, key), f"unknown key; {nearest(key, TABLES[name])}")
            if not unknown:
                read = self._checked(its_place, name, [table]) or ()
                if name == "redirects":
                    self._document.places.update(dict.fromkeys(read, self._label(its_place)))
                found += read
        return tuple(found)

    def _culprit(self, place: Key, value: Any, problem: str) -> Key:
        """Return the place of the key in a table that a problem names: the deepest, else the table."""
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            return place
        return (*place, *_named(value[0], problem))

    # -- paths -----------------------------------------------------------------------------

    def _roots(self, place: Key, value: Any) -> Any:
        """Return one root, or a list, relative to the file; None if it is wrong."""
        roots = value if isinstance(value, list) else [value]
        if not roots or not all(isinstance(root, str) and root for root in roots):
            self._report(place, "the path of a directory is needed, or a list of them")
            return None
        found = [self._root(place, root) for root in roots]
        return found if isinstance(value, list) else found[0]

    def _root(self, place: Key, root: str) -> str:
        try:
            path = package_folder(root) if is_in_package(root) else self._in_directory(root)
        except SettingsError as error:
            self._report(place, str(error).removeprefix("root "))
            return root
        if _is_missing(path):
            self._report(place, f"{printable(root)} {problem_with_missing(path)}")
        return path

    def _paths(self, name: str, value: Any) -> Any:
        """Return a value; paths in it are relative to the file."""
        if isinstance(value, list):
            return [self._paths(name, item) for item in value]
        if not isinstance(value, str) or value == "-":
            return value
        if name in _ADDRESSES and value.startswith(_UNIX):
            return _UNIX + self._in_directory(value.removeprefix(_UNIX))
        return self._in_directory(value) if name in PATHS else value

    def _in_directory(self, path: str) -> str:
        return os.path.join(self._directory, os.path.expanduser(path))

    # -- problems --------------------------------------------------------------------------

    def _refuse_root_beside_mounts(self) -> None:
        settings, mounts = self._document.settings, self._document.mounts
        if mounts and ("root" in settings or "more_roots" in settings):
            name = "root" if "root" in settings else "more_roots"
            problem = 'not beside [mounts]: say "/" = "DIRECTORY" there'
            self._report((*self._place, name), problem)

    def _at(self, place: Key, value: Any) -> Value:
        return Value(value, f"{printable(self._path)}:{self._line(place)}")

    def _line(self, place: Key) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _report(self, place: Key, problem: str) -> None:
        self._problems.append((self._line(place), f"{self._label(place)}: {problem}"))

    def _label(self, place: Key) -> str:
        key = spelled(place[len(self._place) :])
        return f"{printable(self._path)}:{self._line(place)}{key and f': {key}'}"


def spelled(place: Key) -> str:
    """Return a place as TOML would spell it: ``mounts."/app".spa``, ``rules[0].match``."""
    text = ""
    for name in place:
        if isinstance(name, int):
            text += f"[{name}]"
        else:
            bare = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
            text += f".{printable(bare)}" if text else printable(bare)
    return text


def _named(table: Mapping[str, Any], problem: str) -> Key:
    """Return the keys, from the table inwards, that a problem names."""
    for key, value in table.items():
        if re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", problem):
            return (key, *(_named(value, problem) if isinstance(value, dict) else ()))
    return ()


def _is_missing(path: str) -> bool:
    """Tell whether nothing is at a path; where a file is on the way, it may be an archive."""
    there = path
    while there and "\0" not in there and not os.path.exists(there):
        there = os.path.dirname(there)
    return there != path and not os.path.isfile(there)


def changed_options(before: Document | None, after: Document | None) -> list[str]:
    """Return the places of options of the server that another version of the file has changed."""
    old, new = (found.options if found else {} for found in (before, after))
    names = [name for name in {**old, **new} if old.get(name, _NONE)[0] != new.get(name, _NONE)[0]]
    return [f"{(new.get(name) or old[name]).origin}: {name}" for name in names]


def merged(below: Mapping[str, Value], above: Mapping[str, Value]) -> Values:
    """Return two layers as one; lists of the site are joined, anything else is replaced.

    The last rule and the first redirect count: those of the layer above.
    """
    joined = {}
    for name in OF_SITE:
        if name in below and name in above:
            layers = below[name].value, above[name].value
            first, second = layers if name == "rules" else reversed(layers)
            joined[name] = Value((*first, *second), above[name].origin)
    return {**below, **above, **joined}
