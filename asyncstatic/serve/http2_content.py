"""The content of a request over HTTP/2, between its frames and its app.

Hypercorn hands each frame to the app by a queue of ten places. While an app reads nothing and the
queue is full, Hypercorn reads no frame of the connection: no other request, and no window for the response.
Here the client may send as much as its window allows (RFC 9113 §5.2), which opens as the app reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Content:
    """The content of a request, in place of Hypercorn's queue.

    Args:
        taken: called with the number of bytes that the app has taken.
    """

    def __init__(self, taken: Callable[[int], Awaitable[None]]) -> None:
        self._taken = taken
        self._data = bytearray()
        self._has_ended = self._is_told = self._client_has_gone = False
        self._news = asyncio.Event()

    @property
    def unread(self) -> int:
        """The number of bytes that the app has not taken."""
        return len(self._data)

    async def put(self, message: Any) -> None:
        """Take a message of Hypercorn for the app; never waits."""
        if message["type"] == "http.disconnect":
            self._client_has_gone = True
        else:
            self._data += message["body"]
            self._has_ended = not message["more_body"]
        self._news.set()

    async def receive(self) -> Any:
        """Return the next message, as ASGI receive does: all the content that is there."""
        while not self._client_has_gone:
            data, is_last = bytes(self._data), self._has_ended and not self._is_told
            if data or is_last:
                self._data.clear()
                self._is_told = self._has_ended
                await self._taken(len(data))
                return {"type": "http.request", "body": data, "more_body": not self._is_told}
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}
