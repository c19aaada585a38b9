"""Cache-Control of responses (RFC 9111 §5.2.2, RFC 5861, RFC 8246).

Cache-Control   = #cache-directive
cache-directive = token [ "=" ( token / quoted-string ) ]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

from asyncstatic.http.abnf import QUOTED_STRING, TOKEN, members, unquote

_DIRECTIVE = re.compile(rf"({TOKEN})(?:=({TOKEN}|{QUOTED_STRING}))?+")
_IS_TOKEN = re.compile(TOKEN)
_IS_DELTA_SECONDS = re.compile(r"[0-9]++")

# Many caches count in 31 bits; RFC 9111 §1.2.2 gives this value the meaning "too large".
MAX_DELTA_SECONDS: Final = 2**31

_Argument: TypeAlias = bool | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The directives of a response; seconds where the RFC has delta-seconds.

    `private` and `no_cache` are True for the whole response, or the names of the fields they are
    limited to. Directives not listed here are ignored when parsing (RFC 9111 §5.2.3).

    Raises:
        ValueError: seconds outside 0..2**31, or a field name that is no token.
    """

    public: bool = False
    private: bool | tuple[str, ...] = False
    no_cache: bool | tuple[str, ...] = False
    no_store: bool = False
    no_transform: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    immutable: bool = False
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None

    def __post_init__(self) -> None:
        for name in _SECONDS:
            seconds = getattr(self, name)
            if seconds is not None and not 0 <= seconds <= MAX_DELTA_SECONDS:
                raise ValueError(f"{name} outside 0..2**31: {seconds}")
        for limited in (self.private, self.no_cache):
            if isinstance(limited, tuple) and not (limited and all(map(_is_token, limited))):
                raise ValueError(f"not field names: {limited!r}")

    @classmethod
    def parse(cls, value: str | None) -> CacheControl | None:
        """Parse the field; None when it is absent or any directive is malformed.

        For a directive given twice, the first counts (RFC 9111 §4.2.1).
        """
        if value is None:
            return None
        arguments: dict[str, _Argument] = {}
        for member in members(value):
            match = _DIRECTIVE.fullmatch(member)
            if match is None:
                return None
            name = match[1].lower().replace("-", "_")
            if name not in _NAMES:
                continue
            argument = _argument(name, match[2])
            if argument is None:
                return None
            arguments.setdefault(name, argument)
        return cls(**arguments)  # type: ignore[arg-type]  # _argument checked each against its name

    def __str__(self) -> str:
        present = ((name, getattr(self, name)) for name in _NAMES)
        return ", ".join(
            _directive(name.replace("_", "-"), argument)
            for name, argument in present
            if argument is not None and argument is not False
        )


_NAMES: Final = tuple(field.name for field in fields(CacheControl))
_SECONDS: Final = frozenset({"max_age", "s_maxage", "stale_while_revalidate", "stale_if_error"})
_LIMITABLE: Final = frozenset({"private", "no_cache"})


def _argument(name: str, text: str | None) -> _Argument:
    """Return the argument in the type of its directive; None when it is malformed."""
    if name in _SECONDS:
        return _delta_seconds(unquote(text or ""))
    if text is None:
        return True
    if name in _LIMITABLE:
        names = tuple(members(unquote(text)))
        return names if names and all(map(_is_token, names)) else None
    return None


def _delta_seconds(digits: str) -> int | None:
    if not _IS_DELTA_SECONDS.fullmatch(digits):
        return None
    significant = digits.lstrip("0")
    return min(int(significant[:11] or "0"), MAX_DELTA_SECONDS)


def _is_token(name: str) -> bool:
    return _IS_TOKEN.fullmatch(name) is not None


def _directive(name: str, argument: bool | int | tuple[str, ...]) -> str:
    if argument is True:
        return name
    if isinstance(argument, tuple):
        return f'{name}="{", ".join(argument)}"'
    return f"{name}={argument}"


def misspelled_directive(value: str) -> str | None:
    """Return the directive that a near miss such as ``no_cache`` or ``maxage=60`` means, or None.

    Other unknown directives are extensions (RFC 9111 §5.2.3).
    """
    for member in members(value):
        name = member.partition("=")[0].lower()
        meant = _BY_LETTERS.get(name.replace("-", "").replace("_", ""))
        if meant not in (None, name):
            return meant
    return None


_BY_LETTERS: Final = {name.replace("_", ""): name.replace("_", "-") for name in _NAMES}

# Never revalidate: only for names that change with their content.
IMMUTABLE: Final = CacheControl(public=True, max_age=31_536_000, immutable=True)
# Only the client itself may store it, and revalidates before every use.
PRIVATE: Final = CacheControl(private=True, no_cache=True)
