"""The target of ``asyncstatic serve``: a directory, or an app that is named as ``module:app``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, NamedTuple

from asyncstatic.files.root import absolute
from asyncstatic.http.redirects import Redirects
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.callables import is_async, problem_of_wsgi, takes
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.process.signals import ending, ignored_by_children, unblock
from asyncstatic.serve.process.worker import end_with
from asyncstatic.serve.users import refuse_below
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.settings.values import printable

_NAMES = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_APP = re.compile(rf"({_NAMES}):({_NAMES})(\(\))?")


class Facts(NamedTuple):
    """Facts about a target, for the start-up line.

    Attributes:
        name: the directories or the app.
        answers: how it is served.
        hint: a line about a directory that answers 404 for "/"; "" if there is none.
    """

    name: str
    answers: str
    hint: str = ""


@dataclass(frozen=True)
class Folders:
    """One directory, or several with their prefixes.

    Args:
        create: makes the app; must be picklable.
        mounts: the settings of each root, by prefix; "" for all paths. `StaticMiddleware` says in
            which order they are asked.
        read: reads the configuration again; None if there is nothing to read.
        explained: puts in front of a problem of the root with a prefix where its setting is from.
        described: the configuration file, for people; "" without one.
        configured: files that `read` reads if they are there.
    """

    create: Callable[[Mapping[str, Settings]], Any]
    mounts: Mapping[str, Settings]
    read: Callable[[], Folders] | None = None
    explained: Callable[[str, str], str] | None = None
    described: str = ""
    configured: tuple[str, ...] = ()

    @property
    def roots(self) -> list[str]:
        """The directories."""
        every = self.mounts.values()
        return [root for settings in every for root in settings.roots]

    @property
    def reads(self) -> set[str]:
        """Directories of files that are read again while the roots are served: those of users."""
        return {os.path.dirname(file) for file in self._users()}

    def _users(self) -> list[str]:
        """Return the paths of the files of users."""
        named = (settings.users for settings in self.mounts.values())
        return [absolute(users) for users in named if isinstance(users, str)]

    @property
    def name(self) -> str:
        """The directories, for people."""
        return ", ".join(self.roots)

    def examine(self, *, direct: bool) -> Facts:
        """Open each root once, before workers start.

        Raises:
            SettingsError: one cannot be served.
        """
        names, resolvers, hint = [], [], ""
        for file in self._users():
            refuse_below(file, self.roots)
        for prefix, settings in self.mounts.items():
            try:
                static = StaticFiles(settings)
            except SettingsError as error:
                explained = self.explained or (lambda _prefix, problem: problem)
                raise SettingsError(explained(prefix, str(error))) from None
            if not _shows_root(static):
                hint = hint or f"{printable(static.root)} has no index: --listing shows its files"
            static.close()
            root = ",".join((static.root, *map(absolute, settings.more_roots)))
            names.append(f"{prefix or '/'}={root}" if len(self.mounts) > 1 or prefix else root)
            resolvers.append(static.resolver_name)
        source = f"{self.described}, " if self.described else ""
        answers = f"{source}resolver {', '.join(dict.fromkeys(resolvers))}"
        return Facts(", ".join(names), answers, hint)

    def for_worker(self) -> Folders:
        """Return what a worker process needs; it can be pickled."""
        return replace(self, read=None, explained=None)

    def renewed(self) -> Folders:
        """Return the target as the configuration describes it now.

        Raises:
            SettingsError: the configuration is wrong, or a root cannot be served.
        """
        if self.read is None:
            return self
        new = self.read()
        new.examine(direct=True)
        return new

    def build(self) -> Any:
        """Make the app."""
        return self.create(self.mounts)


@dataclass(frozen=True)
class App:
    """An ASGI app, loaded in each process that serves it.

    Args:
        name: ``module:app``, ``module:app.attribute`` or ``module:factory()``.
    """

    name: str

    def for_worker(self) -> App:
        """Return what a worker process needs."""
        return self

    def renewed(self) -> App:
        """Return the same: each new process imports the app anew."""
        return self

    @property
    def roots(self) -> list[str]:
        """No directories: the app has its own."""
        return []

    @property
    def reads(self) -> set[str]:
        """No directories: the app has its own."""
        return set()

    def examine(self, *, direct: bool) -> Facts:
        """Load the app, and find the static roots in front of it.

        A process of its own does that: a supervisor must not run the threads and connections that
        an app may start.

        Args:
            direct: whether the direct entry answers for these roots.

        Raises:
            SettingsError: the app cannot be loaded.
        """
        return _examine_elsewhere(self.name, direct)

    def build(self) -> Any:
        """Load the app; a second call in the same process returns the same object.

        Raises:
            SettingsError: it cannot be loaded.
        """
        return _load(self.name)


Target = Folders | App


def _shows_root(static: StaticFiles) -> bool:
    """Tell whether a browser finds something at the mount point."""
    settings = static.settings
    is_redirected = Redirects(settings.redirects).find((), directory=True) is not None
    has_index = any(static.root_with((name,)) for name in settings.index)
    return settings.listing or bool(settings.shell) or is_redirected or has_index


def is_app(text: str) -> bool:
    """Tell whether a target names an app; a directory of that name counts more."""
    return _APP.fullmatch(text) is not None and not os.path.isdir(text)


def hint_at_target(text: str) -> str:
    """Return how to say what a user may mean by a target that is no directory, or ""."""
    if text.isascii() and text.isdecimal():
        return f"; to choose a port say --bind {text}"
    path, _, rest = text.partition(":")
    module = path.removesuffix(".py").replace(os.sep, ".")
    if os.path.isfile(module.replace(".", os.sep) + ".py"):
        return f"; to serve an app say asyncstatic serve {module}:{rest or 'app'}"
    return ""


def _examine(name: str, direct: bool) -> Facts:
    mounts = list(find_mounts(_load(name)))
    prefixes = " and ".join(dict.fromkeys(printable(mount.prefix) or "/" for mount in mounts))
    if not direct:
        return Facts(name, "nothing directly: --no-direct")
    if not mounts:
        return Facts(name, "nothing directly: no static root is around the app")
    return Facts(name, f"static files of {prefixes} directly")


def _examine_elsewhere(name: str, direct: bool) -> Facts:
    """Load an app in a process that ends afterwards, also if this one is killed meanwhile."""
    os.stat(os.curdir)  # the new process enters it (multiprocessing.spawn)
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(theirs, name, direct, os.getpid()))
    try:
        with ours:
            with theirs, ignored_by_children():  # Ctrl-C is for this process
                process.start()
            outcome = ours.recv()
    except EOFError:
        outcome = None
    except BaseException:
        if process.pid is not None:
            process.terminate()
        raise
    process.join()
    if outcome is None:
        step = f"try python -X faulthandler -c 'import {name.partition(':')[0]}'"
        how = ending(process.exitcode or 0)
        raise SettingsError(f"{name}: the process that loaded it {how}; {step}")
    if isinstance(outcome, BaseException):
        raise outcome
    return Facts(*outcome)


def _report(pipe: Connection, name: str, direct: bool, parent: int) -> None:
    unblock()
    end_with(parent)
    try:
        outcome: Any = _examine(name, direct)
    except (SettingsError, SystemExit) as ended:
        outcome = ended
    with suppress(OSError):  # nobody waits any more
        pipe.send(outcome)


@lru_cache(maxsize=1)
def _load(name: str) -> Any:
    match = _APP.fullmatch(name)
    assert match is not None, name  # noqa: S101 - `is_app` was asked
    module_name, path, is_factory = match.groups()
    found: Any = _import(name, module_name)
    for attribute in path.split("."):
        found = _attribute(name, found, attribute)
    app = _call(name, found) if is_factory else found
    problem = _problem_with(name, app)
    if problem:
        raise SettingsError(problem)
    return app


def _import(name: str, module: str) -> ModuleType:
    """Import a module; the working directory comes first, as ``python -m`` does it."""
    directory = os.getcwd()
    if sys.path[:1] not in ([directory], [""]):
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            step = f"; start in the directory that has it, {printable(directory)} has not"
            raise SettingsError(
                f"{name}: there is no module {error.name}{hint_at_target(name) or step}"
            ) from None
        raise _failed(name, "the import", error) from None
    except Exception as error:
        raise _failed(name, "the import", error) from None


def _attribute(name: str, owner: Any, attribute: str) -> Any:
    try:
        return getattr(owner, attribute)
    except AttributeError:
        place = (
            "module " + owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
        )
        file = getattr(owner, "__file__", None)
        where = f" ({printable(file)})" if file else ""
        close = difflib.get_close_matches(attribute, [n for n in dir(owner) if n[:1] != "_"], n=1)
        step = f"did you mean {close[0]}?" if close else "name the variable that holds the app"
        raise SettingsError(f"{name}: {place}{where} has no {attribute}; {step}") from None


def _call(name: str, factory: Any) -> Any:
    if not callable(factory):
        raise SettingsError(f"{name}: {_kind(factory)} cannot be called; leave () out")
    if not takes(factory, 0):
        raise SettingsError(f"{name}: it needs arguments; name a function without them")
    try:
        return factory()
    except Exception as error:
        raise _failed(name, "the call", error) from None


def _failed(name: str, step: str, error: Exception) -> SettingsError:
    """Print the traceback, from the user's own code on, and return the error that ends the start."""
    frames = error.__traceback__
    while frames is not None and _is_not_of_user(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))
    reason = (str(error).splitlines() or [""])[0]
    kind = type(error).__name__
    return SettingsError(
        f"{name}: {step} failed, see above: {kind}{': ' if reason else ''}{printable(reason)}"
    )


def _is_not_of_user(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


def _problem_with(name: str, app: Any) -> str:
    """Return why an object is no ASGI app, and the next step; "" if it is one."""
    if inspect.iscoroutine(app):
        app.close()
        return f"{name}: it is an async function; name a plain function that returns the app"
    if not callable(app):
        return f"{name}: {_kind(app)} is no ASGI app; name the app itself"
    if isinstance(app, type) or (takes(app, 0) and not takes(app, 3)):
        return f"{name}: {_kind(app)} is no ASGI app; if it makes the app, say {name}()"
    if problem := problem_of_wsgi(app):
        return f"{name}: {problem}"
    if takes(app, 3) or is_async(app):
        return ""
    return f"{name}: {_kind(app)} is no ASGI app: it does not take scope, receive and send"


def _kind(found: Any) -> str:
    if isinstance(found, ModuleType):
        return "a module"
    if isinstance(found, type):
        return "a class"
    return "a function" if inspect.isroutine(found) else f"an object of type {type(found).__name__}"
