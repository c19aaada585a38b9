"""Content codings: RFC 9110 sections 8.4, 12.5.3 and 12.5.5, over precompressed files."""

from __future__ import annotations

from bench.conformance.check import MUST, QUALITY, SHOULD, Check, Drive, Group, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, weak, wrong
from bench.conformance.judges import coding_of, decoded, judge_part
from bench.conformance.messages import Answer, Feature, ask
from bench.conformance.site import SCRIPT, SHEET

CODINGS = Feature.CODINGS
ALL = "gzip, br, zstd"
FILE = "/app.js"
_SCRIPT_TYPES = ("text/javascript", "application/javascript", "application/x-javascript")


def coded_only_as(*allowed: str) -> Judge:
    """The script, in one of these codings; they are those the request finds acceptable."""

    def judge(answer: Answer) -> Finding:
        if answer.status != 200:
            return fails(f"{answer.status}")
        if decoded(answer) != SCRIPT:
            return wrong(f"{coding_of(answer)} that does not decode to the file")
        coding = coding_of(answer).removeprefix("x-")
        return RIGHT if coding in allowed else fails(f"answered in {coding}")

    return judge


def _accepts(name: str, promise: str, value: str, *allowed: str, rfc: str = "12.5.3") -> Check:
    """One row: an Accept-Encoding and the codings it leaves acceptable."""
    drive = sees(ask(FILE, accept_encoding=value), coded_only_as(*allowed))
    return Check(name, f"9110 §{rfc}", SHOULD, promise, drive, CODINGS)


def _identity_refused(answer: Answer) -> Finding:
    """406, any coding, or identity all the same: 12.4.1 leaves it to the server."""
    if answer.status == 406:
        return RIGHT
    return coded_only_as("identity", "gzip", "br", "zstd")(answer)


def _preferred(answer: Answer) -> Finding:
    found = coded_only_as("identity", "gzip", "br")(answer)
    if found is RIGHT and coding_of(answer) == "br":
        return weak("br at q=0.1, where gzip at q=1 exists")
    return found


def _coded(client: Client, coding: str = ALL, **fields: str) -> Answer:
    return client.send(ask(FILE, accept_encoding=coding, **fields))


def _decodes(client: Client) -> Finding:
    for coding in ("gzip", "br", "zstd"):
        answer = _coded(client, coding)
        if decoded(answer) != SCRIPT:
            return fails(f"for {coding}: {coding_of(answer)} that does not decode to the file")
    return RIGHT


def _coded_type(client: Client) -> Finding:
    answer = _coded(client)
    kind = (answer.get("Content-Type") or "").split(";")[0].strip().lower()
    return RIGHT if kind in _SCRIPT_TYPES else fails(f"{kind} in coding {coding_of(answer)}")


def _varies(answer: Answer) -> bool:
    members = {member.strip().lower() for member in (answer.get("Vary") or "").split(",")}
    return bool(members & {"accept-encoding", "*"})


def _vary(coding: str, **fields: str) -> Drive:
    def drive(client: Client) -> Finding:
        return RIGHT if _varies(_coded(client, coding, **fields)) else fails("no Vary")

    return drive


def _vary_304(client: Client) -> Finding:
    full, unchanged = _coded(client), _coded(client, if_none_match="{etag}")
    if unchanged.status != 304 or not _varies(full):
        return not_offered(f"{unchanged.status}, or no Vary on 200")
    return RIGHT if _varies(unchanged) else fails("304 without the Vary of the 200")


def _vary_206(client: Client) -> Finding:
    full, partial = _coded(client), _coded(client, range="bytes=0-9")
    if partial.status != 206 or not _varies(full):
        return not_offered(f"{partial.status}, or no Vary on 200")
    return RIGHT if _varies(partial) else fails("206 without the Vary of the 200")


def _tags(client: Client) -> dict[str, str]:
    """Entity-tags by the coding they came with."""
    answers = [_coded(client, value) for value in ("identity", "gzip", "br", "zstd")]
    return {coding_of(answer): answer.get("ETag") or "" for answer in answers}


def _distinct(client: Client) -> Finding:
    strong: dict[str, str] = {}
    for coding, tag in _tags(client).items():
        if tag.startswith('"') and tag in strong:
            return fails(f"{strong[tag]} and {coding} share the strong tag {tag}")
        strong[tag] = coding
    return RIGHT if any(strong) else not_offered("sends no entity-tag")


