"""Admission: from a request head to its answer, by one dictionary of prepared answers.

A prepared answer is found by method, path and deciding lines (`head`), and used while the cache
entry of its representation is fresh. Everything else goes the long way: read the fields, find the
mount, ask `StaticFiles`. Where that answer lasts it is prepared for the next request.

If-None-Match and If-Range hold values that clients choose, in any number. So they are no part of
a key: If-None-Match is compared with the entity-tag of the prepared answer, and a request with
If-Range or another condition goes the long way.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_bytes
from typing import NamedTuple
from urllib.parse import quote

from asyncstatic.files.cache import CacheEntry
from asyncstatic.files.memfd import MemoryFile
from asyncstatic.files.source import Opened
from asyncstatic.http.entity_tag import EntityTag, EntityTags
from asyncstatic.http.model import ByteRange, Request, ResponsePlan
from asyncstatic.http.respond import is_lasting
from asyncstatic.serve.answer import Answer
from asyncstatic.serve.direct.head import deciding_lines, read_head
from asyncstatic.serve.direct.mounts import Mount
from asyncstatic.serve.direct.response import head_of
from asyncstatic.serve.direct.server import Terms
from asyncstatic.serve.portable import in_memory
from asyncstatic.serve.scope import below_prefix, below_root

Key = tuple[bytes, ...]  # owner, method, path, deciding lines
_LONGEST_KEY = 1024  # bytes; a longer request is not worth an entry
_HYPHEN = ord("-")
_ONE_TAG = re.compile(rb'"[^",*]*+"')  # one strong tag, without characters that need a parser
_PREPARED_BYTES = 1024  # an answer's plan, fields and objects (measured, rounded up)


@dataclass(slots=True, eq=False)
class PreparedAnswer:
    """An answer that needs no decision.

    Attributes:
        plan: the response.
        head: its status line and fields, without the end.
        source: the cache entry of the representation, which proves the answer fresh.
        content: bytes to send behind the head; None for those that `source` holds, in memory or
            as an open file.
        tag: the value of its ETag field, for If-None-Match; empty without one.
        not_modified: the 304 to the same request, once it was made.
        entry: the cache entry that holds the answer.
        was_large: whether large content was sent once.
        memory_file: large content that was sent more than once.
    """

    plan: ResponsePlan
    head: bytes
    source: CacheEntry
    content: bytes | None
    tag: bytes
    not_modified: PreparedAnswer | None = None
    entry: CacheEntry | None = None
    was_large: bool = False
    memory_file: MemoryFile | None = None

    def close(self) -> None:
        """Close the anonymous file: the cache evicts the answer."""
        if self.memory_file is not None:
            self.memory_file.close()
            self.memory_file = None


class Admitted(NamedTuple):
    """A request that a static root answers.

    Attributes:
        request: the request, relative to the mount.
        keep_alive: whether the client leaves the connection open.
        key: of the request.
        mount: the root that answers.
    """

    request: Request
    keep_alive: bool
    key: Key
    mount: Mount


class Admission:
    """Decides which requests the static roots of an app answer, and how.

    Args:
        mounts: the roots, in the order in which they are asked.
        terms: of the full server.
    """

    def __init__(self, mounts: list[Mount], terms: Terms) -> None:
        self._mounts = mounts
        self._root_path = terms.root_path.rstrip("/")
        # The beginnings of all paths of the mounts, as far as they have one spelling.
        self._beginnings = tuple(
            b"" if self._root_path else quote(mount.prefix).partition("%")[0].encode()
            for mount in mounts
        )
        self._own_paths = terms.own_paths
        self._server_names = frozenset(name.encode("latin-1") for name in terms.server_names)
        self._cache = mounts[0].static.cache
        self._find = self._cache.find
        # Begins all keys: other servers of the process share the cache.
        self._owner = token_bytes(8)

    def close(self) -> None:
        """Evict the prepared answers."""
        self._cache.evict_all(self._owner)

    # -- prepared answers ------------------------------------------------------------------

    def key(self, head: re.Match[bytes]) -> Key:
        """Return the key of a request: equal keys get equal answers."""
        lines = deciding_lines(head.string, head.end(2), head.end())
        return (self._owner, head[1], head[2], *lines)

    def prepared(self, key: Key) -> PreparedAnswer | None:
        """Return the prepared answer to a request, proven fresh; None if there is none."""
        entry = self._find(key)
        return self._prepared_for_condition(key) if entry is None else self._fresh(entry)

    def _fresh(self, entry: CacheEntry) -> PreparedAnswer | None:
        answer: PreparedAnswer = entry.value
        if answer.source.is_fresh():
            entry.used = True
            return answer
        self._cache.evict(entry)
        self._cache.evict(answer.source)
        return None

    def _prepared_for_condition(self, key: Key) -> PreparedAnswer | None:
        """Find the answer without If-None-Match, and evaluate that (RFC 9110 §13.1.2)."""
        value, others = _split_condition(key)
        entry = None if value is None else self._find(others)
        answer = None if entry is None else self._fresh(entry)
        if value is None or answer is None or not answer.tag:
            return None
        return answer.not_modified if _names(value, answer.tag) else answer

    def prepare(self, admitted: Admitted, answer: Answer, head: bytes) -> None:
        """Keep an answer for equal requests, where it lasts; `head` is that of the answer."""
        opened, request = answer.opened, admitted.request
        if opened is None or opened.entry is None or not admitted.keep_alive:
            return
        value, key = _split_condition(admitted.key)
        if any(line[2] == _HYPHEN for line in key[3:]) or sum(map(len, key)) > _LONGEST_KEY:
            return
        if not is_lasting(request, opened.representation, time.time_ns()):
            return
        plan, plan_head = answer.plan, head
        if value is not None:
            plan = admitted.mount.static.without_condition(request, answer)
            plan_head = head_of(plan)
        if plan.status not in (200, 206):
            return
        prepared = self._put(key, plan, plan_head, opened)
        if prepared is not None and answer.plan.status == 304:
            source = prepared.source
            prepared.not_modified = PreparedAnswer(answer.plan, head, source, b"", b"")

    def _put(
        self, key: Key, plan: ResponsePlan, head: bytes, opened: Opened
    ) -> PreparedAnswer | None:
        before = self._find(key)
        if before is not None:
            value: PreparedAnswer = before.value
            return value
        content = _own_content(plan, opened)
        assert opened.entry is not None  # noqa: S101 - see `prepare`
        tag = dict(plan.fields).get(b"etag", b"")
        answer = PreparedAnswer(plan, head, opened.entry, content, tag)
        size = sum(map(len, key)) + 2 * len(head) + len(content or b"") + _PREPARED_BYTES
        answer.entry = self._cache.put(key, answer, size)
        return answer if answer.entry is not None else None

    def memory_file(self, answer: PreparedAnswer) -> MemoryFile | None:
        """Return large content as an anonymous file, from the second time on.

        None: it is too large, the disk would have to be asked, or the process is short of memory or
        descriptors.
        """
        if answer.memory_file is not None or not answer.was_large:
            answer.was_large = True
            return answer.memory_file
        content = answer.content or in_memory(answer.plan, answer.source.value)
        if content is None or answer.entry is None or not MemoryFile.has_room():
            return None
        with suppress(OSError):
            answer.memory_file = MemoryFile(content)
            self._cache.grow(answer.entry, len(content))
        return answer.memory_file

    # -- the long way ----------------------------------------------------------------------

    def admit(self, match: re.Match[bytes], key: Key) -> Admitted | None:
        """Read a head, and find its root; None when the full server must have the request."""
        if not match[2].startswith(self._beginnings):
            return None
        head = read_head(match, key[3:], self._server_names)
        if head is None or match[2] in self._own_paths:
            return None
        sent, keep_alive = head
        sent = below_root(sent, self._root_path, self._root_path)
        for mount in self._mounts:
            request = below_prefix(sent, mount.prefix)
            if request is None:
                continue
            if not request.target or mount.static.needs_scope:
                return None  # also the mount point without its slash
            return Admitted(request, keep_alive, key, mount)
        return None


def _split_condition(key: Key) -> tuple[bytes | None, Key]:
    """Return the value of If-None-Match, and the key without it.

    If-Modified-Since is dropped beside it (§13.1.3). A repeated field has no value.
    """
    others, values = [*key[:3]], []
    for line in key[3:]:
        if line[2] != _HYPHEN:  # no "If-"
            others.append(line)
            continue
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"if-none-match":
            values.append(value.strip())
        elif name != b"if-modified-since":
            others.append(line)
    return (values[0], tuple(others)) if len(values) == 1 else (None, key)


def _names(value: bytes, tag: bytes) -> bool:
    """Tell whether a value of If-None-Match names a tag: weak comparison (§13.1.2)."""
    if value == tag:
        return True
    if _ONE_TAG.fullmatch(value) and tag[:1] == b'"':
        return False
    tags = EntityTags.parse(value.decode("latin-1"))
    current = EntityTag.parse(tag.decode("latin-1"))
    return tags is not None and tags.matches_weak(current)


def _own_content(plan: ResponsePlan, opened: Opened) -> bytes | None:
    """Return the content that the cached representation does not hold as a whole; else None."""
    if not plan.content:
        return b""
    if opened.content is None or plan.content == (ByteRange(0, len(opened.content) - 1),):
        return None
    return in_memory(plan, opened)
