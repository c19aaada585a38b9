"""Authorization: a hook is asked before the disk is, and what it lets through is private."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable
from typing import TypeAlias

from asyncstatic.files.source import Found, Source
from asyncstatic.http import cors
from asyncstatic.http.cache_control import PRIVATE, CacheControl
from asyncstatic.http.model import Absence, Lookup, Request, ResponsePlan
from asyncstatic.http.respond import respond
from asyncstatic.http.status import PHRASES
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Settings

Verdict: TypeAlias = bool | int
#: Gets the scope and the path below the root - decoded, canonical, beginning with "/" - and
#: returns True, False, or the status to refuse with: 403, 404 or 410.
Authorize: TypeAlias = Callable[[Scope, str], Verdict | Awaitable[Verdict]]


_UNASKED = "a root with authorize= is asked through StaticFiles.find, with the request's scope"


class Guard:
    """Asks a hook whether a request may have what it names.

    Args:
        authorize: the hook; one that is not async must not block.
        settings: of the root; `hide_forbidden` makes False a 404 instead of a 403.
    """

    def __init__(self, authorize: Authorize, settings: Settings) -> None:
        self._authorize = authorize
        self._refused = 404 if settings.hide_forbidden else 403
        self._settings = settings

    async def refusal(
        self, request: Request, lookup: Lookup, scope: Scope | None
    ) -> ResponsePlan | Absence | None:
        """Return what a request is refused with, None when it is allowed.

        `Absence.MISSING` stands for 404: the source has the answer that a missing name gets.

        Raises:
            TypeError: there is no scope to judge by, or the hook returned something else
                than a verdict. Nothing is served then.
        """
        if scope is None:
            raise TypeError(_UNASKED)
        answer = self._authorize(scope, path_of(lookup))
        verdict = await answer if isawaitable(answer) else answer
        if verdict is True:
            return None
        status = self._refused if verdict is False else verdict
        if status == 403:
            # Not through the plan of a 403 of the disk: that one may be hidden.
            return respond(request, Absence.FORBIDDEN, _shown(self._settings), 0, "")
        if status == 404:
            return Absence.MISSING
        if status == 410:
            return _gone(request, self._settings)
        raise TypeError(f"authorize returned {verdict!r}; True, False, 403, 404 or 410 is needed")


class Unasked:
    """The source of a guarded root, as others see it: closed, so that no lane forgets to ask.

    Args:
        source: the real one, which only the root itself uses.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Refuse.

        Raises:
            TypeError: always.
        """
        raise TypeError(_UNASKED)

    async def open(self, lookup: Lookup) -> Found:
        """Refuse.

        Raises:
            TypeError: always.
        """
        raise TypeError(_UNASKED)

    def close(self) -> None:
        """Give back what the real one holds."""
        self._source.close()


def path_of(lookup: Lookup) -> str:
    """Return the one spelling of what is looked up, decoded, below the root."""
    path = "/" + "/".join(lookup.segments)
    return path + "/" if lookup.directory and lookup.segments else path


def private(settings: Settings) -> Settings:
    """Return settings with which no shared cache keeps an answer (RFC 9111 §5.2.2.7)."""
    present = CacheControl.parse(settings.cache_control) or PRIVATE
    value = replace(present, public=False, private=True, s_maxage=None)
    return replace(settings, cache_control=str(value), immutable=())


def _shown(settings: Settings) -> Settings:
    return replace(settings, hide_forbidden=False) if settings.hide_forbidden else settings


def _gone(request: Request, settings: Settings) -> ResponsePlan:
    text = f"410 {PHRASES[410]}\nThis link has expired.\n".encode("ascii")
    fields = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *cors.response_fields(request.fields, settings.cors),
    )
    return ResponsePlan(410, fields, () if request.method == "HEAD" else (text,))
