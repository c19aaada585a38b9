"""`send_file` and `send_from_directory`: a Quart view returns their responses to send a file.

They replace Quart's own, and accept the parameter names of Quart and of Flask. The same core decides
the answer as for a mounted root. Quart's machinery - sessions, after_request, error handlers -
treats it as any response, but RESPONSE_TIMEOUT does not cut its content.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar, Unpack

from quart import Response, current_app, has_request_context, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import NotFound, abort

from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.pool import PoolBusyError
from asyncstatic.files.source import Opened, logger
from asyncstatic.http.model import Absence, Fields, RawFields, Request
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.quart.answer import answer, present_scope
from asyncstatic.serve.quart.options import DirectoryOptions, FileOptions, ViewOptions
from asyncstatic.serve.quart.sendable import Sendable, open_bytes, open_file, open_path
from asyncstatic.settings import SettingsError

_MOST_ROOTS = 64
#: Fields of a refusal that Werkzeug's exceptions know.
_OF_EXCEPTIONS = frozenset({b"retry-after", b"www-authenticate"})
_roots: BoundedDict[str, StaticFiles] = BoundedDict(_MOST_ROOTS)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _for_async_views(
    function: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Raise a helpful error if a view that is not async calls this, or a view of another framework."""
    name = function.__name__

    @wraps(function)
    def checked(
        *args: Parameters.args, **options: Parameters.kwargs
    ) -> Coroutine[Any, Any, Result]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                f"{name} needs an async view: `async def`, and `return await {name}(...)` in it"
            ) from None
        if not has_request_context():
            raise RuntimeError(
                f"{name} needs a request to a Quart app; in another app mount a StaticFiles"
            )
        return function(*args, **options)

    return checked


@_for_async_views
async def send_file(
    path_or_file: Sendable | None = None,
    mimetype: str | None = None,
    as_attachment: bool = False,
    download_name: str | None = None,
    **options: Unpack[FileOptions],
) -> Response:
    """Answer with a file that the *developer* chose.

    Args:
        path_or_file: a path, relative to the app's `root_path`; bytes; or a binary file object,
            which is sent from its beginning and then closed.
        mimetype: the media type; from the name, if None.
        as_attachment: ask the client to save the file.
        download_name: the name to save under; the file's own, if None.
        conditional: honour Range, If-Range and the If-* fields; True if not given.
        etag: send an entity-tag; True if not given. A str is sent as the tag, and must change with
            the content.
        last_modified: when the content changed, instead of the file's time; a number is in POSIX
            seconds; a time without a zone is UTC.
        max_age: seconds for which clients may use the file without revalidation; or a function of
            its name (not its path; None if it has none) that returns them.
        cache_control: the whole Cache-Control value, such as "private, no-store".
        **options: the last five, and Quart's names of parameters (`FileOptions`).

    Returns:
        A response with status 200, 206, 304, 412 or 416.

    Raises:
        NotFound: there is no such file. Forbidden, ServiceUnavailable, InternalServerError:
            it cannot be read, for now or at all.
        ValueError: the media type of bytes is unknown: name `mimetype` or `download_name`; or a
            value cannot be sent in a field.
        TypeError: this object cannot be sent.
        RuntimeError: the view is not async, or not one of a Quart app.

    Danger: never pass a path that contains a part of the request. `send_from_directory` is safe.
    """
    what = options.pop("filename_or_io", path_or_file)
    if what is None:
        raise TypeError("send_file needs a path, bytes or a binary file")
    named = {"mimetype": mimetype, "as_attachment": as_attachment, "download_name": download_name}
    chosen = ViewOptions.of({**named, **options})
    return answer(await _opened(what, chosen), chosen)


