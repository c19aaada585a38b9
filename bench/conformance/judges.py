"""Predicates over one answer. Each says in a few words what it saw when it is not satisfied."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from importlib import import_module

from bench.conformance.findings import RIGHT, Finding, Judge, fails, weak, wrong
from bench.conformance.messages import Answer
from bench.conformance.site import FILES

CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


def status(*allowed: int) -> Judge:
    """One of these statuses."""

    def judge(answer: Answer) -> Finding:
        return RIGHT if answer.status in allowed else fails(f"{answer.status}")

    return judge


def refused(answer: Answer) -> Finding:
    """Any 4xx, or one of the two 5xx that describe the request and not the server."""
    return RIGHT if 400 <= answer.status < 500 or answer.status in (501, 505) else _seen(answer)


def harmless(answer: Answer) -> Finding:
    """Any answer but a confession that the server failed (15.6)."""
    return RIGHT if answer.status < 500 or answer.status in (501, 505) else _seen(answer)


def whole(name: str) -> Judge:
    """200 with all of the file; an answer in a content coding is decoded first."""

    def judge(answer: Answer) -> Finding:
        if answer.status != 200:
            return fails(f"{answer.status}")
        if answer.method == "HEAD":
            return RIGHT
        same = decoded(answer) == FILES[name]
        return RIGHT if same else fails(f"200 with other content ({len(answer.content)} octets)")

    return judge


def part(name: str, first: int, last: int, *, whole_will_do: bool = False) -> Judge:
    """206 with exactly these octets, described by Content-Range and not as multipart.

    200 is allowed by "MAY ignore" (14.2) but weak, since a server that supports Range SHOULD send
    206; where the range is the whole file, it is as good.
    """
    return lambda answer: judge_part(answer, FILES[name], first, last, whole_will_do=whole_will_do)


def judge_part(
    answer: Answer, data: bytes, first: int, last: int, *, whole_will_do: bool = False
) -> Finding:
    """Judge one part of given octets; see `part`."""
    if answer.status == 200 and answer.content == data:
        return RIGHT if whole_will_do else weak("200: Range ignored")
    if answer.status == 416:
        return wrong("416, yet the range is satisfiable (15.5.17)")
    if answer.status != 206:
        return wrong(f"{answer.status} for a satisfiable range")
    if (answer.get("Content-Type") or "").startswith("multipart/"):
        return wrong("a multipart answer to a single range (15.3.7.2 MUST NOT)")
    seen = answer.get("Content-Range")
    if seen not in (f"bytes {first}-{last}/{len(data)}", f"bytes {first}-{last}/*"):
        return wrong(f"206 with Content-Range: {seen}")
    return RIGHT if answer.content == data[first : last + 1] else wrong("206 with other octets")


def unsatisfiable(name: str) -> Judge:
    """416 with the current length; 200, or a truthful 206, is weak (SHOULD 416)."""
    data = FILES[name]

    def judge(answer: Answer) -> Finding:
        described = answer.get("Content-Range")
        if answer.status == 416:
            if described is None:
                return weak("416 without Content-Range (14.4 SHOULD)")
            right = described == f"bytes */{len(data)}"
            return RIGHT if right else wrong(f"416 with Content-Range: {described}")
        if answer.status == 200:
            return weak("200: Range ignored")
        if answer.status == 206 and described == f"bytes 0-{len(data) - 1}/{len(data)}":
            return weak("206 with the whole file") if answer.content == data else wrong("206")
        return wrong(f"{answer.status} with Content-Range: {described}")

    return judge


def ignored_or_rejected(answer: Answer) -> Finding:
    """An invalid ranges-specifier is ignored, or refused with a 4xx (section 14.2)."""
    if answer.status == 200 or 400 <= answer.status < 500:
        return RIGHT
    return fails(f"{answer.status} {answer.get('Content-Range') or ''}".strip())


def decoded(answer: Answer) -> bytes | None:
    """Give the content without its content coding; None when it does not decode."""
    coding = (answer.get("Content-Encoding") or "identity").strip().lower()
    try:
        return _DECODERS[coding](answer.content)
    except (KeyError, OSError, EOFError, ValueError, zlib.error):
        return None


def coding_of(answer: Answer) -> str:
    """Give the content coding in lower case, "identity" when there is none."""
    return (answer.get("Content-Encoding") or "identity").strip().lower()


def _brotli(data: bytes) -> bytes:
    brotli = import_module("brotli")
    try:
        return bytes(brotli.decompress(data))
    except brotli.error as broken:
        raise ValueError("not brotli") from broken


def _zstd(data: bytes) -> bytes:
    zstandard = import_module("zstandard")
    try:
        return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(data))
    except zstandard.ZstdError as broken:
        raise ValueError("not zstd") from broken


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "x-gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": _brotli,
    "zstd": _zstd,
}


def _seen(answer: Answer) -> Finding:
    return fails(f"{answer.status}")
