"""Findings: the grade of a cell, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bench.conformance.messages import Answer


class Grade(Enum):
    """One cell of the table."""

    RIGHT = "right"
    WEAK = "weak"
    WRONG = "wrong"
    DECIDED = "decided by the server"
    NOT_OFFERED = "n/a"


FAULTS = (Grade.WEAK, Grade.WRONG, Grade.DECIDED)


@dataclass(frozen=True, slots=True)
class Finding:
    """The opinion of a judge. With ``grade`` None it failed, and the row's level says how badly."""

    grade: Grade | None
    reason: str = ""


Judge = Callable[[Answer], Finding]

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
