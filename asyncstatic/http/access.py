"""Checks of the settings that decide who has access: users, networks and rates. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncstatic.http.addresses import Networks
from asyncstatic.http.basic import problem_with_user

_RATE = re.compile(r"([1-9][0-9]{0,5})/([smh])(?: burst ([1-9][0-9]{0,5}))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate: so many requests in so many seconds, and so many at once after a pause."""

    count: int
    seconds: int
    burst: int


def rate_of(text: str) -> Rate | None:
    """Read a rate: ``10/s``, ``600/m burst 50``; None if it is none. The count is also the burst."""
    match = _RATE.fullmatch(" ".join(text.split()))
    if match is None:
        return None
    return Rate(int(match[1]), _SECONDS[match[2]], int(match[3] or match[1]))


def problem_with_users(users: Any) -> str:
    """A file, which is read later, or a mapping. The reason repeats no value: it may be a password."""
    if users is None or (isinstance(users, str) and users):
        return ""
    if not isinstance(users, Mapping) or not users:
        return "the name of an htpasswd file is needed, or a mapping of names to hashes"
    return next(filter(None, map(problem_with_user, users, users.values())), "")


def problem_with_networks(names: tuple[str, ...]) -> str:
    """Networks as `Networks` reads them."""
    try:
        Networks(names)
    except ValueError as error:
        return str(error)
    return ""


def problem_with_rate_limit(rate: str) -> str:
    """A number of requests in a second, minute or hour."""
    known = not rate or rate_of(rate)
    return "" if known else "a rate is needed: 10/s, 600/m, 3600/h, or 600/m burst 50"
