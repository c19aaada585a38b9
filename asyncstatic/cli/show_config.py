"""``asyncstatic config``: the effective values, and where each came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import click

from asyncstatic.cli.options import options_of
from asyncstatic.config.document import OF_SITE, SETTINGS, TABLES, Value, Values, spelled
from asyncstatic.config.site import Site
from asyncstatic.http.redirects import Redirect
from asyncstatic.settings import FIELDS, Limits, Settings
from asyncstatic.settings.presets import PRESETS

_WIDTH = 44  # of the value, so that most comments are below each other
_DEFAULT = "default"


def options_of_server(context: click.Context, addresses: Mapping[str, Any]) -> Values:
    """Return the options of the server with their origins.

    Args:
        context: of the command.
        addresses: where the server would listen.
    """
    found = {}
    for option in options_of(context.command):
        value, origin = context.params[option.name or ""], option.origin(context)
        if option.key == "socket_mode" and value is not None:
            value = f"{value:o}"  # as it is written
        if origin == _DEFAULT and addresses.get(option.key):
            value = addresses[option.key]
            found_by = {"fd:": "LISTEN_FDS", "0.0": "PORT"}
            origin = found_by.get(value[0][:3], _DEFAULT)
        found[option.key] = Value(value, origin)
    return found


def for_all_roots(site: Site) -> Values:
    """Return the settings that hold for every root which does not say otherwise."""
    defaults = _values(Settings())
    shown = (name for name in SETTINGS if name not in ("root", "direct"))
    found = {name: site.common.get(name, Value(defaults[name], _DEFAULT)) for name in shown}
    return {name: Value(_shown(name, value), origin) for name, (value, origin) in found.items()}


def of_root(site: Site, prefix: str) -> Values:
    """Return what holds for one root alone: its own settings, and what follows from them."""
    settings, common = site.mounts[prefix], for_all_roots(site)
    root = settings.roots if settings.more_roots else settings.root
    found = {"root": Value(root, site.origin(prefix, "root"))}
    for name, value in _values(settings).items():
        if name == "more_roots" or name not in common:
            continue
        if name in site.own[prefix]:
            origin = site.origin(prefix, name)
            is_list = name in OF_SITE  # the others in it are those of all roots
            found[name] = Value(site.own[prefix][name].value if is_list else value, origin)
        elif value != common[name].value and site.origin(prefix, name) == _DEFAULT:
            found[name] = Value(value, _derived(settings, name))
    return found


def _derived(settings: Settings, name: str) -> str:
    """Return the origin of a value that no key names: a preset, or the file hidden by `deny`."""
    presets = [preset for preset in settings.preset if name in PRESETS[preset].settings]
    return f"preset {presets[-1]}" if presets else "added by asyncstatic"


def _values(settings: Settings) -> dict[str, Any]:
    of_limits = set(Limits.__dataclass_fields__)
    found = {
        name: getattr(settings.limits if name in of_limits else settings, name) for name in SETTINGS
    }
    return {name: _shown(name, value) for name, value in found.items()}


def _shown(name: str, value: Any) -> Any:
    """Return a value without its secrets: of passwords the names of the users stay."""
    is_secret = isinstance(value, Mapping) and not FIELDS[name].repr
    return dict.fromkeys(value, "hidden") if is_secret else value


# -- for people ------------------------------------------------------------------------------


def as_toml(options: Values, site: Site | None) -> str:
    """Return the values as a configuration file; a comment tells where each came from."""
    lines = ["# Options of the server", *_lines(options)]
    if site is not None:
        lines += ["", "# Settings of all roots", *_lines(for_all_roots(site))]
        for prefix in site.mounts:
            lines += ["", f"[{spelled(('mounts', prefix or '/'))}]", *_lines(of_root(site, prefix))]
    return "\n".join(lines)


def _lines(values: Mapping[str, Value]) -> Iterator[str]:
    for name, (value, origin) in values.items():
        if origin == _DEFAULT and (value is None or value in ("", (), {})):
            yield f"# {name} is not set"
        else:
            yield f"{name + ' = ' + _toml(value):<{_WIDTH}}  # {origin}"


def _toml(value: Any) -> str:
    """Write a value as TOML. A number, a switch or a basic string of TOML is one of JSON."""
    data = _data(value)
    if isinstance(data, dict):
        pairs = ", ".join(f"{spelled((key,))} = {_toml(each)}" for key, each in data.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(data, list):
        return f"[{', '.join(map(_toml, data))}]"
    return json.dumps(data, ensure_ascii=False)


# -- for programs ----------------------------------------------------------------------------


def as_json(options: Values, site: Site | None) -> str:
    """Return all values as JSON: for each its value and where it came from."""
    found: dict[str, Any] = {
        "file": site.document.path if site is not None and site.document is not None else None,
        "options": {name: _data(value._asdict()) for name, value in options.items()},
    }
    if site is not None:
        found["mounts"] = {
            prefix or "/": {
                name: {"value": _data(value), "origin": site.origin(prefix, name)}
                for name, value in _values(settings).items()
            }
            for prefix, settings in site.mounts.items()
        }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _data(value: Any) -> Any:
    """Return a value as TOML and JSON have it: a rule or a redirect is a table."""
    if isinstance(value, Redirect):
        value = dict(zip(TABLES["redirects"], value, strict=True))
    elif is_dataclass(value):
        found = {each.name: getattr(value, each.name) for each in fields(value)}
        value = {name: given for name, given in found.items() if given is not None and given != {}}
    if isinstance(value, Mapping):
        return {str(key): _data(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_data, value))
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
