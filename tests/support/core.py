"""The decision core as a function of values: a request and what the disk holds, in; a plan, out."""

from __future__ import annotations

import hashlib
from email.parser import BytesParser
from typing import Any

from asyncstatic.http.model import (
    Absence,
    ByteRange,
    Decoded,
    DirectoryRedirect,
    Fields,
    Identity,
    Representation,
    Request,
    ResponsePlan,
)
from asyncstatic.http.policy import ResponsePolicy
from asyncstatic.http.respond import admit, respond
from asyncstatic.settings import Settings

SECOND = 1_000_000_000
NOW = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
MODIFIED = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT
BOUNDARY = "0123456789abcdef"

#: The stored bytes of `FILE`: each tells its own position.
STORED = bytes(range(100))


def identity(size: int = 100, at: int = MODIFIED * SECOND + 1, **others: Any) -> Identity:
    """Metadata of a file that was last touched `at`, in ns since the epoch."""
    return Identity(
        **{"device": 1, "inode": 2, "size": size, "mtime_ns": at, "ctime_ns": at, **others}
    )


def stored(data: bytes, name: str = "a.txt", **facts: Any) -> Representation:
    """A representation of known bytes."""
    digest = hashlib.sha256(data).digest()
    known = Representation(
        tuple(name.split("/")), identity(len(data)), digest=digest, modified_ns=MODIFIED * SECOND
    )
    return known._replace(**facts)


FILE = stored(STORED)


def ask(target: bytes = b"/a.txt", method: str = "GET", /, **fields: Any) -> Request:
    """A request; fields by their names in `Fields`, and `query` and `mount`."""
    others = {name: fields.pop(name) for name in ("query", "mount", "decoded") if name in fields}
    return Request(method, target, fields=Fields(**fields), **others)


def answer(
    request: Request,
    found: Representation | DirectoryRedirect | Absence = FILE,
    settings: Settings | None = None,
    now: int = NOW,
) -> ResponsePlan:
    """What is answered to a request, when that is what the disk holds."""
    settings = settings or Settings()
    admitted = admit(request, settings)
    if isinstance(admitted, ResponsePlan):
        return admitted
    if not admitted.available:
        found = Absence.MISSING
    return respond(request, found, ResponsePolicy(settings), now * SECOND, BOUNDARY)


def fields_of(plan: ResponsePlan) -> dict[str, str]:
    """The fields of a plan; those that came several times joined."""
    found: dict[str, str] = {}
    for name, value in plan.fields:
        key, text = name.decode("ascii"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def content_of(plan: ResponsePlan, data: bytes = STORED) -> bytes:
    """The content that a host would send for a plan, from a representation's bytes."""
    parts = []
    for part in plan.content:
        assert not isinstance(part, Decoded), "a host decodes this while it sends"
        if isinstance(part, ByteRange):
            assert 0 <= part.first <= part.last < len(data), "bytes that do not exist"
            part = data[part.first : part.last + 1]
        parts.append(part)
    return b"".join(parts)


def parts_of(content_type: str, content: bytes) -> list[tuple[str, str, bytes]]:
    """Parse multipart/byteranges with the standard library: (Content-Type, Content-Range, bytes)."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode("ascii")
    message = BytesParser().parsebytes(head + content)
    assert message.is_multipart(), "not multipart"
    assert not message.defects, message.defects
    found = []
    for part in message.walk():
        if part is message:
            continue
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        found.append((str(part["content-type"]), str(part["content-range"]), data))
    return found
