"""The values of settings: converted, read from text, and checked. Pure functions.

`Settings` and `Limits` say which settings there are; this module says which values one may have.
Every `problem_*` function returns the rest of an error message, or "" for a usable value.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from asyncstatic.http.access import (
    problem_with_networks,
    problem_with_rate_limit,
    problem_with_users,
)
from asyncstatic.http.cache_control import misspelled_directive, read_directives
from asyncstatic.http.redirects import problem_with_redirects, redirect_of, redirects_of_text
from asyncstatic.settings.page_names import (
    problem_with_error_pages,
    problem_with_index,
    problem_with_not_found,
    problem_with_spa,
)

# The settings that count bytes, and so may have a unit.
SIZES = frozenset({"cache_bytes", "cache_file_bytes", "listing_zip", "max_target"})
_UNITS = {
    "": 1, "b": 1,
    "k": 1024, "m": 1024**2, "g": 1024**3,  # as in nginx and systemd
    "kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3,
}  # fmt: skip
_SIZE_IS_NEEDED = "a number is needed, or a size such as 64KiB or 128MiB"
_SIZE = re.compile(r"([0-9]{1,15}) ?([a-z]*)", re.IGNORECASE)

# The ASCII serialization of an origin (RFC 6454 section 6.2), as browsers send it: in lower case.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# An empty text would let everybody in, where somebody meant to name a restriction.
_RESTRICTIONS = frozenset({"users", "allow_from", "deny_from", "rate_limit"})


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that says what and how to mend it."""


class MissingPackageError(SettingsError):
    """A package is not installed.

    Args:
        needing: the setting or option that needs it.
        package: its name.
        extra: our extra that installs it.
    """

    def __init__(self, needing: str, package: str, extra: str) -> None:
        super().__init__(f"{needing} needs {package}: pip install 'asyncstatic[{extra}]'")


def problem_with_missing(path: str) -> str:
    """Return the rest of an error message for a root where nothing is: the next step is a guess."""
    path = path.rstrip("/")
    try:
        with os.scandir(os.path.dirname(path) or ".") as entries:
            neighbours = [entry.name for entry in entries if _may_be_root(entry)]
    except (OSError, ValueError):
        neighbours = []
    close = difflib.get_close_matches(os.path.basename(path), neighbours, n=1)
    step = f"did you mean {printable(close[0])}?" if close else "create it or name another"
    return f"does not exist; {step}"


def _may_be_root(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() or entry.name.endswith((".zip", ".whl"))


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def coerce(name: str, hint: Any, value: Any) -> Any:
    """Convert a keyword argument to the type of its setting, where the meaning is clear.

    A list for a tuple, one string for a tuple of one, an int for a float, a size with a unit
    for a number of bytes. Anything else is returned as it is, for `problem_with` to refuse.
    """
    if hint == tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, Iterable) else value
    if name == "media_types" and isinstance(value, Mapping):
        return {str(suffix).lower(): media for suffix, media in value.items()}
    if name == "error_pages" and isinstance(value, Mapping):
        return {_status(status): page for status, page in value.items()}
    if name == "redirects" and isinstance(value, Iterable):
        return tuple(map(redirect_of, value))
    if hint is float and type(value) is int:
        return float(value) if abs(value) < 2**53 else value
    if name == "users":
        if isinstance(value, Mapping):
            return dict(value)
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    if name in SIZES and isinstance(value, str) and not value.isdecimal():
        size = size_of(value)
        return value if size is None else size
    return value


def _status(status: Any) -> Any:
    """TOML, JSON and variables have only texts as keys."""
    return int(status) if isinstance(status, str) and status.isdecimal() else status


def from_text(name: str, hint: Any, text: str) -> Any:
    """Read the text of an environment variable or of ``--set``.

    Raises:
        ValueError: the text is unusable; the message is the rest of an error message.
    """
    if name in _READERS:
        return _READERS[name](text)
    if hint is bool:
        return _switch(text)
    if name in _RESTRICTIONS and not text.strip():
        raise ValueError("it is empty; name a value, or leave it out")
    if name in SIZES:
        size = size_of(text)
        if size is None:
            raise ValueError(_SIZE_IS_NEEDED)
        return size
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise ValueError("a number is needed") from None
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint == Mapping[str, str]:
        return _pairs(text, ".ext=type/subtype")
    return text


