"""Authorization: a hook is called before the disk is asked, and allowed answers are private."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from asyncstatic.files.source import Found, Source
from asyncstatic.http.model import Absence, Lookup, Request, ResponsePlan
from asyncstatic.http.pages import error_page
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Settings

Verdict: TypeAlias = bool | int
#: Gets the scope and the path below the root - decoded, canonical, beginning with "/" - and
#: returns True, False, or the status to refuse with: 403, 404 or 410.
Authorize: TypeAlias = Callable[[Scope, str], Verdict | Awaitable[Verdict]]


_MISSING_SCOPE = (
    "a root with authorize= is asked through StaticFiles.find, with the request's scope"
)


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
        self, request: Request, lookup: Lookup, scope: Scope | None
    ) -> ResponsePlan | Absence | None:
        """Return the answer that refuses a request; None when it is allowed.

        `Absence.MISSING` means 404: the source then gives the answer of a missing name.

        Raises:
            TypeError: the scope is missing, or the hook returned something that is not a verdict.
                Nothing is served then.
        """
        if scope is None:
            raise TypeError(_MISSING_SCOPE)
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


class ClosedSource:
    """The public source of a root with a hook: it refuses, so that no caller can skip the hook.

    Args:
        source: the real source, which only the root itself uses.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Raise TypeError."""
        raise TypeError(_MISSING_SCOPE)

    async def open(self, lookup: Lookup) -> Found:
        """Raise TypeError."""
        raise TypeError(_MISSING_SCOPE)

    def close(self) -> None:
        """Close the real source."""
        self._source.close()


def path_of(lookup: Lookup) -> str:
    """Return the canonical path of a lookup below the root, decoded."""
    path = "/" + "/".join(lookup.segments)
    return path + "/" if lookup.directory and lookup.segments else path
