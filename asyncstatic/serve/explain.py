"""Explain an answer: run a request through an app, and tell which decisions led to the answer.

The request takes the way of every request: through the app, its mounts and `StaticFiles.find`,
which reports its results. So an explanation is always about the answer that a client gets.
`decisions` puts it into words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote

from asyncstatic.http.model import Request, ResponsePlan
from asyncstatic.http.status import PHRASES
from asyncstatic.http.target import is_target_text, origin_form
from asyncstatic.serve.answer import ANSWER_OBSERVER, PLAN_OBSERVER, Answer
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.decisions import Field, RootAnswer, Step, steps_of, with_origins
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.scope import Scope, receive_nothing
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import printable

Headers = Sequence[tuple[str, str]]
_WIDE = 60  # characters; a longer field does not widen its column


@dataclass
class Explanation:
    """An answer and the decisions that led to it.

    Attributes:
        method: of the request.
        target: of the request.
        request_fields: of the request.
        steps: the decisions, in their order.
        status: of the answer.
        reason: the words for the status.
        fields: of the answer.
        length: bytes of the content.
    """

    method: str
    target: str
    request_fields: Headers = ()
    steps: list[Step] = field(default_factory=list)
    status: int = 0
    reason: str = ""
    fields: list[Field] = field(default_factory=list)
    length: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "steps": [step._asdict() for step in self.steps],
            "fields": [each._asdict() for each in self.fields],
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines of the explanation for people."""
        yield f"{self.method} {self.target}"
        yield from (f"{name}: {value}" for name, value in self.request_fields)
        yield ""
        width = max((len(step.kind) for step in self.steps), default=0)
        yield from (f"  {step.kind:<{width}}  {step.text}" for step in self.steps)
        yield ""
        yield f"{self.status} {self.reason}".rstrip()
        fields = [(f"{name}: {value}", origin) for name, value, origin in self.fields]
        width = max((len(text) for text, origin in fields if len(text) <= _WIDE), default=0)
        for text, origin in fields:
            yield f"  {text:<{width}}  <- {origin}" if origin else f"  {text}"


async def explain(app: Any, method: str, target: str, headers: Headers = ()) -> Explanation:
    """Send a request to an app, in this process, and explain the answer.

    Args:
        app: an ASGI app, with static roots in front of it or mounted in it.
        method: of the request.
        target: path and query, percent-encoded as a client sends it.
        headers: fields of the request.
    """
    told = Explanation(method, target, headers)
    fronts = {mount.static for mount in find_mounts(app)}
    asked: list[tuple[StaticFiles, Request, Scope, Answer]] = []
    plans: list[ResponsePlan] = []  # that were sent

    def observe(*decision: Any) -> None:
        asked.append(decision)

    await _send(app, told, {ANSWER_OBSERVER: observe, PLAN_OBSERVER: plans.append})
    answers = [
        await asyncio.to_thread(_answer_of, *each)
        for each in asked
        if each[0] in fronts or each[3].plan in plans  # a view may ask other roots
    ]
    for each in answers:
        is_answer = each is answers[-1] and bool(plans)
        told.steps.extend(steps_of(each, with_rules=is_answer))
        if not is_answer:
            told.steps.append(
                Step("next", "this root has no answer, so the app behind it is asked")
            )
    if not plans:
        told.steps.append(Step("app", "the app behind the static roots answers"))
    elif answers:
        told.fields = list(with_origins(told.fields, answers[-1]))
    else:
        told.steps.append(Step("site", "no root of the site is at this path"))
    return told


def request_of(method: str, url: str, headers: Sequence[str]) -> tuple[str, str, Headers]:
    """Read method, URL and fields as a user writes them.

    Raises:
        SettingsError: a field or the URL cannot be sent.
    """
    url_without_fragment = url.partition("#")[0]  # no client sends the fragment
    target = origin_form(url_without_fragment.encode(errors="surrogateescape"))
    if target is None or not is_target_text(target):
        raise SettingsError(f"{printable(url)}: a path is needed, percent-encoded, such as /a%20b")
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name or not value.isprintable():
            raise SettingsError(f"--header {printable(header)}: say NAME: VALUE")
        fields.append((name.strip(), value.strip()))
    return method, target.decode("ascii"), fields


def _answer_of(static: StaticFiles, request: Request, scope: Scope, answer: Answer) -> RootAnswer:
    """Return the answer of a root with the directory that has the file; may wait for the disk."""
    facts = None if answer.opened is None else answer.opened.representation
    found = None if facts is None else static.root_with(facts.segments)
    root = found or ", ".join((static.root, *static.settings.more_roots))
    prefix = scope.get("root_path", "")
    return RootAnswer(static, prefix, request, answer.plan, facts, root, answer.refuses)


async def _send(app: Any, told: Explanation, observers: Mapping[str, Any]) -> None:
    """Send the request, without content, and read status, fields and length of the answer."""

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told.status = message["status"]
            told.reason = PHRASES.get(told.status, "")
            told.fields = [
                Field(name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in message["headers"]
            ]
        elif message["type"] == "http.response.body":
            told.length += len(message.get("body", b""))

    await app({**_scope_of(told), **observers}, receive_nothing(), send)


def _scope_of(told: Explanation) -> Scope:
    """Return the request as an ASGI scope."""
    path, _, query = told.target.partition("?")
    fields = [(name.lower(), value) for name, value in told.request_fields]
    if not any(name == "host" for name, _ in fields):
        fields.append(("host", "localhost"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": told.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in fields],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