def size_of(text: str) -> int | None:
    """Read a number of bytes: ``65536``, ``64KiB``, ``64k``; None if it is none.

    K, M and G are powers of 1024 like KiB, MiB and GiB; KB, MB and GB are powers of 1000.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        return None
    return int(match[1]) * _UNITS[match[2].lower()]


def _switch(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("say 1 or 0")
    return text.lower() in _TRUE


def _shell(text: str) -> bool | str:
    return _switch(text) if text.lower() in _TRUE | _FALSE else text


def _error_pages(text: str) -> Any:
    return coerce("error_pages", None, _pairs(text, "404=404.html"))


def _pairs(text: str, form: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError(f"say {form}, separated by commas")
    return {suffix.strip().lower(): media.strip() for suffix, _, media in pairs}


_READERS = {"spa": _shell, "error_pages": _error_pages, "redirects": redirects_of_text}


def problem_with(name: str, hint: Any, value: Any) -> str:
    """Return the reason why a setting cannot have a value, and what is needed; "" if it can."""
    if name in SIZES and isinstance(value, str):
        return _SIZE_IS_NEEDED
    if problem := _problem_with_type(hint, value):
        return problem
    check = _CHECKS.get(name)
    return check(value) if check is not None else ""


def _problem_with_type(hint: Any, value: Any) -> str:
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if choices and value not in choices:
        return f"choose one of {', '.join(choices)}"
    if hint in (int, float):
        return _problem_with_number(hint, value)
    if hint in (bool, str) and not isinstance(value, hint):
        return f"{hint.__name__} is needed"
    if hint == tuple[str, ...] and not _is_list_of_strings(value):
        return "a list of non-empty strings is needed"
    return ""


def _problem_with_number(hint: Any, value: Any) -> str:
    if hint is int and type(value) is float:
        return "a number without a fraction is needed"
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return "a number from 0 up is needed"
    return "" if value < 2**53 else "a number below 2**53 is needed"


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)


# -- one function for each setting that has a rule of its own --------------------------------


def problem_with_cache_control(value: str) -> str:
    """RFC 9111 section 5.2: directives separated by commas. Unknown ones are extensions."""
    if not _is_field_value(value):
        return "printable ASCII is needed"
    if read_directives(value) is None:
        return "directives separated by commas are needed, such as public, max-age=3600"
    meant = misspelled_directive(value)
    return f"did you mean {meant}?" if meant else ""


def problem_with_cors(origins: tuple[str, ...]) -> str:
    """Each entry is compared with an Origin field, so it must look like one."""
    for origin in origins:
        if origin in ("*", "null"):
            continue
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return f"an origin is needed: * or scheme://host[:port], such as {_origin_like(origin)}"
        if match[3] and match[3] == _DEFAULT_PORTS.get(match[1]):
            return f"browsers leave out the default port: say {match[1]}://{match[2]}"
    return ""


def _origin_like(text: str) -> str:
    """The origin that a user may have meant."""
    host = text.strip().lower().rstrip("/")
    for candidate in (host, f"https://{host}"):
        if _ORIGIN.fullmatch(candidate):
            return candidate
    return "https://example.com"


def problem_with_count(value: int) -> str:
    """At least one is needed for anything to work."""
    return "" if value >= 1 else "at least 1 is needed"


def problem_with_timeout(value: float) -> str:
    """A timeout of 0 would refuse everything."""
    return "" if value > 0 else "a number of seconds above 0 is needed"


def problem_with_media_types(value: Any) -> str:
    """A mapping of suffixes to media types."""
    if not isinstance(value, Mapping):
        return "a mapping is needed, {'.ext': 'type/sub'}"
    for suffix, media in value.items():
        texts = isinstance(suffix, str) and isinstance(media, str)
        if not texts or suffix[:1] != "." or "/" not in media or not _is_field_value(media):
            return "say '.ext': 'type/subtype'"
    return ""


def problem_with_at(path: str) -> str:
    """The path of a mount, decoded."""
    segments = path.split("/")
    plain = segments[0] == "" and all(name and name not in (".", "..") for name in segments[1:])
    return "" if plain or not path else "a path such as /app is needed, without a slash at its end"


def problem_with_realm(realm: str) -> str:
    """RFC 7617 section 2: a quoted-string. Browsers do not agree about anything but ASCII."""
    return "" if realm and _is_field_value(realm) else "printable ASCII is needed"


_CHECKS: dict[str, Any] = {
    "at": problem_with_at,
    "users": problem_with_users,
    "realm": problem_with_realm,
    "allow_from": problem_with_networks,
    "deny_from": problem_with_networks,
    "rate_limit": problem_with_rate_limit,
    "index": problem_with_index,
    "not_found": problem_with_not_found,
    "error_pages": problem_with_error_pages,
    "spa": problem_with_spa,
    "redirects": problem_with_redirects,
    "cache_control": problem_with_cache_control,
    "cors": problem_with_cors,
    "max_target": problem_with_count,
    "pool_threads": problem_with_count,
    "pool_timeout": problem_with_timeout,
    "send_timeout": problem_with_timeout,
    "media_types": problem_with_media_types,
}


def problem_with_prefix(prefix: str) -> str:
    """A prefix is a decoded path without its last slash; "" stands for all paths."""
    is_path = not problem_with_at(prefix) and not {"?", "#"} & set(prefix)
    return "" if is_path else "a path such as /static is needed"


def _is_field_value(value: str) -> bool:
    return value.isascii() and value.isprintable()


def printable(text: str) -> str:
    r"""Return a name for an error message: one line, printable, ``\xff`` for anything else."""
    return "".join(
        character
        if character.isprintable() and not "\ud800" <= character <= "\udfff"
        else repr(character)[1:-1]
        for character in text
    )


#: Options of WhiteNoise, Sanic, BlackSheep, aiohttp, Tornado and others, with the settings for the same.
_ELSEWHERE = {
    "add_headers_function": "rules",
    "allow_all_origins": "cors",
    "autoindex": "listing",
    "cache_time": "cache_control",
    "default_filename": "index",
    "directory_view": "listing",
    "discovery": "listing",
    "fallback": "spa",
    "fallback_document": "spa",
    "headers": "rules",
    "max_age": "cache_control",
    "mimetypes": "media_types",
    "show_index": "listing",
}


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the rest of an error message about an unknown name: the known name that it is most like.

    If there is none, all known names, as far as they are few.

    Args:
        name: the unknown name, without the prefix.
        known: the known names, in lower case.
        prefix: of variables, which are in upper case; "" for other names.
    """
    names = sorted(set(known))
    name = name.lower().replace("-", "_")
    meant = _ELSEWHERE.get(name, "")
    if close := [meant] if meant in names else difflib.get_close_matches(name, names, n=1):
        return f"did you mean {prefix + close[0].upper() if prefix else close[0]}?"
    return f"known are {', '.join(names)}" if len(names) < 10 else "asyncstatic config prints all"
