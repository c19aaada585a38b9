"""The JSON Schema of ``asyncstatic.toml``, made from the types of the settings and options.

Editors complete a file and check it with the schema (Even Better TOML and taplo read ``#:schema FILE``).
The types of a setting, its default and its documentation are those of `Settings`; a form that
`values.coerce` takes for it, such as one string for a list, is allowed as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from asyncstatic.cli.options import LISTS, ServerOption
from asyncstatic.config.document import SETTINGS
from asyncstatic.http.redirects import STATUSES, Redirect
from asyncstatic.settings import FIELDS, HINTS, Limits, Settings
from asyncstatic.settings.presets import PRESETS
from asyncstatic.settings.values import SIZES

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
_NAMES = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_ROOT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
#: A size, as `values.size_of` reads it.
_SIZE = {"type": "string", "pattern": "^[0-9]{1,15} ?([kKmMgG]?[bB]?|[kKmMgG][iI][bB])$"}


def schema(server: Iterable[ServerOption]) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file (draft 2020-12).

    Args:
        server: the options of the server.
    """
    settings = {name: _setting(name) for name in SETTINGS}
    options = {option.key: _option(option) for option in server}
    mount = _object(settings) | {"required": ["root"]}
    mounts = {
        "description": "Roots by prefix: a directory, several as an overlay, or a table of settings.",
        "type": "object",
        "patternProperties": {"^/": {"anyOf": [*_ROOT["anyOf"], {"$ref": "#/$defs/mount"}]}},
        "additionalProperties": False,
    }
    return {
        "$schema": _DRAFT,
        "title": "asyncstatic.toml",
        **_object({**settings, **options, "mounts": mounts}),
        "$defs": {"mount": mount},
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _setting(name: str) -> dict[str, Any]:
    """Return the schema of a setting, with its default and documentation."""
    found = dict(_ROOT if name == "root" else _of_type(HINTS[name]))
    if name in SIZES:
        found = {"anyOf": [found, _SIZE]}
    if name == "preset":
        word = {"enum": list(PRESETS)}
        found = {"anyOf": [word, {"type": "array", "items": word}]}
    default = FIELDS[name].default
    if default is not MISSING and isinstance(default, bool | int | float | str):
        found["default"] = default
    return {"description": documentation(name), **found}


def _of_type(hint: Any) -> dict[str, Any]:
    """Return the schema of the forms in which a value of this type may be written."""
    arguments = get_args(hint)
    origin = get_origin(hint)
    simple = {bool: "boolean", str: "string"}.get(hint)
    if simple is not None:
        return {"type": simple}
    if hint in (int, float):
        return {"type": "integer" if hint is int else "number", "minimum": 0}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [_of_type(each) for each in arguments if each is not NoneType]}
    if origin is tuple:
        return _NAMES if arguments[0] is str else {"type": "array", "items": _of_type(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of_type(arguments[1])}
    if hint is Redirect:  # its fields have other names in a file
        properties = {"from": _TEXT, "to": _TEXT, "status": {"enum": list(STATUSES)}}
        return _object(properties) | {"required": ["from", "to"]}
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        required = [each.name for each in fields(hint) if each.default is each.default_factory]
        properties = {each.name: _of_type(hints[each.name]) for each in fields(hint)}
        return _object(properties) | {"required": required}
    return {}  # anything: the reader checks it


def _option(option: ServerOption) -> dict[str, Any]:
    """Return the schema of an option of the server."""
    kind = option.type
    found: dict[str, Any] = dict(_TEXT)
    if option.is_flag:
        found = {"type": "boolean"}
    elif isinstance(kind, click.IntRange):
        found = {"type": "integer", "minimum": kind.min}
    elif isinstance(kind, click.FloatRange):
        found = {"type": "number", "minimum": kind.min}
    elif isinstance(kind, click.Choice):
        found = {"enum": list(kind.choices)}
    elif option.multiple or option.key in LISTS:
        found = dict(_NAMES)
    return {"description": option.help, **found}


def documentation(name: str) -> str:
    """Return what the docstring of `Settings` or `Limits` says of a field, in one line."""
    for kind in (Settings, Limits):
        text = (kind.__doc__ or "").partition("Attributes:")[2]
        match = re.search(rf"^ {{8}}{name}: (.*(?:\n {{9,}}.*)*)", text, re.MULTILINE)
        if match:
            return " ".join(match[1].split())
    return ""
