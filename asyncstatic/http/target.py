"""Request target -> safe path segments, or a refusal.

A target is decoded once, segment by segment: split at "/", then decode strict ``%XX``, then refuse
what is not safe. Nothing is normalised: a second spelling of a name is refused, so filters, caches
and logs in front of us see the same name as the disk. (RFC 3986 §6 leaves the method of comparison
to us; we use simple string comparison after percent-decoding.)

The order of refusals: 414; 400 for a target that can name no file under any configuration; 404 for
a spelling that no file system has; 308 for literal "." segments; 404 for hidden and denied names.
A missing name is redirected like a hidden one, so the redirect does not tell them apart. All checks
come before any system call, and their time is linear in the target's length.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from asyncstatic.http.abnf import cached
from asyncstatic.http.deny import IGNORABLE, is_denied
from asyncstatic.http.model import Refusal
from asyncstatic.settings import Settings

MAX_SEGMENT = 255  # bytes of one name: NAME_MAX of every common file system (limits.h)

# Names that pass every rule below and decode to themselves.
_PLAIN = re.compile(rb"/|(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")
# uri-host [ ":" port ] (RFC 9110 §7.2), never empty (§4.2.1). An empty Host is no authority (RFC 9112 §3.3).
_HOST = re.compile(
    r"(?:\[[0-9A-Za-z:.~_%-]++\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})++)(?::[0-9]*+)?",
    re.ASCII,
)
_ABSOLUTE_FORM = re.compile(rf"https?://{_HOST.pattern}(?=[/?]|$)".encode(), re.I)
_NOT_IN_TARGET = re.compile(rb"[^\x21-\x7e]|[\\#]")
_ENCODED_SLASH = re.compile(b"%2f", re.I)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NEVER_IN_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:[.:].*)?", re.I
)
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$|~[0-9]')
# A file system that ignores invisible characters opens ".env" under this name (ext4 casefold).
_HIDDEN = re.compile(IGNORABLE + r"*\.")
# Code points that HFS+ ignores when it compares names (Apple TN1150).
_IGNORED_ON_DARWIN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


class TargetPath(NamedTuple):
    """The names of a path below the root, and whether the path ended in a slash."""

    segments: tuple[str, ...]
    directory: bool


def origin_form(target: bytes) -> bytes | None:
    """Strip scheme and authority from an absolute-form target (RFC 9112 §3.2.2).

    Returns:
        The origin-form, or None when the target is neither form.
    """
    if target[:1] == b"/":
        return target
    absolute = _ABSOLUTE_FORM.match(target)
    if absolute is None:
        return None
    rest = target[absolute.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


@cached
def is_host(value: str) -> bool:
    """Tell whether a Host field value is valid; if not, the answer is 400 (RFC 9112 §3.2)."""
    return _HOST.fullmatch(value) is not None


def is_target_text(text: bytes) -> bool:
    """Tell whether a request target may contain every character of a text (RFC 3986 §2)."""
    return _NOT_IN_TARGET.search(text) is None


def parse_target(
    target: bytes, settings: Settings, *, decoded: bool = False
) -> TargetPath | Refusal:
    """Split a target into names that are safe to look up, or refuse it.

    Args:
        target: the path of the request target, without query.
        settings: max_target, dotfiles and deny are used.
        decoded: the target is already decoded, so percent signs are literal.
    """
    if len(target) > settings.max_target:
        return Refusal(414)
    if not decoded and not settings.deny and _is_plain(target):
        plain = target.decode("ascii").split("/")
        return TargetPath(tuple(plain[1:-1] if plain[-1] == "" else plain[1:]), plain[-1] == "")
    names = _decode(target, decoded=decoded)
    if isinstance(names, Refusal):
        return names
    directory = names[-1] == ""
    return _public(tuple(names[:-1] if directory else names), directory, settings)


def may_be_route(target: bytes) -> bool:
    """Tell whether a target that names no file is well-formed but for encoded slashes.

    Routers in the browser put a value that contains slashes into one segment: ``/packages/a%2Fb``.
    """
    separated = _ENCODED_SLASH.sub(b"/", target)
    return separated != target and not isinstance(_decode(separated, decoded=False), Refusal)


def _is_plain(target: bytes) -> bool:
    """Tell whether a target passes all rules by its characters alone, as nearly all do."""
    return (
        len(target) <= MAX_SEGMENT
        and sys.platform == "linux"
        and _PLAIN.fullmatch(target) is not None
    )


def _decode(target: bytes, *, decoded: bool) -> list[str] | Refusal:
    """Decode every segment, empty and "." segments included."""
    if target[:1] != b"/":
        return Refusal(400)
    if not decoded and (not is_target_text(target) or _BAD_ESCAPE.search(target)):
        return Refusal(400)
    names = []
    for raw in target[1:].split(b"/"):
        name = _decode_segment(raw if decoded else unquote_to_bytes(raw))
        if isinstance(name, Refusal):
            return name
        if name == "." and raw != b".":
            return Refusal(400)
        names.append(name)
    return names


def _decode_segment(segment: bytes) -> str | Refusal:
    try:
        name = segment.decode("utf-8")
    except UnicodeDecodeError:
        return Refusal(400)
    return Refusal(400) if name == ".." or _NEVER_IN_NAME.search(name) else name


def _public(names: tuple[str, ...], directory: bool, settings: Settings) -> TargetPath | Refusal:
    plain = tuple(name for name in names if name != ".")
    if "" in plain:
        return Refusal(404)
    for name in plain:
        is_long = len(name) > MAX_SEGMENT or len(name.encode()) > MAX_SEGMENT
        if is_long or not portable_name(name, sys.platform):
            return Refusal(404)
    if len(plain) != len(names):
        return Refusal(308, _canonical(plain, directory or names[-1] == "."))
    path = TargetPath(plain, directory)
    return path if is_public(plain, settings) else Refusal(404, b"", *path)


def _canonical(names: tuple[str, ...], directory: bool) -> bytes:
    path = "".join("/" + quote(name) for name in names)
    return (path + "/" if directory or not names else path).encode()


def is_public(names: tuple[str, ...], settings: Settings) -> bool:
    """Tell whether a path may be served, by the dotfile policy and the deny patterns.

    ``.well-known`` is public as the first name (RFC 8615).
    """
    if not settings.dotfiles:
        for position, name in enumerate(names):
            if _HIDDEN.match(name) and (position or name != ".well-known"):
                return False
    return not (settings.deny and is_denied(settings.deny, names))


def is_public_behind_link(names: tuple[str, ...], settings: Settings) -> bool:
    """Tell whether a symbolic link may lead to a path: by the rules for a requested path.

    Names that begin with two dots are the exception: Kubernetes keeps the versions of a mounted
    ConfigMap in ``..2024_11_24``, and public links lead there.
    """
    return is_public(tuple(name for name in names if name[:2] != ".."), settings)


def matches(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Tell whether a glob pattern matches the path, or one of its names if it has no slash."""
    whole, single = _compiled(patterns)
    if single is not None and any(single.match(name) for name in names):
        return True
    return whole is not None and whole.match("/".join(names)) is not None


@lru_cache(maxsize=64)
def _compiled(
    patterns: tuple[str, ...],
) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    def union(chosen: list[str]) -> re.Pattern[str] | None:
        return re.compile("|".join(map(translate, chosen))) if chosen else None

    whole = [pattern.lstrip("/") for pattern in patterns if "/" in pattern]
    return union(whole), union([pattern for pattern in patterns if "/" not in pattern])


def portable_name(name: str, platform: str) -> bool:
    """Tell whether a name opens only the file of this name on a platform (`sys.platform`).

    Windows opens devices, streams and short names, and drops trailing dots and spaces;
    macOS compares names after Unicode normalisation. Each would be a second spelling.
    """
    if platform == "win32":
        return not (_NOT_ON_WINDOWS.search(name) or _DEVICE.fullmatch(name))
    if platform == "darwin":
        return unicodedata.is_normalized("NFC", name) and not _IGNORED_ON_DARWIN.search(name)
    return True
