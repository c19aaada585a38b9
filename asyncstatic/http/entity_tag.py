"""Entity tags (RFC 9110 §8.8.3), and the lists of them in If-Match and If-None-Match.

entity-tag = [ weak ] opaque-tag
weak       = %s"W/"
opaque-tag = DQUOTE *etagc DQUOTE
etagc      = %x21 / %x23-7E / obs-text                no escapes: a backslash is a backslash
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from asyncstatic.http.abnf import OWS

_OPAQUE = r"[!#-~\x80-\xff]*+"
_IS_OPAQUE = re.compile(_OPAQUE)
_TAG = re.compile(rf'(W/)?+"({_OPAQUE})"')
_TAGS = re.compile(rf"{OWS}(?:{_TAG.pattern})?+(?:{OWS},{OWS}(?:{_TAG.pattern})?+)*+{OWS}")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A validator: equal tags mean equal content.

    Raises:
        ValueError: `opaque` holds a character outside etagc, such as a quote or a line end.
    """

    opaque: str
    weak: bool = False

    def __post_init__(self) -> None:
        if not _IS_OPAQUE.fullmatch(self.opaque):
            raise ValueError(f"not an opaque-tag: {self.opaque!r}")

    @classmethod
    def parse(cls, value: str) -> EntityTag | None:
        """Parse one entity-tag, as ETag and If-Range carry it."""
        match = _TAG.fullmatch(value.strip(" \t"))
        return cls(match[2], match[1] is not None) if match else None

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'

    def strong_eq(self, other: EntityTag) -> bool:
        """Return whether both are strong and equal: the bytes are the same (§8.8.3.2)."""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def weak_eq(self, other: EntityTag) -> bool:
        """Return whether the opaque-tags are equal: the content is equivalent (§8.8.3.2)."""
        return self.opaque == other.opaque


class EntityTags(NamedTuple):
    """The value of If-Match and If-None-Match: ``"*" / #entity-tag`` (§13.1.1, §13.1.2).

    A malformed member makes the field unusable as a whole. The safe reading depends on the field.
    If-None-Match is ignored, so the client gets the content. If-Match is false, so the client gets
    412: it asked for one version, and nothing tells which.
    """

    tags: tuple[EntityTag, ...]
    any: bool = False

    @classmethod
    def parse(cls, value: str | None) -> EntityTags | None:
        """Parse the field; commas inside tags are part of them, empty members are skipped."""
        if value is None:
            return None
        if value.strip(" \t") == "*":
            return cls((), any=True)
        if not _TAGS.fullmatch(value):
            return None
        return cls(tuple(EntityTag(opaque, bool(weak)) for weak, opaque in _TAG.findall(value)))

    def matches_strong(self, tag: EntityTag | None) -> bool:
        """Compare for If-Match. Only ``*`` matches a representation without a tag (None)."""
        return self.any or (tag is not None and any(map(tag.strong_eq, self.tags)))

    def matches_weak(self, tag: EntityTag | None) -> bool:
        """Compare for If-None-Match. Only ``*`` matches a representation without a tag (None)."""
        return self.any or (tag is not None and any(map(tag.weak_eq, self.tags)))
