"""A row of the table: what the RFC says, and how to see whether a server does it.

Three levels keep the judgement fair. MUST: the RFC requires it, and a failure is *wrong*. SHOULD:
the RFC recommends it, and a failure is *weak*. QUALITY: no RFC asks for it, a client merely gains
by it; a failure is *weak* as well. Where the RFC leaves a choice, every allowed answer is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bench.conformance.exchange import Client
from bench.conformance.findings import Finding, Grade, Judge, fails, not_offered
from bench.conformance.messages import Ask, Feature, NotOffered, Unanswered


class Level(Enum):
    """The strength of a requirement."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    QUALITY = "quality"


MUST, SHOULD, QUALITY = Level.MUST, Level.SHOULD, Level.QUALITY


Drive = Callable[[Client], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One row.

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
