"""Settings: what can be said about a root, checked once, before the first request.

They come from keyword arguments (`StaticFiles("site", dotfiles=True)`) or from the
environment (``ASYNCSTATIC_DOTFILES=1``); every name below is both.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

PREFIX = "ASYNCSTATIC_"
DEFAULT_ROOTS = ("static", "public")

Symlinks = Literal["within_root", "deny", "follow"]
ResolverChoice = Literal["auto", "openat2", "walk"]
TagPolicy = Literal["auto", "content", "off"]


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one root is served.

    Attributes:
        root: the directory; relative to the working directory; may be a symbolic link.
        index: names tried, in order, for a directory.
        symlinks: "within_root" follows links that stay inside, "deny" none, "follow" all -
            never "follow" on a tree that hostile users can write.
        dotfiles: serve names that begin with a dot. ``/.well-known/`` is always served.
        deny: glob patterns of names never served: of one segment ("*.bak"), or with a
            slash of the whole path ("private/*").
        hide_forbidden: answer 404 instead of 403 where permission is missing.
        max_target: octets of a request target; longer is 414.
        cache_control: the Cache-Control of every answer that no rule below covers.
        immutable: glob patterns, as in `deny`, of fingerprinted names: their bytes never
            change, so caches may keep them for a year without asking.
        media_types: Content-Type by suffix, ``{".foo": "text/x-foo"}``.
        precompressed: serve ``app.js.br``, ``.zst``, ``.gz`` beside ``app.js``.
        etag: "auto" hashes small files and derives the others from metadata, "content"
            hashes all (once per version), "off" sends none.
        cors: origins that may read from scripts; ``("*",)`` for all.
        cache_bytes: memory for small hot files; 0 switches the cache off.
        cache_file_bytes: the largest file held in memory, in octets.
        pool_threads: threads that wait for the disk.
        pool_timeout: seconds a request waits for the disk before it is answered 503.
        send_timeout: seconds without progress after which a client is dropped.
        resolver: which path resolver; "auto" asks the kernel.
    """

    root: str = ""
    index: tuple[str, ...] = ("index.html",)
    symlinks: Symlinks = "within_root"
    dotfiles: bool = False
    deny: tuple[str, ...] = ()
    hide_forbidden: bool = False
    max_target: int = 4096
    cache_control: str = "no-cache"
    immutable: tuple[str, ...] = ()
    media_types: Mapping[str, str] = field(default_factory=dict)
    precompressed: bool = True
    etag: TagPolicy = "auto"
    cors: tuple[str, ...] = ()
    cache_bytes: int = 64 * 1024 * 1024
    cache_file_bytes: int = 64 * 1024
    pool_threads: int = 8
    pool_timeout: float = 30.0
    send_timeout: float = 60.0
    resolver: ResolverChoice = "auto"

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            _check(name, hint, getattr(self, name))

    @classmethod
    def of(cls, root: str | os.PathLike[str] | None = None, **options: Any) -> Settings:
        """Build settings from keyword arguments.

        Lists are taken where a tuple is meant, and one string where it would be a
        tuple of one.

        Raises:
            SettingsError: an unknown name or an unusable value.
        """
        if root is not None:
            options["root"] = os.fspath(root)
        for name in options:
            if name not in _HINTS:
                raise SettingsError(_unknown(name, _HINTS))
        return cls(**{name: _coerce(name, value) for name, value in options.items()})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Build settings from ``ASYNCSTATIC_*`` variables.

        Without ``ASYNCSTATIC_ROOT``, ``./static`` is served, else ``./public``.

        Raises:
            SettingsError: an unknown variable, an unusable value, or no root.
        """
        options: dict[str, Any] = {}
        for variable, text in environ.items():
            if variable.startswith(PREFIX):
                name = variable.removeprefix(PREFIX).lower()
                if name not in _HINTS:
                    known = {PREFIX + known.upper(): None for known in _HINTS}
                    raise SettingsError(_unknown(variable, known))
                options[name] = _from_text(variable, _HINTS[name], text)
        if not options.get("root"):
            options["root"] = _default_root()
        return cls.of(**options)


_HINTS: dict[str, Any] = get_type_hints(Settings)


def _default_root() -> str:
    for name in DEFAULT_ROOTS:
        if os.path.isdir(name):
            return name
    raise SettingsError(
        "no directory to serve: neither ./static nor ./public is here; "
        "set ASYNCSTATIC_ROOT=DIR or create one of them"
    )


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
    return f"unknown setting {name}: {hint}"


def _coerce(name: str, value: Any) -> Any:
    if _HINTS[name] == tuple[str, ...]:
        return (value,) if isinstance(value, str) else tuple(value)
    if name == "media_types" and isinstance(value, Mapping):
        return {str(suffix).lower(): media for suffix, media in value.items()}
    if _HINTS[name] is float and type(value) is int:
        return float(value)
    return value


def _from_text(variable: str, hint: Any, text: str) -> Any:
    if hint is bool:
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off", ""}:
            return False
        raise SettingsError(f"{variable}={text}: say 1 or 0")
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise SettingsError(f"{variable}={text}: a number is needed") from None
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint == Mapping[str, str]:
        return _pairs(variable, text)
    return text


def _pairs(variable: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError(f"{variable}={text}: say .ext=type/subtype, separated by commas")
    return {suffix.strip(): media.strip() for suffix, _, media in pairs}


def _check(name: str, hint: Any, value: Any) -> None:
    choices = get_args(hint) if getattr(hint, "__origin__", None) is Literal else ()
    if choices and value not in choices:
        raise SettingsError(f"{name}={value!r}: choose one of {', '.join(choices)}")
    if hint in (int, float) and (
        isinstance(value, bool) or not isinstance(value, hint) or not 0 <= value < 2**53
    ):
        raise SettingsError(f"{name}={value!r}: a number from 0 up is needed")
    if hint in (bool, str) and not isinstance(value, hint):
        raise SettingsError(f"{name}={value!r}: {hint.__name__} is needed")
    if hint == tuple[str, ...] and not all(isinstance(item, str) and item for item in value):
        raise SettingsError(f"{name}={value!r}: a list of non-empty strings is needed")
    _check_meaning(name, value)


def _check_meaning(name: str, value: Any) -> None:
    if name == "index" and any("/" in item or item.startswith(".") for item in value):
        raise SettingsError(f"index={value!r}: plain file names are needed")
    if name == "cache_control" and not _is_field_value(value):
        raise SettingsError(f"cache_control={value!r}: printable ASCII is needed")
    if name in {"pool_threads", "max_target"} and value < 1:
        raise SettingsError(f"{name}={value!r}: at least 1 is needed")
    if name in {"pool_timeout", "send_timeout"} and value <= 0:
        raise SettingsError(f"{name}={value!r}: a number of seconds above 0 is needed")
    if name == "media_types":
        _check_media_types(value)


def _check_media_types(value: Any) -> None:
    for suffix, media in value.items():
        if not suffix.startswith(".") or "/" not in media or not _is_field_value(media):
            raise SettingsError(f"media_types {suffix!r}: {media!r}: say '.ext': 'type/subtype'")


def _is_field_value(value: str) -> bool:
    return value.isascii() and value.isprintable()