def _own_tag(client: Client) -> Finding:
    answer = _coded(client, if_none_match="{etag}")
    return RIGHT if answer.status == 304 else fails(f"{answer.status}")


def _other_tag(client: Client, **fields: str) -> Answer | Finding:
    """Ask for the coded form with the tag of identity, as a cache that lost its encoding does."""
    tags = _tags(client)
    coded = next((tag for coding, tag in tags.items() if coding != "identity"), "")
    if not tags.get("identity") or tags["identity"] == coded:
        return not_offered("no tag of its own for identity")
    return _coded(client, **dict.fromkeys(fields, tags["identity"]), **_range_if(fields))


def _range_if(fields: dict[str, str]) -> dict[str, str]:
    return {"range": "bytes=0-9"} if "if_range" in fields else {}


def _inm_other_coding(client: Client) -> Finding:
    answer = _other_tag(client, if_none_match="identity")
    if isinstance(answer, Finding):
        return answer
    if answer.status == 200 and coding_of(answer) == "identity":
        return not_offered("answered without a coding")
    return RIGHT if answer.status == 200 else fails(f"{answer.status} for the tag of identity")


def _if_range_other_coding(client: Client) -> Finding:
    answer = _other_tag(client, if_range="identity")
    if isinstance(answer, Finding):
        return answer
    if answer.status == 206 and coding_of(answer) == "identity":
        return RIGHT
    return RIGHT if answer.status == 200 else fails(f"{answer.status} for the tag of identity")


def _coded_range(client: Client) -> Finding:
    full, partial = _coded(client, "gzip"), _coded(client, "gzip", range="bytes=10-29")
    if partial.status == 200:
        return not_offered("Range ignored for coded representations")
    data = full.content if coding_of(partial) == coding_of(full) else SCRIPT
    if coding_of(partial) not in (coding_of(full), "identity"):
        return wrong(f"206 in {coding_of(partial)}, 200 in {coding_of(full)}")
    return judge_part(partial, data, 10, 29)


def _coded_head(client: Client) -> Finding:
    get, head = _coded(client), client.send(ask(FILE, "HEAD", accept_encoding=ALL))
    length = head.get("Content-Length")
    if length is None:
        return not_offered("HEAD carries no Content-Length, as 8.6 allows")
    same_coding = coding_of(get) == coding_of(head)
    right = length == str(len(get.content)) and same_coding
    return RIGHT if right else fails(f"HEAD {length} in {coding_of(head)}, GET {len(get.content)}")


def _stale(client: Client) -> Finding:
    answer = client.send(ask("/style.css", accept_encoding="gzip"))
    return RIGHT if decoded(answer) == SHEET else fails("an older version, from the sidecar")


def _by_name(client: Client) -> Finding:
    """A .gz asked for by name: an archive, or a coded script, but not a script in gibberish."""
    answer = client.send(ask("/app.js.gz"))
    kind = (answer.get("Content-Type") or "").split(";")[0]
    if answer.status != 200:
        return not_offered(f"{answer.status}")
    if decoded(answer) == SCRIPT and coding_of(answer) != "identity":
        return RIGHT
    return fails(f"gzip octets labelled {kind}") if kind in _SCRIPT_TYPES else RIGHT


def _archive(client: Client) -> Finding:
    answer = client.send(ask("/archive.tar.gz"))
    kind = (answer.get("Content-Type") or "").split(";")[0]
    if coding_of(answer) == "identity" and kind in ("application/x-tar", "application/tar"):
        return fails(f"gzip octets labelled {kind}")
    return RIGHT if decoded(answer) else fails(f"{answer.status}, {coding_of(answer)}")


def _no_identity_token(client: Client) -> Finding:
    answers = [_coded(client, "identity"), client.send(ask("/plain.txt"))]
    named = any(a.get("Content-Encoding") for a in answers if coding_of(a) == "identity")
    return fails("Content-Encoding: identity") if named else RIGHT


