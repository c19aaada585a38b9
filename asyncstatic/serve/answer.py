"""A decided answer, and a request that has to wait for one."""

from __future__ import annotations

from typing import NamedTuple

from asyncstatic.files.source import Opened
from asyncstatic.http.model import Lookup, Request, ResponsePlan
from asyncstatic.serve.scope import Scope

#: The key of a scope under which a server may leave a function that is called with each plan.
PLAN_OBSERVER = "asyncstatic.plan_observer"
#: The key of a scope under which `explain` leaves a function that is called with each root that was
#: asked, the request, the scope and the answer.
ANSWER_OBSERVER = "asyncstatic.answer_observer"


class Answer(NamedTuple):
    """A decided answer.

    Attributes:
        plan: the response to send.
        opened: the representation of the plan's byte ranges. The sender of the plan closes it.
        refuses: the client has no access, whatever it asks for; no app behind answers either.
    """

    plan: ResponsePlan
    opened: Opened | None = None
    refuses: bool = False

    def close(self) -> None:
        """Close the representation, if there is one; harmless when it is closed already."""
        if self.opened is not None:
            self.opened.close()


class Pending(NamedTuple):
    """A request that has to wait for the disk, a hook or a password before it can be answered.

    Attributes:
        request: the request.
        lookup: the file to look up; None if access or the files with redirects must be checked first.
        scope: the ASGI scope, by which access is checked; empty where no access is.
    """

    request: Request
    lookup: Lookup | None
    scope: Scope
