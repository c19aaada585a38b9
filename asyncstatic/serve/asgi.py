"""`StaticFiles`: a static root as an ASGI application, on any server and under any mount."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from functools import partial
from typing import Any

from asyncstatic.files.cache import Cached
from asyncstatic.files.directory import Directory
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.http.model import Fields, Request, ResponsePlan
from asyncstatic.http.respond import admit, respond
from asyncstatic.http.target import is_public
from asyncstatic.serve.portable import send_plan
from asyncstatic.serve.scope import Receive, Scope, Send, has_content, read_request
from asyncstatic.settings import Settings, SettingsError

# An upload is read this far, and this long, so that its client gets to read the answer.
_DRAIN_OCTETS = 16 * 1024 * 1024
_DRAIN_SECONDS = 10.0
_MEMO_ENTRIES = 8
_MEMO_CHARACTERS = 512


class StaticFiles:
    """Serve the files below a directory.

    A plain ASGI app: run it by itself, or mount it in Quart, Starlette, FastAPI or any other.
    It answers GET, HEAD and OPTIONS as RFC 9110 says, with conditional and range requests,
    negotiated codings and validators that do not lie. Nothing outside the root is ever read.

    Args:
        root: the directory; a relative one is bound to the present working directory. It may
            be a symbolic link that a deploy replaces while this runs.
        **settings: any field of `Settings`.

    Raises:
        SettingsError: the root cannot be served or a setting is wrong.

    Danger: ``symlinks="follow"`` on a tree that hostile users can write gives them every file
    this process can read.
    """

    def __init__(self, root: str | os.PathLike[str] | Settings, **settings: Any) -> None:
        self.settings = root if isinstance(root, Settings) else Settings.of(root, **settings)
        self._directory = open_directory(self.settings)
        self.source: Source = self._directory
        if self.settings.cache_bytes:
            self.source = Cached(self._directory, self.settings.cache_bytes)

    @property
    def root(self) -> str:
        """The absolute path of the root, links not resolved."""
        return self._directory.path

    @property
    def resolver_name(self) -> str:
        """Which path resolver the kernel allows here: "openat2" or "walk"."""
        return self._directory.resolver_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection: ``http``, ``lifespan`` or ``websocket``."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send, self.close)
        elif scope["type"] == "websocket":
            # Closed before it is accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1000})

    def close(self) -> None:
        """Give back root handle, threads and memory."""
        self.source.close()

    async def find(self, request: Request) -> tuple[ResponsePlan, Opened | None]:
        """Decide the answer to a request.

        Returns:
            The plan, and what its byte ranges come from; the caller closes that.
        """
        admitted = admit(request, self.settings)
        if isinstance(admitted, ResponsePlan):
            return admitted, None
        found = self.source.open_nowait(admitted)
        if found is None:
            found = await self.source.open(admitted)
        return self.plan(request, found)

    def plan(self, request: Request, found: Found) -> tuple[ResponsePlan, Opened | None]:
        """Decide the answer, given what was found."""
        if isinstance(found, Opened):
            return self._plan_of(request, found), found
        return respond(request, found, self.settings, time.time_ns(), ""), None

    def _plan_of(self, request: Request, opened: Opened) -> ResponsePlan:
        """Decide the answer from a representation; remembered with it, where it lasts.

        A plan depends on nothing but request, representation, boundary and the clock in
        seconds, so within one second equal requests for unchanged bytes have equal plans.
        """
        now_ns = time.time_ns()
        key = (request.method, request.fields, now_ns // 1_000_000_000)
        plan: ResponsePlan | None = opened.memo.get(key)
        if plan is not None:
            return plan
        boundary = secrets.token_hex(16) if request.fields.range else ""
        try:
            plan = respond(request, opened.representation, self.settings, now_ns, boundary)
        except BaseException:
            opened.close()
            raise
        if opened.witnesses and not boundary:
            _remember(opened.memo, key, plan)
        return plan

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan, opened = await self.find(read_request(scope))
        try:
            if has_content(scope["headers"]):
                await _drain(receive)
            await send_plan(plan, opened, scope, receive, send, self.settings.send_timeout)
        finally:
            if opened is not None:
                opened.close()


def _remember(memo: dict[Any, Any], key: tuple[str, Fields, int], plan: ResponsePlan) -> None:
    """Keep a plan, within a bound: fields are the client's, and may be long and many."""
    if sum(len(value or "") for value in key[1]) > _MEMO_CHARACTERS:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[key] = plan


def open_directory(settings: Settings) -> Directory:
    """Open a root.

    Raises:
        SettingsError: one line that says what is wrong with it and what to do.
    """
    if not settings.root:
        raise SettingsError("no root: name the directory to serve")
    try:
        return Directory(settings, partial(is_public, settings=settings))
    except FileNotFoundError:
        problem = "does not exist; create it or name another"
    except NotADirectoryError:
        problem = "is not a directory; name the directory that holds the files"
    except PermissionError:
        problem = f"may not be read by user {_user()}; change its permissions"
    except (OSError, ValueError) as error:
        problem = f"cannot be opened: {error}"
    raise SettingsError(f"root {settings.root}: {problem}")


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "?")


async def _drain(receive: Receive) -> None:
    """Read a request's content, within bounds: a client that still sends cannot read."""
    left = _DRAIN_OCTETS
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _lifespan(receive: Receive, send: Send, close: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            close()
            await send({"type": "lifespan.shutdown.complete"})
            return
