"""Redirects: from the path of a request to the URL where its resource is now.

A source is a path below the root, ``/blog/:year/*``. A placeholder ``:year`` stands for one name, and
``*`` at the end for the rest, which the target calls ``:splat``; ``/blog/*`` stands for ``/blog`` as
well. Everything else is compared exactly, a slash at the end included.

The target is a path below the root, or an absolute URL. Its host is constant: `problem_with_redirect`
refuses a placeholder in it. The values of placeholders come from decoded, safe segments (`target`)
and are percent-encoded again, so they add no slash, no backslash and no control character. A path
never begins with two slashes, which would name a host (RFC 3986 §4.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote

STATUSES = (301, 302, 307, 308)
_SPLAT = "splat"

_PLACEHOLDER = re.compile(r":([A-Za-z][A-Za-z0-9_]*)")
# scheme "://" host [":" port], then a path, query, fragment or nothing.
_ORIGIN = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]+)?(?=[/?#]|$)")
_NOT_IN_URL = re.compile(r'[\x00-\x20\x7f-\x9f\\<>"^`{|}]|%(?![0-9A-Fa-f]{2})')
_STAR_OR_GROUP = re.compile(r"/\*$|\$[0-9]")  # what others write for :splat
_NOT_IN_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_IN_PATH = "/:@!$&'()*+,;=-._~%"
_IN_QUERY = _IN_PATH + "?"
_OUT = ("/../", "/./")  # begin the path of a target that another mount answers
_SAMPLE = "x-sample"  # what each placeholder stands for in the search for loops


class Redirect(NamedTuple):
    """A redirect of a root.

    Attributes:
        source: a path, such as "/old/*" or "/blog/:year/:slug"; percent-encoded or not.
        target: a path below the root, such as "/new/:splat", or an absolute URL. Without a query of
            its own it gets that of the request, else both.
        status: 301 or 308 for good, 302 or 307 for now; 307 and 308 keep the method.
    """

    source: str
    target: str
    status: int = 301


class MountPointRedirect(Redirect):
    """A redirect from the mount point without its slash; its source is "/"."""

    __slots__ = ()


class _SourcePath(NamedTuple):
    """The parts of a source: text for a name, a tuple of one for a placeholder."""

    parts: tuple[str | tuple[str], ...]
    directory: bool
    splat: bool

    @property
    def first(self) -> str | None:
        """The first name of every path that matches; None if there are several."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else None

    def match(self, segments: tuple[str, ...], directory: bool) -> dict[str, str] | None:
        """Return what the placeholders stand for, percent-encoded; None if the path differs."""
        count = len(self.parts)
        if self.splat:
            if len(segments) < count:
                return None
        elif len(segments) != count or directory is not self.directory:
            return None
        values = {}
        for part, name in zip(self.parts, segments, strict=False):
            if isinstance(part, tuple):
                values[part[0]] = quote(name, safe="")
            elif part != name:
                return None
        if self.splat:
            rest = "/".join(quote(name, safe="") for name in segments[count:])
            values[_SPLAT] = rest + "/" if rest and directory else rest
        return values


_Pattern: TypeAlias = tuple[int, _SourcePath, Redirect]
_Find: TypeAlias = "Callable[[str], Location | None]"


class Location(NamedTuple):
    """The target of a redirect that applies.

    Attributes:
        status: 301, 302, 307 or 308.
        url: a path below the root that begins with "/", or an absolute URL. A path that begins
            with "/../" leads out of the mount, one with "/./" to another mount below it.
    """

    status: int
    url: str

    def for_request(self, mount: bytes, query: bytes) -> bytes:
        """Return the value of Location.

        Args:
            mount: the raw path in front of the root.
            query: of the request, without "?".
        """
        url, hash_, fragment = self.url.encode("ascii").partition(b"#")
        while url.startswith(b"/../") and mount:
            mount, url = mount.rpartition(b"/")[0], url[3:]
        url = url[2:] if url.startswith(b"/./") else url
        if query:
            url += (b"&" if b"?" in url else b"?") + query
        return (mount if url[:1] == b"/" else b"") + url + hash_ + fragment


