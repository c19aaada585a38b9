"""How a view wants its file sent: the parameters of `send_file`, and what they change."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from os import PathLike
from typing import Any, TypedDict, cast

from quart import Quart, current_app

from asyncstatic.http.cache_control import IMMUTABLE, CacheControl
from asyncstatic.http.disposition import content_disposition
from asyncstatic.http.model import RawFields, Representation
from asyncstatic.http.target import matches
from asyncstatic.serve.quart.sendable import Sendable
from asyncstatic.settings import Settings

_SUFFIX = ".type-by-view"  # a name of this suffix has the media type the view asked for
_TYPED = "file" + _SUFFIX
_APP_AGE = "SEND_FILE_MAX_AGE_DEFAULT"
_SECOND = 1_000_000_000
_TAG = re.compile(r"[!#-~]+")
_SCRIPTS = ("application/javascript", "application/ecmascript")

MaxAge = int | Callable[[str | None], int | None] | None


class QuartNames(TypedDict, total=False):
    """What Quart calls the parameters that Flask, and so we, call otherwise."""

    filename_or_io: Sendable
    file_name: str | PathLike[str]
    attachment_filename: str | None
    add_etags: bool
    cache_timeout: int | None


_FLASK_NAMES = {
    "attachment_filename": "download_name",
    "add_etags": "etag",
    "cache_timeout": "max_age",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of `send_file`, which describes them."""

    mimetype: str | None = None
    as_attachment: bool = False
    download_name: str | None = None
    conditional: bool = True
    etag: bool | str = True
    last_modified: date | float | None = None
    max_age: MaxAge = None
    cache_control: str | None = None

    def named(self, names: QuartNames) -> Options:
        """Return the options with what came under Quart's names.

        Raises:
            TypeError: a name is neither Quart's nor Flask's.
        """
        known = {_FLASK_NAMES[name]: value for name, value in names.items() if name in _FLASK_NAMES}
        unknown = names.keys() - QuartNames.__annotations__.keys()
        if unknown:
            raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
        return replace(self, **cast("dict[str, Any]", known))

    def facts(self, facts: Representation) -> Representation:
        """Return the facts of a representation, with what the view knows better."""
        changes: dict[str, Any] = {}
        if self.mimetype is not None:
            changes["segments"] = (*facts.segments[:-1], _TYPED)
        elif self.download_name:
            changes["segments"] = (*facts.segments[:-1], self.download_name)
        if self.etag and isinstance(self.etag, str):
            changes["tag"] = _checked_tag(self.etag)
        if self.last_modified is not None:
            changes |= {"modified_ns": _in_ns(self.last_modified), "dated": True}
        return facts._replace(**changes) if changes else facts

    def settings(
        self, settings: Settings, segments: tuple[str, ...], *, proven: bool = False
    ) -> Settings:
        """Return a root's settings, with what the view asks for; checking them has its price.

        Args:
            settings: of the root.
            segments: the file's own name, by which it is found immutable or not.
            proven: a manifest says that it is.
        """
        changes: dict[str, Any] = {}
        if self.mimetype is not None:
            changes["media_types"] = {**settings.media_types, _SUFFIX: _with_charset(self.mimetype)}
        if not self.etag:
            changes["etag"] = "off"
        cache_control = self._cache_control(settings, segments, proven)
        if cache_control is not None:
            changes["cache_control"] = cache_control
        if settings.immutable:
            changes["immutable"] = ()  # decided above; the name it is sent under proves nothing
        return replace(settings, **changes) if changes else settings

    def disposition(self, name: str) -> RawFields:
        """Content-Disposition, where the view asks for one (RFC 6266)."""
        if not self.as_attachment and self.download_name is None:
            return ()
        value = content_disposition(
            "attachment" if self.as_attachment else "inline", self.download_name or name
        )
        return ((b"content-disposition", value.encode("ascii")),)

    def _cache_control(
        self, settings: Settings, segments: tuple[str, ...], proven: bool
    ) -> str | None:
        """What the view says, else the root, else the app; Quart's default of 12 hours is nobody's.

        With that one a browser shows the old file for half a day after a deploy.
        """
        if self.cache_control is not None:
            return self.cache_control
        if self.max_age is None and (proven or matches(settings.immutable, segments)):
            return str(IMMUTABLE)
        name = segments[-1]
        seconds = self.max_age(name or None) if callable(self.max_age) else self.max_age
        if seconds is None and settings.cache_control == default_settings().cache_control:
            seconds = age_of_app(current_app, name)
        if seconds is None:
            return None
        present = CacheControl.parse(settings.cache_control)
        whose = "private" if present is not None and present.private else "public"
        return f"{whose}, max-age={max(0, int(seconds))}"


@lru_cache(maxsize=1)
def default_settings() -> Settings:
    """Return the settings of what belongs to no root."""
    return Settings()


def age_of_app(app: Quart, name: str | None) -> int | None:
    """Return the seconds an app says files may be kept; None where it says what Quart says."""
    # __class__, since type() would be that of Quart's proxy
    is_own = app.__class__.get_send_file_max_age is not Quart.get_send_file_max_age
    if not is_own and app.config[_APP_AGE] == app.default_config[_APP_AGE]:
        return None
    return app.get_send_file_max_age(name)


def _with_charset(mimetype: str) -> str:
    is_text = mimetype.startswith("text/") or mimetype in _SCRIPTS
    is_bare = is_text and "charset" not in mimetype
    return f"{mimetype}; charset=utf-8" if is_bare else mimetype


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise ValueError(f"etag={tag!r}: name visible ASCII without quotes; they are added")
    return tag


def _in_ns(moment: date | float) -> int:
    """Convert a time; a date, and a datetime without a time zone, are UTC as in Werkzeug."""
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), UTC)
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return int(moment * _SECOND)
