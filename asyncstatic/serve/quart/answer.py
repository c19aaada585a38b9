"""The response of a view that sends a file, as an object of the app's own response class."""

from __future__ import annotations

import secrets
import time
from typing import Any, cast

from quart import Response, current_app, request

from asyncstatic.files.source import Opened
from asyncstatic.http.model import Fields, Request, ResponsePlan
from asyncstatic.http.respond import respond
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.offload import handed_over, location_in_front, without_tag_of_front
from asyncstatic.serve.portable import in_memory
from asyncstatic.serve.quart.body import PlanBody
from asyncstatic.serve.quart.options import ViewOptions, default_policy
from asyncstatic.serve.scope import Scope


def answer(opened: Opened, options: ViewOptions, static: StaticFiles | None = None) -> Response:
    """Answer the present request with a representation, which the response owns from then on.

    Args:
        opened: the representation; closed also if this fails.
        options: the options of the view.
        static: the root of the file, if it has one.

    Raises:
        ValueError: an option cannot be sent in a field.
    """
    try:
        plan = _plan(opened, options, static)
        return _response(plan, opened, static)
    except BaseException:
        opened.close()
        raise


def present_scope() -> Scope:
    """Return the scope of the present request."""
    return cast("Scope", request.scope)


def _plan(opened: Opened, options: ViewOptions, static: StaticFiles | None) -> ResponsePlan:
    facts = opened.representation
    asked, location = _request(options), None
    if static is not None:
        location = location_in_front(opened, static.settings, static.root, static.policy)
    if location is not None:
        asked = without_tag_of_front(asked)
    boundary = secrets.token_hex(16) if asked.fields.range else ""
    plan = respond(
        asked,
        options.facts(facts),
        static.policy if static is not None else default_policy(),
        time.time_ns(),
        boundary,
        options.overrides(
            facts.segments[-1],
            proven=static is not None and static.proves(facts.segments),
            ranges=_is_conditional(options),
        ),
    )
    if static is None or location is None:
        return plan
    return handed_over(plan, location, static.settings, static.policy)


def _request(options: ViewOptions) -> Request:
    """Read Quart's request; conditions and ranges hold only for GET and HEAD."""
    method = request.method if request.method in ("GET", "HEAD") else "GET"
    fields = Fields.read(request.scope["headers"])
    if not _is_conditional(options):
        fields = Fields(accept=fields.accept, origin=fields.origin)
        return Request(method, b"/", fields=fields)
    if isinstance(options.etag, str):
        fields = fields._replace(want_repr_digest=None)
    return Request(method, b"/", fields=fields)


def _is_conditional(options: ViewOptions) -> bool:
    return options.conditional and request.method in ("GET", "HEAD")


def _response(plan: ResponsePlan, opened: Opened, static: StaticFiles | None) -> Response:
    """Make a response of the app's own class, with the plan's fields and no default ones."""
    content = in_memory(plan, opened)
    if content is None:
        body: Any = PlanBody(plan, opened, present_scope(), static)
    else:
        opened.close()
        body = content
    response = current_app.response_class(body, plan.status)
    for default in ("Content-Type", "Content-Length"):
        response.headers.pop(default, None)
    for name, value in plan.fields:
        # Quart encodes it as UTF-8 again: the name of a file in X-Sendfile.
        response.headers[name.decode("ascii").title()] = value.decode(errors="replace")
    response.timeout = None  # the body has its own deadline, for progress
    return response