class Redirects:
    """The redirects of a root, compiled. The first one that matches applies.

    Args:
        redirects: in their order; each without a problem.
    """

    def __init__(self, redirects: Iterable[Redirect]) -> None:
        self._exact: dict[tuple[tuple[str, ...], bool], tuple[int, Redirect]] = {}
        patterns: list[_Pattern] = []
        for position, redirect in enumerate(redirects):
            source = _parse(redirect)
            if source.splat or any(isinstance(part, tuple) for part in source.parts):
                patterns.append((position, source, redirect))
            else:
                key = (tuple(map(str, source.parts)), source.directory)
                self._exact.setdefault(key, (position, redirect))
        # By the first name that a path has, those for any first name among them.
        firsts = {source.first for _, source, _ in patterns}
        self._patterns = {
            first: [each for each in patterns if each[1].first in (first, None)] for first in firsts
        }
        self._others = self._patterns.get(None, [])

    def find_path(self, path: str) -> Location | None:
        """Return the target for a path, percent-encoded or not; None if no redirect applies."""
        return self.find(*_split(path))

    def find(self, segments: tuple[str, ...], directory: bool) -> Location | None:
        """Return the target for the segments of a path; None if no redirect applies."""
        exact = self._exact.get((segments, directory))
        first = segments[0] if segments else None
        for position, source, redirect in self._patterns.get(first, self._others):
            if exact is not None and exact[0] < position:
                break
            values = source.match(segments, directory)
            if values is not None:
                return Location(redirect.status, _fill(redirect.target, values))
        return None if exact is None else Location(exact[1].status, _fill(exact[1].target, {}))


def redirect_of(value: object) -> object:
    """Convert what a user may write for a redirect: a pair, a triple, or a table as in TOML."""
    if isinstance(value, Mapping) and value.keys() <= {"from", "to", "status"}:
        return Redirect(value.get("from", ""), value.get("to", ""), value.get("status", 301))
    if isinstance(value, Redirect):
        return value
    if isinstance(value, list | tuple) and len(value) in (2, 3):
        return Redirect(*value)
    return value


def redirects_of_text(text: str) -> tuple[Redirect, ...]:
    """Read the text of a variable: ``/old/* /new/:splat 301, /a /b``.

    Raises:
        ValueError: the text is unusable; the message is the rest of an error message.
    """
    return tuple(map(_redirect, filter(str.strip, text.split(","))))


def _redirect(text: str) -> Redirect:
    words = text.split()
    if len(words) == 2:
        return Redirect(words[0], words[1])
    if len(words) != 3 or not words[2].isdecimal():
        raise ValueError("say /old/* /new/:splat 301, separated by commas")
    return Redirect(words[0], words[1], int(words[2]))


def problem_with_redirects(redirects: object) -> str:
    """Return why one of some redirects cannot be used, and what is needed; "" if all can."""
    if not isinstance(redirects, tuple):
        return "a list of redirects is needed, Redirect('/old/*', '/new/:splat')"
    return next(filter(None, map(problem_with_redirect, redirects)), "")


def problem_with_redirect(redirect: object) -> str:
    """Return why one redirect cannot be used; "" if it can."""
    if not isinstance(redirect, Redirect):
        return "a redirect is needed, Redirect('/old/*', '/new/:splat')"
    source, target, status = redirect
    if not all(isinstance(text, str) for text in (source, target)):
        return "the source and the target of a redirect are texts"
    if status not in STATUSES or isinstance(status, bool):
        return f"{source}: the status {status!r} is no redirect; choose one of 301, 302, 307, 308"
    return _problem_with_source(source) or _problem_with_target(source, target)


def _problem_with_source(source: str) -> str:
    if source[:1] != "/":
        return f"source {source!r}: a path from the root is needed, such as /old/*"
    if "?" in source or "#" in source:
        return f"source {source!r}: only paths are compared, leave out the query"
    names = source[1:].split("/")
    seen = set()
    for position, raw in enumerate(names):
        is_last = position == len(names) - 1
        name = unquote(raw)
        if (raw == "" and not is_last) or name in (".", "..") or _NOT_IN_NAME.search(name):
            return f"source {source!r}: no path has an empty, dot or control segment"
        if "*" in raw and not (raw == "*" and is_last):
            return f"source {source!r}: * is the whole last segment, as in /old/*"
        if raw[:1] == ":":
            if not _PLACEHOLDER.fullmatch(raw) or raw[1:] == _SPLAT or raw in seen:
                return f"source {source!r}: name each placeholder once, such as :year"
            seen.add(raw)
    return ""


