"""Response metadata: the fields of an answer that settings, a host or a view may choose.

A root builds one `ResponsePolicy`, and `respond` asks it for every answer. A host passes what it
knows about one answer as `Overrides`; it never edits a finished plan. In each list below the first
entry that applies wins.

Cache-Control:
    0. ``no-cache`` for a listing (`Representation.made`): names come and go.
    1. ``no-store`` for every error page, also for the root's own (`not_found`, `error_pages`).
    2. The value that a view names: `Overrides.cache_control`.
    3. The age that a view names: `Overrides.max_age`. ``private`` where the value of the rule, or
       else of the root, is private.
    4. ``no-cache`` for the shell of a single-page app (`Settings.spa`), whatever URL it answers.
    5. The value of a rule; none, if the last rule that names the field removes it. On a private
       root ``private`` replaces ``public`` and ``s-maxage``, and the field is not removed.
    6. A year and ``immutable``, unless the root is private: the manifest proves the name
       (`Overrides.immutable`), or a pattern of `Settings.immutable` matches it.
    7. The age that an app names for all its files, `Overrides.default_max_age`, unless the root is
       private or has a `Settings.cache_control` of its own.
    8. `Settings.cache_control`. On a private root ``private`` replaces ``public`` and ``s-maxage``.

Content-Type, with its charset:
    1. The value that a view names: `Overrides.media_type`.
    2. That of a rule.
    3. By suffix, of the name that the client is told (`Overrides.name`) or else of the file:
       `Settings.media_types`, then the table in `media`. The suffix of a rule's coding is ignored.

Content-Encoding:
    The coding of a rule, then that of the sidecar, if one was chosen.

Content-Disposition:
    1. The value that a view names: `Overrides.disposition`.
    2. That of a rule.

ETag and Accept-Ranges:
    1. None, where a view switches them off (`Overrides.tagged`, `Overrides.ranges`).
    2. None, where `Settings.etag` is "off"; else as `validators` derives the tag.

X-Content-Type-Options and all other fields:
    1. That of a rule (`Settings.rules`; those of `Settings.preset` come before them). The last
       rule that matches a file and names a field counts.
    2. ``nosniff``.

Rules hold for 200, 206 and 304, and for the root's own `not_found` page. A 304 does not repeat
Content-Disposition and Content-Language (§15.4.5). It repeats all others, since a client updates
what it stored with them (RFC 9111 §3.2): a new Content-Security-Policy must reach clients whose
file is unchanged. Rules decide neither the Cache-Control nor the
content of a listing (`Representation.made`). CDN-Cache-Control and the like (RFC 9213) are sent only
where the Cache-Control of a rule would be.

Our own error pages and redirects belong to no file. Their path is that of the root with a slash, such
as "/", so rules for everything match them (`ResponsePolicy.completed`): browsers, and those who scan a
site, expect a Strict-Transport-Security or Content-Security-Policy with every answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from asyncstatic.http import cors
from asyncstatic.http.cache_control import IMMUTABLE, is_private, private_value
from asyncstatic.http.media import media_type
from asyncstatic.http.model import RawFields, Representation, ResponsePlan
from asyncstatic.http.navigation import VARIES_BY
from asyncstatic.http.rules import NO_RULING, Rulebook, Ruling
from asyncstatic.http.target import matches
from asyncstatic.settings import Settings

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_STORE: Final = (b"cache-control", b"no-store")

#: The fields that a server in front of us cannot know when it sends a file in our place
#: (X-Accel-Redirect, X-Sendfile). It makes validators, length and ranges by itself.
KEPT_BY_FRONT_SERVER: Final = frozenset(
    {
        *(b"content-type", b"cache-control", b"content-disposition", b"vary"),
        *(b"access-control-allow-origin", b"access-control-expose-headers"),
    }
)

_IMMUTABLE: Final = IMMUTABLE.encode("ascii")
_DEFAULT_CACHE_CONTROL: Final = Settings().cache_control


class Overrides(NamedTuple):
    """Facts and wishes of a host or a view about one answer, beyond the settings of the root.

    Values must be valid field values: a caller that takes them from a user checks them first.

    Attributes:
        immutable: a manifest proves that the bytes under this name never change.
        cache_control: the whole Cache-Control value.
        max_age: seconds for which the answer may be used without revalidation; 0 or more.
        default_max_age: the same for a root whose settings name no Cache-Control.
        media_type: the whole Content-Type value.
        name: the file name by whose suffix the media type is chosen.
        disposition: the Content-Disposition value of a 200 or 206.
        tagged: False: send no entity-tag, and evaluate conditions without one.
        ranges: False: do not offer ranges. The request must then have no Range field.
        link: the Link value of a 200 or 206: what a page needs next; empty for none.
    """

    immutable: bool = False
    cache_control: str | None = None
    max_age: int | None = None
    default_max_age: int | None = None
    media_type: str | None = None
    name: str | None = None
    disposition: str | None = None
    tagged: bool = True
    ranges: bool = True
    link: bytes = b""


NO_OVERRIDES: Final = Overrides()
PROVEN_IMMUTABLE: Final = Overrides(immutable=True)


class ResponsePolicy:
    """Decides the metadata of the answers of one root.

    Args:
        settings: of the root; `cache_control`, `immutable`, `media_types`, `etag`, `cors` and
            `hide_forbidden` are used, and `spa`, `rules`, `preset` and `at`.
        private: only the client itself may store an answer, because not every client may have it:
            the root has users or networks, or asks `authorize` (RFC 9111 §5.2.2.7).

    Attributes:
        etag: `Settings.etag`.
        cors: `Settings.cors`.
        hide_forbidden: `Settings.hide_forbidden`.
        rulebook: the rules, those of presets first.
    """

    __slots__ = (
        *("_cache_control", "_common", "_default_age_counts", "_immutable", "_media_types"),
        *("_no_cache", "_private", "_scope", "_shell"),
        *("cors", "etag", "hide_forbidden", "rulebook"),
    )

    def __init__(self, settings: Settings, *, private: bool = False) -> None:
        self.etag = settings.etag
        self.cors = settings.cors
        self.hide_forbidden = settings.hide_forbidden
        self.rulebook = Rulebook((rule for _, rule in settings.named_rules), settings.at)
        self._private = private
        self._immutable = settings.immutable
        self._media_types = settings.media_types
        value = private_value(settings.cache_control) if private else settings.cache_control
        self._cache_control = value.encode("ascii")
        self._scope = b"private" if is_private(value) else b"public"
        self._default_age_counts = not private and value == _DEFAULT_CACHE_CONTROL
        self._shell = tuple(settings.shell.split("/")) if settings.spa else None
        self._no_cache = b"private, no-cache" if private else b"no-cache"
        cache_control = (b"cache-control", self._cache_control)
        self._common = tuple(  # indexed by `Representation.negotiable`
            (cache_control, *_vary_field(negotiable, (), settings.cors), NOSNIFF)
            for negotiable in (False, True)
        )

    def repeated_fields(self, chosen: Representation, overrides: Overrides) -> RawFields:
        """Return the fields of a 200 that a 304 repeats (RFC 9110 §15.4.5), without validators."""
        ruling = self.ruling(chosen)
        if chosen.made is not None:
            return self._fields_of_made(chosen, chosen.made, ruling)
        value = self._value_of_cache_control(chosen, overrides, ruling)
        if value is self._cache_control and not (ruling.rules or chosen.fallback):
            return self._common[chosen.negotiable]
        return (
            *(((b"cache-control", value),) if value else ()),
            *self.vary_field(chosen),
            *(() if NOSNIFF[0] in ruling.named else (NOSNIFF,)),
            *ruling.fields,
            *(ruling.cache_fields if self._is_cached_by_rule(chosen) else ()),
        )

    def completed(self, plan: ResponsePlan) -> ResponsePlan:
        """Return one of our own pages, or a redirect, with the fields of the rules for everything.

        A field that the page has already is not replaced, except X-Content-Type-Options.
        """
        ruling = self.rulebook.of_pages
        if not ruling.rules:
            return plan
        kept = [
            field for field in plan.fields if field != NOSNIFF or NOSNIFF[0] not in ruling.named
        ]
        names = {name for name, _ in kept}
        added = (field for field in ruling.fields if field[0] not in names)
        return plan._replace(fields=(*kept, *added))

    def _fields_of_made(self, chosen: Representation, made: RawFields, ruling: Ruling) -> RawFields:
        """Return the fields of a listing: its own policy for scripts counts more than a rule."""
        own = {name for name, _ in made}
        return (
            (b"cache-control", self._no_cache),
            *self.vary_field(chosen),
            *(() if NOSNIFF[0] in ruling.named else (NOSNIFF,)),
            *made,
            *(field for field in ruling.fields if field[0] not in own),
        )

    def content_fields(self, chosen: Representation, overrides: Overrides) -> RawFields:
        """Return the fields that say what the content is and how to show it."""
        ruling = self.ruling(chosen) if chosen.made is None else NO_RULING
        value = overrides.media_type or ruling.media_type
        if value is None:
            name = overrides.name or (chosen.segments[-1] if chosen.segments else "")
            value = media_type(ruling.without_suffix(name), self._media_types)
        content_type = (b"content-type", value.encode("latin-1"))
        disposition = overrides.disposition or ruling.disposition
        coding = _codings(ruling.coding, chosen.coding)
        if not (disposition or coding or ruling.content_fields):
            return (content_type,)
        return (
            content_type,
            *(((b"content-disposition", disposition.encode("ascii")),) if disposition else ()),
            *(((b"content-encoding", coding.encode("ascii")),) if coding else ()),
            *ruling.content_fields,
        )

    def is_coded(self, chosen: Representation) -> bool:
        """Tell whether the content has a coding: that of a rule, or of the sidecar."""
        return _codings(self.ruling(chosen).coding, chosen.coding) != ""

    def ruling(self, chosen: Representation) -> Ruling:
        """Return what the rules say about a file."""
        return self.rulebook.about(chosen.segments)

    def vary_field(self, chosen: Representation) -> RawFields:
        """Return the Vary field of every answer about a representation, if there is one."""
        others: tuple[str, ...] = ()
        if chosen.made is not None:
            others = ("Accept",)
        elif chosen.fallback == 200:  # the shell under another name
            others = VARIES_BY
        return _vary_field(chosen.negotiable, others, self.cors)

    def _value_of_cache_control(
        self, chosen: Representation, overrides: Overrides, ruling: Ruling
    ) -> bytes:
        """Apply the precedence that the module states; return b"" for no field."""
        if chosen.fallback >= 400:
            return NO_STORE[1]
        if overrides.cache_control is not None:
            return overrides.cache_control.encode("ascii")
        if overrides.max_age is not None:
            return b"%b, max-age=%d" % (
                b"private" if is_private(ruling.cache_control) else self._scope,
                overrides.max_age,
            )
        if chosen.segments == self._shell:
            return self._no_cache
        if ruling.cache_control is not None:
            value = ruling.cache_control
            return (private_value(value) if self._private else value).encode("ascii")
        if b"cache-control" in ruling.named:  # removed
            return self._cache_control if self._private else b""
        proven = overrides.immutable or (
            self._immutable and matches(self._immutable, chosen.segments)
        )
        if proven and not self._private:
            return _IMMUTABLE
        if overrides.default_max_age is not None and self._default_age_counts:
            return b"%b, max-age=%d" % (self._scope, overrides.default_max_age)
        return self._cache_control

    def _is_cached_by_rule(self, chosen: Representation) -> bool:
        """Tell whether the Cache-Control of a rule decides, as far as no view names one."""
        return not (self._private or chosen.segments == self._shell or chosen.fallback >= 400)


def _codings(by_rule: str, chosen: str) -> str:
    """Return the value of Content-Encoding: codings in the order in which they were applied."""
    if chosen == "identity":
        return by_rule
    return f"{by_rule}, {chosen}" if by_rule else chosen


@lru_cache
def _vary_field(negotiable: bool, others: tuple[str, ...], origins: tuple[str, ...]) -> RawFields:
    of_coding = ("Accept-Encoding",) if negotiable else ()
    return cors.vary_field((*of_coding, *others, *cors.vary(origins)))
