"""The content of files that is read again after they have changed, such as manifests and users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from asyncstatic.files.source import logger
from asyncstatic.http.model import Identity
from asyncstatic.settings import SettingsError

Content = TypeVar("Content")


class Reread(Generic[Content]):
    """The content of some files, read again when a build, a deploy or an operator replaced them.

    A thread checks the files, at most once in a while and only when the content is used. Files that
    cannot be read, or are wrong, change nothing; that is logged once.

    Args:
        identities: returns those of the files.
        read: returns the content. Both raise SettingsError.
        unchanged: begins the line of the log about files that cannot be used.
        recheck: seconds between two checks; infinity where there is no file.
        monotonic: the clock, in seconds.

    Raises:
        SettingsError: as `identities` and `read`.

    Attributes:
        present: the content when it was last read.
    """

    def __init__(
        self,
        identities: Callable[[], tuple[Identity, ...]],
        read: Callable[[], Content],
        unchanged: str,
        *,
        recheck: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identities = identities
        self._read = read
        self._unchanged = unchanged
        self._recheck = recheck
        self._monotonic = monotonic
        self._complaint = ""
        self._seen = self._certain_identities()
        self.present = read()
        self._next_check = monotonic() + recheck

    async def renewed(self) -> Content:
        """Return the present content, read again if a file has changed."""
        check = self.begin_check()
        if check is not None:
            await asyncio.shield(check)  # a client that leaves does not end it
        return self.present

    def begin_check(self) -> asyncio.Future[None] | None:
        """Start a check in a thread if one is due; one at a time, however slow the disk is."""
        if self._monotonic() < self._next_check:
            return None
        self._next_check = inf
        try:
            return asyncio.get_running_loop().run_in_executor(None, self._check)
        except RuntimeError:  # no thread can be started: later
            self._next_check = self._monotonic() + self._recheck
            return None

    def _check(self) -> None:
        try:
            self._read_if_changed()
        finally:
            self._next_check = self._monotonic() + self._recheck

    def _read_if_changed(self) -> None:
        try:
            seen = self._certain_identities()
            if seen is None or seen != self._seen:
                self.present = self._read()
                self._seen, self._complaint = seen, ""
        except SettingsError as error:
            if str(error) != self._complaint:
                logger.warning("%s: %s", self._unchanged, error)
            self._complaint = str(error)

    def _certain_identities(self) -> tuple[Identity, ...] | None:
        """Return the identities of the files; None while one may be rewritten within a clock tick."""
        found, now = self._identities(), time.time_ns()
        return None if any(identity.racy(now) for identity in found) else found
