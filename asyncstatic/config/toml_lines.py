"""The lines of the keys in a TOML document, which `tomllib` does not tell.

The scanner takes a document that `tomllib` has read without an error, so it checks nothing. It knows
the tokens of TOML 1.0 (https://toml.io/en/v1.0.0): strings of four kinds, comments, brackets, the rest.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

#: The place of a value: names of tables and keys, and indexes in arrays.
Key = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|#[^\n]*"
    r"|[\[\]{},=\n]"
    r"|[^\s\[\]{},=\"'#]+",
    re.DOTALL,
)


class _Token(NamedTuple):
    text: str
    line: int


def lines_of(text: str) -> dict[Key, int]:
    """Return the line of each key, table and item of an array, counted from 1."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._tokens = [*_tokens(text), _Token("", 0)]
        self._next = 0
        self._tables: Counter[Key] = Counter()  # how many tables an array of tables has

    def document(self) -> None:
        table: Key = ()
        while self._skip("\n"):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Key:
        """Read ``[table]`` or ``[[table]]``; return the place of the table."""
        line = self._take().line
        is_array = self._peek() == "["
        if is_array:
            self._take()
        names = self._key("]")
        place: Key = ()
        for name in names:
            place = self._resolved((*place, name))
            self.lines.setdefault(place, line)
        if is_array:
            self._take()
            place = place[:-1] if isinstance(place[-1], int) else place
            place = (*place, self._tables[place])
            self._tables[place[:-1]] += 1
            self.lines[place] = line
        return place

    def _resolved(self, place: Key) -> Key:
        """Return the place of a table; the name of an array means its last table."""
        count = self._tables[place]
        return (*place, count - 1) if count else place

    def _pair(self, table: Key) -> None:
        """Read ``key = value``; a dotted key is a key in a table."""
        line = self._line()
        place = table
        for name in self._key("="):
            place = (*place, name)
            self.lines.setdefault(place, line)
        self._value(place)

    def _key(self, end: str) -> list[str]:
        """Read the parts of a key, and what ends it."""
        names: list[str] = []
        while (text := self._take().text) not in (end, ""):
            if text[0] in "\"'":
                names.append(tomllib.loads(f"x={text}")["x"])
            else:
                names += [name for name in text.split(".") if name]
        return names

    def _value(self, place: Key) -> None:
        if self._peek() == "[":
            self._array(place)
        elif self._peek() == "{":
            self._take()
            while self._skip("\n", ",") and self._peek() != "}":
                self._pair(place)
            self._take()
        else:
            while self._peek() not in ("\n", ",", "]", "}", ""):  # a date may have a space
                self._take()

    def _array(self, place: Key) -> None:
        self._take()
        index = 0
        while self._skip("\n", ",") and self._peek() != "]":
            self.lines[*place, index] = self._line()
            self._value((*place, index))
            index += 1
        self._take()

    # -- tokens ----------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._next].text

    def _line(self) -> int:
        return self._tokens[self._next].line

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _skip(self, *texts: str) -> bool:
        """Skip these tokens; tell whether anything is left."""
        while self._peek() in texts:
            self._take()
        return self._peek() != ""


def _tokens(text: str) -> Iterator[_Token]:
    line, position = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        if match[0][0] != "#":
            yield _Token(match[0], line)
