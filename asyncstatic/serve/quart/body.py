"""The content of a plan as the body of a Quart response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType

from quart.wrappers.response import ResponseBody

from asyncstatic.files.source import Opened
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.chunks import Chunks
from asyncstatic.serve.cut import TransferAborted, report_cut
from asyncstatic.serve.portable import UNFINISHED, may_abort
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Limits


class PlanBody(ResponseBody):
    """Streams a file through Quart, as the portable entry does without Quart.

    It has the same chunks, the same deadline for progress instead of one for the whole, and the
    same abort when the content cannot be finished. With `AsyncStatic` Quart does not iterate it: a
    `FileConnection` sends `plan` from `opened`.

    Args:
        plan: the response.
        opened: the representation; closed by this object, also if its content is never read.
        scope: of the request.
        static: the root of the file, if it has one.

    Attributes:
        timeout: seconds without progress after which the client is dropped.
        unchanging_root: the root's path, where the server may open files below it by name.
    """

    def __init__(
        self, plan: ResponsePlan, opened: Opened, scope: Scope, static: StaticFiles | None
    ) -> None:
        self.plan = plan
        self.opened = opened
        self.timeout = (Limits() if static is None else static.settings.limits).send_timeout
        self.unchanging_root = None if static is None else static.unchanging_root
        self._may_abort = may_abort(scope)
        self._deadline = asyncio.timeout(None)

    def close(self) -> None:
        self.opened.close()

    async def __aenter__(self) -> AsyncGenerator[bytes, None]:
        await self._deadline.__aenter__()
        self._content = self._chunks()
        return self._content

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._content.aclose()
            await self._deadline.__aexit__(kind, error, traceback)
        except TimeoutError:
            # Quart would treat a TimeoutError as its own and end the response cleanly.
            raise TransferAborted(f"no progress in {self.timeout} s") from None
        finally:
            self.close()

    def __del__(self) -> None:
        self.close()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        handle = self.opened.handle
        if handle is None:
            return
        loop = asyncio.get_running_loop()
        sent = 0
        try:
            async with aclosing(aiter(Chunks(self.plan, handle))) as chunks:
                async for chunk, _ in chunks:
                    self._deadline.reschedule(loop.time() + self.timeout)
                    yield chunk
                    sent += len(chunk)
        except UNFINISHED as error:
            reason = report_cut(self.plan, self.opened, sent, error)
            if self._may_abort:
                raise TransferAborted(reason) from error
