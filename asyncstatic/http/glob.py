r"""Glob patterns of paths, matched in linear time.

====== =============================================================
``*``      any characters of one name, also none
``**``     any characters, also slashes
``**/``    at the start of a name: any number of directories, also none
``?``      one character of a name
``{a,b}``  one of these; no braces within braces
``\x``     the character x itself
====== =============================================================

A pattern with a slash is compared with the whole path, and begins at its root. A pattern without
one is compared with the last name. Case counts. There are no character classes.

A hostile pattern must not cost more than others. A pattern is a list of tokens, and matching keeps
one bit for each token that may come next (Shift-And; Baeza-Yates and Gonnet, 1992), so every
character of a path costs a few operations, whatever the pattern.
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import product

LONGEST = 1024  # characters of a pattern
_MOST_ALTERNATIVES = 256  # paths through the braces of a pattern


class _Wild(Enum):
    ONE = "?"
    NAME = "*"
    PATH = "**"


_Token = str | _Wild  # a character, or a wildcard
_Tokens = tuple[_Token, ...]
_TEXTS = re.compile(r"\\.|\*+|.", re.DOTALL)
_UNPAIRED = "braces do not pair: write {a,b}, or \\{ for a brace itself"
_STARS = ((_Wild.NAME,), (_Wild.PATH,))
_TWICE = [_Wild.PATH, "/", _Wild.PATH]


class Glob:
    """A pattern that was read.

    Args:
        pattern: see the module.

    Raises:
        ValueError: the pattern is wrong; the message is the rest of an error message.

    Attributes:
        pattern: the argument.
    """

    __slots__ = ("_alternatives", "_of_name", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._of_name = "/" not in pattern
        alternatives = _alternatives(pattern)
        if not self._of_name:
            alternatives = [
                tokens if tokens[:1] == ("/",) else ("/", *tokens) for tokens in alternatives
            ]
        for tokens in alternatives:
            _refuse_impossible(tokens)
        self._alternatives = [_Alternative(tokens) for tokens in alternatives]

    def matches(self, path: str) -> bool:
        """Tell whether the pattern matches a decoded path that begins with a slash."""
        text = path.rsplit("/", 1)[-1] if self._of_name else path
        return any(alternative.matches(text) for alternative in self._alternatives)

    def may_match_below(self, directory: str) -> bool:
        """Tell whether some path below a directory matches; "" is the root."""
        text = f"{directory}/"
        return self._of_name or any(each.states_after(text) for each in self._alternatives)


class _Alternative:
    """A pattern without braces."""

    __slots__ = (
        *("_accepted", "_directories", "_moves", "_one", "_start", "_stays", "_stays_at_slash"),
        "_texts",
    )

    def __init__(self, tokens: _Tokens) -> None:
        self._moves: dict[str, int] = {}
        self._one = self._stays = self._stays_at_slash = self._directories = 0
        for position, token in enumerate(tokens):
            bit = 1 << position
            if isinstance(token, str):
                self._moves[token] = self._moves.get(token, 0) | bit
            elif token is _Wild.ONE:
                self._one |= bit
            else:
                self._stays |= bit
                self._stays_at_slash |= bit if token is _Wild.PATH else 0
                if _is_directories(tokens, position):
                    self._directories |= bit
        self._texts = _texts(tokens)
        self._accepted = 1 << len(tokens)
        self._start = self._with_empty(1, 0)

    def matches(self, text: str) -> bool:
        """Tell whether the whole text matches."""
        for part in self._texts:
            if part not in text:  # most patterns fail here
                return False
        return bool(self.states_after(text) & self._accepted)

    def states_after(self, text: str) -> int:
        """Return the states behind a text, one bit each; 0 if nothing that begins so matches."""
        states, moves, one = self._start, self._moves, self._one
        for character in text:
            if character == "/":
                stays, moved = self._stays_at_slash, moves.get("/", 0)
            else:
                stays, moved = self._stays, moves.get(character, 0) | one
            states = self._with_empty((states & moved) << 1, states & stays)
            if not states:
                break
        return states

    def _with_empty(self, entered: int, stayed: int) -> int:
        """Add the states behind tokens that may match nothing: ``**/``, where it begins; stars."""
        states = entered | (entered & self._directories) << 2 | stayed
        return states | (states & self._stays) << 1


def _texts(tokens: _Tokens) -> tuple[str, ...]:
    """Return the texts between wildcards, which every match contains.

    Where ``**/`` matches nothing, its slash is the one in front of it.
    """
    text = "".join(token if isinstance(token, str) else "\0" for token in tokens)
    return tuple(filter(None, text.split("\0")))


def _is_directories(tokens: _Tokens, position: int) -> bool:
    """Tell whether the token and the next one are ``**/`` at the start of a name."""
    starts = position == 0 or tokens[position - 1] == "/"
    return (
        starts and tokens[position] is _Wild.PATH and tokens[position + 1 : position + 2] == ("/",)
    )


def _alternatives(pattern: str) -> list[_Tokens]:
    """Return the pattern once for each choice in its braces."""
    if not pattern:
        raise ValueError("a pattern is needed, such as /assets/** or *.js")
    if len(pattern) > LONGEST:
        raise ValueError(f"a pattern of at most {LONGEST} characters is needed")
    count, parts = 1, _parts(pattern)
    for part in parts:
        count *= len(part)
        if count > _MOST_ALTERNATIVES:
            raise ValueError(
                f"more than {_MOST_ALTERNATIVES} ways to choose in its braces: write several rules"
            )
    return [_merged(sum(chosen, ())) for chosen in product(*parts)]


def _parts(pattern: str) -> list[list[_Tokens]]:
    """Split a pattern into parts, each a list of the alternatives that it has."""
    parts: list[list[_Tokens]] = [[()]]
    in_braces = False
    for text in _TEXTS.findall(pattern):
        if text in ("{", "}"):
            if in_braces == (text == "{"):
                raise ValueError(_UNPAIRED)
            in_braces = not in_braces
            parts.append([()])
        elif text == "," and in_braces:
            parts[-1].append(())
        else:
            parts[-1][-1] += (_token(text),)
    if in_braces:
        raise ValueError(_UNPAIRED)
    return parts


def _token(text: str) -> _Token:
    """Return the token for a character, an escaped character or a run of stars."""
    if text == "\\":
        raise ValueError("a character is missing behind the last \\")
    if text == "[":
        raise ValueError(
            "there are no character classes: write ? or {a,b}, or \\[ for a bracket itself"
        )
    if text == "?":
        return _Wild.ONE
    if text.startswith("*"):
        return _Wild.NAME if text == "*" else _Wild.PATH
    return text.removeprefix("\\")


def _merged(tokens: _Tokens) -> _Tokens:
    """Replace a run of stars by one of them, and a run of ``**/`` by one."""
    found: list[_Token] = []
    for token in tokens:
        last = tuple(found[-1:])
        if (token,) in _STARS and last in _STARS:
            found[-1] = token if last == (_Wild.NAME,) else _Wild.PATH
        elif token == "/" and found[-3:] == _TWICE and found[-4:-3] in ([], ["/"]):  # noqa: S105
            found.pop()
        else:
            found.append(token)
    return tuple(found)


def _refuse_impossible(tokens: _Tokens) -> None:
    """Refuse what matches no path: control characters, empty names, "." and ".."."""
    text = "".join(token if isinstance(token, str) else "*" for token in tokens)
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("no path has control characters")
    names = text.removeprefix("/").split("/")
    if "" in names:
        raise ValueError("a name is missing: no path has // or ends in /; write /** for all below")
    if "." in names or ".." in names:
        raise ValueError('no path has the names "." and ".."')
