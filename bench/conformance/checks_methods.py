"""Methods: RFC 9110 section 9."""

from __future__ import annotations

from bench.conformance.check import MUST, SHOULD, Check, Group, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, fails, not_offered, weak
from bench.conformance.judges import refused, status, whole
from bench.conformance.messages import Answer, ask

_UNSAFE = ("POST", "PUT", "DELETE", "PATCH")
# 9.3.2 lets HEAD omit what is only known while the content is generated; 6.6.1 makes Date move on.
_MAY_DIFFER = {"date", "content-length", "transfer-encoding", "connection", "keep-alive", "expires"}


def _head_length(client: Client) -> Finding:
    head, get = client.send(ask("/plain.txt", "HEAD")), client.send(ask("/plain.txt"))
    length = head.get("Content-Length")
    if length is None:
        return not_offered("HEAD carries no Content-Length, as 8.6 allows")
    return RIGHT if length == str(len(get.content)) else fails(f"Content-Length: {length}")


def _head_fields(client: Client) -> Finding:
    head, get = client.send(ask("/plain.txt", "HEAD")), client.send(ask("/plain.txt"))
    differ = sorted(
        {name for name, _ in (*head.fields, *get.fields)}
        - {name for name, _ in get.fields if name.lower() in _MAY_DIFFER}
        - {name for name, _ in head.fields if name.lower() in _MAY_DIFFER}
        - {name for name, _ in get.fields if head.get(name) == get.get(name)}
    )
    return fails(f"differ: {', '.join(differ)}") if differ else RIGHT


def _head_length_sent(answer: Answer) -> Finding:
    return RIGHT if answer.get("Content-Length") else fails("no Content-Length")


def _head_follows(target: str, **fields: str) -> Check:
    """HEAD has the status that GET has."""

    def drive(client: Client) -> Finding:
        head = client.send(ask(target, "HEAD", **fields))
        get = client.send(ask(target, **fields))
        return RIGHT if head.status == get.status else fails(f"{head.status}, GET {get.status}")

    label = {"/nothing-here": "missing", "/dir": "directory"}[target]
    promise = f"HEAD of a {label} target has the status of GET"
    return Check(f"head-{label}", "9110 §9.3.2", MUST, promise, drive)


def _unsafe(client: Client) -> Finding:
    """Each unsafe method is answered 405 or 501; a 404 would deny that the file exists."""
    for method in _UNSAFE:
        answer = client.send(ask("/plain.txt", method, content_length="0"))
        if answer.status not in (405, 501):
            return fails(f"{method} is answered {answer.status}")
    return RIGHT


def _allow(client: Client) -> Finding:
    answers = [client.send(ask("/plain.txt", m, content_length="0")) for m in (*_UNSAFE, "OPTIONS")]
    refusals = [answer for answer in answers if answer.status == 405]
    if not refusals:
        return not_offered("never answers 405")
    bare = [answer.method for answer in refusals if answer.get("Allow") is None]
    return fails(f"405 without Allow to {', '.join(bare)}") if bare else RIGHT


def _allow_names(client: Client) -> Finding:
    for method in _UNSAFE:
        answer = client.send(ask("/plain.txt", method, content_length="0"))
        allow = answer.get("Allow")
        if answer.status == 405 and allow is not None:
            missing = {"GET", "HEAD"} - {name.strip() for name in allow.split(",")}
            return fails(f"Allow: {allow}") if missing else RIGHT
    return not_offered("sends no Allow")


def _unknown(answer: Answer) -> Finding:
    return RIGHT if answer.status == 501 else fails(f"{answer.status}")


def _case(answer: Answer) -> Finding:
    return fails(f"{answer.status}: taken for GET") if answer.status < 300 else RIGHT


def _options(answer: Answer) -> Finding:
    if answer.status in (405, 501):
        return RIGHT
    if answer.status >= 400:
        return weak(f"{answer.status} for a file that exists")
    return RIGHT if answer.get("Allow") else fails(f"{answer.status} without Allow")


def _options_unconditional(client: Client) -> Finding:
    plain = client.send(ask("/plain.txt", "OPTIONS"))
    conditional = client.send(ask("/plain.txt", "OPTIONS", if_none_match="*"))
    same = plain.status == conditional.status
    return RIGHT if same else fails(f"{conditional.status} instead of {plain.status}")


def _trace(answer: Answer) -> Finding:
    if answer.status >= 300:
        return refused(answer)
    reflected = (answer.get("Content-Type") or "").startswith("message/http")
    return RIGHT if reflected else fails(f"{answer.status} that does not reflect the request")


# fmt: off
METHODS = Group("Methods", "9110 §9", (
    Check("get", "9110 §9.1", MUST, "GET is supported and transfers the representation",
        sees(ask("/plain.txt"), whole("plain.txt"))),
    Check("head", "9110 §9.1", MUST, "HEAD is supported",
        sees(ask("/plain.txt", "HEAD"), status(200))),
    Check("head-length", "9110 §8.6", MUST,
        "Content-Length in answer to HEAD is what GET would have sent", _head_length),
    Check("head-length-sent", "9110 §8.6", SHOULD,
        "HEAD of a file tells its length, which is known beforehand",
        sees(ask("/plain.txt", "HEAD"), _head_length_sent)),
    Check("head-fields", "9110 §9.3.2", SHOULD, "HEAD has the fields of GET", _head_fields),
    _head_follows("/nothing-here"),
    _head_follows("/dir"),
    Check("unsafe-refused", "9110 §9.1", SHOULD,
        "POST, PUT, DELETE and PATCH of a file are answered 405 or 501", _unsafe),
    Check("405-allow", "9110 §15.5.6", MUST, "Every 405 carries Allow", _allow),
    Check("allow-names", "9110 §10.2.1", MUST, "Allow lists GET and HEAD", _allow_names),
    Check("unknown-method", "9110 §9.1", SHOULD, "An unrecognized method is answered 501",
        sees(ask("/plain.txt", "BREW"), _unknown)),
    Check("method-case", "9110 §9.1", MUST, 'The method is case-sensitive: "get" is not GET',
        sees(ask("/plain.txt", "get"), _case)),
    Check("options", "9110 §9.3.7", SHOULD,
        "OPTIONS succeeds with Allow, or is refused by 405 or 501",
        sees(ask("/plain.txt", "OPTIONS"), _options)),
    Check("options-unconditional", "9110 §13.2.1", MUST, "Preconditions do not apply to OPTIONS",
        _options_unconditional),
    Check("trace", "9110 §9.3.8", SHOULD,
        "TRACE reflects the request as message/http or is refused",
        sees(ask("/plain.txt", "TRACE"), _trace)),
))
# fmt: on
