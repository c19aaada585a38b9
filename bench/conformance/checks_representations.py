"""Representations, their metadata and their validators. RFC 9110 section 8."""

from __future__ import annotations

import re
import time

from bench.conformance.check import MUST, QUALITY, SHOULD, Check, Drive, Group, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, weak, wrong
from bench.conformance.judges import whole
from bench.conformance.messages import Answer, ask
from bench.conformance.site import MODIFIED, MODIFIED_HTTP, TWIN_CHANGED

PAUSE = 1.2  # seconds
IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT\Z"
)
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"\Z')


def kind_of(answer: Answer) -> str:
    """Give the media type in lower case, without parameters."""
    return (answer.get("Content-Type") or "").split(";")[0].strip().lower()


def _typed(*kinds: str) -> Judge:
    """One of these types; none or the generic one is weak, another one is a false label."""

    def judge(answer: Answer) -> Finding:
        kind = kind_of(answer)
        if kind in kinds:
            return RIGHT
        generic = kind in ("", "application/octet-stream")
        return weak(kind or "no Content-Type") if generic else fails(kind)

    return judge


def _type(name: str, *kinds: str) -> Check:
    suffix = name.rpartition(".")[2]
    promise = f".{suffix} is {kinds[0]}"
    return Check(
        f"type-{suffix}", "9110 §8.3", SHOULD, promise, sees(ask(f"/{name}"), _typed(*kinds))
    )


def _unknown_type(answer: Answer) -> Finding:
    claimed = kind_of(answer)
    return RIGHT if claimed in ("", "application/octet-stream") else fails(f"claims {claimed}")


def _charset(answer: Answer) -> Finding:
    named = re.search(r'charset="?([\w-]+)', answer.get("Content-Type") or "", re.IGNORECASE)
    right = named is None or named[1].lower() == "utf-8"
    return RIGHT if right else fails(f"{answer.get('Content-Type')} for UTF-8")


def _present(name: str) -> Judge:
    return lambda answer: RIGHT if answer.get(name) else fails(f"no {name}")


def _last_modified(answer: Answer) -> Finding:
    value = answer.get("Last-Modified")
    if value is None:
        return not_offered("sends no Last-Modified")
    if not IMF_FIXDATE.match(value):
        return fails(value)
    return RIGHT if value == MODIFIED_HTTP else weak(f"{value} for 12:00:00.625")


def _future(answer: Answer) -> Finding:
    modified = answer.get("Last-Modified")
    if modified is None:
        return RIGHT
    later = "2050" in modified
    return fails(f"{modified}, Date: {answer.get('Date')}") if later else RIGHT


def _tag_syntax(answer: Answer) -> Finding:
    tag = answer.get("ETag")
    if tag is None:
        return not_offered("sends no entity-tag")
    return RIGHT if _TAG.match(tag) else fails(tag)


def _tag_follows(name: str, seconds: float, pause: float = 0.0) -> Drive:
    """Rewrite a file with as many other octets and look at its tag.

    ``seconds`` is how much later its modification time is then: 0 for a tool that restores times,
    a fraction for two writes within one second. ``pause`` outlasts a server's short-lived cache of
    what stat() said, and makes sure no one is blamed for it in more than one row.
    """

    def drive(client: Client) -> Finding:
        before = client.send(ask(f"/{name}"))
        client.site.rewrite(name, TWIN_CHANGED, MODIFIED + seconds)
        time.sleep(pause)
        after = client.send(ask(f"/{name}"))
        tag = before.get("ETag")
        if tag is None:
            return not_offered("sends no entity-tag")
        if tag.startswith("W/"):
            return RIGHT
        if after.content == before.content:
            return weak("serves the old octets")
        return fails("strong tag unchanged") if after.get("ETag") == tag else RIGHT

    return drive


def _stable(client: Client) -> Finding:
    tags = {client.send(ask("/plain.txt")).get("ETag") for _ in range(3)}
    if tags == {None}:
        return not_offered("sends no entity-tag")
    return RIGHT if len(tags) == 1 else fails(f"{len(tags)} tags in three answers")


