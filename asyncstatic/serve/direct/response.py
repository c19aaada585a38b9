"""Responses that were made before, and their content, ready to be sent once more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from asyncstatic.files import kernel
from asyncstatic.files.memory import RecentOctets
from asyncstatic.files.snapshot import LEAST, Snapshot
from asyncstatic.files.source import Opened
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.http.status import PHRASES
from asyncstatic.serve.portable import in_memory

WHOLE = kernel.SCRATCH  # octets of content up to which all are a copy
TAIL = 256 * 1024  # of a longer one, the last
_KNOWN_OCTETS = 2048  # that a response takes besides its content (rounded up)
_SHARE_OF_HANDLES = 8
# Copied between two turns: that takes about half a per cent of the time.
_COPIED = 4 * 1024 * 1024

Content: TypeAlias = bytes | Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class KnownResponse:
    """A response made before.

    Attributes:
        head: without what the server adds to each, and its end.
        content: None for octets of a file.
        plan: what it was made from.
    """

    head: bytes
    content: bytes | None
    plan: ResponsePlan


class Contents:
    """Content that is asked for again, within a bound: read once, and without a copy to send.

    What is not asked for between two turns goes, and its handle with it.

    Args:
        capacity: octets; of the handles this process may have an eighth, at most.
    """

    def __init__(self, capacity: int) -> None:
        most = kernel.handle_limit() // _SHARE_OF_HANDLES // 2
        self._whole: RecentOctets[KnownResponse, Content]
        self._tails: RecentOctets[KnownResponse, Snapshot]
        self._whole = RecentOctets(capacity // 2, most, cost_of_content)
        self._tails = RecentOctets(capacity // 2, most, cost_of_content)
        self._may_copy = _COPIED

    def __len__(self) -> int:
        return len(self._whole) + len(self._tails)

    def turn(self) -> None:
        """Forget what was not asked for since the last turn; allow some octets more to be copied.

        That has a bound because too many hot files, in turns, would cost more than they save.
        """
        self._whole.turn()
        self._tails.turn()
        self._may_copy = _COPIED

    def of(self, known: KnownResponse) -> Content:
        """Return the content of a response that was made in memory."""
        octets = known.content or b""
        if len(octets) < LEAST:
            return octets
        return self._whole.get(known) or self._keep(self._whole, known, octets) or octets

    def excerpt(
        self, known: KnownResponse, opened: Opened, *, again: bool, past: bool
    ) -> Content | None:
        """Read the content of a response, as far as the page cache has it.

        Args:
            known: the response.
            opened: the file.
            again: it was sent before, so it may be once more: keep it.
            past: a snapshot can be sent.

        Raises:
            OSError: the disk failed.
        """
        kept = self._whole.get(known)
        if kept is not None:
            return kept
        octets = in_memory(known.plan, opened)
        if octets is None or not again:
            return octets
        if past and len(octets) >= LEAST:
            return self._keep(self._whole, known, octets) or octets
        self._whole.put(known, octets)
        return octets

    def tail(self, known: KnownResponse, opened: Opened) -> Snapshot | None:
        """Return the last octets of a large content that is sent again, if they can be read now.

        Raises:
            OSError: the disk failed.
        """
        kept = self._tails.get(known)
        if kept is not None or self._may_copy <= 0:
            return kept
        *before, last = known.plan.content
        if before or not isinstance(last, ByteRange) or opened.handle is None:
            return None
        count = last.length if last.length <= WHOLE else TAIL
        octets = opened.handle.read_nowait(last.last + 1 - count, count)
        if octets is None or len(octets) < count or opened.handle.changed():
            return None
        return self._keep(self._tails, known, octets)

    def _keep(
        self,
        memory: RecentOctets[KnownResponse, Content] | RecentOctets[KnownResponse, Snapshot],
        known: KnownResponse,
        octets: bytes,
    ) -> Snapshot | None:
        """Keep a copy, if there may be one more."""
        if self._may_copy <= 0:
            return None
        self._may_copy -= len(octets)
        with suppress(OSError):
            snapshot = Snapshot(octets)
            memory.put(known, snapshot)
            return snapshot
        return None


def cost_of_content(content: Content) -> int:
    """Octets that the content of a response takes which is kept."""
    return len(content) + _KNOWN_OCTETS


def head_of(plan: ResponsePlan) -> bytes:
    """Serialize status line and fields, as far as they are the plan's."""
    return _status_line(plan.status) + b"".join(b"%b: %b\r\n" % field for field in plan.fields)


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in PHRASES.items()
}
