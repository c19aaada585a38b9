"""Requests and answers, in terms that every HTTP version shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Fields = tuple[tuple[str, str], ...]


class Feature(Enum):
    """A feature that a server may leave out; rows about it are then n/a."""

    RANGES = "byte ranges (OPTIONAL, 9110 §14)"
    MULTIPART = "several ranges at once (OPTIONAL, 9110 §14.2)"
    CODINGS = "precompressed representations"
    INDEX = "an index document for a directory"
    MODIFIED_SINCE = "If-Modified-Since (SHOULD, 9110 §13.1.3)"
    PERSISTENCE = "persistent connections (SHOULD, 9112 §9.3)"


class NotOffered(Exception):  # noqa: N818  (an outcome of a question, not an error)
    """The server gave nothing to build the question from: no entity-tag, no date."""


class Unanswered(Exception):  # noqa: N818  (an observation about the server, not an error of ours)
    """No complete, parseable answer came."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request.

    Field values may hold placeholders such as ``{etag}``; a client fills them from the answer to
    the same request without conditions.
    """

    target: str
    method: str = "GET"
    fields: Fields = ()

    def __str__(self) -> str:
        """Show the request as one line for reports."""
        shown = "".join(f" | {name}: {value[:60]}" for name, value in self.fields)
        return f"{self.method} {self.target[:60]}{shown}"


def ask(target: str, method: str = "GET", **fields: str | tuple[str, ...]) -> Ask:
    """Build an `Ask`; ``if_none_match="x"`` names a field, a tuple sends one line per member."""
    lines: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = (value,) if isinstance(value, str) else value
        lines += [(name.replace("_", "-").title(), one) for one in values]
    return Ask(target, method, tuple(lines))


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response, with everything about its framing that could be wrong in ``faults``."""

    status: int
    fields: Fields
    content: bytes
    version: str = "HTTP/1.1"
    method: str = "GET"
    framing: str = "length"
    interim: tuple[int, ...] = ()
    faults: tuple[str, ...] = ()

    def values(self, name: str) -> list[str]:
        """Every line of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Give the field's combined value (9110 §5.3), None when absent."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def __str__(self) -> str:
        """Status and size, for reasons."""
        return f"{self.status} with {len(self.content)} octets"
