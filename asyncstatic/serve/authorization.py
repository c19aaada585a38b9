"""Authorization: a hook is called before the disk is asked, and allowed answers are private."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from asyncstatic.http.model import Absence, Lookup, Request, ResponsePlan
from asyncstatic.http.pages import error_page
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Settings

Verdict: TypeAlias = bool | int
#: Gets the scope and the path below the root - decoded, canonical, beginning with "/" - and
#: returns True, False, or the status to refuse with: 403, 404 or 410.
Authorize: TypeAlias = Callable[[Scope, str], Verdict | Awaitable[Verdict]]


class Authorization:
    """Asks a hook whether a request is allowed.

    Args:
        authorize: the hook; if it is not async it must not block.
        settings: of the root; `hide_forbidden` makes False a 404 instead of a 403.
    """

    def __init__(self, authorize: Authorize, settings: Settings) -> None:
        self._authorize = authorize
        self._refused = 404 if settings.hide_forbidden else 403
        self._origins = settings.cors

    async def refusal(
        self, request: Request, lookup: Lookup, scope: Scope
    ) -> ResponsePlan | Absence | None:
        """Return the answer that refuses a request; None when it is allowed.

        `Absence.MISSING` means 404: the source then gives the answer of a missing name.

        Raises:
            TypeError: the hook returned something that is not a verdict. Nothing is served then.
        """
        answer = self._authorize(scope, path_of(lookup))
        verdict = await answer if isawaitable(answer) else answer
        if verdict is True:
            return None
        status = self._refused if verdict is False else verdict
        if status == 404:
            return Absence.MISSING
        if status in (403, 410):  # this 403 is never hidden: the hook has decided to tell it
            return error_page(request, status, self._origins)
        raise TypeError(f"authorize returned {verdict!r}; True, False, 403, 404 or 410 is needed")


def path_of(lookup: Lookup) -> str:
    """Return the canonical path of a lookup below the root, decoded."""
    path = "/" + "/".join(lookup.segments)
    return path + "/" if lookup.directory and lookup.segments else path
