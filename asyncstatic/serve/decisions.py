"""The decisions of one static root about one request, in words.

`explain` records the answer of a root. From it the functions here make the steps that led to it, and
name the rule or setting that each field of the answer comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from asyncstatic.http.model import SUFFIXES, Lookup, Representation, Request, ResponsePlan
from asyncstatic.http.respond import admit
from asyncstatic.http.status import PHRASES
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.settings import Rule, Settings

_MANY = 3  # fields; more are counted, not named
_ACCESS = {
    401: "a user and a password are needed",
    403: "this client is refused, or this process may not read the file",
    404: "this client is refused (setting hide_forbidden)",
    429: "this client asks too often",
    503: "the password cannot be verified now",
}
_HIDDEN = "the name is hidden (setting dotfiles), denied (setting deny), or no file can have it"


class Step(NamedTuple):
    """One decision: its kind in a word, and a sentence."""

    kind: str
    text: str


class Field(NamedTuple):
    """A field of the answer, and the setting or rule that it comes from; "" for our own."""

    name: str
    value: str
    origin: str = ""


class RootAnswer(NamedTuple):
    """The answer of a root.

    Attributes:
        static: the root.
        prefix: the path that it is mounted at.
        request: the request, as the root sees it.
        plan: the answer.
        facts: the file that the root found; None without one.
        root: the directory that has the file, or all directories of the root.
        refuses: the client has no access.
    """

    static: StaticFiles
    prefix: str
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
        policy = self.static.policy
        ruling = policy.rulebook.of_pages if self.sent is None else policy.ruling(self.sent)
        return ruling.rules


def steps_of(answer: RootAnswer, *, with_rules: bool) -> Iterator[Step]:
    """Yield the decisions of a root in their order.

    Args:
        answer: the answer of the root.
        with_rules: tell the rules that hold for the answer; they do not matter if it is not sent.
    """
    static, prefix, request, plan, facts, root, refuses = answer
    settings = static.settings
    yield Step("mount", f"{prefix or '/'} is served from {root}")
    if refuses:  # whatever the name is
        yield Step("access", _ACCESS[plan.status])
        return
    lookup = admit(request, settings)
    if facts is None:
        yield _without_file(request, plan, lookup)
    else:
        yield from _steps_of_file(facts, lookup)
    for rule in answer.rules if with_rules else ():
        yield Step("rule", f'{_label(settings, rule)} "{rule.match}" {_effect(rule)}')
    if facts is not None:
        yield from _steps_of_request(request, plan)


def _without_file(request: Request, plan: ResponsePlan, lookup: Lookup | ResponsePlan) -> Step:
    """Tell why there is no file."""
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
    return Step("file", f"{_name(lookup.segments)}: {reason}")


def _name(segments: tuple[str, ...]) -> str:
    return "/".join(segments) or "/"


def _location(plan: ResponsePlan) -> str:
    """Return where a plan redirects to; "" if it does not."""
    return next((value for key, value in plan.fields if key == b"location"), b"").decode("latin-1")


def _steps_of_file(facts: Representation, lookup: Lookup | ResponsePlan) -> Iterator[Step]:
    """Tell which file represents the resource."""
    name = _name(facts.segments)
    wanted = lookup.segments if isinstance(lookup, Lookup) else facts.segments
    if facts.made is not None:
        yield Step("listing", f"{_name(wanted)} has no index (setting listing)")
        return
    if facts.fallback:
        hidden = isinstance(lookup, Lookup) and not lookup.available
        missing = f"{_name(wanted)}: there is no such file"
        yield Step("hidden", _HIDDEN) if hidden else Step("file", missing)
        setting = "spa" if facts.fallback == 200 else "error_pages or not_found"
        yield Step("fallback", f"{name} (setting {setting})")
    elif wanted == facts.segments[:-1]:
        yield Step("index", name)
    elif wanted != facts.segments:
        yield Step("page", f"{name} (setting clean_urls)")
    else:
        yield Step("file", name)
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
    if plan.status == 304:
        yield Step("condition", "the client's copy is current")
    elif plan.status == 412:
        yield Step("condition", "If-Match or If-Unmodified-Since names another version of the file")
    if request.fields.range is not None:
        outcomes = {206: "is sent", 416: "is not in the file", 304: "is not needed"}
        outcome = outcomes.get(plan.status, "is ignored: the whole file is sent")
        yield Step("range", f"{request.fields.range} {outcome}")


def _label(settings: Settings, rule: Rule) -> str:
    """Name a rule: its number, or its preset."""
    return next(label for label, each in settings.named_rules if each is rule)


def _effect(rule: Rule) -> str:
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


def with_origins(fields: list[Field], answer: RootAnswer) -> Iterator[Field]:
    """Add to each field of an answer the rule or setting that it comes from."""
    static = answer.static
    for name, value, _ in fields:
        origin = ""
        rule = next((each for each in reversed(answer.rules) if _sets(each, name, value)), None)
        if rule is not None:
            origin = _label(static.settings, rule)
        elif name == "cache-control" and answer.sent is not None:
            origin = _origin_of_cache_control(static, answer.sent, value)
        yield Field(name, value, origin)


def _sets(rule: Rule, name: str, value: str) -> bool:
    if name == "content-type":
        return rule.media_type == value
    if name == "content-encoding":
        return rule.coding == value
    return any(key.lower() == name and given == value for key, given in rule.headers.items())


def _origin_of_cache_control(static: StaticFiles, facts: Representation, value: str) -> str:
    if facts.fallback >= 400 or facts.made is not None:
        return ""
    if facts.segments == tuple(static.settings.shell.split("/")):
        return "setting spa"
    if static.proves(facts.segments) and "immutable" in value:
        return "setting manifest"
    if value == static.settings.cache_control:
        return "setting cache_control"
    return "setting immutable" if "immutable" in value else ""
