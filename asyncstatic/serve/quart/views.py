"""`send_file` and `send_from_directory`: what a Quart view returns to send a file.

Drop-in for Quart's own, with the parameter names of Quart and of Flask. The answer is decided
by the same core as that of a mounted root; Quart's machinery - sessions, after_request, error
handlers - sees it as any response, and its content is streamed past RESPONSE_TIMEOUT.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, NoReturn, TypedDict, Unpack, cast

from quart import Response, current_app, request
from werkzeug.exceptions import NotFound, abort

from asyncstatic.files.memory import BoundedDict
from asyncstatic.files.source import Opened
from asyncstatic.http.fields import content_disposition
from asyncstatic.http.model import Absence, Fields, Representation, Request, ResponsePlan
from asyncstatic.http.respond import respond
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.offload import handed_over
from asyncstatic.serve.portable import in_memory
from asyncstatic.serve.quart.body import PlanBody
from asyncstatic.serve.quart.sendable import Sendable, open_file, open_octets, open_path
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Settings

_SUFFIX = ".type-by-view"  # a name of this suffix has the media type the view asked for
_TYPED = "file" + _SUFFIX
_APP_AGE = "SEND_FILE_MAX_AGE_DEFAULT"
_SECOND = 1_000_000_000
_REMEMBERED_ROOTS = 64
_roots: BoundedDict[str, StaticFiles] = BoundedDict(_REMEMBERED_ROOTS)

MaxAge = int | Callable[[str | None], int | None] | None


class QuartNames(TypedDict, total=False):
    """What Quart calls the parameters that Flask, and so we, call otherwise."""

    filename_or_io: Sendable
    file_name: str | os.PathLike[str]
    attachment_filename: str | None
    add_etags: bool
    cache_timeout: int | None


@dataclass(frozen=True, slots=True)
class _Options:
    """How a view wants its file to be sent; see `send_file`."""

    mimetype: str | None
    as_attachment: bool
    download_name: str | None
    conditional: bool
    etag: bool | str
    last_modified: datetime | float | None
    max_age: MaxAge
    cache_control: str | None

    def named(self, names: QuartNames) -> _Options:
        """Return the options with what came under Quart's names."""
        known = {_FLASK_NAMES[name]: value for name, value in names.items() if name in _FLASK_NAMES}
        unknown = names.keys() - QuartNames.__annotations__.keys()
        if unknown:
            raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
        return replace(self, **cast("dict[str, Any]", known))


_FLASK_NAMES = {
    "attachment_filename": "download_name",
    "add_etags": "etag",
    "cache_timeout": "max_age",
}


async def send_file(
    path_or_file: Sendable | None = None,
    mimetype: str | None = None,
    as_attachment: bool = False,
    download_name: str | None = None,
    *,
    conditional: bool = True,
    etag: bool | str = True,
    last_modified: datetime | float | None = None,
    max_age: MaxAge = None,
    cache_control: str | None = None,
    **quart_names: Unpack[QuartNames],
) -> Response:
    """Answer with a file that the *developer* chose; for a name from a user see below.

    Args:
        path_or_file: a path, relative to the app's `root_path`; bytes; or a binary file object,
            which is taken over, sent from its beginning and closed.
        mimetype: the media type; from the name, if None.
        as_attachment: ask the client to save it.
        download_name: the name to save under; the file's own, if None.
        conditional: honour Range, If-Range and the If-* fields.
        etag: send an entity-tag; a str: what tells versions apart, if you know better.
        last_modified: when the content changed, if you know better; a float in POSIX seconds.
        max_age: seconds it may be used without asking; or a function from its name to them.
        cache_control: the whole Cache-Control value, such as "private, no-store".
        **quart_names: `QuartNames`.

    Returns:
        A response with status 200, 206, 304, 412 or 416.

    Raises:
        NotFound: there is no such file. Forbidden, ServiceUnavailable, InternalServerError:
            it cannot be read, for now or at all.
        ValueError: nothing tells the media type of bytes: name `mimetype` or `download_name`.
        TypeError: this cannot be sent.

    Danger: never pass a path with anything from a request in it; `send_from_directory` is safe.
    """
    options = _Options(
        mimetype, as_attachment, download_name, conditional, etag, last_modified, max_age,
        cache_control,
    ).named(quart_names)  # fmt: skip
    what = quart_names.get("filename_or_io", path_or_file)
    if what is None:
        raise TypeError("send_file needs a path, bytes or a binary file")
    return _answer(await _opened(what, options), options, _defaults())