def _length_sent(answer: Answer) -> Finding:
    return RIGHT if answer.get("Content-Length") else fails(f"none, framed by {answer.framing}")


def _date_now(answer: Answer) -> Finding:
    value = answer.get("Date")
    if value is None:
        return fails("no Date")
    return RIGHT if IMF_FIXDATE.match(value) else wrong(value)


def _missing(answer: Answer) -> Finding:
    return RIGHT if answer.status in (404, 410) else fails(f"{answer.status}")


# fmt: off
METADATA = (
    Check("content", "9110 §8.1", MUST, "1 MiB arrives octet for octet",
        sees(ask("/big.bin"), whole("big.bin"))),
    Check("content-empty", "9110 §8.6", MUST, "An empty file is 200 without content",
        sees(ask("/empty.txt"), whole("empty.txt"))),
    Check("missing", "9110 §15.5.5", MUST, "Nothing there: 404",
        sees(ask("/nothing-here"), _missing)),
    Check("length-sent", "9110 §8.6", SHOULD, "Content-Length is sent where the size is known",
        sees(ask("/big.bin"), _length_sent)),
    Check("date", "9110 §6.6.1", MUST, "Date is sent", sees(ask("/plain.txt"), _date_now)),
    Check("charset", "9110 §8.3.2", MUST, "A charset, if named, is the true one",
        sees(ask("/page.html"), _charset)),
    _type("page.html", "text/html"),
    _type("style.css", "text/css"),
    _type("app.js", "text/javascript", "application/javascript", "application/x-javascript"),
    _type("d.json", "application/json"),
    _type("s.svg", "image/svg+xml"),
    _type("p.png", "image/png"),
    _type("d.pdf", "application/pdf"),
    _type("v.mp4", "video/mp4"),
    _type("i.webp", "image/webp"),
    _type("i.avif", "image/avif"),
    _type("f.woff2", "font/woff2", "application/font-woff2"),
    _type("m.wasm", "application/wasm"),
    _type("m.mjs", "text/javascript", "application/javascript"),
    _type("w.webmanifest", "application/manifest+json"),
    Check("type-unknown", "9110 §8.3", SHOULD, "An unknown name claims nothing of its octets",
        sees(ask("/x.unheardof"), _unknown_type)),
)
VALIDATORS = (
    Check("tag-sent", "9110 §8.8.3", SHOULD, "ETag is sent",
        sees(ask("/plain.txt"), _present("ETag"))),
    Check("date-sent", "9110 §8.8.2", SHOULD, "Last-Modified is sent",
        sees(ask("/plain.txt"), _present("Last-Modified"))),
    Check("tag-syntax", "9110 §8.8.3", MUST, "An entity-tag is a quoted opaque-tag",
        sees(ask("/plain.txt"), _tag_syntax)),
    Check("tag-stable", "9110 §8.8.1", QUALITY, "The tag stays while the octets stay", _stable),
    Check("tag-changes", "9110 §8.8.1", MUST, "Other octets, a day later: another strong tag",
        _tag_follows("edited.txt", 86_400, PAUSE)),
    Check("tag-at-once", "9110 §8.8.1", MUST, "The same, asked for at once",
        _tag_follows("at-once.txt", 86_400)),
    Check("tag-second", "9110 §8.8.1", MUST,
        "Other octets, as many, within the same second: another strong tag",
        _tag_follows("second.txt", 0.125, PAUSE)),
    Check("tag-same-times", "9110 §8.8.1", MUST,
        "Other octets, as many, at the same time: another strong tag",
        _tag_follows("twin.txt", 0, PAUSE)),
    Check("modified-format", "9110 §5.6.7", MUST, "Last-Modified is an IMF-fixdate",
        sees(ask("/plain.txt"), _last_modified)),
    Check("modified-future", "9110 §8.8.2.1", MUST, "Last-Modified is never later than Date",
        sees(ask("/future.txt"), _future)),
)
# fmt: on

REPRESENTATIONS = Group("Representations", "9110 §8", (*METADATA, *VALIDATORS))