def _problem_with_target(source: str, target: str) -> str:
    origin = _ORIGIN.match(target)
    rest = target[origin.end() :] if origin else target
    if origin is None and (target[:1] != "/" or target[:2] in ("//", "/\\")):
        return (
            f"target {target!r}: a path such as /new, or a URL such as https://example.com/ is "
            "needed; its host cannot depend on the request"
        )
    if _NOT_IN_URL.search(target):
        return f"target {target!r}: percent-encode what a URL cannot hold"
    if found := _STAR_OR_GROUP.search(re.split("[?#]", rest)[0]):
        return (
            f"target {target!r}: {found[0]} would be sent as it is; say :splat for what * of the source "
            "stands for, or percent-encode it"
        )
    known = {name[1:] for name in source.split("/") if name[:1] == ":"}
    known |= {_SPLAT} if source.endswith("/*") else set()
    for name in _PLACEHOLDER.findall(rest):
        if name not in known:
            return f"target {target!r}: {source} has no :{name}; write %3A for a plain colon"
    return ""


def problem_with_loop(redirect: Redirect, count: int, find: _Find) -> str:
    """Return which redirect never ends: it is followed from samples of its source; "" if it does.

    Args:
        redirect: without a problem of its own.
        count: of all redirects, so that a longer way is a loop.
        find: returns the next target for a path, None if no redirect applies.
    """
    values = dict.fromkeys(_PLACEHOLDER.findall(redirect.target), _SAMPLE)
    samples = (_SAMPLE, f"{_SAMPLE}/{_SAMPLE}", "")
    for url in {_fill(redirect.target, {**values, _SPLAT: sample}) for sample in samples}:
        for _ in range(count + 1):
            path = re.split("[?#]", url)[0]
            found = None if path[:1] != "/" or path.startswith(_OUT) else find(path)
            if found is None:
                break
            url = found.url
        else:
            return f"{redirect.source} -> {redirect.target}: this redirect leads into a loop"
    return ""


def problem_with_loops(redirects: Collection[Redirect]) -> str:
    """Return which redirect of a root never ends; "" if all do."""
    find = Redirects(redirects).find_path
    return next(filter(None, (problem_with_loop(r, len(redirects), find) for r in redirects)), "")


def _parse(redirect: Redirect) -> _SourcePath:
    if isinstance(redirect, MountPointRedirect):
        return _SourcePath((), directory=False, splat=False)
    source = redirect.source
    splat = source.endswith("/*")
    path = source.removesuffix("*") if splat else source
    names, directory = _split(path)
    # An encoded colon begins no placeholder.
    is_placeholder = [raw[:1] == ":" for raw in path[1:].split("/")]
    parts = [
        (name[1:],) if placed else name for name, placed in zip(names, is_placeholder, strict=False)
    ]
    return _SourcePath(tuple(parts), directory, splat)


def _split(path: str) -> tuple[tuple[str, ...], bool]:
    names = [unquote(name) for name in path[1:].split("/")]
    directory = names[-1] == ""
    return tuple(names[:-1] if directory else names), directory


def _fill(target: str, values: Mapping[str, str]) -> str:
    """Put values into a target, and percent-encode what a user left as it was."""
    origin = _ORIGIN.match(target)
    start = origin[0] if origin else ""
    rest = target[len(start) :]
    cut = re.search(r"[?#]", rest)
    path, others = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")

    def value_of(match: re.Match[str]) -> str:
        return values.get(match[1], match[0])

    path = re.sub("/{2,}", "/", _PLACEHOLDER.sub(value_of, quote(path, safe=_IN_PATH)))
    return start + path + _PLACEHOLDER.sub(value_of, quote(others, safe=_IN_QUERY + "#"))
