"""Open the directories or archives of a root, and stack the sources that find its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import quote, urljoin

from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource, Stamps
from asyncstatic.files.directory import open_directory
from asyncstatic.files.fallback import NEAREST, Fallbacks
from asyncstatic.files.overlay import Overlay
from asyncstatic.files.root import Segments
from asyncstatic.files.sidecar import PAGE_SUFFIX
from asyncstatic.files.source import Opened, Source
from asyncstatic.files.tree import TreeReader
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.files.zip_format import ArchiveError, NotAnArchiveError
from asyncstatic.files.zip_tree import ZipTree, archive_of
from asyncstatic.http.model import Absence, DirectoryRedirect, Lookup
from asyncstatic.http.netlify import REDIRECTS
from asyncstatic.http.redirects import Location, Redirects, problem_with_loop
from asyncstatic.http.target import TargetPath, is_public, is_public_behind_link, parse_target
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
        SettingsError: one line that names the problem and the next step. A traceback also names the
            directory that a relative root is in: a server may not start where the developer thinks.
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
    refusal = SettingsError(f"root {printable(settings.root)}: {problem}")
    if not os.path.isabs(settings.root):
        with suppress(OSError):  # it was removed
            refusal.add_note(f"The working directory is {printable(os.getcwd())}.")
    raise refusal


def check_root(settings: Settings, trees: list[TreeSource], *, not_found: bool) -> None:
    """Refuse settings that do not suit the files of a root, as they are at the start.

    Args:
        settings: of the root.
        trees: of the root.
        not_found: whether `Settings.not_found` is checked as well.

    Raises:
        SettingsError: one line that names the setting and the next step.
    """
    _check_pages(settings, trees, not_found)
    if settings.redirects and len(trees) == 1:  # an overlay may hide where a policy leads
        _check_redirects(settings, trees[0])


def _check_pages(settings: Settings, trees: list[TreeSource], not_found: bool) -> None:
    """Refuse a shell or an error page that no root has; a lone sidecar is enough.

    If an error page is missing later, our own is sent. The nearest page may be in any directory, so
    it is not checked.
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


def _check_redirects(settings: Settings, tree: TreeSource) -> None:
    """Refuse a redirect to a URL that `trailing_slash` or `clean_urls` redirects back to its source."""
    table = Redirects(settings.redirects)

    def find(path: str) -> Location | None:
        found = table.find_path(path)
        if found is None and any(map(table.find_path, _other_urls(path, settings))):
            return _by_policy(path, settings, tree)
        return found

    for redirect in settings.redirects:
        if problem := problem_with_loop(redirect, 2 * len(settings.redirects) + 1, find):
            policy = f"trailing_slash={settings.trailing_slash}, clean_urls={settings.clean_urls}"
            name = f"{REDIRECTS} or redirects" if settings.netlify_files else "redirects"
            raise SettingsError(
                f"{name}: {problem} with {policy}: leave it out, or change these settings"
            )


def _other_urls(path: str, settings: Settings) -> list[str]:
    """Return the paths that the page of a path may have as its only URL."""
    page = path.removesuffix("/").removesuffix(PAGE_SUFFIX)
    directory, _, name = page.rpartition("/")
    is_index = any(name == index.removesuffix(PAGE_SUFFIX) for index in settings.index)
    return [page, f"{page}/", *([directory, f"{directory}/"] if is_index else [])]


def _by_policy(path: str, settings: Settings, tree: TreeSource) -> Location | None:
    """Return the redirect from a path to the only URL of its page; None where there is none."""
    names = parse_target(path.encode("ascii"), settings)
    if not isinstance(names, TargetPath):
        return None
    found = tree.find(Lookup(*names, codings=()))
    if isinstance(found, DirectoryRedirect):
        return Location(301, f"{path}/")
    if not isinstance(found, Opened):
        return None
    found.close()
    moved_to = found.representation.moved_to
    return Location(301, urljoin(path, quote(moved_to))) if moved_to else None


def source_of(
    trees: list[TreeSource],
    settings: Settings,
    cache: Cache,
    add_stamps: Callable[[Stamps], Stamps] | None,
    pages: Pages | None,
    hides: Callable[[Segments], bool],
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
