r"""Grammar shared by all field values (RFC 9110 §5.6), and a cache of their meanings.

Values are ``str`` decoded as latin-1: one character per byte, so obs-text is \x80-\xff. Every
quantifier is possessive (``*+``): the engine never retries consumed text, so each parser takes
time linear in the length of a hostile value.
"""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

Meaning = TypeVar("Meaning")

# OWS = *( SP / HTAB )                                                                      §5.6.3
OWS = r"[ \t]*+"

# token = 1*tchar                                                                           §5.6.2
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 - a grammar rule, no secret

# quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE                                   §5.6.4
QUOTED_STRING = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'

# A list member up to its comma. A quote without an end runs to the end of the value, so that the
# value is scanned once and not again from every quote in it.
_MEMBER = re.compile(r'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def members(value: str) -> list[str]:
    """Split a list at the commas outside quoted strings; empty members are dropped (§5.6.1.2)."""
    return [member for found in _MEMBER.findall(value) if (member := found.strip(" \t"))]


def unquote(value: str) -> str:
    """Return the text of a token or a quoted-string."""
    return _QUOTED_PAIR.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def cached(read: Callable[[str], Meaning]) -> Callable[[str], Meaning]:
    """Cache a pure function of a field value: browsers send the same few values.

    A long value is read each time, since a client could fill the memory with such values.
    """
    cached_read = lru_cache(maxsize=256)(read)

    @wraps(read)
    def read_value(value: str) -> Meaning:
        return (cached_read if len(value) <= 256 else read)(value)

    return read_value
