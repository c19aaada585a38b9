"""`OutsideRoots`: the answers of a site to requests that belong to none of its roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncstatic.http.model import ResponsePlan
from asyncstatic.http.pages import page_for
from asyncstatic.http.respond import admit
from asyncstatic.serve.answer import PLAN_OBSERVER
from asyncstatic.serve.portable import send_page
from asyncstatic.serve.scope import (
    Receive,
    Scope,
    Send,
    drain,
    is_ambiguous,
    read_request,
)
from asyncstatic.settings import Settings

_DEFAULTS = Settings()


class OutsideRoots:
    """Answers as a root without files does: 404, or the status of a faulty request.

    Args:
        app: the app behind the roots. It answers instead if it has views, and gets all other events.
        has_views: tells whether it has views; asked each time.
    """

    def __init__(self, app: Callable[..., Any], has_views: Callable[[], bool]) -> None:
        self._app = app
        self._has_views = has_views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or self._has_views():
            await self._app(scope, receive, send)
            return
        plan = _answer(scope)
        if (observe := scope.get(PLAN_OBSERVER)) is not None:
            observe(plan)
        if not is_ambiguous(scope["headers"]):
            await drain(scope, receive)
        await send_page(plan, send)


def _answer(scope: Scope) -> ResponsePlan:
    request = read_request(scope)
    if is_ambiguous(scope["headers"]):
        return page_for(request, 400, ((b"connection", b"close"),))
    # The mount point of the site is not redirected to its slash, where there is nothing either.
    admitted = admit(request._replace(target=request.target or b"/"), _DEFAULTS)
    return admitted if isinstance(admitted, ResponsePlan) else page_for(request, 404)
