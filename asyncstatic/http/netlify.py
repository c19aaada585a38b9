"""Netlify's and Cloudflare Pages' ``_redirects`` and ``_headers``, as our redirects and rules.

docs/pages.md has the table of supported lines. Any other line is an error with its number: a
line that is skipped in silence would be a page that cannot be reached, or a policy that is not in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import unquote

from asyncstatic.http.redirects import Redirect, problem_with_redirect
from asyncstatic.settings import Rule, SettingsError, checked

REDIRECTS = "_redirects"
HEADERS = "_headers"

_COMMENT = re.compile(r"\s#.*")  # behind a redirect or a path, which hold no spaces
_PATH = re.compile(r"/|https?://")
_STATUS = re.compile(r"([0-9]{3})!?")
_CONDITION = re.compile(r"[A-Za-z_]+=.*")
_PLACEHOLDER = re.compile(r":[A-Za-z]\w*")
_SPECIAL = re.compile(r"([\\?{}\[\],])")  # in a glob
_REFUSED = {"basic-auth": "passwords do not belong below a root; protect it with authorize="}


class SiteRedirects(NamedTuple):
    """The content of ``_redirects``.

    Attributes:
        redirects: in their order.
        shell: the page of ``/* /index.html 200``; "" without such a line.
    """

    redirects: tuple[Redirect, ...] = ()
    shell: str = ""


def read_redirects(text: str) -> SiteRedirects:
    """Read ``_redirects``.

    Raises:
        SettingsError: a line cannot be used.
    """
    redirects, shell = [], ""
    for number, line in _lines(text):
        words = _COMMENT.sub("", line).split()
        try:
            if words[0] == "/*" and words[2:] in (["200"], ["200!"]):
                shell = shell or _shell(words[1])
            else:
                redirects.append(_redirect(words))
        except SettingsError as error:
            raise SettingsError(f"{REDIRECTS}:{number}: {error}") from None
    return SiteRedirects(tuple(redirects), shell)


def _shell(target: str) -> str:
    page = target.removeprefix("/")
    try:
        checked("spa", page)
    except ValueError:
        problem = "the name of a page below the root is needed, such as /index.html"
        raise SettingsError(f"{target}: {problem}") from None
    return page


def _redirect(words: list[str]) -> Redirect:
    source, *rest = words
    if "://" in source:
        raise SettingsError(
            "the source has a host; serve that host by a root of its own, and name a path"
        )
    if rest and _CONDITION.fullmatch(rest[0]):
        raise SettingsError(f"{rest[0]}: query parameters are not compared; take them out")
    if not rest:
        raise SettingsError("say SOURCE TARGET STATUS")
    target, *others = rest
    status = _STATUS.fullmatch(others[0] if others else "301")
    unsupported = "conditions such as Country= are not supported"
    if status is None:
        raise SettingsError(f"{others[0]}: {unsupported}; the status is a number")
    if len(others) > 1:
        raise SettingsError(f"{others[1]}: {unsupported}; take them out")
    redirect = Redirect(source, target, int(status[1]))
    if redirect.status == 200:
        raise SettingsError(
            "a rewrite (200) is supported as the last resort alone: /* /index.html 200"
        )
    if redirect.status == 404:
        raise SettingsError("say not_found= for the page of a 404")
    if problem := problem_with_redirect(redirect):
        raise SettingsError(problem)
    return redirect


def read_headers(
    text: str, index: tuple[str, ...], at: str = "", *, slash: bool = False
) -> tuple[Rule, ...]:
    """Read ``_headers``: a line with a path, and lines with fields below it.

    Args:
        text: the content.
        index: `Settings.index`: a path of a page is the file that represents it.
        at: `Settings.at`, with which the paths of rules begin.
        slash: ``about.html`` is served as ``/about/``.

    Raises:
        SettingsError: a line cannot be used.
    """
    rules: list[Rule] = []
    path = ""
    for number, line in _lines(text):
        try:
            if _PATH.match(line):
                path = _COMMENT.sub("", line).rstrip()
                rules.append(_rule_for(path, _ends(path, index, slash=slash), at))
            elif not rules:
                raise SettingsError("a path comes before the first field")
            elif placeholder := _placeholder_in(line, path):
                raise SettingsError(f"{placeholder} in a value is not put in; write the value out")
            else:
                rules[-1] = _with_field(rules[-1], line)
        except SettingsError as error:
            raise SettingsError(f"{HEADERS}:{number}: {error}") from None
    return tuple(rules)


def _placeholder_in(field: str, path: str) -> str:
    """Return a placeholder of a path that a field uses, as at Cloudflare; "" for none."""
    names = {name for name in path.split("/") if _PLACEHOLDER.fullmatch(name)}
    names |= {":splat"} if "*" in path else set()
    return next((used for used in _PLACEHOLDER.findall(field) if used in names), "")


def _ends(path: str, index: tuple[str, ...], *, slash: bool) -> list[str]:
    """Return what the names of the files behind a path add to it, as globs; none for a pattern."""
    pages = [_escaped(name) for name in index]
    if path.endswith("*"):
        return []
    if not path.endswith("/"):
        return ["", ".html", *(f"/{page}" for page in pages)]
    of_file = [".html"] if slash and path != "/" else []
    return [*(f"/{page}" for page in pages or ["**"]), *of_file]


def _rule_for(path: str, ends: list[str], at: str) -> Rule:
    if path[:1] != "/":
        raise SettingsError(f"{path}: a path from the root is needed")
    return Rule(_glob(path, at) + (f"{{{','.join(ends)}}}" if ends else ""))


def _with_field(rule: Rule, line: str) -> Rule:
    """Add a field; ``! Name`` removes one, and a repeated one gets both values."""
    name, colon, value = line.partition(":")
    name, value = name.strip(), value.strip()
    if line[:1] == "!":
        name, colon, value = line[1:].strip(), ":", ""
    problem = _REFUSED.get(name.lower())
    if not colon or problem:
        raise SettingsError(problem or "say NAME: VALUE, or a path, /docs/*")
    if name.lower() == "content-type":
        return Rule(rule.match, rule.headers, media_type=value or False)
    before = {known.lower(): known for known in rule.headers}.get(name.lower(), name)
    headers: dict[str, str | Literal[False]] = {**rule.headers, before: False}
    if line[:1] != "!":
        headers[before] = ", ".join(filter(None, (rule.headers.get(before) or "", value)))
    return Rule(rule.match, headers, rule.media_type)


def _glob(path: str, at: str) -> str:
    """Return the glob of the paths of a pattern, without a slash at its end."""
    names = [_glob_of_name(name) for name in path.removesuffix("/").split("/")[1:]]
    if path.endswith("/*"):
        names[-1] = "**"
    return "/".join((_escaped(at), *names))


def _glob_of_name(name: str) -> str:
    if name == "*":  # at least one name; "**/" may stand for nothing in a glob
        return "*/**"
    is_placeholder = _PLACEHOLDER.fullmatch(name) is not None
    return "*" if is_placeholder else _escaped(unquote(name)).replace("*", "**")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither empty nor a comment, with their numbers."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if line and line[0] != "#":
            yield number, line
