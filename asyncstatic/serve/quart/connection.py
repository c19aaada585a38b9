"""How a Quart app with `AsyncStatic` sends what its views return."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from quart.asgi import ASGIHTTPConnection

from asyncstatic.http.model import RawFields
from asyncstatic.serve.portable import send_plan
from asyncstatic.serve.quart.body import PlanBody
from asyncstatic.serve.scope import Message, Scope


class FileConnection(ASGIHTTPConnection):
    """Sends the file of a view as the portable lane sends that of a mounted root.

    Quart itself knows nothing but body messages; here zerocopysend and pathsend are used where
    the server offers them. Status and fields are the response's own, with all that the app's
    after_request functions and sessions did to it. Every other response, and a body that the
    app put around ours, is sent by Quart.
    """

    async def _send_response(self, send: Any, response: Any) -> None:
        body = getattr(response, "response", None)
        if not isinstance(body, PlanBody):
            await super()._send_response(send, response)
            return
        fields: RawFields = tuple(
            (name.lower().encode(), value.encode()) for name, value in response.headers.items()
        )
        plan = body.plan._replace(status=response.status_code, fields=fields)
        scope = cast("Scope", self.scope)
        try:
            await send_plan(
                plan, body.opened, scope, _nothing, send, body.timeout, body.unchanging_root
            )
        finally:
            body.close()


async def _nothing() -> Message:
    """Receive nothing: Quart listens for the disconnect itself, and cancels what is sent then."""
    nothing: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await nothing
