"""`StaticMiddleware`: serve the files of a root, and pass every other request on to an app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, Unpack

from asyncstatic.http.cors import is_preflight
from asyncstatic.http.model import Fields, Request
from asyncstatic.serve.answer import Answer
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.authorization import Authorize
from asyncstatic.serve.callables import problem_of_wsgi
from asyncstatic.serve.scope import (
    Message,
    Receive,
    Scope,
    Send,
    below_prefix,
    drain,
    is_ambiguous,
    read_by_app,
    read_request,
)
from asyncstatic.serve.starlette import StarletteOptions
from asyncstatic.serve.startup import asyncio_problem, start
from asyncstatic.settings import Roots, Settings, SettingsError
from asyncstatic.settings.contradictions import refuse_options
from asyncstatic.settings.values import problem_with_prefix

Root: TypeAlias = StaticFiles | Settings | Roots
#: The root of a mount: a table is the keyword arguments of `Settings`.
MountedRoot: TypeAlias = Root | Mapping[str, Any]
NamedRoot = TypeVar("NamedRoot")


_READING = ("GET", "HEAD")
# Statuses of a root for names that the app may know.
_PASSED_ON = frozenset({400, 404, 414})


def may_be_of_app(answer: Answer) -> bool:
    """Tell whether the root has no such file, so that an app behind it may have the request.

    The shell of a single-page app is sent only where the app has no answer either.
    """
    return answer.plan.status in _PASSED_ON or is_shell(answer)


def is_shell(answer: Answer) -> bool:
    """Tell whether an answer is the shell of a single-page app, in place of a missing file."""
    return answer.opened is not None and answer.opened.representation.fallback == 200


def always() -> bool:
    """Return True, where an app behind the root may always have the answer."""
    return True


class MountOptions(StarletteOptions, total=False):
    """Keyword arguments of `StaticFiles`, for a root that is named as a directory."""

    authorize: Authorize | None


class StaticMiddleware:
    """Put static roots in front of an ASGI app.

    The root answers a GET or HEAD for a file that it has, and with `cors` also the CORS preflight
    of such a request. Everything else - other methods, other paths, missing names, WebSockets,
    lifespan - reaches the app unchanged, and the app's answers are never buffered.

    Args:
        app: the app behind.
        root: the root in front; a directory, a `Settings` or a `StaticFiles`. Several: a mapping
            of prefixes to them, asked in this order; `prefix` must be "" then. There a root may
            also be a mapping of keyword arguments, `root` among them.
        prefix: the path the root is mounted at, such as "/static"; "" for all paths.
        passes_on: whether the app could answer what the root cannot; asked each time.
        exclusive: of several roots, only the one with the longest prefix of a path answers it, as in
            nginx, or the app; otherwise the next one is asked for what a root does not have. A root
            with access rules is asked in any case: it protects every path of the app.
        static: an older name of `root`.
        **settings: what `StaticFiles` takes, for what is named as a directory; none beside a
            `StaticFiles`.

    Raises:
        SettingsError: a root cannot be served, a setting is wrong, or the app is a WSGI app.

    Attributes:
        static: the root, the first one of several.
        prefix: the path it is mounted at.
        app: the app behind it; the next root of several.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        root: Root | Mapping[str, MountedRoot] | None = None,
        prefix: str = "",
        *,
        passes_on: Callable[[], bool] = always,
        exclusive: bool = False,
        static: Root | Mapping[str, MountedRoot] | None = None,
        **settings: Unpack[MountOptions],
    ) -> None:
        if problem := problem_of_wsgi(app):
            raise SettingsError(f"app={app!r}: {problem}")
        if static is not None:
            if root is not None:
                raise SettingsError("static= is another name of the root: leave one of them out")
            root = static
        named = list(root.values()) if isinstance(root, Mapping) else [root]
        if named and all(isinstance(each, StaticFiles) for each in named):
            refuse_options(settings, "StaticFiles")
        last = app
        if isinstance(root, Mapping):
            mounts = mounts_of(root, prefix)
            if exclusive:
                mounts.sort(key=lambda mount: len(mount[0].rstrip("/")), reverse=True)
            (prefix, root), *others = mounts
            for other, its_root in reversed(others):
                app = StaticMiddleware(app, _static(its_root, settings), other, passes_on=passes_on)
                if exclusive:
                    app._pass_over_roots(last)
                else:
                    passes_on = always  # the next root may have what this one has not
        self.app = app
        self._next: Any = app
        if exclusive:
            self._pass_over_roots(last)
        self.static = _static(root, settings)
        self.prefix = _checked_prefix(prefix)
        self.passes_on = passes_on
        self._hide(app)

    def _hide(self, behind: Any) -> None:
        """Tell the roots behind which of their names this one answers for."""
        is_middleware = isinstance(behind, StaticMiddleware)
        static, prefix = (behind.static, behind.prefix) if is_middleware else (behind, "")
        if isinstance(static, StaticFiles) and self.prefix.startswith(f"{prefix}/"):
            names = tuple(self.prefix.removeprefix(f"{prefix}/").split("/"))
            static.in_front.add(names, closed=self.static.is_closed)
        if is_middleware:
            self._hide(behind.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and await self._serve(scope, receive, send):
            return
        if scope["type"] != "lifespan" or await start(self, receive, send):
            await self._behind(scope)(scope, receive, send)

    def _pass_over_roots(self, app: Any) -> None:
        """Ask no open root in front of an app for what is below the prefix.

        A root with access rules is asked: it protects every path of the app.
        """
        while self._next is not app and not self._next.static.is_closed:
            self._next = self._next.app

    def _behind(self, scope: Scope) -> Callable[..., Any]:
        """Return the app that gets a request which the root leaves."""
        if self._next is self.app or scope["type"] != "http" or self.prefix not in scope["path"]:
            return self.app
        is_below = below_prefix(read_request(scope), self.prefix) is not None
        return self._next if is_below else self.app

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer from the root, if it can; return whether it did."""
        request = self._request(scope)
        if request is None:
            return False
        if problem := asyncio_problem():
            raise RuntimeError(problem)
        mounted = {**scope, "root_path": scope.get("root_path", "").rstrip("/") + self.prefix}
        if not self.passes_on():
            await self.static.answer(request, mounted, receive, send)
            return True
        preflight = is_preflight(request.method, request.fields)
        if request.method == "OPTIONS" and not preflight:
            return False
        # Methods are case-sensitive (RFC 9110 §9.1), but Quart takes "get" for GET.
        for_app = is_ambiguous(scope["headers"]) or not (preflight or request.method in _READING)
        if for_app and not self.static.needs_scope:  # nobody is refused
            return False
        asked = request._replace(method="GET", fields=Fields()) if preflight else request
        answer = await self.static.find(asked, mounted)
        try:
            if is_shell(answer) and not for_app and await self._app_answers(scope, receive, send):
                return True
            if not answer.refuses and (for_app or answer.plan.status in _PASSED_ON):
                return False
            if preflight:
                answer = answer._replace(plan=(await self.static.find(request, mounted)).plan)
            if not is_shell(answer):  # there the app had the content
                await drain(scope, receive)
            await self.static.carry_out(answer, mounted, receive, send)
        finally:
            answer.close()
        return True

    async def _app_answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let the app answer, unless its answer is a 404; return whether it did.

        The status decides, before any content: nothing is buffered.
        """
        is_missing = False

        async def send_unless_missing(message: Message) -> None:
            nonlocal is_missing
            if message["type"] == "http.response.start" and message["status"] == 404:
                is_missing = True
            if not is_missing:
                await send(message)

        await self._behind(scope)(scope, receive, send_unless_missing)
        return not is_missing

    def _request(self, scope: Scope) -> Request | None:
        """Read the request as the root sees it; None when it is for the app.

        Where clients need access, every spelling is the root's that is one below the prefix to an app.
        """
        method, shares = scope["method"], bool(self.static.settings.cors)
        is_ours = method.upper() in _READING or (method == "OPTIONS" and shares)
        if not is_ours and self.passes_on():
            return None
        request = None
        if self.prefix in scope["path"]:
            request = below_prefix(read_request(scope), self.prefix)
        if request is None and self.static.needs_scope and self.passes_on():
            return read_by_app(scope, self.prefix)
        return request


def mounts_of(roots: Mapping[str, NamedRoot], prefix: str | None) -> list[tuple[str, NamedRoot]]:
    """Return the prefixes and roots of a mapping, in their order.

    Raises:
        SettingsError: it is empty, names a prefix twice, or a prefix is named beside it.
    """
    if not roots:
        raise SettingsError("no root: name at least one directory to serve")
    prefixes = Counter(name.rstrip("/") for name in roots)
    if twice := [name for name in roots if prefixes[name.rstrip("/")] > 1]:
        raise SettingsError(f"{' and '.join(map(repr, twice))} are one prefix: leave one out")
    if prefix:
        raise SettingsError(f"prefix={prefix!r}: not beside a mapping, which has its own")
    return list(roots.items())


def _static(root: Any, settings: MountOptions) -> StaticFiles:
    if isinstance(root, Mapping):
        return StaticFiles(**{**settings, **root})
    return root if isinstance(root, StaticFiles) else StaticFiles(root, **settings)


def _checked_prefix(prefix: str) -> str:
    """Return the prefix without its last slash.

    Raises:
        SettingsError: it is not a decoded path.
    """
    prefix = prefix.rstrip("/")
    if problem := problem_with_prefix(prefix):
        raise SettingsError(f"prefix={prefix!r}: {problem}")
    return prefix
