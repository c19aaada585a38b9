"""Settings: what can be said about a root, checked once, before the first request.

They come from keyword arguments (`StaticFiles("site", dotfiles=True)`) or from the
environment (``ASYNCSTATIC_DOTFILES=1``); every name below is both.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

PREFIX = "ASYNCSTATIC_"
_SWITCHES_OF_OUR_TESTS = "ASYNCSTATIC_TEST_"
_OF_THE_COMMAND_LINE = frozenset({"ASYNCSTATIC_LOG_FORMAT"})  # options of `asyncstatic serve`
DEFAULT_ROOTS = ("static", "public")

Symlinks = Literal["within_root", "deny", "follow"]
ResolverChoice = Literal["auto", "openat2", "walk"]
TagPolicy = Literal["auto", "content", "off"]
Offload = Literal["off", "x-accel-redirect", "x-sendfile"]


class SettingsError(ValueError):
    """A setting is wrong; the message is one line that says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one root is served.

    Attributes:
        root: the directory; relative to the working directory; may be a symbolic link.
        index: names tried, in order, for a directory.
        not_found: the page below the root that is sent with every 404, such as "404.html": for
            missing, hidden and denied names alike; our own if "" or where the root does not
            have it.
        symlinks: "within_root" follows links that stay inside, also absolute ones that begin with
            the root's path; "deny" follows none, "follow" all - never "follow" on a tree that
            hostile users can write.
        dotfiles: serve names that begin with a dot. ``/.well-known/`` is always served.
        deny: glob patterns of names never served: of one segment ("*.bak"), or with a
            slash of the path from the root ("private/*"). They hold for what is below a directory,
            for every spelling of a name (case, Unicode) and for its coded forms ("x.bak.gz").
        hide_forbidden: answer 404 instead of 403 where permission is missing.
        max_target: octets of a request target; longer is 414.
        cache_control: the Cache-Control of every answer that no rule below covers.
        immutable: glob patterns of fingerprinted names, of one segment or with a slash of the
            whole path, compared exactly. The bytes of such a name never change, so caches may keep
            them for a year without asking.
        media_types: Content-Type by suffix, ``{".foo": "text/x-foo"}``.
        precompressed: serve ``app.js.br``, ``.zst``, ``.gz`` beside ``app.js``.
        etag: "auto" hashes small files and derives the others from metadata, "content"
            hashes all (once per version), "off" sends none.
        cors: origins that may read from scripts; ``("*",)`` for all.
        cache_bytes: memory for small hot files, in octets; 0 switches the cache off. The direct
            lane takes a fourth of it besides, for the requests that ask for them, and an eighth
            for what is large.
        cache_file_bytes: the largest file held in memory, in octets.
        pool_threads: threads that wait for the disk.
        pool_timeout: seconds a request waits for the disk before it is answered 503.
        send_timeout: seconds without progress after which a client is dropped.
        resolver: which path resolver; "auto" asks the kernel.
        manifest: JSON files below the root, as bundlers write them (``.vite/manifest.json``);
            the fingerprinted names in them are immutable. Read at the start.
        offload: large files are named to the server in front, which sends them:
            "x-accel-redirect" (nginx) or "x-sendfile" (Apache, lighttpd). Never set it where
            no such server strips the field: clients would get empty files.
        offload_prefix: where the server in front finds the root: nginx's internal location,
            such as "/_files"; for "x-sendfile" a directory, the root's own path if "".
        unchanging: nothing below the root changes while it is served, so a server may open a
            file by its name once more (ASGI's pathsend).
        previous_root_grace: seconds for which, after the root was replaced by a deploy, files
            that only the tree before has are still served from it; 0 switches that off.
    """

    root: str = ""
    index: tuple[str, ...] = ("index.html",)
    not_found: str = ""
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
    cache_bytes: int = 128 * 1024 * 1024
    cache_file_bytes: int = 64 * 1024
    pool_threads: int = 8
    pool_timeout: float = 30.0
    send_timeout: float = 60.0
    resolver: ResolverChoice = "auto"
    manifest: tuple[str, ...] = ()
    offload: Offload = "off"
    offload_prefix: str = ""
    unchanging: bool = False
    previous_root_grace: float = 0.0

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            _check(name, hint, getattr(self, name))
        if self.offload == "x-accel-redirect" and not self.offload_prefix.startswith("/"):
            raise SettingsError(
                f"offload_prefix={self.offload_prefix!r}: the path of nginx's internal location "
                "is needed, such as /_files"
            )
        if self.previous_root_grace and (self.unchanging or self.offload != "off"):
            raise SettingsError(
                f"previous_root_grace={self.previous_root_grace!r}: not together with offload or "
                "unchanging, by which files are opened by their names in the new tree"
            )

    @classmethod
    def of(cls, root: str | os.PathLike[str] | None = None, **options: Any) -> Settings:
        """Build settings from keyword arguments.

        Lists are taken where a tuple is meant, and one string where it would be a
        tuple of one.

        Raises:
            SettingsError: an unknown name or an unusable value.
        """
        if root is not None:
            options["root"] = _path(root)
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
        options = options_of(environ)
        if not options.get("root"):
            options["root"] = _default_root()
        return cls.of(**options)


def options_of(variables: Mapping[str, Any], others: Sequence[str] = ()) -> dict[str, Any]:
    """Pick ``ASYNCSTATIC_*`` out of an environment or an app's config.

    Texts are read as the setting needs them; other values are taken as they are.

    Args:
        variables: all of them, ours and foreign.
        others: names that are no settings and are known all the same, in upper case.

    Raises:
        SettingsError: an unknown variable, or an unusable text.
    """
    known = {PREFIX + name.upper(): name for name in _HINTS}
    options: dict[str, Any] = {}
    for variable, value in variables.items():
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in others:
            continue
        if variable in _OF_THE_COMMAND_LINE or variable.startswith(_SWITCHES_OF_OUR_TESTS):
            continue
        if variable not in known:
            raise SettingsError(_unknown(variable.removeprefix(PREFIX).lower(), _HINTS, PREFIX))
        name = known[variable]
        text = isinstance(value, str)
        options[name] = _from_text(variable, _HINTS[name], value) if text else value
    return options


_HINTS: dict[str, Any] = get_type_hints(Settings)


def _path(root: Any) -> Any:
    try:
        return os.fspath(root)
    except TypeError:
        raise SettingsError(f"root={root!r}: the path of a directory is needed") from None


def _default_root() -> str:
    for name in DEFAULT_ROOTS:
        if os.path.isdir(name):
            return name
    raise SettingsError(
        "no directory to serve: neither ./static nor ./public is here; "
        "set ASYNCSTATIC_ROOT=DIR or create one of them"
    )


def _unknown(name: str, known: Mapping[str, Any], prefix: str = "") -> str:
    def spelled(name: str) -> str:
        return prefix + name.upper() if prefix else name

    close = difflib.get_close_matches(name, known, n=1)
    others = ", ".join(spelled(other) for other in sorted(known))
    hint = f"did you mean {spelled(close[0])}?" if close else f"known are {others}"
    return f"unknown setting {spelled(name)}: {hint}"


def _coerce(name: str, value: Any) -> Any:
    if _HINTS[name] == tuple[str, ...]:
        return (value,) if isinstance(value, str) else _as_tuple(value)
    if name == "media_types" and isinstance(value, Mapping):
        return {str(suffix).lower(): media for suffix, media in value.items()}
    if _HINTS[name] is float and type(value) is int:
        return float(value)
    return value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Iterable) else value


def _from_text(variable: str, hint: Any, text: str) -> Any:
    if hint is bool:
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off", ""}:
            return False
        raise SettingsError(f"{variable}={text!r}: say 1 or 0")
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise SettingsError(f"{variable}={text!r}: a number is needed") from None
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint == Mapping[str, str]:
        return _pairs(variable, text)
    return text


def _pairs(variable: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError(f"{variable}={text!r}: say .ext=type/subtype, separated by commas")
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
    if hint == tuple[str, ...] and not _is_list_of_strings(value):
        raise SettingsError(f"{name}={value!r}: a list of non-empty strings is needed")
    _check_meaning(name, value)


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)


def _check_meaning(name: str, value: Any) -> None:
    if name == "index" and not all(map(_is_plain_name, value)):
        raise SettingsError(f"index={value!r}: plain file names are needed")
    if name == "not_found" and value and not _is_plain_path(value):
        raise SettingsError(f"not_found={value!r}: the name of a page below the root is needed")
    if name == "cache_control" and not _is_field_value(value):
        raise SettingsError(f"cache_control={value!r}: printable ASCII is needed")
    if name in {"pool_threads", "max_target"} and value < 1:
        raise SettingsError(f"{name}={value!r}: at least 1 is needed")
    if name in {"pool_timeout", "send_timeout"} and value <= 0:
        raise SettingsError(f"{name}={value!r}: a number of seconds above 0 is needed")
    if name == "media_types":
        _check_media_types(value)


def _is_plain_name(name: str) -> bool:
    return not name.startswith(".") and "/" not in name and "\0" not in name


def _is_plain_path(path: str) -> bool:
    return all(name and _is_plain_name(name) for name in path.split("/"))


def _check_media_types(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise SettingsError(f"media_types={value!r}: a mapping is needed, {{'.ext': 'type/sub'}}")
    for suffix, media in value.items():
        texts = isinstance(suffix, str) and isinstance(media, str)
        if not texts or suffix[:1] != "." or "/" not in media or not _is_field_value(media):
            raise SettingsError(f"media_types {suffix!r}: {media!r}: say '.ext': 'type/subtype'")


def _is_field_value(value: str) -> bool:
    return value.isascii() and value.isprintable()