@_for_async_views
async def send_from_directory(
    directory: str | os.PathLike[str] | StaticFiles,
    path: str | os.PathLike[str] | None = None,
    **options: Unpack[DirectoryOptions],
) -> Response:
    """Answer with a file below a directory; `path` may come from a user.

    Args:
        directory: a configured path, relative to the app's `root_path`, also outside of it
            ("../../ui/dist"); or a `StaticFiles`, whose settings then hold.
        path: the path below it, decoded, with "/" between names. It is not trusted: no file outside
            the directory, no hidden name and no second spelling of a name is found.
        **options: as in `send_file`, by name.

    Raises:
        NotFound: there is no such file, or no such directory, which is logged. BadRequest: no file
            can have this name.
        Forbidden, ServiceUnavailable, InternalServerError: as in `send_file`.
        SettingsError: the directory cannot be served.
    """
    name = options.pop("file_name", path)
    if name is None:
        raise TypeError("send_from_directory needs a path below the directory")
    chosen = ViewOptions.of(options)
    static = directory if isinstance(directory, StaticFiles) else await _root(directory)
    return answer(await _found(static, os.fspath(name)), chosen, static)


# -- a name that a user sent -----------------------------------------------------------------


async def _found(static: StaticFiles, name: str) -> Opened:
    """Open a file below a root, or raise an exception for Quart's error handlers."""
    sent = Fields.read(request.scope["headers"])  # a field may stand on several lines
    accepts = Fields(accept_encoding=sent.accept_encoding)
    target = "/" + name
    asked = Request("GET", target.encode("utf-8", "surrogatepass"), fields=accepts, decoded=True)
    plan, opened, _ = await static.find(asked, present_scope())
    if opened is None:
        _refuse(plan.status, plan.fields)
    if plan.status >= 400:  # the root's own page for what is missing
        opened.close()
        _refuse(plan.status)
    opened.representation = opened.representation._replace(moved_to="")
    return opened


async def _root(directory: str | os.PathLike[str]) -> StaticFiles:
    """Open a directory once; the older half is dropped when there are too many.

    It has no cache of its own: mount a root for files that are requested all the time. A dropped
    root is not closed, because answers may still be sent from it; its handles close with it.
    """
    path = _configured(directory)
    static = _roots.get(path)
    if static is None:
        static = await asyncio.to_thread(_open_root, path)
        _roots.put(path, static)
    return static


def _open_root(path: str) -> StaticFiles:
    try:
        return StaticFiles(path, index=(), cache_bytes=0)
    except SettingsError as error:
        if os.path.exists(path):
            raise
        logger.warning("%s", error)  # 404, as for a directory that is removed later
        raise NotFound from None


def _refuse(status: int, fields: RawFields = ()) -> NoReturn:
    """Raise an exception for Quart's error handlers; a redirect would need our mount point."""
    if status < 400:
        raise NotFound
    values = {name: value.decode("ascii") for name, value in fields if name in _OF_EXCEPTIONS}
    options: dict[str, Any] = {}
    if wait := values.get(b"retry-after"):
        options["retry_after"] = int(wait)
    if challenge := values.get(b"www-authenticate"):
        options["www_authenticate"] = WWWAuthenticate.from_header(challenge)
    abort(status, **options)


# -- what the developer chose ----------------------------------------------------------------


async def _opened(what: Sendable, options: ViewOptions) -> Opened:
    if isinstance(what, str | os.PathLike):
        found = await open_path(_configured(what))
        if isinstance(found, Absence):
            _refuse(found.value)
        return found
    name = options.download_name or ""
    if isinstance(what, bytes | bytearray | memoryview):
        opened = open_bytes(bytes(what), name)
    else:
        name = name or _name_of(what)
        try:
            opened = await open_file(what, name)
        except PoolBusyError:
            _refuse(Absence.OVERLOADED.value)
    if not name and options.mimetype is None:
        opened.close()
        raise ValueError("the media type is not known: name mimetype= or download_name=")
    return opened


def _name_of(file: Any) -> str:
    name = getattr(file, "name", "")
    return os.path.basename(name) if isinstance(name, str) else ""


def _configured(path: str | os.PathLike[str]) -> str:
    """Make a path that the developer wrote absolute, relative to the app's `root_path`."""
    return os.path.join(current_app.root_path, path)
