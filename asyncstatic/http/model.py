"""The nouns.

Every value that travels between the rooms, in the order in which one request meets them::

    Request -> Lookup -> Representation | Folder | Absence -> ResponsePlan

All are frozen: they move forward and nobody changes them on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

RawFields = tuple[tuple[bytes, bytes], ...]


class Fields(NamedTuple):
    """The request fields the core reads, each a latin-1 decoded value or None when absent.

    A field that came several times is joined with ", " (RFC 9110 §5.3); for one that must be
    single (Range, If-Range, the dates) the joined value is unusable, so it is ignored.
    Hashable: equal fields mean an equal decision.
    """

    accept: str | None = None
    accept_encoding: str | None = None
    access_control_request_headers: str | None = None
    access_control_request_method: str | None = None
    host: str | None = None
    if_match: str | None = None
    if_modified_since: str | None = None
    if_none_match: str | None = None
    if_range: str | None = None
    if_unmodified_since: str | None = None
    origin: str | None = None
    range: str | None = None
    want_repr_digest: str | None = None

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Fields:
        """Pick the known fields out of raw (name, value) pairs, whose names ASGI has in lower case."""
        found: dict[str, str] = {}
        for name, value in headers:
            known = _KNOWN.get(name)
            if known is not None:
                text = value.decode("latin-1").strip(" \t")
                found[known] = f"{found[known]}, {text}" if known in found else text
        return cls(**found) if found else _NO_FIELDS


# Not every server lower-cases; asking for these spellings costs less than lower() of every name.
_KNOWN = {
    spelling(name.replace("_", "-")).encode(): name
    for name in Fields._fields
    for spelling in (str.lower, str.title, str.upper)
}
_NO_FIELDS = Fields()


class Request(NamedTuple):
    """What the client asks: method, target relative to the mount, and the fields that matter.

    Attributes:
        method: case-sensitive (RFC 9110 §9.1).
        target: still percent-encoded, begins with "/", without mount and query.
        query: without the "?"; kept only to be carried into a redirect.
        fields: see `Fields`.
        mount: the raw path in front of the target; kept only for redirects.
        decoded: the target was decoded by somebody else (a middleware rewrote
            ASGI's ``path``), so percent signs are literal and it is never decoded again.
        stripped: the raw path in front of the mount that a proxy took off: the client's URL has
            it, the request does not.
    """

    method: str
    target: bytes
    query: bytes = b""
    fields: Fields = _NO_FIELDS
    mount: bytes = b""
    decoded: bool = False
    stripped: bytes = b""


class Lookup(NamedTuple):
    """What to look for below a root.

    Attributes:
        segments: decoded and safe, each one name; empty for the root itself.
        directory: the target ended in "/", so only a directory answers it.
        codings: acceptable content-codings, in tiers of equal preference, best first.
        available: False where the answer is known before the disk is asked: it is the same as
            for a missing name, so sources answer `Absence.MISSING` (or the `not_found` page)
            and look at nothing.
    """

    segments: tuple[str, ...]
    directory: bool
    codings: tuple[tuple[str, ...], ...]
    available: bool = True


_SECOND = 1_000_000_000
# A write may follow within one tick of the file system's clock and leave the same times.
# The kernel's own tick is at most 10 ms (CONFIG_HZ=100), FAT's and old NFS's two seconds.
_TICK_NS = 20_000_000
_COARSE_TICK_NS = 2 * _SECOND


class Identity(NamedTuple):
    """Which bytes a file holds, as far as its metadata can tell (stat(2)); times in ns."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def age(self, now_ns: int) -> int:
        """Tell how long ago the file was last touched, in ns."""
        return now_ns - max(self.mtime_ns, self.ctime_ns)

    def racy(self, now_ns: int) -> bool:
        """Tell whether the file may still be written without its times showing it."""
        tick = _TICK_NS if self.ctime_ns % _SECOND else _COARSE_TICK_NS
        return now_ns - self.ctime_ns < tick


class Representation(NamedTuple):
    """The facts of a selected representation (RFC 9110 §3.2), read from its open handle.

    Attributes:
        segments: the resource's own name, an index file's included; never a sidecar's.
        identity: of the file that holds the bytes: the original, or the sidecar.
        coding: its content-coding, or "identity".
        decoding: the bytes are stored in this coding and must be decoded while they are
            sent (a sidecar without an original); the length is then unknown.
        negotiable: other codings exist, so caches must know that the answer varies.
        digest: SHA-256 of the bytes, where it is known.
        summary: digest of size, modification time and samples of the bytes, of a file that is
            too large to be hashed; None where another file was seen under the same time.
        modified_ns: when the resource changed, in ns since the epoch: of the original.
        dated: the modification time tells versions apart. False once the same
            time has been seen on different bytes.
        stands_in: it is sent, with 404, for something that is missing.
        tag: the opaque-tag that the application gave it (RFC 9110 §8.8.3).
    """

    segments: tuple[str, ...]
    identity: Identity
    coding: str = "identity"
    decoding: str | None = None
    negotiable: bool = False
    digest: bytes | None = None
    modified_ns: int = 0
    dated: bool = True
    stands_in: bool = False
    tag: str | None = None
    summary: bytes | None = None

    @property
    def length(self) -> int:
        """Complete-length in octets, of the stored bytes."""
        return self.identity.size


class Folder(NamedTuple):
    """A directory that was asked for without its trailing slash and has an index."""

    name: str


class Absence(Enum):
    """Why there is no representation; the value is the status it is answered with."""

    MISSING = 404
    FORBIDDEN = 403
    UNACCEPTABLE = 406
    OVERLOADED = 503
    BROKEN = 500


class Refusal(NamedTuple):
    """A target that is answered without looking at the disk.

    Attributes:
        status: 308, 400, 404 or 414.
        location: where to go instead, for 308.
        segments: the names of a hidden or denied path; empty for every other refusal.
        directory: such a path ended in a slash.
    """

    status: int
    location: bytes = b""
    segments: tuple[str, ...] = ()
    directory: bool = False


class ByteRange(NamedTuple):
    """Octets first..last of the selected representation, both included (RFC 9110 §14.1.2)."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many octets."""
        return self.last - self.first + 1


class Decoded(NamedTuple):
    """All octets of a stored representation, decoded from this content-coding."""

    coding: str


class ResponsePlan(NamedTuple):
    """What to send: a to-do list for a host.

    Attributes:
        status: the status code.
        fields: names in lower case; without Date, Server and connection fields,
            which belong to the connection's owner.
        content: literal octets, or octets of the selected representation, in order.
    """

    status: int
    fields: RawFields
    content: tuple[bytes | ByteRange | Decoded, ...] = ()

    @property
    def length(self) -> int | None:
        """Octets of content this plan sends; None when only the end will tell."""
        total = 0
        for part in self.content:
            if isinstance(part, Decoded):
                return None
            total += len(part) if isinstance(part, bytes) else part.length
        return total
