"""`AsyncStatic`: static roots in front of a Quart app, and URLs for its templates."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias, Unpack
from urllib.parse import quote, unquote

from markupsafe import Markup
from quart import Blueprint, Quart, Response, current_app, has_request_context, request
from quart.asgi import ASGIHTTPConnection
from werkzeug.exceptions import BadRequest, NotFound

from asyncstatic.config.environment import options_of
from asyncstatic.files.source import logger
from asyncstatic.http.target import is_host
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.middleware import MountOptions, StaticMiddleware, mounts_of
from asyncstatic.serve.quart.answer import present_scope
from asyncstatic.serve.quart.connection import FileConnection
from asyncstatic.serve.quart.options import age_of_app
from asyncstatic.serve.quart.views import send_from_directory
from asyncstatic.serve.scope import read_request
from asyncstatic.serve.signing import SignedURLs
from asyncstatic.settings import Roots, Settings, SettingsError
from asyncstatic.settings.contradictions import refuse_options
from asyncstatic.settings.paths import paths_of
from asyncstatic.settings.root import StrPath

__all__ = ["AsyncStatic", "static_tag", "static_url"]

QuartRoot: TypeAlias = Roots | Settings | Mapping[str, Any]

_EXTENSION = "asyncstatic"
_DEFAULT_PREFIX = "/static"
_DEFAULT_ENDPOINT = "static"  # Quart's own endpoint
_STYLES = ".css"
_CHECKED_NAMES = 1000  # names come from the app's templates; the bound guards against a mistake


class QuartOptions(MountOptions, total=False):
    """Keyword arguments of `AsyncStatic`: those of `StaticFiles`, and Quart's names."""

    static_folder: StrPath | None
    static_url_path: str | None


