"""Validators of a representation: its entity-tag and modification date (RFC 9110 §8.8).

Both keep one promise: equal validators mean equal bytes. Where metadata cannot prove that, the
validator is weak or left out.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import NamedTuple

from asyncstatic.http.entity_tag import EntityTag
from asyncstatic.http.model import SECOND, Representation
from asyncstatic.settings.root import TagPolicy

YOUNG_NS = 2 * SECOND

# Modification times that archives write so that builds are reproducible; no evidence of a change.
_EPOCH_END = 2 * 86_400
_ZIP_EPOCH = range(315_446_400, 315_705_600)  # 1980-01-01, give or take a time zone
_NPM_EPOCH = 499_162_500  # 1985-10-26T08:15:00Z


class Validators(NamedTuple):
    """The validators of a representation; None for one that would not be reliable."""

    tag: EntityTag | None
    modified: int | None


NO_VALIDATORS = Validators(None, None)


def validators_of(representation: Representation, policy: TagPolicy, now_ns: int) -> Validators:
    """Derive the validators.

    Args:
        representation: the selected representation.
        policy: `Settings.etag`.
        now_ns: the clock, ns since the epoch.
    """
    if representation.decoding == "zip":  # made while it is sent
        return NO_VALIDATORS
    tag = None if policy == "off" else _entity_tag(representation, now_ns)
    return Validators(tag, _last_modified(representation, now_ns))


def _entity_tag(representation: Representation, now_ns: int) -> EntityTag:
    """Make the tag from the best evidence of the content (§8.8.3).

    1. A hash of the content: equal for equal bytes on every machine, also after a rollback.
    2. For a file that is too large to be hashed: size, modification time and samples of the
       content, equal on every machine that kept the time. Inode and ctime are left out, because
       ``chown -R``, ``cp -al`` and another replica change them and leave the bytes as they were.
    3. Inode and ctime as well, where size and time are no evidence: another file was seen with
       the same time (then there is no summary), or the time is an archive's placeholder. Such a
       tag never equals a tag of earlier content.

    One change stays undetected: in a large file, between the samples, with the old time restored,
    while no process of ours was running.

    The tags of 2 and 3 are weak while the file is young (§8.8.1). While a write could still leave
    the same times, the tag of 3 is also unique, so that it never matches.
    """
    suffix = _suffix(representation)
    if representation.tag is not None:
        return EntityTag(representation.tag + suffix)
    if representation.digest is not None:
        return EntityTag(_short(representation.digest) + suffix)
    identity = representation.identity
    weak = identity.age(now_ns) < YOUNG_NS
    if representation.summary is not None and not _is_placeholder(identity.mtime_ns // SECOND):
        return EntityTag(_short(representation.summary) + suffix, weak)
    facts = (*identity, now_ns) if identity.racy(now_ns) else tuple(identity)
    opaque = _short(hashlib.blake2s(repr(facts).encode()).digest())
    return EntityTag(opaque + suffix, weak)


def _short(digest: bytes) -> str:
    return b64encode(digest[:15], b"-_").decode("ascii")


def _suffix(representation: Representation) -> str:
    """Return the end of a tag: each coding has its own (§8.8.3.3), even for equal bytes."""
    if representation.decoding is not None:
        return f"-un{representation.decoding}"
    return "" if representation.coding == "identity" else f"-{representation.coding}"


def _last_modified(representation: Representation, now_ns: int) -> int | None:
    """Return seconds since the epoch, never later than the message's own Date (§8.8.2.1)."""
    modified = representation.modified_ns // SECOND
    if _is_placeholder(modified) or not representation.dated:
        return None
    return min(modified, now_ns // SECOND)


def _is_placeholder(modified: int) -> bool:
    return modified < _EPOCH_END or modified in _ZIP_EPOCH or modified == _NPM_EPOCH