async def send_from_directory(  # noqa: D417 - the other parameters are described in send_file
    directory: str | os.PathLike[str] | StaticFiles,
    path: str | os.PathLike[str] | None = None,
    *,
    mimetype: str | None = None,
    as_attachment: bool = False,
    download_name: str | None = None,
    conditional: bool = True,
    etag: bool | str = True,
    last_modified: datetime | float | None = None,
    max_age: MaxAge = None,
    cache_control: str | None = None,
    **quart_names: Unpack[QuartNames],
) -> Response:
    """Answer with a file below a directory; `path` may be anything a user sent.

    Args:
        directory: a configured path, relative to the app's `root_path`, also out of it
            ("../../ui/dist"); or a `StaticFiles`, whose settings hold then.
        path: below it, decoded, with "/" between names. Never trusted: nothing outside the
            directory, no hidden name and no second spelling of a name is found.
        **quart_names: as in `send_file`, like all parameters that are not named here.

    Raises:
        NotFound: there is no such file. BadRequest: no file can have this name.
        Forbidden, ServiceUnavailable, InternalServerError: as in `send_file`.
        SettingsError: the directory cannot be served.
    """
    options = _Options(
        mimetype, as_attachment, download_name, conditional, etag, last_modified, max_age,
        cache_control,
    ).named(quart_names)  # fmt: skip
    name = quart_names.get("file_name", path)
    if name is None:
        raise TypeError("send_from_directory needs a path below the directory")
    static = directory if isinstance(directory, StaticFiles) else await _root(directory)
    target = "/" + os.fspath(name)
    asked = Request("GET", target.encode("utf-8", "surrogatepass"), decoded=True)
    accepts = Fields(accept_encoding=request.headers.get("Accept-Encoding"))
    plan, opened = await static.find(asked._replace(fields=accepts), _scope())
    if opened is None:
        _refuse(plan.status)
    return _answer(opened, options, static.settings, static)


# -- from what is to be sent to what was opened ----------------------------------------------


async def _opened(what: Sendable, options: _Options) -> Opened:
    if isinstance(what, str | os.PathLike):
        found = await open_path(_configured(what))
        if isinstance(found, Absence):
            _refuse(found.value)
        return found
    name = options.download_name or ""
    if isinstance(what, bytes | bytearray | memoryview):
        opened = open_octets(bytes(what), name)
    else:
        name = name or _name_of(what)
        opened = await open_file(what, name)
    if not name and options.mimetype is None:
        opened.close()
        raise ValueError("the media type is not known: name mimetype= or download_name=")
    return opened


def _name_of(file: Any) -> str:
    name = getattr(file, "name", "")
    return os.path.basename(name) if isinstance(name, str) else ""


def _configured(path: str | os.PathLike[str]) -> str:
    """Bind a path the developer wrote to the app's own place."""
    return os.path.normpath(os.path.join(current_app.root_path, os.fspath(path)))


async def _root(directory: str | os.PathLike[str]) -> StaticFiles:
    """Open a directory once; the least recently opened is let go when there are too many.

    Without a cache of its own: a mounted root is for what is asked all the time. It is not
    closed when it is let go, because answers may still be sent from it; its handles go with it.
    """
    path = _configured(directory)
    static = _roots.get(path)
    if static is None:
        static = await asyncio.to_thread(StaticFiles, path, index=(), cache_bytes=0)
        _roots.put(path, static)
    return static


def _refuse(status: int) -> NoReturn:
    """Raise what Quart's error handlers know; a redirect would need to know our mount point."""
    if status < 400:
        raise NotFound
    abort(status)


# -- from what was opened to a response ------------------------------------------------------


def _answer(
    opened: Opened, options: _Options, settings: Settings, static: StaticFiles | None = None
) -> Response:
    try:
        plan = _plan(opened, options, settings)
        if static is not None and settings.offload != "off":
            plan = handed_over(plan, opened, settings, static.root)
        return _response(plan, opened, settings)
    except BaseException:
        opened.close()
        raise


