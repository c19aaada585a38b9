"""The fields of `Settings` and `Limits`: each gets its option, converted and checked, or its default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, get_type_hints

from asyncstatic.settings.rules import rules_of
from asyncstatic.settings.values import SettingsError, coerce, nearest, problem_with

_SECRET_OR_LONG = ("users", "redirects")  # their values are in no message


@cache
def fields_of(cls: type) -> dict[str, Field[Any]]:
    """Return the fields that an option sets, by name; `Settings.limits` is an object of its own."""
    return {found.name: found for found in fields(cls) if found.name != "limits"}


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """Return the types of the fields by name."""
    return get_type_hints(cls)


def assign(target: object, options: Mapping[str, Any]) -> None:
    """Set each field of a frozen object: the option, converted and checked, or the default.

    Raises:
        SettingsError: the value of an option is unusable.
    """
    cls: Any = type(target)
    for name, of_field in fields_of(cls).items():
        given = options.get(name, _default(of_field))
        try:
            value = converted(name, hints_of(cls)[name], given)
        except ValueError as error:
            shown = name if name in _SECRET_OR_LONG else f"{name}={given!r}"
            raise SettingsError(f"{shown}: {error}") from None
        object.__setattr__(target, name, value)


def _default(of_field: Field[Any]) -> Any:
    factory = of_field.default_factory
    return of_field.default if factory is MISSING else factory()


def converted(name: str, hint: Any, value: Any) -> Any:
    """Return a value in the type of its setting.

    Raises:
        ValueError: it is unusable; the message is the rest of an error message.
    """
    value = rules_of(value) if name == "rules" else coerce(name, hint, value)
    if problem := problem_with(name, hint, value):
        raise ValueError(problem)
    return value


def refuse_unknown(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an option that has no field.

    Raises:
        SettingsError: there is one; the message names the most similar one.
    """
    for name in options:
        if name not in known:
            raise SettingsError(f"unknown setting {name}: {nearest(name, known)}")
