"""Health: whether a load balancer should send requests to this worker."""

from __future__ import annotations

import asyncio

from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.own_paths import Page

_DISK_SECONDS = 2.0  # for a root to be opened; balancers wait 5 s or more for an answer


class Health:
    """Answers 200 while every root can be opened, and 503 otherwise and while the worker drains.

    Attributes:
        roots: the static roots of the app.
        draining: the worker is about to close its listeners.
    """

    def __init__(self) -> None:
        self.roots: tuple[StaticFiles, ...] = ()
        self._checks: dict[StaticFiles, asyncio.Task[bool]] = {}
        self.draining = False

    async def page(self) -> Page:
        """Return the present answer, at the latest after two seconds."""
        if not self.draining and not await self._can_be_opened():
            return Page(503, b"a root cannot be opened\n")
        return Page(503, b"draining\n") if self.draining else Page(200, b"ok\n")

    async def _can_be_opened(self) -> bool:
        checks = {self._check(root) for root in self.roots}
        if not checks:
            return True
        done, late = await asyncio.wait(checks, timeout=_DISK_SECONDS)
        return not late and all(check.result() for check in done)

    def _check(self, root: StaticFiles) -> asyncio.Task[bool]:
        """Return the check of a root that is under way, or begin one.

        So a disk that does not answer holds one thread, however often it is asked about.
        """
        check = self._checks.get(root)
        if check is None or check.done():
            check = self._checks[root] = asyncio.create_task(root.can_be_opened())
        return check