REST = ("identity", "br", "zstd")
# fmt: off
ACCEPT_ENCODING = (
    Check("coded", "9110 §8.4", MUST, "What Content-Encoding says is what decodes it",
        _decodes, CODINGS),
    _accepts("ae-gzip", "gzip alone", "gzip", "identity", "gzip"),
    _accepts("ae-identity", "identity alone: no coding", "identity", "identity"),
    _accepts("ae-empty", "An empty value: no coding", "", "identity"),
    _accepts("ae-gzip-0", "gzip;q=0 refuses gzip", "gzip;q=0", "identity"),
    _accepts("ae-br-0", "br;q=0 refuses br", "br;q=0, gzip", "identity", "gzip"),
    _accepts("ae-zstd-0", "zstd;q=0 refuses zstd", "zstd;q=0", "identity"),
    _accepts("ae-zero-digits", "q=0.000 is 0", "gzip;q=0.000", "identity", rfc="12.4.2"),
    _accepts("ae-zero-space", "Whitespace before and after the semicolon", "gzip ; q=0", "identity",
        rfc="12.4.2"),
    _accepts("ae-q-case", "The parameter name q is case-insensitive", "gzip;Q=0", "identity",
        rfc="12.4.2"),
    _accepts("ae-star", "`*` with gzip;q=0: any coding but gzip", "gzip;q=0, *", *REST),
    _accepts("ae-star-0", "*;q=0 refuses what is not named", "*;q=0, gzip", "identity", "gzip"),
    _accepts("ae-unknown", "A coding nobody knows: no coding", "notgzip, gzipped, xbr", "identity"),
    _accepts("ae-x-gzip", "x-gzip means gzip, and nothing else", "x-gzip", "identity", "gzip",
        rfc="8.4.1.3"),
    Check("ae-lines", "9110 §5.3", SHOULD, "Two field lines are one list",
        sees(ask(FILE, accept_encoding=("deflate", "gzip;q=0")), coded_only_as("identity")),
        CODINGS),
    Check("ae-none", "9110 §12.5.3", SHOULD, "identity;q=0: a coding, identity or 406",
        sees(ask(FILE, accept_encoding="identity;q=0, gzip"), _identity_refused), CODINGS),
    Check("ae-preferred", "9110 §12.4.2", QUALITY, "The higher q-value wins",
        sees(ask(FILE, accept_encoding="br;q=0.1, gzip"), _preferred), CODINGS),
)
METADATA = (
    Check("coded-type", "9110 §8.3", MUST, "Content-Type is that of the decoded content",
        _coded_type, CODINGS),
    Check("vary-coded", "9110 §12.5.5", SHOULD, "Vary on the coded answer", _vary(ALL), CODINGS),
    Check("vary-identity", "9110 §12.5.5", SHOULD, "Vary on the same resource without a coding",
        _vary("identity"), CODINGS),
    Check("vary-304", "9110 §15.4.5", MUST, "Vary on the 304, if on the 200", _vary_304, CODINGS),
    Check("vary-206", "9110 §15.3.7", MUST, "Vary on the 206, if on the 200", _vary_206, CODINGS),
    Check("tags-distinct", "9110 §8.8.3.3", MUST, "A strong tag is distinct for each coding",
        _distinct, CODINGS),
    Check("tag-own", "9110 §13.1.2", MUST, "The tag of the coded form: 304 for it",
        _own_tag, CODINGS),
    Check("tag-other", "9110 §13.1.2", MUST, "The tag of identity: no 304 for the coded form",
        _inm_other_coding, CODINGS),
    Check("if-range-coding", "9110 §13.1.5", MUST, "The tag of identity: no part of the coded form",
        _if_range_other_coding, CODINGS),
    Check("coded-range", "9110 §14.1.2", MUST, "Ranges count the octets of the coded sequence",
        _coded_range, CODINGS),
    Check("coded-head", "9110 §8.6", MUST, "HEAD tells the length of the coded form",
        _coded_head, CODINGS),
    Check("no-identity", "9110 §8.4", SHOULD, "Content-Encoding never says identity",
        _no_identity_token),
    Check("stale", "no RFC", QUALITY,
        "A sidecar older than its file, of other content, is not served", _stale, CODINGS),
    Check("by-name", "9110 §8.3", QUALITY, "app.js.gz by its own name is not labelled a script",
        _by_name),
    Check("archive", "9110 §8.3", QUALITY, "archive.tar.gz is not labelled a bare tar", _archive),
)
# fmt: on

NEGOTIATION = Group("Content codings", "9110 §12.5.3", (*ACCEPT_ENCODING, *METADATA))
