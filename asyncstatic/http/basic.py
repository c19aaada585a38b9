"""Basic authentication (RFC 7617): credentials, the challenge, and files of users (htpasswd(1)).

Nothing here compares a password: `serve.users` does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# RFC 9110 §11.4: a scheme in any case, spaces, and a token68. The one that we take is padded.
_BASIC = re.compile(rb"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
# RFC 7617 §2: neither the name nor the password may have control characters.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
# A salt has 128 bits, so 4 of the 132 in its 22 characters are zero; else it cannot be verified.
_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")

_MAKE_A_HASH = "make one with: asyncstatic hash"


class Credentials(NamedTuple):
    """The name and the password that a client sent, in UTF-8."""

    name: bytes
    password: bytes


def read_credentials(headers: Iterable[tuple[bytes, bytes]]) -> Credentials | None:
    """Read the Authorization field of a request; None unless it is one of Basic, and well-formed.

    Args:
        headers: all fields, with names in lower case. A second Authorization field is ambiguous.
    """
    values = [value for name, value in headers if name.lower() == b"authorization"]
    match = _BASIC.fullmatch(values[0].strip(b" \t")) if len(values) == 1 else None
    if match is None or len(match[1]) % 4:
        return None
    try:
        decoded = base64.b64decode(match[1], validate=True)
        decoded.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = decoded.partition(b":")
    return None if not colon or _CONTROL.search(decoded) else Credentials(name, password)


def challenge(realm: str) -> tuple[bytes, bytes]:
    """Return the field that asks a client for a name and a password, in UTF-8."""
    quoted = re.sub(r'(["\\])', r"\\\1", realm)
    return b"www-authenticate", f'Basic realm="{quoted}", charset="UTF-8"'.encode("ascii")


def kind_of_hash(text: str) -> str:
    """Return the algorithm of a hash: "argon2" or "bcrypt"; "" for anything else."""
    if _ARGON2.fullmatch(text):
        return "argon2"
    return "bcrypt" if _BCRYPT.fullmatch(text) else ""


def problem_with_user(name: object, hash_: object) -> str:
    """Return why a name and a hash are no user; "" if they are. It never repeats the hash."""
    if not isinstance(name, str) or not name or ":" in name or not name.isprintable():
        return "a name is printable and has no colon"
    if not isinstance(hash_, str) or not kind_of_hash(hash_):
        return f"{name} has no hash of argon2 or bcrypt; {_MAKE_A_HASH}"
    return ""


def problem_with_password(password: str) -> str:
    """Return why a password cannot be sent (RFC 7617 §2); "" if it can."""
    try:
        data = password.encode()
    except UnicodeEncodeError:
        return "the password is not UTF-8"
    if not data or _CONTROL.search(data):
        return "the password is empty, or has a control character, which no client can send"
    return ""


def read_htpasswd(text: str) -> Mapping[str, str]:
    """Read the lines of an htpasswd file: NAME:HASH, comments and empty lines.

    Raises:
        ValueError: a line is unusable; the message begins with its number and repeats no hash.
    """
    users: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, hash_ = line.partition(":")
        problem = problem_with_user(name, hash_) if colon else "say NAME:HASH"
        if name in users:
            problem = f"{name} has a line above"
        if problem:
            raise ValueError(f"line {number}: {problem}")
        users[name] = hash_
    return users
