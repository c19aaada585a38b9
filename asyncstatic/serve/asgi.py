"""`StaticFiles`: a static root as an ASGI app, on any server and under any mount.

Every entry asks it for answers: `begin` decides at once if nothing has to be waited for, and `finish`
waits. Called as an app, it reads the request from the scope and sends the answer itself.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from functools import cached_property
from typing import Any, Unpack

from asyncstatic.files.cache import Cache, shared_cache
from asyncstatic.files.fallback import page_with
from asyncstatic.files.root import Segments
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http.manifest import Manifest
from asyncstatic.http.model import Absence, Lookup, Request, ResponsePlan
from asyncstatic.http.pages import page_for
from asyncstatic.http.policy import NO_OVERRIDES, PROVEN_IMMUTABLE, ResponsePolicy
from asyncstatic.http.redirects import Redirects
from asyncstatic.http.respond import admit, respond
from asyncstatic.serve.access import access_of
from asyncstatic.serve.answer import ANSWER_OBSERVER, PLAN_OBSERVER, Answer, Pending
from asyncstatic.serve.authorization import Authorization, Authorize
from asyncstatic.serve.in_front import MountsInFront
from asyncstatic.serve.listing import Pages
from asyncstatic.serve.manifest import Manifests
from asyncstatic.serve.offload import handed_over, location_in_front, without_tag_of_front
from asyncstatic.serve.portable import send_hints, send_plan
from asyncstatic.serve.roots import check_root, open_root, source_of
from asyncstatic.serve.scope import (
    Receive,
    Scope,
    Send,
    drain,
    is_ambiguous,
    read_request,
)
from asyncstatic.serve.site_files import SiteFiles
from asyncstatic.serve.starlette import (
    StarletteOptions,
    raise_for_handler,
    refuse_methods,
    settings_of,
)
from asyncstatic.serve.startup import answer_lifespan, asyncio_problem, start
from asyncstatic.settings import Roots, Settings, SettingsError
from asyncstatic.settings.contradictions import refuse_options

_ROOT = Lookup((), True, ())
_NO_SCOPE: Scope = {}
_MISSING_SCOPE = "authorize= and access rules: ask StaticFiles.find, with the scope"


class StaticFiles:
    """Serve the files below a directory.

    It is a plain ASGI app: run it by itself, or mount it in Quart, Starlette, FastAPI or any other
    framework. It answers GET, HEAD and OPTIONS by RFC 9110, with conditional and range requests,
    negotiated codings and reliable validators. No file outside the root is ever read.

    Args:
        root: the directory; a relative one is bound to the present working directory. It may
            be a symbolic link that a deploy replaces while this runs. A zip archive, or a directory
            in one, is served without unpacking it. Several are an overlay: the first that has a
            file wins. Or a `Settings` object, beside which no other setting may be given.
        authorize: a hook that is called before the disk is asked, with the scope and the path
            below the root - decoded, canonical, beginning with "/". It may be async; otherwise it
            must not block. It returns True, False for 403 (404 with `hide_forbidden`), or the
            status 403, 404 or 410. An allowed answer is `private`: no shared cache may store it.
        **settings: any field of `Settings`; of Starlette's StaticFiles `directory`,
            `packages`, `html`, `check_dir` and `follow_symlink` are understood as well.

    Raises:
        SettingsError: the root cannot be served or a setting is wrong; or a subclass overrides a
            method of Starlette's class, which would never be called.

    Danger: ``symlinks="follow"`` on a tree that hostile users can write gives them every file
    this process can read.

    Attributes:
        settings: the settings of the root.
        policy: decides the metadata of its answers.
        cache: holds content, open files and prepared answers.
        needs_scope: whether an answer depends on more than the request's own bytes, so that only
            an entry with the ASGI scope can answer.
        is_closed: whether the access of a client is checked before anything is told.
        in_front: mounts that answer for names below the root.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_methods(cls)

    def __init__(
        self,
        root: Roots | Settings | None = None,
        *,
        authorize: Authorize | None = None,
        **settings: Unpack[StarletteOptions],
    ) -> None:
        names_page = isinstance(root, Settings) or "not_found" in settings
        if isinstance(root, Settings):
            refuse_options(settings, "Settings")
            chosen = root
        else:
            chosen = settings_of(root, dict(settings))
        if authorize is not None and chosen.listing_zip:
            raise SettingsError("listing_zip: not with authorize, which cannot judge each file")
        first = open_root(chosen)
        self._tree = first.tree
        in_archive = self._tree if isinstance(self._tree, ZipTree) else None
        self._manifests = Manifests(in_archive or self._tree.path, chosen.manifest)
        self._authorization = Authorization(authorize, chosen) if authorize is not None else None
        self._pages = Pages(chosen, has_readme=authorize is None) if chosen.listing else None
        self._access = access_of(chosen)
        self.is_closed = authorize is not None or self._access is not None
        self.in_front = MountsInFront()
        self.needs_scope = self.is_closed or chosen.offload != "off"
        others = [replace(chosen, root=root, more_roots=()) for root in chosen.more_roots]
        self._trees = [first, *map(open_root, others)]
        self._site_files = SiteFiles(self._trees, chosen) if chosen.netlify_files else None
        self._use(self._site_files.settings if self._site_files is not None else chosen)
        check_root(self.settings, self._trees, not_found=names_page)

    def _use(self, settings: Settings) -> None:
        """Decide by these settings from now on."""
        self.settings = settings
        access_is_private = self._access is not None and self._access.private
        private = self._authorization is not None or access_is_private
        self.policy = ResponsePolicy(settings, private=private)
        redirects = Redirects(settings.redirects)
        self._redirects = redirects if settings.redirects else None
        self._moves_mount_point = redirects.find((), directory=False) is not None

    @cached_property
    def cache(self) -> Cache:
        """Content, open files and prepared answers.

        The roots with the same `cache_bytes` share it, in the thread that asks first: that of the
        server.
        """
        return shared_cache(self.settings.limits.cache_bytes)

    @cached_property
    def _source(self) -> Source:
        of_site = self._site_files.add_stamps if self._site_files is not None else None
        hides = self.in_front.answer_for
        return source_of(self._trees, self.settings, self.cache, of_site, self._pages, hides)

    @property
    def source(self) -> Source:
        """The representations.

        Raises:
            TypeError: access must be checked first, and only `find` does.
        """
        if self.is_closed:
            raise TypeError(_MISSING_SCOPE)
        return self._source

    def root_with(self, segments: Segments) -> str | None:
        """Return the path of the first root that has a file, or None; may wait for the disk."""
        return next((tree.tree.path for tree in self._trees if tree.has_file(segments)), None)

    @property
    def root(self) -> str:
        """The absolute path of the root, links not resolved."""
        return self._tree.path

    @property
    def unchanging_root(self) -> str | None:
        """The path of the root, if a server may open files below it by name once more."""
        return self._tree.path if self.settings.unchanging else None

    @property
    def manifest(self) -> Manifest:
        """The manifests that `Settings.manifest` names, as last read; empty without one."""
        return self._manifests.present

    async def fresh_manifest(self) -> Manifest:
        """Return the manifest, read again if a deploy has replaced it."""
        return await self._manifests.renewed()

    def proves(self, segments: tuple[str, ...]) -> bool:
        """Tell whether a manifest, as last read, proves that a file never changes."""
        return bool(self.settings.manifest) and self.manifest.proves(segments)

    @property
    def resolver_name(self) -> str:
        """The path resolver in use: "openat2" or "walk"."""
        return self._tree.resolver_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection: ``http``, ``lifespan`` or ``websocket``."""
        if scope["type"] == "http":
            await self.answer(read_request(scope), scope, receive, send)
        elif scope["type"] == "lifespan":
            if await start(self, receive, send):
                await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            # Closed before it is accepted: the server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1000})

    @property
    def waiting_calls(self) -> int:
        """Calls to the disk that wait for a thread."""
        of_listings = 0 if self._pages is None else self._pages.pool.waiting
        return of_listings + sum(tree.waiting_calls for tree in self._trees)

    async def can_be_opened(self) -> bool:
        """Tell whether the directories of the root can be opened now."""
        return all(await asyncio.gather(*(tree.can_be_opened() for tree in self._trees)))

    def close(self) -> None:
        """Close the root handle, end the threads, and empty the cache."""
        self._source.close()

    def begin(self, request: Request, scope: Scope = _NO_SCOPE) -> Answer | Pending:
        """Decide the answer to a request, if that is possible without waiting.

        Args:
            request: the request.
            scope: the ASGI scope; required where `needs_scope` is true.

        Returns:
            The answer, which the caller closes; or a `Pending`, which `finish` completes.

        Raises:
            TypeError: access must be checked, and the scope is missing.
        """
        if self.is_closed and not scope:
            raise TypeError(_MISSING_SCOPE)
        is_stale = self._site_files is not None and not self._site_files.is_fresh()
        if is_stale or self._access is not None:
            return Pending(request, None, scope)
        begun = self._begin(request)
        return Pending(request, begun, scope) if isinstance(begun, Lookup) else begun

    def _begin(self, request: Request) -> Answer | Lookup:
        """Decide by the present redirects and rules; the lookup where that has to wait.

        The client has access already, or the hook is asked later.
        """
        admitted = admit(request, self.settings, self._redirects)
        if isinstance(admitted, ResponsePlan):
            # The mount point without its slash is redirected to it, where no redirect is for it.
            is_mount_point = not request.target and admitted.status == 301
            to_slash = is_mount_point and not self._moves_mount_point
            return _ROOT if to_slash else self._page(admitted)
        if self.in_front.may_be_closed(admitted.segments):
            admitted = admitted.nowhere()
        if self._authorization is not None:
            return admitted
        found = self._source.open_nowait(admitted)
        return admitted if found is None else self._answer(request, found)

    async def finish(self, pending: Pending) -> Answer:
        """Decide the answer to a request that had to wait."""
        request, lookup, scope = pending
        if lookup is not None:
            return await self._finish(request, lookup, scope)
        if self._access is not None:
            refusal = await self._access.refusal(request, scope)
            if refusal is not None:
                return self._page(refusal)._replace(refuses=True)
        if self._site_files is not None and not self._site_files.is_fresh():
            if not await self._site_files.renew():
                return self._answer(request, Absence.OVERLOADED)
            self._use(self._site_files.settings)
        return await self._find(request, scope)

    async def find(self, request: Request, scope: Scope = _NO_SCOPE) -> Answer:
        """Decide the answer to a request: `begin`, then `finish` if necessary."""
        begun = self.begin(request, scope)
        answer = begun if isinstance(begun, Answer) else await self.finish(begun)
        if (observe := scope.get(ANSWER_OBSERVER)) is not None:
            observe(self, request, scope, answer)
        return answer

    async def _find(self, request: Request, scope: Scope) -> Answer:
        """Do what `_begin` does, and wait if necessary."""
        begun = self._begin(request)
        return await self._finish(request, begun, scope) if isinstance(begun, Lookup) else begun

    async def _finish(self, request: Request, lookup: Lookup, scope: Scope) -> Answer:
        """Decide the answer by a lookup that has to wait."""
        if not request.target:
            return await self._to_mount_point(request, scope)
        if self._authorization is None:
            return self._answer(request, await self._source.open(lookup))
        # The hook is called for hidden and denied names as for missing ones. A path that is not the
        # canonical spelling of a name has no segments, so a hook could not judge it.
        if lookup.available or lookup.segments:
            refusal = await self._authorization.refusal(request, lookup, scope)
            if refusal is not None:  # no page of a directory that the hook may have to protect
                lookup = lookup.nowhere()
            if isinstance(refusal, ResponsePlan):
                page = await page_with(refusal.status, lookup, self._source)
                return self._page(refusal) if page is None else self._answer(request, page)
        lookup = lookup._replace(navigation=lookup.navigation and lookup.available)
        found = self._source.open_nowait(lookup) or await self._source.open(lookup)
        return self._answer(request, found)

    async def _to_mount_point(self, request: Request, scope: Scope) -> Answer:
        """Redirect to the mount point's slash, but only if an index is there, as for directories."""
        # Nothing else applies to a redirect (RFC 9110 §13.2.1, §14.2).
        fields = request.fields._replace(if_match=None, if_unmodified_since=None, range=None)
        answer = await self._find(request._replace(target=b"/", fields=fields), scope)
        if answer.opened is None or answer.plan.status >= 400:
            return answer
        answer.close()
        redirect = admit(request, self.settings)
        assert isinstance(redirect, ResponsePlan)  # noqa: S101 - as in `begin`
        return self._page(redirect)

    def _page(self, plan: ResponsePlan) -> Answer:
        """Answer with one of our own pages."""
        return Answer(self.policy.completed(plan))

    def _answer(self, request: Request, found: Found) -> Answer:
        """Decide the answer from the result of a lookup."""
        if not isinstance(found, Opened):
            return Answer(respond(request, found, self.policy, time.time_ns(), ""))
        try:
            segments = found.representation.segments
            if self.settings.manifest:
                self._manifests.begin_check()  # in a thread; later answers see its outcome
            if self._may_change(request, segments):
                found = replace(found, entry=None)  # so it is not prepared
            location = location_in_front(found, self.settings, self._tree.path, self.policy)
            if location is None:
                return Answer(self._plan(request, found), found)
            plan = self._plan(without_tag_of_front(request), found)
            return Answer(handed_over(plan, location, self.settings, self.policy), found)
        except BaseException:
            found.close()
            raise

    def _may_change(self, request: Request, segments: tuple[str, ...]) -> bool:
        """Tell whether the next manifest may change the answer with a file."""
        of_next = bool(self.settings.manifest) and self._manifests.may_prove(segments)
        return of_next or bool(self._links(request, segments))

    def _plan(self, request: Request, opened: Opened) -> ResponsePlan:
        boundary = secrets.token_hex(16) if request.fields.range else ""
        representation = opened.representation
        known = PROVEN_IMMUTABLE if self.proves(representation.segments) else NO_OVERRIDES
        if links := self._links(request, representation.segments):
            known = known._replace(link=links)
        return respond(request, representation, self.policy, time.time_ns(), boundary, known)

    def _links(self, request: Request, segments: tuple[str, ...]) -> bytes:
        """Return the Link value of a page; empty for none."""
        if not self.settings.early_hints:
            return b""
        return self.manifest.links(segments, request.stripped + request.mount)

    def without_condition(self, request: Request, answer: Answer) -> ResponsePlan:
        """Return the plan for the same representation without If-None-Match."""
        assert answer.opened is not None  # noqa: S101 - callers prepare representations only
        fields = request.fields._replace(if_none_match=None, if_modified_since=None)
        return self._plan(request._replace(fields=fields), answer.opened)

    async def answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that was read from a scope (`read_request`).

        Raises:
            starlette.exceptions.HTTPException: for an error that the app has a handler for.
        """
        if problem := asyncio_problem():  # a mounted app gets no lifespan events
            raise RuntimeError(problem)
        if is_ambiguous(scope["headers"]):  # nothing is opened, and no content is read
            refused = self._page(page_for(request, 400, ((b"connection", b"close"),)))
            await self.carry_out(refused, scope, receive, send)
            return
        answer = await self.find(request, scope)
        if answer.opened is None:
            raise_for_handler(answer.plan, scope)
        try:
            await drain(scope, receive)
            await self.carry_out(answer, scope, receive, send)
        finally:
            answer.close()

    async def carry_out(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what `find` decided; see `send_plan`."""
        plan, opened, _ = answer
        if (observe := scope.get(PLAN_OBSERVER)) is not None:
            observe(plan)
        if self.settings.early_hints and plan.status in (200, 206):  # else no page is sent
            await send_hints(plan, scope, send)
        timeout = self.settings.limits.send_timeout
        await send_plan(plan, opened, scope, receive, send, timeout, self.unchanging_root)
