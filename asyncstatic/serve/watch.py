"""Notice changes below a directory, also when the directory itself is replaced, and those of files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing, closing, suppress
from functools import partial
from typing import Any

from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import absolute
from asyncstatic.files.source import logger
from asyncstatic.files.zip_tree import archive_of
from asyncstatic.http.model import Identity
from asyncstatic.settings.values import MissingPackageError

_CHECK = 250  # ms between two checks of where the path leads
_DEBOUNCE = 100  # ms in which changes count as one burst
_REPOSITORIES = (".git", ".hg", ".svn")


class Watch:
    """Calls a function after changes below a directory.

    The system reports changes of a directory by its inode. But a build may remove the directory
    and create it again, rename another one over it, or swap a symbolic link, here or in a parent.
    So the path is also resolved four times a second, and a new directory is watched from then on.

    Args:
        path: the path of the directory, or in an archive; it may be missing for a while.
        changed: called on the event loop, after each burst of changes.

    Raises:
        MissingPackageError: watchfiles is not installed.
    """

    def __init__(self, path: str, changed: Callable[[], None]) -> None:
        try:
            from watchfiles import DefaultFilter, awatch
        except ImportError:
            raise MissingPackageError("--reload", "watchfiles", "reload") from None
        archive = archive_of(path)
        self._path = archive[0] if archive else absolute(path)
        self._changed = changed
        self._stop = asyncio.Event()
        self._failure = ""
        self._changes: Callable[[str], AsyncGenerator[set[Any], None]] = partial(
            awatch,
            # Editors' temporary files are ignored. The filter gets absolute paths, so it must not
            # ignore names that could be part of the root's own path (node_modules).
            watch_filter=DefaultFilter(ignore_dirs=_REPOSITORIES),
            debounce=_DEBOUNCE,
            stop_event=self._stop,
            rust_timeout=_CHECK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Watch until `stop` is called."""
        is_new = False
        while not self._stop.is_set():
            try:
                directory = await asyncio.to_thread(_Directory, self._path)
                with closing(directory):
                    await self._watch(directory, is_new)
            except FileNotFoundError:
                pass  # between removal and creation
            except Exception as error:
                # For example no more inotify watches; watchfiles has its own exceptions.
                self._report(error)
            is_new = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _CHECK / 1000)

    async def _watch(self, directory: _Directory, is_new: bool) -> None:
        """Watch one directory while the path leads to it and no link below it changes.

        A new directory counts as a change, and again after the first quiet period, because until
        then the server may have opened its files below the old one (`RootHandle`).
        """
        async with aclosing(self._changes(self._path)) as bursts:
            async for burst in bursts:
                self._failure = ""
                if burst or is_new:
                    self._changed()
                is_new = is_new and bool(burst)
                paths = [path for _, path in burst]
                if not await asyncio.to_thread(_is_complete, directory, paths):
                    return

    def _report(self, error: Exception) -> None:
        """Log a failure once, although the watch tries again."""
        if str(error) != self._failure:
            self._failure = str(error)
            logger.warning("--reload cannot watch %s: %s", self._path, error)


def watch_files(paths: Sequence[str]) -> Callable[[Callable[[], None]], Coroutine[Any, Any, None]]:
    """Examine some files, which may be missing for a while; return what notices each change from now on.

    It calls a function. The identities are compared four times a second. A change counts when they
    have stayed the same since: an editor may still be writing.
    """
    first = _identities(paths)

    async def watch(changed: Callable[[], None]) -> None:
        known = now = first
        while True:
            await asyncio.sleep(_CHECK / 1000)
            before, now = now, await asyncio.to_thread(_identities, paths)
            if known != now == before:
                known = now
                changed()

    return watch


def _identities(paths: Sequence[str]) -> list[Identity | None]:
    found: list[Identity | None] = []
    for path in paths:
        try:
            found.append(identity_of(os.stat(path)))
        except OSError:
            found.append(None)
    return found


def _is_complete(directory: _Directory, changed: list[str]) -> bool:
    """Tell whether everything is still watched; the target of a new link is not."""
    return directory.is_current() and not any(map(os.path.islink, changed))


class _Directory:
    """The directory, or archive, that a path leads to; its inode number is not reused before `close`.

    Raises:
        OSError: the path leads nowhere.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    def is_current(self) -> bool:
        """Tell whether the path still leads to this directory."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except OSError:
            return False
