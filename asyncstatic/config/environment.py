"""Settings as texts: ``ASYNCSTATIC_*`` variables, and the ``NAME=VALUE`` of ``--set``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from asyncstatic.config.variables import OTHER_VARIABLES, PREFIX, is_of_service
from asyncstatic.settings import FIELDS, HINTS, SettingsError, checked
from asyncstatic.settings.values import from_text, nearest, printable

_SWITCHES_OF_OUR_TESTS = "ASYNCSTATIC_TEST_"
_DEFAULT_ROOTS = ("static", "public")
_VARIABLES = frozenset(name.upper() for name in FIELDS)

_logger = logging.getLogger("asyncstatic")


def options_of_environment(
    environ: Mapping[str, str], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the keyword arguments of `Settings`, as `Settings.from_environment` reads them."""
    warn_of_unknown(environ)
    options = {**known_options(environ), **overrides}
    if "root" not in overrides and not options.get("root"):
        options["root"] = default_root()
    return options


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Log a warning for each variable that is neither a setting nor an option."""
    for name in _strangers(environ, OTHER_VARIABLES):
        step = "say --bind HOST:PORT" if name == "PORT" else nearest(name, FIELDS, PREFIX)
        _logger.warning("%s%s is ignored, it is no setting: %s", PREFIX, name, step)


def options_of(variables: Mapping[str, Any], others: Sequence[str] = ()) -> dict[str, Any]:
    """Pick ``ASYNCSTATIC_*`` out of an app's config.

    Texts and whole numbers are read as the setting needs them; other values are taken as they are.
    Quart's ``from_prefixed_env`` makes the number 1 of a variable ``1``.

    Args:
        variables: all of them, ours and foreign.
        others: names that are no settings and are known all the same, in upper case.

    Raises:
        SettingsError: an unknown variable, or an unusable text.
    """
    for name in _strangers(variables, others):
        raise SettingsError(f"unknown setting {PREFIX}{name}: {nearest(name, FIELDS, PREFIX)}")
    return known_options(variables)


def option_of_assignment(assignment: str) -> tuple[str, Any]:
    """Read the ``NAME=VALUE`` of ``--set``.

    Returns:
        The name of the setting and its value.

    Raises:
        SettingsError: it is no assignment, the setting is unknown, or the text is unusable.
    """
    label = f"--set {printable(assignment)}"
    name, separator, text = assignment.partition("=")
    name = name.strip().lower()
    if not separator:
        raise SettingsError(f"{label}: say NAME=VALUE")
    if name == "root":
        raise SettingsError(f"{label}: name the directory as the argument, asyncstatic serve DIR")
    if name not in FIELDS or name == "at":  # the site itself knows where its mounts are
        raise SettingsError(f"{label}: unknown setting, {nearest(name, FIELDS.keys() - {'at'})}")
    return name, _read(label, name, text)


def _strangers(variables: Mapping[str, Any], others: Iterable[str]) -> Iterator[str]:
    """Yield the names, without the prefix, of variables with our prefix that are not known."""
    for variable, value in variables.items():
        name = variable.removeprefix(PREFIX)
        known = name in others or name in _VARIABLES
        if name == variable or known or variable.startswith(_SWITCHES_OF_OUR_TESTS):
            continue
        if not is_of_service(name, value):
            yield name


def known_options(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among variables, read as `options_of` says.

    Raises:
        SettingsError: a text is unusable.
    """
    options: dict[str, Any] = {}
    for name in FIELDS:
        variable = PREFIX + name.upper()
        if variable in variables:
            value = variables[variable]
            is_read = isinstance(value, str) or type(value) is int
            options[name] = _read(f"{variable}={value!r}", name, str(value)) if is_read else value
    return options


def _read(label: str, name: str, text: str) -> Any:
    """Read the text of one setting; errors begin with the label, as the user wrote it."""
    if name == "root":
        return roots_of(text)
    try:
        return checked(name, from_text(name, HINTS[name], text))
    except ValueError as error:
        raise SettingsError(f"{label}: {error}") from None


def roots_of(text: str) -> str | list[str]:
    """Read a root, or the roots of an overlay, which commas separate; ``~`` is a home directory.

    A directory whose own name has a comma counts more.
    """
    paths = [text] if os.path.lexists(text) else text.split(",")
    roots = [os.path.expanduser(path) for path in paths if path]
    return roots if roots[1:] else "".join(roots)


def default_root() -> str:
    """Return the directory that is served if none is named.

    Raises:
        SettingsError: there is none.
    """
    for name in _DEFAULT_ROOTS:
        if os.path.isdir(name):
            return name
    raise SettingsError(
        "no directory to serve: neither ./static nor ./public is here; "
        "say asyncstatic serve DIR, set ASYNCSTATIC_ROOT=DIR, or create one of them"
    )
