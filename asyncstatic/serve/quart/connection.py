"""The ASGI connection of a Quart app with `AsyncStatic`: it sends the files that views return."""

from __future__ import annotations

from typing import Any, cast

from quart.asgi import ASGIHTTPConnection

from asyncstatic.http.model import RawFields
from asyncstatic.serve.portable import send_plan
from asyncstatic.serve.quart.body import PlanBody
from asyncstatic.serve.scope import Scope, receive_nothing


class FileConnection(ASGIHTTPConnection):
    """Sends the file of a view as the portable entry sends that of a mounted root.

    Quart itself sends body messages only; this class uses zerocopysend and pathsend where the
    server offers them. Status and fields are those of the response, with all changes by the app's
    after_request functions and sessions. Quart sends every other response, and a body that the app
    wrapped around ours.
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
        receive = receive_nothing()  # Quart listens for a disconnect, and then cancels the sending
        try:
            await send_plan(
                plan, body.opened, scope, receive, send, body.timeout, body.unchanging_root
            )
        finally:
            body.close()
