"""Rules: fields of answers, media types and codings by a glob of the file's path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from asyncstatic.http.abnf import TOKEN
from asyncstatic.http.glob import Glob
from asyncstatic.settings.values import SettingsError, problem_with_cache_control

# Fields that a rule must not set, with the next step.
_FRAMING = "it says how the bytes are sent, so only the server can know it"
_VALIDATION = "it tells versions apart, so only the server can know it; see the setting etag"
_REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("connection", "content-length", "content-range", "keep-alive", "proxy-connection", "te",
         "trailer", "transfer-encoding", "upgrade", "accept-ranges"),
        _FRAMING,
    ),
    **dict.fromkeys(("etag", "last-modified"), _VALIDATION),
    **dict.fromkeys(("age", "allow", "date", "server"), "the server itself sends it"),
    **dict.fromkeys(
        ("content-digest", "repr-digest"), "the server itself sends it to clients that want it"
    ),
    **dict.fromkeys(("x-accel-redirect", "x-sendfile"), "see the setting offload"),
    "content-encoding": "say coding=",
    "content-type": "say media_type=",
    "location": "a rule is no redirect",
    "set-cookie": "caches would give it to other clients; let an app set cookies",
    "vary": "the server itself knows on which request fields an answer depends",
}  # fmt: skip
_NAME = re.compile(TOKEN)
_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")  # field-value in ASCII (RFC 9110 §5.5)
_MEDIA_TYPE = re.compile(rf'{TOKEN}/{TOKEN}(?:[ \t]*;[ \t]*{TOKEN}=(?:{TOKEN}|"[ !#-\[\]-~]*+"))*+')

#: The value of a field that a rule removes.
Removed: TypeAlias = Literal[False]


@dataclass(frozen=True, slots=True)
class Rule:
    r"""The fields, media type and coding of the answers with some files of a root.

    Where several rules match a file, the last one that names a field, a media type or a coding
    decides about it.

    Args:
        match: a glob of the path of the file that is served, such as "/app/assets/\*\*": that of an
            index file, a fallback or a not-found page, never of a sidecar. `http.glob` says what a
            glob is. The path begins with `Settings.at`.
        headers: values of response fields by name; False removes a field that an earlier rule or
            the server itself sets.
        media_type: the whole Content-Type value; False for that of the suffix.
        coding: the content-coding in which the file is stored, such as "gzip" for ``app.wasm.gz``:
            the stored bytes are sent under this name, decoded by clients. It is sent to every
            client, as its own name is. False for none.

    Raises:
        SettingsError: the pattern is wrong, or a field or value cannot be sent.
    """

    match: str
    headers: Mapping[str, str | Removed] = field(default_factory=dict)
    media_type: str | Removed | None = None
    coding: str | Removed | None = None

    def __post_init__(self) -> None:
        try:
            problem = self._problem()
        except ValueError as error:
            problem = f"match: {error}"
        if problem:
            raise SettingsError(f"rule {self.match!r}: {problem}")
        object.__setattr__(self, "headers", dict(self.headers))

    def _problem(self) -> str:
        match: Any = self.match
        headers: Any = self.headers
        if not isinstance(match, str):
            return "match: a glob is needed, such as /assets/** or *.js"
        Glob(match)
        if not isinstance(headers, Mapping):
            return "headers: a table of names and values is needed"
        names = [str(name).lower() for name in headers]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            return f"headers: {min(twice)} is named twice"
        of_fields = (_problem_with_field(name, value) for name, value in headers.items())
        return next(filter(None, of_fields), "") or self._problem_with_content()

    def _problem_with_content(self) -> str:
        media = self.media_type
        if media not in (None, False) and not (
            isinstance(media, str) and _MEDIA_TYPE.fullmatch(media)
        ):
            return f"media_type={media!r}: say type/subtype"
        coding = self.coding
        if coding not in (None, False) and not (
            isinstance(coding, str) and _NAME.fullmatch(coding) and coding.lower() != "identity"
        ):
            return f"coding={coding!r}: a content-coding is needed, such as gzip or br"
        return ""


RuleLike: TypeAlias = Rule | Mapping[str, Any]
Rules: TypeAlias = RuleLike | Iterable[RuleLike] | str

_KEYS = [of_field.name for of_field in fields(Rule)]


def rules_of(value: Any) -> tuple[Rule, ...]:
    """Convert a rule, a table of its arguments, or several, or JSON of them, to a tuple of rules.

    Raises:
        SettingsError: something is no rule.
    """
    if isinstance(value, str):
        value = _of_json(value)
    if isinstance(value, Rule | Mapping):
        value = (value,)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SettingsError(f"rules={value!r}: a list of rules is needed, Rule(match, headers=...)")
    return tuple(_rule_of(f"rules[{number}]", each) for number, each in enumerate(value))


def _of_json(text: str) -> Any:
    try:
        return json.loads(text or "[]")
    except ValueError as error:
        raise SettingsError(
            f'rules={text!r}: JSON is needed, [{{"match": "*.js", "headers": {{}}}}]: {error}'
        ) from None


def _rule_of(label: str, value: Any) -> Rule:
    if isinstance(value, Rule):
        return value
    if not isinstance(value, Mapping):
        raise SettingsError(f"{label}={value!r}: a rule is needed, Rule(match, headers=...)")
    unknown = [str(key) for key in value if key not in _KEYS]
    if unknown:
        raise SettingsError(f"{label}: unknown key {unknown[0]}, known are {', '.join(_KEYS)}")
    if "match" not in value:
        raise SettingsError(f"{label}: match is needed, a glob such as /assets/** or *.js")
    try:
        return Rule(**value)
    except SettingsError as error:
        raise SettingsError(f"{label}: {error}") from None


def _problem_with_field(name: Any, value: Any) -> str:
    """Return why a rule cannot set a field; "" if it can."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"headers: {name!r} is no name of a field"
    if reason := _REFUSED.get(name.lower()):
        return f"headers: {name} cannot be set: {reason}"
    if value is False:
        return ""
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"headers: {name}={value!r}: printable ASCII is needed, or false to remove the field"
    if name.lower() == "cache-control" and (problem := problem_with_cache_control(value)):
        return f"headers: {name}={value!r}: {problem}"
    return ""


def first_cors_rule(rules: Iterable[Rule]) -> Rule | None:
    """Return a rule that sets fields of the CORS protocol, if there is one."""
    for rule in rules:
        if any(name.lower().startswith("access-control-") for name in rule.headers):
            return rule
    return None
