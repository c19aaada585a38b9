"""Explain an answer: run a request through an app, and tell which decisions led to the answer.

The request takes the way of every request: through the app, its mounts and `StaticFiles.find`,
whose results are recorded. So what is told cannot differ from what a client gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from asyncstatic.http.model import SUFFIXES, Lookup, Representation, Request, ResponsePlan
from asyncstatic.http.respond import admit
from asyncstatic.http.status import PHRASES
from asyncstatic.http.target import is_target_text, origin_form
from asyncstatic.serve.answer import PLAN_OBSERVER, Answer
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.direct.mounts import Mount, find_mounts
from asyncstatic.serve.scope import Scope
from asyncstatic.settings import Rule, Settings, SettingsError
from asyncstatic.settings.values import printable

Headers = Sequence[tuple[str, str]]
_WIDE = 60  # characters; a longer field does not widen its column
_MANY = 3  # fields; more are counted, not named
_ACCESS = {
    401: "a user and a password are needed",
    403: "this client is refused, or this process may not read the file",
    404: "this client is refused (setting hide_forbidden)",
    429: "this client asks too often",
    503: "the password cannot be verified now",
}
_HIDDEN = "a name that is hidden (dotfiles), denied (deny), or no file's"


class Step(NamedTuple):
    """One decision: its kind in a word, and a sentence."""

    kind: str
    text: str


class Field(NamedTuple):
    """A field of the answer, and the setting or rule that it comes from; "" for our own."""

    name: str
    value: str
    origin: str = ""


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
        """Return the explanation as values for JSON."""
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


class _Asked(NamedTuple):
    """A root that was asked, and its answer."""

    mount: Mount
    request: Request
    plan: ResponsePlan
    facts: Representation | None
    root: str
    refuses: bool

    @property
    def sent(self) -> Representation | None:
        """The file whose content is the answer; None for one of our own pages."""
        return None if self.plan.status in (301, 412, 416) else self.facts

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that hold for the answer."""
        policy = self.mount.static.policy
        ruling = policy.rulebook.of_pages if self.sent is None else policy.ruling(self.sent)
        return ruling.rules


async def explain(app: Any, method: str, target: str, headers: Headers = ()) -> Explanation:
    """Send a request to an app, in this process, and explain the answer.

    Args:
        app: an ASGI app; its static roots are found as the direct entry finds them.
        method: of the request.
        target: path and query, percent-encoded as a client sends it.
        headers: fields of the request.
    """
    mounts = list(find_mounts(app))
    asked: list[_Asked] = []
    for mount in mounts:
        _record(mount, asked)
    told = Explanation(method, target, headers)
    sent: list[ResponsePlan] = []
    await _answer(app, told, sent.append)
    for each in asked:
        is_answer = each is asked[-1] and bool(sent)
        told.steps.extend(_steps_of(each, is_answer=is_answer))
        if not is_answer:
            told.steps.append(
                Step("next", "this root has no answer, so what is behind it is asked")
            )
    if not sent:
        told.steps.append(Step("app", "the app behind the static roots answers"))
    elif asked:
        told.fields = list(_with_origins(told.fields, asked[-1]))
    return told


def request_of(method: str, url: str, headers: Sequence[str]) -> tuple[str, str, Headers]:
    """Read method, URL and fields as a user writes them.

    Raises:
        SettingsError: a field or the URL cannot be sent.
    """
    target = origin_form(url.encode(errors="surrogateescape"))
    if target is None or not is_target_text(target):
        raise SettingsError(f"{printable(url)}: a path is needed, percent-encoded, such as /a%20b")
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name or not value.isprintable():
            raise SettingsError(f"--header {printable(header)}: say NAME: VALUE")
        fields.append((name.strip(), value.strip()))
    return method, target.decode("ascii"), fields


def _record(mount: Mount, asked: list[_Asked]) -> None:
    """Let a root record each result of its `find`."""
    find: Callable[..., Any] = mount.static.find

    async def recorded(request: Request, scope: Scope | None = None) -> Answer:
        answer: Answer = await find(request, scope)
        facts = None if answer.opened is None else answer.opened.representation
        root = await asyncio.to_thread(_root_of, mount.static, facts)
        asked.append(_Asked(mount, request, answer.plan, facts, root, answer.refuses))
        return answer

    mount.static.find = recorded  # type: ignore[method-assign] # this object serves nobody else


def _root_of(static: StaticFiles, facts: Representation | None) -> str:
    """Name the root that has a file; all roots of an overlay, where there is none."""
    found = None if facts is None else static.root_with(facts.segments)
    return found or ", ".join((static.root, *static.settings.more_roots))


async def _answer(app: Any, told: Explanation, observe: Callable[[ResponsePlan], None]) -> None:
    """Send the request, and read status, fields and length of the answer.

    A static root that answers calls `observe` with its plan.
    """
    path, _, query = told.target.partition("?")
    fields = [(name.lower(), value) for name, value in told.request_fields]
    if not any(name == "host" for name, _ in fields):
        fields.append(("host", "localhost"))
    ended = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await ended.wait()
        return {"type": "http.disconnect"}

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

    scope = {
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
        PLAN_OBSERVER: observe,
    }
    await app(scope, receive, send)
    ended.set()


def _steps_of(asked: _Asked, *, is_answer: bool) -> Iterator[Step]:
    """Tell what one root decided; with the rules, if that is the answer."""
    mount, request, plan, facts, root, refuses = asked
    static = mount.static
    yield Step("mount", f"{mount.prefix or '/'} is served from {root}")
    if refuses:  # whatever the name is
        yield Step("access", _ACCESS[plan.status])
        return
    lookup = admit(request, static.settings)
    if facts is None:
        yield _refusal(request, plan, lookup)
    else:
        yield from _steps_of_file(facts, lookup)
    for rule in asked.rules if is_answer else ():
        label = _label(static.settings, rule)
        yield Step("rule", f'{label} "{rule.match}" {_effect(rule)}')
    if facts is not None:
        yield from _steps_of_request(request, plan)


