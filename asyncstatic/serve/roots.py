"""Open the directories or archives of a root, and stack the sources that find its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource, Stamps
from asyncstatic.files.directory import open_directory
from asyncstatic.files.fallback import NEAREST, Fallbacks
from asyncstatic.files.overlay import Overlay
from asyncstatic.files.root import Segments
from asyncstatic.files.source import Source
from asyncstatic.files.tree import TreeReader
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.files.zip_format import ArchiveError, NotAnArchiveError
from asyncstatic.files.zip_tree import ZipTree, archive_of
from asyncstatic.http.model import Absence
from asyncstatic.http.target import is_public, is_public_behind_link
from asyncstatic.serve.listing import ListedSource, Pages
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.settings.values import printable, problem_with_missing


def open_tree(settings: Settings, allowed: Callable[[Segments], bool]) -> TreeReader:
    """Open the tree that is the root: a directory, or a zip archive, or a directory in one."""
    archive = archive_of(settings.root)
    if archive is None:
        return open_directory(settings, allowed)
    if settings.previous_root_grace:
        raise SettingsError(
            f"previous_root_grace={settings.previous_root_grace!r}: not for an archive; "
            f"leave it out for {printable(settings.root)}"
        )
    return ZipTree(*archive)


def open_root(settings: Settings) -> TreeSource:
    """Open a root.

    Raises:
        SettingsError: one line that names the problem and the next step.
    """
    if not settings.root:
        raise SettingsError("no root: name the directory to serve")
    allowed = partial(is_public_behind_link, settings=settings)
    try:
        return TreeSource(open_tree(settings, allowed), settings, allowed)
    except SettingsError:
        raise
    except FileNotFoundError:
        problem = problem_with_missing(settings.root)
    except NotADirectoryError:
        problem = "is not a directory; name the directory that holds the files"
    except NotAnArchiveError:
        problem = "is a file, not a directory or a zip archive; name the one that holds the files"
    except ArchiveError as error:
        problem = f"cannot be served: it {error}"
    except PermissionError:
        problem = f"may not be read by user {_user()}; change its permissions"
    except (OSError, ValueError) as error:
        problem = f"cannot be opened: {error}"
    raise SettingsError(f"root {printable(settings.root)}: {problem}")


def check_pages(settings: Settings, trees: list[TreeSource], *, not_found: bool) -> None:
    """Refuse a shell or an error page that no root has; a lone sidecar is enough.

    The check is made only at the start: if an error page is missing later, our own is sent. The
    nearest page may be in any directory, so it is not checked.

    Args:
        settings: of the root.
        trees: of the root.
        not_found: whether `Settings.not_found` is checked as well.
    """
    pages: list[tuple[str, object, str]] = [
        ("spa", settings.spa, settings.shell),
        *(("error_pages", settings.error_pages, page) for page in settings.error_pages.values()),
        ("not_found", settings.not_found, settings.not_found if not_found else ""),
    ]
    for name, value, page in pages:
        if not page or page.startswith(NEAREST):
            continue
        if not any(tree.has_file(tuple(page.split("/"))) for tree in trees):
            root = printable(trees[0].tree.path)
            what = "page" if str(value) == page else f"page {page}"
            raise SettingsError(
                f"{name}={value!r}: {root} has no such {what}; create it, or name another"
            )


def source_of(
    trees: list[TreeSource],
    settings: Settings,
    cache: Cache,
    add_stamps: Callable[[Stamps], Stamps] | None = None,
    pages: Pages | None = None,
    hides: Callable[[Segments], bool] = lambda _segments: False,
) -> Source:
    """Stack the sources of a root: cache before disk, the first tree on top, listings behind.

    Args:
        trees: of the root.
        settings: of the root.
        cache: holds what they find.
        add_stamps: adds the stamps that every answer of the root depends on.
        pages: renders listings; None for none.
        hides: tells of a name below the root that no zip has it.
    """
    layers: list[Source] = [
        CachedSource(tree, cache, add_stamps=add_stamps) if settings.limits.cache_bytes else tree
        for tree in trees
    ]
    source = layers[0] if len(layers) == 1 else Overlay(layers)
    if pages is not None:
        source = ListedSource(source, trees, settings, pages, hides)
    if settings.shell or settings.pages:
        allowed = partial(is_public, settings=settings)
        statuses = _statuses(settings)
        source = Fallbacks(source, settings.shell, settings.pages, statuses, allowed)
    return source


def _statuses(settings: Settings) -> dict[Absence, int]:
    """Return the status of each absence: with `hide_forbidden` FORBIDDEN looks like MISSING."""
    hidden = {Absence.FORBIDDEN: 404} if settings.hide_forbidden else {}
    return {absence: absence.value for absence in Absence} | hidden


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "?")
