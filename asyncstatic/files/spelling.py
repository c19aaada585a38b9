"""The spelling of a name below a root, for the os module and back.

A name has the bytes of the URL, UTF-8. The os module decodes and encodes names as the locale says:
nearly always as UTF-8 too, but not under LC_ALL=en_US.ISO-8859-1, nor in a program that embeds Python
without its UTF-8 mode (PEP 540).
"""

from __future__ import annotations

import os
import sys

_IS_UTF_8 = sys.getfilesystemencoding() == "utf-8"


def for_os(name: str) -> str:
    """Return a name below a root, or several with slashes, as the os module spells it."""
    return name if _IS_UTF_8 else os.fsdecode(name.encode("utf-8", "surrogateescape"))


def from_os(name: str) -> str:
    """Do the reverse of `for_os`; lone surrogates stand for bytes that are not UTF-8."""
    return name if _IS_UTF_8 else os.fsencode(name).decode("utf-8", "surrogateescape")