def _refusal(request: Request, plan: ResponsePlan, lookup: Lookup | ResponsePlan) -> Step:
    """Tell why there is no file."""
    name = "/".join(lookup.segments) if isinstance(lookup, Lookup) else ""
    if location := _location(plan):
        return Step("redirect", f"to {location}")
    if plan.status == 403:
        return Step("access", _ACCESS[403])
    if isinstance(lookup, Lookup) and not lookup.available:
        return Step("hidden", _HIDDEN)
    if request.method not in ("GET", "HEAD"):
        return Step("method", f"{request.method} gets the same answer for every name")
    if isinstance(lookup, ResponsePlan):
        return Step("refused", f"{request.method} {request.target.decode('latin-1')} names no file")
    reason = "there is no such file" if plan.status == 404 else PHRASES.get(plan.status, "")
    return Step("file", f"{name or '/'}: {reason}")


def _location(plan: ResponsePlan) -> str:
    """Return where a plan redirects to; "" if it does not."""
    return next((value for key, value in plan.fields if key == b"location"), b"").decode("latin-1")


def _steps_of_file(facts: Representation, lookup: Lookup | ResponsePlan) -> Iterator[Step]:
    """Tell which file represents the resource."""
    name = "/".join(facts.segments)
    wanted = lookup.segments if isinstance(lookup, Lookup) else facts.segments
    if facts.made is not None:
        yield Step("listing", f"{'/'.join(wanted) or '/'} has no index (setting listing)")
    elif facts.fallback:
        hidden = isinstance(lookup, Lookup) and not lookup.available
        missing = f"{'/'.join(wanted) or '/'}: there is no such file"
        yield Step("hidden", _HIDDEN) if hidden else Step("file", missing)
        setting = "spa" if facts.fallback == 200 else "error_pages or not_found"
        yield Step("fallback", f"{name} (setting {setting})")
    elif wanted == facts.segments[:-1]:
        yield Step("index", name)
    elif wanted != facts.segments:
        yield Step("page", f"{name} (setting clean_urls)")
    else:
        yield Step("file", name)
    if facts.made is None:
        yield from _steps_of_sidecars(name, facts)


def _steps_of_sidecars(name: str, facts: Representation) -> Iterator[Step]:
    """Tell in which coding the file is sent, where there is a choice."""
    stored = facts.decoding or facts.coding
    if stored != "identity":
        size = f"{facts.length:,} bytes"
        if facts.original_length:
            size += f" instead of {facts.original_length:,}"
        decoded = ", decoded while it is sent" if facts.decoding else ""
        yield Step("sidecar", f"{name}{SUFFIXES.get(stored, '')}: {size}{decoded}")
    elif facts.negotiable:
        yield Step("sidecar", "there are sidecars; this client gets the file itself")


def _steps_of_request(request: Request, plan: ResponsePlan) -> Iterator[Step]:
    """Tell what conditions and ranges changed, and where the file has another URL."""
    if location := _location(plan):
        yield Step("redirect", f"to {location}, the URL of this file")
        return
    if plan.status in (304, 412):
        yield Step(
            "condition", "the client's copy is current" if plan.status == 304 else "it fails"
        )
    if request.fields.range is not None:
        outcomes = {206: "is sent", 416: "is not in the file", 304: "is not needed"}
        told = outcomes.get(plan.status, "is ignored: the whole file is sent")
        yield Step("range", f"{request.fields.range} {told}")


def _label(settings: Settings, rule: Rule) -> str:
    """Name a rule: its number, or its preset."""
    return next(label for label, each in settings.named_rules if each is rule)


def _effect(rule: Rule) -> str:
    """Tell what a rule does."""
    sets = [name for name, value in rule.headers.items() if value is not False]
    removes = [name for name, value in rule.headers.items() if value is False]
    parts = [
        f"sets {_named(sets)}" if sets else "",
        f"removes {_named(removes)}" if removes else "",
        f"media type {rule.media_type or 'by suffix'}" if rule.media_type is not None else "",
        f"coding {rule.coding or 'none'}" if rule.coding is not None else "",
    ]
    return "; ".join(filter(None, parts)) or "sets nothing"


def _named(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _MANY else f"{len(names)} fields"


def _with_origins(fields: list[Field], asked: _Asked) -> Iterator[Field]:
    """Add to each field the rule or setting that it comes from."""
    static = asked.mount.static
    for name, value, _ in fields:
        rule = next((each for each in reversed(asked.rules) if _sets(each, name, value)), None)
        if rule is not None:
            yield Field(name, value, _label(static.settings, rule))
        elif name == "cache-control" and asked.sent is not None:
            yield Field(name, value, _origin_of_cache_control(static, asked.sent, value))
        else:
            yield Field(name, value)


def _sets(rule: Rule, name: str, value: str) -> bool:
    if name == "content-type":
        return rule.media_type == value
    if name == "content-encoding":
        return rule.coding == value
    return any(key.lower() == name and given == value for key, given in rule.headers.items())


def _origin_of_cache_control(static: StaticFiles, facts: Representation, value: str) -> str:
    if facts.fallback >= 400 or facts.made is not None:
        return ""
    shell = static.settings.shell
    if shell and facts.segments == tuple(shell.split("/")):
        return "setting spa"
    if static.proves(facts.segments) and "immutable" in value:
        return "setting manifest"
    if value == static.settings.cache_control:
        return "setting cache_control"
    return "setting immutable" if "immutable" in value else ""