class AsyncStatic:
    """Serve a static root in front of a Quart app.

    ::

        app = Quart(__name__, static_folder=None)
        static = AsyncStatic(app, "ui/dist", manifest=".vite/manifest.json")

    GET and HEAD below the prefix are answered before Quart gets them: no RESPONSE_TIMEOUT, no
    per-request work of the app. A request for a missing file goes on to the app's own routes. The
    app's static route, if it has one at this prefix, answers through this root as well, and so do
    the static folders of its blueprints; ``static_folder=None`` avoids the route. In an app that
    matches hosts every request goes through the route.

    Args:
        app: the app; None to call `init_app` later, as in an app factory.
        root: the directory, relative to the app's `root_path`, also out of it; from
            ``app.config["ASYNCSTATIC_ROOT"]`` or else the app's static folder, if None. Several: a
            mapping of prefixes to them, asked in this order; there a root may also be a
            `Settings`, or a mapping of keyword arguments. Quart's `static_folder` is another name.
        prefix: where it is mounted; from ``app.config["ASYNCSTATIC_PREFIX"]`` or else the
            app's static URL path or "/static", if None. Quart's `static_url_path` is another name.
        endpoint: the name for `url_for`; another one for each further root. "static" if None; for
            each root of a mapping its prefix, "media" for "/media" and "a_b" for "/a/b".
        **settings: what `StaticFiles` takes; it overrides ``app.config["ASYNCSTATIC_*"]``.

    Raises:
        SettingsError: the root cannot be served, or a setting or config key is wrong.

    Attributes:
        static: the root, the first one of several.
        prefix: where it is mounted.
    """

    static: StaticFiles
    prefix: str

    def __init__(
        self,
        app: Quart | None = None,
        root: Roots | Settings | Mapping[str, QuartRoot] | None = None,
        prefix: str | None = None,
        *,
        endpoint: str | None = None,
        **settings: Unpack[QuartOptions],
    ) -> None:
        root = _one_of(root, "static_folder", settings.pop("static_folder", None))
        prefix = _one_of(prefix, "static_url_path", settings.pop("static_url_path", None))
        self._others: list[AsyncStatic] = []
        if isinstance(root, Mapping):
            if endpoint is not None:
                raise SettingsError(f"endpoint={endpoint!r}: not beside a mapping of several roots")
            (prefix, first), *others = mounts_of(root, prefix)
            endpoint = _endpoint_of(prefix)
            for other, its_root in others:
                named, options = _named(its_root, settings)
                further = AsyncStatic(None, named, other, endpoint=_endpoint_of(other), **options)
                self._others.append(further)
            root, settings = _named(first, settings)
        self._root = root
        self._prefix = prefix
        self._endpoint = _DEFAULT_ENDPOINT if endpoint is None else endpoint
        self._settings: dict[str, Any] = dict(settings)
        self._checked: set[str] = set()  # names
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Put the root in front of an app; `static` and `prefix` are those of the last app.

        Raises:
            SettingsError: as the class.
        """
        if not isinstance(app, Quart):
            raise SettingsError(
                f"app={app!r}: a Quart app is needed, AsyncStatic(app, 'static'); in another app "
                "mount a StaticFiles, or use StaticMiddleware"
            )
        for other in reversed(self._others):  # what is put in front last is asked first
            other.init_app(app)
        self.static = StaticFiles(**_options(app, self._root, self._settings))
        middleware = StaticMiddleware(app.asgi_app, self.static, _prefix(app, self._prefix))
        if not app.url_map.host_matching:  # otherwise only the route knows the host
            app.asgi_app = middleware  # type: ignore[method-assign, assignment] # Quart's way to wrap an app; its TypedDicts
        self.prefix = middleware.prefix
        copy(self)._register(app)  # noqa: SLF001 - our own class: each app has a root of its own

    def _register(self, app: Quart) -> None:
        """Let the app's routes, templates and hooks use this object."""
        self._checked = set()
        self._take_route(app)
        if app.asgi_http_class is ASGIHTTPConnection:  # an app's own class may derive from ours
            app.asgi_http_class = FileConnection
        if self.static.settings.manifest:
            app.before_request(self._renew_manifest)
            app.before_websocket(self._renew_manifest)
        app.url_defaults(self._fingerprint)
        app.extensions.setdefault(_EXTENSION, {})[self._endpoint] = self
        app.jinja_env.globals.setdefault("static_url", static_url)
        app.jinja_env.globals.setdefault("static_tag", static_tag)
        _adopt_blueprints(app)
        app.before_serving(lambda: _adopt_blueprints(app))

    def url(self, filename: str) -> str:
        """Return the URL of a file: the fingerprinted one if the manifest has one.

        In a request it is `url_for`'s, with the app's mount point; elsewhere a plain path.

        Raises:
            LookupError: neither the manifest nor the root has the name, and the app runs with
                `debug` or `testing`. Otherwise the problem is logged once for each name.
        """
        self._check_name(filename)
        return self._url(filename)

    def _url(self, filename: str) -> str:
        if has_request_context():
            return current_app.url_for(self._endpoint, filename=filename)
        return quote(f"{self.prefix}/{self._file(filename)}")

    def tag(self, filename: str, **attributes: str | bool) -> Markup:
        """Return the HTML element that loads a script or stylesheet, with its integrity value.

        For a Vite entry, elements for its stylesheets and preloads for its imports come first.

        Args:
            filename: the logical name, as in the manifest.
            **attributes: further attributes; True for one without a value.

        Raises:
            LookupError: as `url`.
        """
        self._check_name(filename)
        manifest, file = self.static.manifest, self._file(filename)
        parts = [self._link("stylesheet", name) for name in manifest.styles.get(filename, ())]
        if file.endswith(_STYLES):
            return Markup("\n").join([*parts, self._link("stylesheet", file, **attributes)])
        parts += [self._link("modulepreload", name) for name in manifest.imports.get(filename, ())]
        if filename in manifest.modules:
            attributes = {"type": "module", **attributes}
        source = self._attributes("src", file, attributes)
        return Markup("\n").join([*parts, Markup("<script{}></script>").format(source)])

    def sign_url(self, filename: str, *, expires_in: float | timedelta) -> str:
        """Return a URL that expires; the root needs ``authorize=SignedURLs(...)`` with this key.

        Raises:
            SettingsError: the app's `secret_key` is missing or too short.
        """
        key = current_app.secret_key or ""
        return SignedURLs(key, prefix=self.prefix).sign(filename, expires_in=expires_in)

    def _check_name(self, filename: str) -> None:
        """Report a name that is neither in the manifest nor a file of the root.

        A developer gets an exception at once, even if the check waits for the disk. In production
        each name is checked once, in a thread.
        """
        manifest = self.static.manifest
        if not self.static.settings.manifest or filename in manifest.files:
            return
        if current_app.debug or current_app.testing:
            if problem := self._problem_with(filename):
                raise LookupError(problem)
        elif filename not in self._checked and len(self._checked) < _CHECKED_NAMES:
            self._checked.add(filename)
            try:
                asyncio.get_running_loop().run_in_executor(None, self._log_problem, filename)
            except RuntimeError:  # in a thread
                self._log_problem(filename)

    def _problem_with(self, filename: str) -> str:
        files = self.static.manifest.files
        with suppress(ValueError):  # no file can have this name
            if filename in files.values() or self.static.root_with(tuple(filename.split("/"))):
                return ""
        close = difflib.get_close_matches(filename, files, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "fix the name, or build the site again"
        return f"static file {filename!r} is not in the manifest: {hint}"

    def _log_problem(self, filename: str) -> None:
        if problem := self._problem_with(filename):
            logger.error("%s", problem)

    def _file(self, filename: str) -> str:
        return self.static.manifest.files.get(filename, filename)

    def _link(self, relation: str, file: str, **attributes: str | bool) -> Markup:
        rest = self._attributes("href", file, attributes)
        return Markup('<link rel="{}"{}>').format(relation, rest)

    def _attributes(self, name: str, file: str, others: dict[str, str | bool]) -> Markup:
        """Render attributes; the integrity value is that of exactly this file."""
        own: dict[str, str | bool] = {name: self._url(file)}
        if integrity := self.static.manifest.integrity.get(file):
            own["integrity"] = integrity
        return Markup("").join(_attribute(*each) for each in {**own, **others}.items())

    def _take_route(self, app: Quart) -> None:
        """Give `url_for` an endpoint, whose view answers through this root."""
        rule = f"{self.prefix}/<path:filename>"
        present = [
            rule.rule for rule in app.url_map.iter_rules() if rule.endpoint == self._endpoint
        ]
        if present and present != [rule]:
            raise SettingsError(
                f"the app has its static route at {present[0]}, not at {rule}: create it with "
                "static_folder=None, or name another endpoint="
            )
        if not present:
            if app.url_map.host_matching:
                raise SettingsError(
                    "the app matches hosts: create it with static_folder= and static_host=, "
                    "so that the route says which host the files are for"
                )
            app.add_url_rule(rule, self._endpoint, self._answer_route)
        app.view_functions[self._endpoint] = self._answer_route
        if self._endpoint == _DEFAULT_ENDPOINT:
            app.send_static_file = self._send  # type: ignore[method-assign] # apps call it for their own pages

    async def _answer_route(self, filename: str) -> Response:
        _refuse_as_a_root()
        return await self._send(filename)

    async def _send(self, filename: str) -> Response:
        return await send_from_directory(self.static, filename)

    async def _renew_manifest(self) -> None:
        """Read a new manifest, so that no view writes URLs of a build that a deploy has replaced."""
        await self.static.fresh_manifest()

    def _fingerprint(self, endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == self._endpoint and "filename" in values:
            values["filename"] = self._file(values["filename"])


def static_url(filename: str, endpoint: str = "static") -> str:
    """Return the URL of a static file of the current app; see `AsyncStatic.url`."""
    return _extension(endpoint).url(filename)


def static_tag(filename: str, endpoint: str = "static", **attributes: str | bool) -> Markup:
    """Return the element that loads a static file; see `AsyncStatic.tag`."""
    return _extension(endpoint).tag(filename, **attributes)


def _extension(endpoint: str) -> AsyncStatic:
    try:
        found: AsyncStatic = current_app.extensions[_EXTENSION][endpoint]
    except KeyError:
        raise RuntimeError(
            f"the app has no static root {endpoint!r}: call AsyncStatic(app, ...) first"
        ) from None
    return found


def _one_of(ours: Any, name: str, quarts: Any) -> Any:
    """Return an argument that has a name of ours and one of Quart's."""
    if ours is not None and quarts is not None:
        raise SettingsError(f"{name}= says the same in Quart's words: leave one of them out")
    return quarts if ours is None else ours


def _endpoint_of(prefix: str) -> str:
    return prefix.strip("/").replace("/", "_") or "root"


def _named(root: QuartRoot, settings: Any) -> tuple[Roots | Settings | None, Any]:
    """Split the root of a mapping into the root and its keyword arguments with those for all roots."""
    if not isinstance(root, Mapping):
        return root, settings
    options = {**settings, **root}
    return options.pop("root", None), options


def _options(app: Quart, root: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return all settings: keywords, then the app's config, then the app's own ones for files."""
    if isinstance(root, Settings):
        refuse_options(settings, "Settings")
        first, *more = (_in_app(app, each) for each in root.roots)
        return {"root": replace(root, root=first, more_roots=tuple(more))}
    options = {**options_of(app.config, ("PREFIX",)), **settings}
    if root is None:
        root = options.get("root") or app.static_folder
    if root is None and not {"directory", "packages"} & options.keys():
        raise SettingsError("no root: AsyncStatic(app, 'dir') or app.config['ASYNCSTATIC_ROOT']")
    age = age_of_app(app, None)
    if age is not None:
        options.setdefault("cache_control", f"public, max-age={max(0, int(age))}")
    if root is not None:
        options["root"] = [_in_app(app, each) for each in paths_of(root)]
    return options


def _in_app(app: Quart, root: Any) -> Any:
    """Return the path of a root, which is relative to the app's; "" if none is named."""
    return os.path.join(app.root_path, root) if root else root


def _prefix(app: Quart, prefix: str | None) -> str:
    if prefix is not None:
        return prefix
    configured = app.config.get("ASYNCSTATIC_PREFIX")
    return str(configured) if configured is not None else app.static_url_path or _DEFAULT_PREFIX


def _attribute(name: str, value: str | bool) -> Markup:
    """Render one attribute; Python's ``class_`` and ``data_x`` become class and data-x."""
    name = name.rstrip("_").replace("_", "-")
    if value is False:
        return Markup("")
    return Markup(" {}").format(name) if value is True else Markup(' {}="{}"').format(name, value)


def _adopt_blueprints(app: Quart) -> None:
    """Let the static routes of blueprints answer through our `send_from_directory`."""
    for endpoint, view in app.view_functions.items():
        blueprint = getattr(view, "__self__", None)
        if isinstance(blueprint, Blueprint) and view == blueprint.send_static_file:
            app.view_functions[endpoint] = _view_of(blueprint)


def _view_of(blueprint: Blueprint) -> Callable[..., Any]:
    async def send_static_file(filename: str) -> Response:
        _refuse_as_a_root()
        return await send_from_directory(blueprint.static_folder or "", filename)

    return send_static_file


def _refuse_as_a_root() -> None:
    """Refuse what no root answers, but a router passes on to the view of a static route.

    Quart decodes slashes, merges them, and drops ``;x`` from an absolute-form: a view does not see it.

    Raises:
        BadRequest: Host is invalid (RFC 9112 §3.2).
        NotFound: the path has another spelling.
    """
    asked = read_request(present_scope())
    if asked.fields.host and not is_host(asked.fields.host):
        raise BadRequest
    spelled = asked.target.decode("latin-1")
    is_path = unquote(spelled) == request.path and "%2f" not in spelled.lower()
    if not (is_path or asked.decoded):
        raise NotFound
