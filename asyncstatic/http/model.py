"""The values that travel between the rooms, in the order in which one request meets them.

::

    Request -> Lookup -> Representation | DirectoryRedirect | Absence -> ResponsePlan

All are immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal, NamedTuple

RawFields = tuple[tuple[bytes, bytes], ...]
#: File suffix by content-coding, in the order of preference among equals.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}


class Fields(NamedTuple):
    """The request fields the core reads, each a latin-1 decoded value or None when absent.

    A repeated field is joined with ", " (RFC 9110 §5.3). Where a field must be single (Range,
    If-Range, the dates), the joined value does not parse, so the field is ignored.
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
    sec_fetch_dest: str | None = None
    sec_fetch_mode: str | None = None
    want_repr_digest: str | None = None

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Fields:
        """Pick the known fields out of raw (name, value) pairs."""
        found: dict[str, str] = {}
        for name, value in headers:
            known = _KNOWN.get(name)
            if known is not None:
                text = value.decode("latin-1").strip(" \t")
                found[known] = f"{found[known]}, {text}" if known in found else text
        return cls(**found) if found else _NO_FIELDS


# ASGI requires lower case, but not every server obeys. These spellings cost less than lower().
_KNOWN = {
    spelling(name.replace("_", "-")).encode(): name
    for name in Fields._fields
    for spelling in (str.lower, str.title, str.upper)
}
_NO_FIELDS = Fields()


class Request(NamedTuple):
    """A request: method, target relative to the mount, and the fields that the core reads.

    Attributes:
        method: case-sensitive (RFC 9110 §9.1).
        target: still percent-encoded, begins with "/", without mount and query.
        query: without the "?"; used for redirects only.
        fields: see `Fields`.
        mount: the raw path in front of the target; used for redirects only.
        decoded: the target is already decoded, because a middleware rewrote ASGI's ``path``.
            Percent signs in it are literal.
        stripped: the raw path in front of the mount that a proxy removed: the client's URL has
            it, the request does not.
    """

    method: str
    target: bytes
    query: bytes = b""
    fields: Fields = _NO_FIELDS
    mount: bytes = b""
    decoded: bool = False
    stripped: bytes = b""


class View(NamedTuple):
    """How a client wants to see a directory that has no index.

    Attributes:
        form: "html", "json" or "zip".
        sort: "name", "size" or "modified".
        descending: the other way round.
        page: of the listing, from 1 on.
        text: only names that contain this text.
    """

    form: Literal["html", "json", "zip"] = "html"
    sort: str = "name"
    descending: bool = False
    page: int = 1
    text: str = ""


class Lookup(NamedTuple):
    """The file or directory to look up below a root.

    Attributes:
        segments: decoded and safe, each one name; empty for the root itself.
        directory: the target ended in "/", so only a directory answers it.
        codings: acceptable content-codings, in tiers of equal preference, best first.
        available: False for a hidden, denied or impossible name. Sources answer it without asking
            the disk, as they answer a missing name: `Absence.MISSING` or a fallback.
        navigation: the shell of a single-page app may answer if there is no such file.
        view: how to list a directory without an index; None where listings are off.
    """

    segments: tuple[str, ...]
    directory: bool
    codings: tuple[tuple[str, ...], ...]
    available: bool = True
    navigation: bool = False
    view: View | None = None

    def nowhere(self) -> Lookup:
        """Return the lookup of a path that no file can have: this one may not be looked up."""
        return self._replace(segments=(), directory=False, available=False)


SECOND = 1_000_000_000  # ns
# A write may follow within one tick of the file system's clock and leave the same times.
# The kernel's own tick is at most 10 ms (CONFIG_HZ=100), FAT's and old NFS's two seconds.
_TICK_NS = 20_000_000
_COARSE_TICK_NS = 2 * SECOND