def _plan(opened: Opened, options: _Options, settings: Settings) -> ResponsePlan:
    name = opened.representation.segments[-1]
    asked = _request(options)
    boundary = secrets.token_hex(16) if asked.fields.range else ""
    chosen = _changed(settings, options, name)
    plan = respond(asked, _facts(opened, options), chosen, time.time_ns(), boundary)
    return _disposed(plan, options, name) if plan.status in (200, 206) else plan


def _facts(opened: Opened, options: _Options) -> Representation:
    """The facts of the representation, with what the view knows better."""
    facts = opened.representation
    if options.mimetype is not None:
        facts = replace(facts, segments=(*facts.segments[:-1], _TYPED))
    elif options.download_name:
        facts = replace(facts, segments=(*facts.segments[:-1], options.download_name))
    if isinstance(options.etag, str):
        facts = replace(facts, digest=sha256(options.etag.encode()).digest())
    if options.last_modified is not None:
        modified = options.last_modified
        seconds = modified.timestamp() if isinstance(modified, datetime) else modified
        facts = replace(facts, modified_ns=int(seconds * _SECOND), dated=True)
    return facts


def _scope() -> Scope:
    return cast("Scope", request.scope)


def _request(options: _Options) -> Request:
    """Read Quart's request; conditions and ranges are for GET and HEAD alone."""
    method = request.method if request.method in ("GET", "HEAD") else "GET"
    if not options.conditional or method != request.method:
        return Request(method, b"/", fields=Fields(accept=request.headers.get("Accept")))
    fields = Fields.read(request.scope["headers"])
    if isinstance(options.etag, str):
        fields = fields._replace(want_repr_digest=None)
    return Request(method, b"/", fields=fields)


def _cache_control(settings: Settings, options: _Options, name: str) -> str | None:
    """What the view says, else the root, else the app; Quart's default of 12 hours is nobody's.

    With that one a browser shows the old file for half a day after a deploy.
    """
    if options.cache_control is not None:
        return options.cache_control
    seconds = options.max_age(name) if callable(options.max_age) else options.max_age
    if seconds is None and settings.cache_control == _defaults().cache_control:
        config, default = current_app.config, current_app.default_config
        if config[_APP_AGE] != default[_APP_AGE]:
            seconds = current_app.get_send_file_max_age(name)
    return None if seconds is None else f"public, max-age={max(0, int(seconds))}"


def _changed(settings: Settings, options: _Options, name: str) -> Settings:
    """The settings, with what the view asks for; checking them anew has its price."""
    changes: dict[str, Any] = {}
    if options.mimetype is not None:
        mimetype = options.mimetype
        charset = mimetype.startswith("text/") and "charset" not in mimetype
        typed = f"{mimetype}; charset=utf-8" if charset else mimetype
        changes["media_types"] = {**settings.media_types, _SUFFIX: typed}
    cache_control = _cache_control(settings, options, name)
    if cache_control is not None:
        changes |= {"cache_control": cache_control, "immutable": ()}
    if not options.etag:
        changes["etag"] = "off"
    return replace(settings, **changes) if changes else settings


@lru_cache(maxsize=1)
def _defaults() -> Settings:
    return Settings()


def _disposed(plan: ResponsePlan, options: _Options, name: str) -> ResponsePlan:
    """Add Content-Disposition where the view asks for one (RFC 6266)."""
    if not options.as_attachment and options.download_name is None:
        return plan
    kind = content_disposition(
        "attachment" if options.as_attachment else "inline", options.download_name or name
    )
    field = (b"content-disposition", kind.encode("ascii"))
    return replace(plan, fields=(*plan.fields, field))


def _response(plan: ResponsePlan, opened: Opened, settings: Settings) -> Response:
    """Make the app's own kind of response; its headers are the plan's and no default."""
    content = in_memory(plan, opened)
    if content is None:
        body: Any = PlanBody(plan, opened, _scope(), settings.send_timeout)
    else:
        opened.close()
        body = content
    response = current_app.response_class(body, plan.status)
    for default in ("Content-Type", "Content-Length"):
        response.headers.pop(default, None)
    for name, value in plan.fields:
        response.headers[name.decode("ascii").title()] = value.decode("latin-1")
    response.timeout = None  # the body has a deadline of its own, for progress
    return response
