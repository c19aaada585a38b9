"""The nouns: what is asked, what came back, what was required, and what was found.

Three levels keep the judgement fair. MUST: the RFC requires it, and a failure is *wrong*. SHOULD:
the RFC recommends it, and a failure is *weak*. QUALITY: no RFC asks for it, a client merely gains
by it; a failure is *weak* as well. Where the RFC leaves a choice, every allowed answer is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.conformance.exchange import Client

Fields = tuple[tuple[str, str], ...]


class Level(Enum):
    """How strongly a row is required."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    QUALITY = "quality"


class Grade(Enum):
    """One cell of the table."""

    RIGHT = "right"
    WEAK = "weak"
    WRONG = "wrong"
    NOT_OFFERED = "n/a"


class Feature(Enum):
    """What a server may offer or leave out; rows about a feature it leaves out are n/a."""

    RANGES = "byte ranges (OPTIONAL, 9110 §14)"
    MULTIPART = "several ranges at once (OPTIONAL, 9110 §14.2)"
    CODINGS = "precompressed representations"
    INDEX = "an index document for a directory"
    MODIFIED_SINCE = "If-Modified-Since (SHOULD, 9110 §13.1.3)"
    PERSISTENCE = "persistent connections (SHOULD, 9112 §9.3)"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge saw. ``grade`` None means: it failed, and the row's level says how badly."""

    grade: Grade | None
    reason: str = ""


RIGHT = Finding(Grade.RIGHT)


def fails(reason: str) -> Finding:
    """The requirement is not met: wrong for a MUST, weak otherwise."""
    return Finding(None, reason)


def weak(reason: str) -> Finding:
    """Allowed, yet against a SHOULD or to the client's loss, whatever the row's level."""
    return Finding(Grade.WEAK, reason)


def wrong(reason: str) -> Finding:
    """Against a MUST, whatever the row's level."""
    return Finding(Grade.WRONG, reason)


def not_offered(reason: str) -> Finding:
    """The server does not have what the row is about, and need not."""
    return Finding(Grade.NOT_OFFERED, reason)


class NotOffered(Exception):  # noqa: N818  (an outcome of a question, not an error)
    """The server gave nothing to build the question from: no entity-tag, no date."""


class Unanswered(Exception):  # noqa: N818  (an observation about the server, not an error of ours)
    """No complete, parseable answer came."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request in terms every HTTP version shares.

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


Judge = Callable[[Answer], Finding]
Drive = Callable[["Client"], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One row: what the RFC says, and how to see whether a server does it.

    ``wire`` marks rows about HTTP/1.1 octets; they have no meaning over HTTP/2.
    """

    id: str
    rfc: str
    level: Level
    promise: str
    drive: Drive
    needs: Feature | None = None
    wire: bool = False

    def find(self, client: Client) -> Finding:
        """Drive one server and grade what it did."""
        if self.needs and self.needs not in client.features:
            return not_offered(f"does not offer {self.needs.value}")
        try:
            found = self.drive(client)
        except NotOffered as absent:
            return not_offered(str(absent))
        except Unanswered as silence:
            found = fails(str(silence))
        return Finding(found.grade or self._failure(), found.reason)

    def _failure(self) -> Grade:
        return Grade.WRONG if self.level is Level.MUST else Grade.WEAK


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one part of the RFC, in reading order."""

    title: str
    rfc: str
    checks: tuple[Check, ...]


def sees(request: Ask, judge: Judge) -> Drive:
    """Build the commonest drive: send one request, judge its answer."""
    return lambda client: judge(client.send(request))
