"""The parameters of `send_file`, read into the facts and overrides of the decision core."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from os import PathLike
from typing import Any, Literal, TypedDict

from quart import Quart, current_app

from asyncstatic.http.disposition import content_disposition
from asyncstatic.http.model import SECOND, Representation
from asyncstatic.http.policy import Overrides, ResponsePolicy
from asyncstatic.serve.quart.sendable import Sendable
from asyncstatic.settings import Settings, SettingsError
from asyncstatic.settings.values import problem_with

_APP_AGE = "SEND_FILE_MAX_AGE_DEFAULT"
_TAG = re.compile(r"[!#-~]+")
_SCRIPTS = ("application/javascript", "application/ecmascript")

MaxAge = int | Callable[[str | None], int | None] | None


class SendOptions(TypedDict, total=False):
    """Keyword arguments of a view that sends a file; `send_file` describes them."""

    conditional: bool
    etag: bool | str
    last_modified: date | float | None
    max_age: MaxAge
    cache_control: str | None
    # Quart's names of parameters that have other names in Flask and here
    attachment_filename: str | None
    add_etags: bool
    cache_timeout: int | None


class FileOptions(SendOptions, total=False):
    """Further keyword arguments of `send_file`."""

    filename_or_io: Sendable


class DirectoryOptions(SendOptions, total=False):
    """Further keyword arguments of `send_from_directory`."""

    mimetype: str | None
    as_attachment: bool
    download_name: str | None
    file_name: str | PathLike[str]


_FLASK_NAMES = {
    "attachment_filename": "download_name",
    "add_etags": "etag",
    "cache_timeout": "max_age",
}


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """The options of `send_file`, which describes them."""

    mimetype: str | None = None
    as_attachment: bool = False
    download_name: str | None = None
    conditional: bool = True
    etag: bool | str = True
    last_modified: date | float | None = None
    max_age: MaxAge = None
    cache_control: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ViewOptions:
        """Read keyword arguments, under their own names or Quart's.

        Raises:
            TypeError: there is no such parameter.
        """
        named = {_FLASK_NAMES.get(name, name): value for name, value in given.items()}
        if unknown := named.keys() - cls.__annotations__.keys():
            raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
        return cls(**named)

    def facts(self, facts: Representation) -> Representation:
        """Return the facts of a representation, with the tag and time that the view knows better.

        Raises:
            ValueError: the tag cannot be sent.
        """
        if self.etag and isinstance(self.etag, str):
            facts = facts._replace(tag=_checked_tag(self.etag))
        if self.last_modified is not None:
            facts = facts._replace(modified_ns=_in_ns(self.last_modified), dated=True)
        return facts

    def overrides(self, name: str, *, proven: bool, ranges: bool) -> Overrides:
        """Return what the view asks for, in the words of the decision core.

        Quart's own default age of 12 hours is ignored: after a deploy a browser would show the old
        file for half a day.

        Args:
            name: the file's own name.
            proven: a manifest proves that its content never changes.
            ranges: ranges are offered.

        Raises:
            SettingsError: a value cannot be sent in a field.
        """
        age = default = None
        if self.cache_control is None:
            age = self.max_age(name or None) if callable(self.max_age) else self.max_age
            default = age_of_app(current_app, name) if age is None else None
        return Overrides(
            immutable=proven,
            cache_control=_checked_cache_control(self.cache_control),
            max_age=_seconds(age),
            default_max_age=_seconds(default),
            media_type=_checked_media_type(self.mimetype),
            name=self.download_name,
            disposition=self._disposition(name),
            tagged=bool(self.etag),
            ranges=ranges,
        )

    def _disposition(self, name: str) -> str | None:
        """Content-Disposition, where the view asks for one (RFC 6266)."""
        if not self.as_attachment and self.download_name is None:
            return None
        kind: Literal["attachment", "inline"] = "attachment" if self.as_attachment else "inline"
        return content_disposition(kind, self.download_name or name)


@cache
def default_policy() -> ResponsePolicy:
    """Return the policy of what belongs to no root."""
    return ResponsePolicy(Settings())


def age_of_app(app: Quart, name: str | None) -> int | None:
    """Return the max-age that an app sets for files, in seconds; None for Quart's own default."""
    # __class__, because type() returns the class of Quart's proxy
    is_own = app.__class__.get_send_file_max_age is not Quart.get_send_file_max_age
    if not is_own and app.config[_APP_AGE] == app.default_config[_APP_AGE]:
        return None
    return app.get_send_file_max_age(name)


def _seconds(age: float | None) -> int | None:
    return None if age is None else max(0, int(age))


def _checked_cache_control(value: str | None) -> str | None:
    problem = "" if value is None else problem_with("cache_control", str, value)
    if problem:
        raise SettingsError(f"cache_control={value!r}: {problem}")
    return value


def _checked_media_type(mimetype: str | None) -> str | None:
    if mimetype is None:
        return None
    value = _with_charset(mimetype)
    if problem_with("media_types", Mapping[str, str], {".view": value}):
        raise SettingsError(f"mimetype={mimetype!r}: say type/subtype")
    return value


def _with_charset(mimetype: str) -> str:
    is_text = mimetype.startswith("text/") or mimetype in _SCRIPTS
    is_bare = is_text and "charset" not in mimetype
    return f"{mimetype}; charset=utf-8" if is_bare else mimetype


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise ValueError(f"etag={tag!r}: use visible ASCII without quotes; the quotes are added")
    return tag


def _in_ns(moment: date | float) -> int:
    """Convert a time; a date, and a datetime without a time zone, are UTC as in Werkzeug."""
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), UTC)
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return int(moment * SECOND)