class Identity(NamedTuple):
    """The metadata that identifies a version of stored content (stat(2)); times in ns.

    Attributes:
        size: bytes of the whole file.
        part: those bytes of the file that are the content, such as a stored member of an archive;
            None for all.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    part: ByteRange | None = None

    @property
    def offset(self) -> int:
        """Position of the first byte of the content in the file."""
        return 0 if self.part is None else self.part.first

    @property
    def length(self) -> int:
        """Bytes of the content."""
        return self.size if self.part is None else self.part.length

    def age(self, now_ns: int) -> int:
        """Return how long ago the file was last changed, in ns."""
        return now_ns - max(self.mtime_ns, self.ctime_ns)

    def racy(self, now_ns: int) -> bool:
        """Tell whether a write may still leave the same times."""
        tick = _TICK_NS if self.ctime_ns % SECOND else _COARSE_TICK_NS
        return now_ns - self.ctime_ns < tick


class Representation(NamedTuple):
    """The facts of a selected representation (RFC 9110 §3.2), read from its open handle.

    Attributes:
        segments: the resource's own name, an index file's included; never a sidecar's.
        identity: of the stored bytes: the original's, or the sidecar's.
        coding: its content-coding, or "identity".
        decoding: the bytes are stored in this coding and must be decoded while they are
            sent (a sidecar without an original); the length is then unknown.
        negotiable: other codings exist, so caches must know that the answer varies.
        digest: SHA-256 of the bytes, if known.
        modified_ns: modification time of the original, in ns since the epoch.
        dated: the modification time tells versions apart. False once the same
            time has been seen on different bytes.
        fallback: the status with which this page is sent for another name: 200 for the shell of
            a single-page app, that of the error for an error page; 0 for the page's own name.
        moved_to: the URL of this page, if the request used another one: a relative reference,
            not encoded.
        tag: the opaque-tag that the application gave it (RFC 9110 §8.8.3).
        summary: for a file that is too large to be hashed: digest of its size, modification time
            and samples of its bytes. None where another file was seen with the same time.
        original_length: of the original, in bytes, also where a sidecar was chosen; 0 if unknown.
        made: further fields of content that this server makes for the request, such as a listing;
            None for stored content.
    """

    segments: tuple[str, ...]
    identity: Identity
    coding: str = "identity"
    decoding: str | None = None
    negotiable: bool = False
    digest: bytes | None = None
    modified_ns: int = 0
    dated: bool = True
    fallback: int = 0
    moved_to: str = ""
    tag: str | None = None
    summary: bytes | None = None
    original_length: int = 0
    made: RawFields | None = None

    @property
    def length(self) -> int:
        """Length of the stored content in bytes."""
        return self.identity.length


class DirectoryRedirect(NamedTuple):
    """The result for a directory that is requested without its trailing slash, and has an index.

    Attributes:
        name: of the directory, to which the client is redirected with a slash.
    """

    name: str


class Absence(Enum):
    """The reason why there is no representation; the value is the status of the answer."""

    MISSING = 404
    FORBIDDEN = 403
    GONE = 410
    OVERLOADED = 503
    BROKEN = 500


class Refusal(NamedTuple):
    """A target that is answered without asking the disk.

    Attributes:
        status: 308, 400, 404 or 414.
        location: the path to redirect to, for 308.
        segments: the names of a hidden or denied path; empty for every other refusal.
        directory: the hidden or denied path ended in a slash.
    """

    status: int
    location: bytes = b""
    segments: tuple[str, ...] = ()
    directory: bool = False


class ByteRange(NamedTuple):
    """Bytes first..last of the selected representation, both included (RFC 9110 §14.1.2)."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


class Decoded(NamedTuple):
    """The whole content of a stored representation, decoded from this content-coding.

    With the coding "zip" it is an archive of a folder, made while it is sent.
    """

    coding: str


class ResponsePlan(NamedTuple):
    """A response, as a to-do list for a host.

    Attributes:
        status: the status code.
        fields: names in lower case; without Date, Server and connection fields,
            which the server adds.
        content: literal bytes, or bytes of the selected representation, in order.
        saved: bytes of content that the client did not need, because of a coding or a 304.
    """

    status: int
    fields: RawFields
    content: tuple[bytes | ByteRange | Decoded, ...] = ()
    saved: int = 0

    @property
    def length(self) -> int | None:
        """Length of the content in bytes; None when it is unknown until the end."""
        total = 0
        for part in self.content:
            if isinstance(part, Decoded):
                return None
            total += len(part) if isinstance(part, bytes) else part.length
        return total
