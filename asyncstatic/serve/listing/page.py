"""The page of a listing: a Jinja2 template, our own or the user's, and the same as JSON."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from asyncstatic.files.pool import Pool
from asyncstatic.files.root import absolute
from asyncstatic.http.listing import Row, query_of
from asyncstatic.http.model import RawFields, View
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.settings.values import MissingPackageError, printable

_HERE = files(__package__)  # also in a zip archive
_OWN = "asyncstatic/listing.html"  # for {% extends %} in a user's template
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_THREADS = 2
_MOST_TOKENS = 50_000  # of a README; each takes about 400 bytes
_LONGEST_ATTRIBUTES = 1024 * 1024  # characters of all links in a README together


class Readme(NamedTuple):
    """A text that describes a directory."""

    name: str
    text: str


class Listing(NamedTuple):
    """A directory, as it is shown.

    Attributes:
        segments: of the directory, below the root.
        view: the view that was asked for.
        rows: of this page.
        total: the number of entries of all pages.
        pages: the number of pages.
        is_cut: the directory has more names than are read.
        readme: shown below the entries, if there is one.
    """

    segments: tuple[str, ...]
    view: View
    rows: list[Row]
    total: int
    pages: int
    is_cut: bool
    readme: Readme | None


class Pages:
    """Makes the pages of one root.

    All that it needs is read and imported at once: a sandboxed process cannot do that later.

    Args:
        settings: `listing_template`, `listing_zip` and `pool_timeout` are used.
        has_readme: whether a page shows the README of its directory.

    Raises:
        SettingsError: a package is missing, or the template cannot be used.

    Attributes:
        fields: further fields of each page: its Content-Security-Policy.
        pool: the threads that list directories and make zips, so that no file waits for a listing.
    """

    def __init__(self, settings: Settings, *, has_readme: bool) -> None:
        self.has_readme = has_readme
        self.pool = Pool(_THREADS, settings.limits.pool_timeout, settings.root)
        self._style = (_HERE / "listing.css").read_text("utf-8")
        self._script = (_HERE / "listing.js").read_text("utf-8")
        self._has_zip = settings.listing_zip > 0
        own = " 'self'" if settings.listing_template else ""
        policy = (
            f"default-src 'none'; style-src {_hash(self._style)}{own}; "
            f"script-src {_hash(self._script)}{own}; img-src 'self' data:; media-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
        )
        self.fields: RawFields = (
            (b"content-security-policy", policy.encode("ascii")),
            (b"referrer-policy", b"same-origin"),
        )
        if self._has_zip:
            _require("stream_zip", "listing_zip")
        _require("jinja2", "listing")
        _markdown("")
        self._template = _template(settings.listing_template)
        self.as_html(Listing((), View(), [], 0, 1, is_cut=False, readme=None))

    def render(self, listing: Listing) -> tuple[str, bytes, RawFields]:
        """Return name, content and further fields of the page, in the form of the view."""
        if listing.view.form == "json":
            return "index.json", self.as_json(listing), ()
        return "index.html", self.as_html(listing), self.fields

    def as_html(self, listing: Listing) -> bytes:
        text: str = self._template.render(
            listing=listing,
            title=listing.segments[-1] if listing.segments else "Files",
            crumbs=_crumbs(listing.segments),
            columns=_columns(listing.view),
            pages=_page_links(listing),
            readme=_rendered(listing.readme),
            has_zip=self._has_zip and bool(listing.rows or listing.view.text),
            count=_count(listing.rows),
            style=_safe(self._style),
            script=_safe(self._script),
        )
        return text.encode("utf-8")

    def as_json(self, listing: Listing) -> bytes:
        """Return the page as JSON; docs/listing.md describes it."""
        view = listing.view
        shape = {
            "path": "/" + "".join(f"{name}/" for name in listing.segments),
            "sort": view.sort,
            "order": "desc" if view.descending else "asc",
            "q": view.text,
            "page": view.page,
            "pages": listing.pages,
            "total": listing.total,
            "complete": not listing.is_cut,
            "entries": [
                {
                    "name": row.name,
                    "type": "directory" if row.is_directory else "file",
                    "href": row.href,
                    "size": row.size,
                    "modified": row.exact_time,
                }
                for row in listing.rows
            ],
        }
        return json.dumps(shape, ensure_ascii=False).encode("utf-8")


class Link(NamedTuple):
    """A link of the page; `state` is "ascending" or "descending" for the column in use."""

    text: str
    href: str
    state: str = ""


def _crumbs(segments: tuple[str, ...]) -> list[Link]:
    """Return links to the directories above, the root first."""
    names = ("Files", *segments[:-1]) if segments else ()
    return [Link(name, "../" * (len(segments) - depth)) for depth, name in enumerate(names)]


def _count(rows: list[Row]) -> str:
    """Return how many folders and files there are, in words."""
    folders = sum(row.is_directory for row in rows)
    counts = {"folder": folders, "file": len(rows) - folders}
    parts = [f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n]
    return ", ".join(parts) or "Nothing"


def _columns(view: View) -> list[Link]:
    """Return the links of the column heads; a second click sorts the other way."""
    links = []
    for name in ("name", "size", "modified"):
        is_used = view.sort == name
        # Large and new files come first at the first click: those are looked for.
        descending = not view.descending if is_used else name != "name"
        state = ("descending" if view.descending else "ascending") if is_used else ""
        href = query_of(view, sort=name, descending=descending, page=1)
        links.append(Link(name.capitalize(), href, state))
    return links


def _page_links(listing: Listing) -> dict[str, str]:
    view, links = listing.view, {}
    if view.page > 1:
        links["previous"] = query_of(view, page=view.page - 1)
    if view.page < listing.pages:
        links["next"] = query_of(view, page=view.page + 1)
    return links


# -- templates -------------------------------------------------------------------------------


def _require(package: str, setting: str) -> None:
    try:
        __import__(package)
    except ImportError:
        raise MissingPackageError(setting, package, "listing") from None


def _template(path: str) -> Any:
    from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader, TemplateError

    own = DictLoader({_OWN: (_HERE / "listing.html").read_text("utf-8")})
    folder, name = os.path.split(absolute(path)) if path else ("", _OWN)
    loader = ChoiceLoader([own, FileSystemLoader(folder)]) if path else own
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    problem: object
    try:
        return made.get_template(name)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        problem = f"line {line}: {error.message}" if line else "there is no such template"
    except (OSError, UnicodeDecodeError) as error:
        problem = error
    raise SettingsError(f"listing_template={printable(path)!r}: {problem}")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own file


# -- README ----------------------------------------------------------------------------------


def _rendered(readme: Readme | None) -> tuple[str, Any] | None:
    """Return the name of a README and its HTML; the text itself where it is no Markdown."""
    if readme is None:
        return None
    is_markdown = readme.name.lower().endswith((".md", ".markdown"))
    markup = _markdown(readme.text) if is_markdown else None
    return readme.name, readme.text if markup is None else _safe(markup)


class _TooLongError(Exception):
    """A README becomes much longer by being rendered."""


class _Tokens(list[Any]):
    """Tokens of a Markdown text, bounded: tables are filled up with empty cells, row by row."""

    def append(self, token: Any) -> None:
        if len(self) == _MOST_TOKENS:
            raise _TooLongError
        super().append(token)


@lru_cache(maxsize=16)
def _markdown(text: str) -> str | None:
    """Render CommonMark with tables; HTML in it is shown as text.

    Returns:
        None without markdown-it-py, and for a text that would become much longer.
    """
    try:
        from markdown_it import MarkdownIt
        from markdown_it.rules_core import StateCore
    except ImportError:
        return None
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    state = StateCore(text, parser, {})
    state.tokens = _Tokens()
    try:
        parser.core.process(state)
    except _TooLongError:
        return None
    if _length_of_attributes(state.tokens) > _LONGEST_ATTRIBUTES:
        return None
    rendered: str = parser.renderer.render(state.tokens, parser.options, state.env)
    return rendered


def _length_of_attributes(tokens: list[Any]) -> int:
    """Return the characters of all links: one definition may be the target of many."""
    inline = (child for token in tokens for child in token.children or ())
    return sum(len(str(value)) for child in inline for value in child.attrs.values())


def _image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> Any:
    """Show an image of this site, and the text of any other, which the page may not load."""
    token = tokens[index]
    text: str = renderer.renderInlineAsText(token.children, options, env)
    if _ELSEWHERE.match(token.attrs.get("src", "")):
        from markupsafe import escape

        return escape(text)
    token.attrs["alt"] = text
    token.attrs["loading"] = "lazy"
    return renderer.renderToken(tokens, index, options, env)
