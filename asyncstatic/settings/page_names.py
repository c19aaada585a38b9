"""Checks of the settings that name a page, such as `index` and `not_found`. Pure functions.

Each returns the rest of an error message, or "" for a usable value; its docstring says which are usable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WITH_PAGES = (403, 404, 410, 500, 503)


def problem_with_index(names: tuple[str, ...]) -> str:
    """Index files are names in the directory itself."""
    return "" if all(map(_is_plain_name, names)) else "plain file names are needed"


def problem_with_not_found(page: str) -> str:
    """The page is below the root, by its one spelling; "**/" in front means the nearest one."""
    names = page.removeprefix("**/").split("/")
    plain = all(name and _is_plain_name(name) and "*" not in name for name in names)
    return "" if plain or not page else "the name of a page below the root is needed"


def problem_with_error_pages(pages: Any) -> str:
    """A mapping of the statuses that a root answers by itself to pages."""
    if not isinstance(pages, Mapping):
        return "a mapping is needed, {404: '404.html'}"
    for status, page in pages.items():
        if type(status) is not int or status not in _WITH_PAGES:
            return f"the status {status!r} has no page; choose from 403, 404, 410, 500, 503"
        if not isinstance(page, str) or not page or problem_with_not_found(page):
            return f"{status}: the name of a page below the root is needed"
    return ""


def problem_with_spa(shell: Any) -> str:
    """True for the first index, or the name of a page."""
    is_page = isinstance(shell, str) and shell and "*" not in shell
    if isinstance(shell, bool) or (is_page and not problem_with_not_found(shell)):
        return ""
    return "True, or the name of a page below the root is needed"


def _is_plain_name(name: str) -> bool:
    return not name.startswith(".") and "/" not in name and "\0" not in name
