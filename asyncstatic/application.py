"""`app`: what ``hypercorn asyncstatic:app`` runs, and `create_app`, which builds it.

`app` exists at import without touching the disk or importing Quart. It reads its settings from
the environment when the server starts it up - or, under a server without the lifespan
protocol, when the first request comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Unpack

    from quart import Quart

    from asyncstatic.settings import Roots, Settings
    from asyncstatic.settings.root import SettingsOptions

Message = MutableMapping[str, Any]

_IGNORED = (
    "ignored here, because only asyncstatic serve reads it: %s; use the options of this server"
)


class Application:
    """An ASGI app that is built when it is needed.

    Args:
        build: makes the app; its SettingsError is reported to the server in one line.
    """

    def __init__(self, build: Callable[[], Quart]) -> None:
        self._build = build
        self._built: Quart | None = None
        self._reported = ""

    def built(self) -> Quart:
        """Return the app, built on the first call.

        Raises:
            SettingsError: the environment does not describe a root that can be served.
        """
        if self._built is None:
            self._built = self._build()
        return self._built

    def _problem(self) -> str:
        """Build the app; return why that is impossible, in one line, or ""."""
        from asyncstatic.serve.startup import asyncio_problem
        from asyncstatic.settings import SettingsError

        try:
            problem = asyncio_problem()
            if not problem:
                self.built()
                _warn_of_options()
        except SettingsError as error:
            return str(error)
        return problem

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Coroutine[Any, Any, Message]],
        send: Callable[[Message], Coroutine[Any, Any, None]],
    ) -> None:
        problem = self._problem() if self._built is None else ""
        if not problem:
            await self.built()(scope, receive, send)  # type: ignore[arg-type] # Quart's TypedDicts
        elif scope["type"] == "lifespan":
            from asyncstatic.serve.startup import end_command, refuse_startup

            end_command(problem, "asyncstatic:app", "asyncstatic")
            await refuse_startup(problem, receive, send)
        else:
            await self._refuse(problem, scope["type"], send)

    async def _refuse(
        self, problem: str, kind: str, send: Callable[[Message], Coroutine[Any, Any, None]]
    ) -> None:
        """Answer under a server without the lifespan protocol, which has started all the same."""
        import logging

        from asyncstatic.http.pages import page
        from asyncstatic.serve.portable import send_page

        if problem != self._reported:
            logging.getLogger("asyncstatic").error("%s", problem)
            self._reported = problem
        if kind == "http":
            await send_page(page(500, None), send)
        else:
            await send({"type": "websocket.close", "code": 1011})


def _warn_of_options() -> None:
    """Log a warning about options of ``asyncstatic serve``, which another server does not read."""
    import logging

    from asyncstatic.config.variables import OF_APPS, OTHER_VARIABLES, PREFIX

    names = [PREFIX + name for name in sorted(OTHER_VARIABLES - OF_APPS)]
    if ignored := ", ".join(name for name in names if name in os.environ):
        logging.getLogger("asyncstatic").warning(_IGNORED, ignored)


def create_app(
    settings: Settings | Roots | Mapping[str, Settings | Roots | Mapping[str, Any]] | None = None,
    *,
    root: Roots | None = None,
    exclusive: bool = False,
    **options: Unpack[SettingsOptions],
) -> Quart:
    """Build a Quart app with a static root in front, or several.

    Files below a root are served first; every other request goes through the app's own
    routing, so views may be added to what this returns.

    Args:
        settings: the root, or a `Settings` object that names it and beside which no other setting
            may be given. Several roots: a mapping of prefixes to them, as `StaticMiddleware` takes.
        root: the same root, by keyword.
        exclusive: of several roots, only the one with the longest prefix answers, as in nginx.
        **options: fields of `Settings`. Without any argument the environment and the configuration
            file are read.

    Raises:
        SettingsError: a root cannot be served or a setting is wrong.
    """
    from quart import Quart

    from asyncstatic.serve.middleware import StaticMiddleware
    from asyncstatic.serve.outside import OutsideRoots

    roots = _roots_of(settings, root, options)
    quart = Quart("asyncstatic", static_folder=None)

    def has_views() -> bool:
        return next(quart.url_map.iter_rules(), None) is not None

    quart.asgi_app = StaticMiddleware(  # type: ignore[method-assign, assignment] # Quart's way to wrap an app; its TypedDicts
        OutsideRoots(quart.asgi_app, has_views),
        roots,
        passes_on=has_views,
        exclusive=exclusive or (settings is None and isinstance(roots, Mapping)),
    )
    return quart


def _roots_of(named: Any, root: Roots | None, options: SettingsOptions) -> Any:
    from asyncstatic.settings import Settings, SettingsError
    from asyncstatic.settings.contradictions import refuse_options

    if isinstance(named, Mapping | Settings):
        kind = "Settings" if isinstance(named, Settings) else "mapping"
        refuse_options([*(["root"] if root is not None else []), *options], kind)
        return named
    if named is not None and root is not None:
        raise SettingsError(f"root={root!r}: the root is named twice, leave one of them out")
    named = root if named is None else named
    if named is None and not options:
        return _mounts_of_environment()
    return Settings(named, **options)


def _mounts_of_environment() -> Mapping[str, Settings]:
    """Read the site from the environment and the configuration file."""
    import logging

    from asyncstatic.config.environment import warn_of_unknown
    from asyncstatic.config.site import Sources

    warn_of_unknown(os.environ)
    site = Sources().read(os.environ)
    warnings = list(site.warnings())
    if site.document is not None and (names := sorted({*site.document.options} - {"direct"})):
        warnings.append(f"{site.document.path}: {_IGNORED % ', '.join(names)}")
    for warning in warnings:
        logging.getLogger("asyncstatic").warning("%s", warning)
    return site.mounts


app = Application(create_app)
