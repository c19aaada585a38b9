"""Want-Repr-Digest and Repr-Digest (RFC 9530)."""

from __future__ import annotations

import binascii
import re

# A member of a Dictionary (RFC 9651 §3.2) as far as Want-Repr-Digest uses it: key "=" sf-integer.
_PREFERENCE = r"[ \t]*+([a-z*][a-z0-9_.*\-]*+)=(-?[0-9]{1,15})[ \t]*+"
_PREFERENCES = re.compile(rf"{_PREFERENCE}(?:,{_PREFERENCE})*+")
_PREFERENCE_MEMBER = re.compile(_PREFERENCE)


def wants_sha256(value: str | None) -> bool:
    """Tell whether a Want-Repr-Digest accepts SHA-256, the one algorithm of our answers (§4).

    A preference is 1 to 10; 0 means not acceptable. A malformed field is ignored as a whole, as
    structured fields are (RFC 9651 §4.2).
    """
    if value is None or not _PREFERENCES.fullmatch(value):
        return False
    preferences = dict(_PREFERENCE_MEMBER.findall(value))
    return 1 <= int(preferences.get("sha-256", 0)) <= 10


def repr_digest(sha256: bytes) -> str:
    """Build a Repr-Digest value from the 32 bytes of a SHA-256 hash (RFC 9530 §3)."""
    return f"sha-256=:{binascii.b2a_base64(sha256, newline=False).decode()}:"
