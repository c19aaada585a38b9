"""`Settings`: how one root is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from asyncstatic.http.redirects import Redirect
from asyncstatic.settings.contradictions import contradiction
from asyncstatic.settings.fields import assign, converted, fields_of, hints_of, refuse_unknown
from asyncstatic.settings.limits import LimitOptions, Limits, Size
from asyncstatic.settings.paths import paths_of
from asyncstatic.settings.presets import rules_of_presets, settings_of_presets
from asyncstatic.settings.rules import Rule, Rules, rules_of
from asyncstatic.settings.values import SettingsError, coerce

StrPath: TypeAlias = str | PathLike[str]
Symlinks = Literal["within_root", "deny", "follow"]
ResolverChoice = Literal["auto", "openat2", "walk"]
TagPolicy = Literal["auto", "content", "off"]
Offload = Literal["off", "x-accel-redirect", "x-sendfile"]
TrailingSlash = Literal["auto", "always", "never"]

Names: TypeAlias = str | Iterable[str]
Roots: TypeAlias = StrPath | Sequence[StrPath]
#: An htpasswd file, or names with their hashes.
Users: TypeAlias = StrPath | Mapping[str, str] | None


# Keyword arguments as types: an editor completes them, mypy checks them. Each key has the name of a
# field below, and the type that a caller may write; a test compares both.


class RootOptions(TypedDict, total=False):
    """Keyword arguments of `Settings`, without `root` and `limits`."""

    more_roots: Names
    index: Names
    not_found: str
    error_pages: Mapping[int, str]
    spa: bool | str
    clean_urls: bool
    trailing_slash: TrailingSlash
    redirects: Iterable[Redirect]
    netlify_files: bool
    symlinks: Symlinks
    dotfiles: bool
    deny: Names
    hide_forbidden: bool
    max_target: Size
    cache_control: str
    immutable: Names
    media_types: Mapping[str, str]
    rules: Rules
    preset: Names
    at: str
    precompressed: bool
    etag: TagPolicy
    cors: Names
    resolver: ResolverChoice
    manifest: Names
    early_hints: bool
    offload: Offload
    offload_prefix: str
    unchanging: bool
    previous_root_grace: float
    users: Users
    realm: str
    allow_from: Names
    deny_from: Names
    rate_limit: str
    direct: bool
    listing: bool
    listing_template: str
    listing_zip: Size


class SettingsOptions(RootOptions, LimitOptions, total=False):
    """Keyword arguments of `Settings`, without `root`: the limits by themselves, or each by name."""

    limits: Limits


@dataclass(frozen=True, slots=True, init=False)
class Settings:
    """How one root is served.

    Lists are taken where a tuple is meant, one string where it would be a tuple of one, an int
    for a float, and a size such as "64MiB" for a number of bytes.

    Args:
        root: the directory; found at the start if it is not named. Several are an overlay: `root`
            and `more_roots`. "package:NAME/DIR" is a folder of an installed package.
        **options: the other fields. A field of `Limits` may be named as if it were one of these.

    Raises:
        SettingsError: an unknown name or an unusable value.

    Attributes:
        root: the directory, or a zip archive, or a directory in one; relative to the working
            directory; may be a symbolic link.
        more_roots: directories behind the root, such as the base of a theme: the first that has a
            file wins.
        index: names tried, in order, for a directory.
        not_found: the page below the root that is sent with every 404, such as "404.html": for
            missing, hidden and denied names alike; our own if "". It must exist at the start; if
            it is removed later, our own is sent. "**/404.html" is the nearest page: that in
            the directory of the missing name, else in the ones above.
        error_pages: pages of errors by status: ``{403: "403.html", 503: "busy.html"}``, for 403,
            404, 410, 500 and 503. They count more than `not_found`, the short form for 404.
        spa: the shell of a single-page app answers navigations to names that are missing, and
            which do not look like files: True for the first index, or the name of a page.
        clean_urls: ``/about`` is ``about.html``; ``/about.html`` and ``/x/index.html`` are
            redirected to ``/about`` and ``/x/``.
        trailing_slash: the slash at the end of a page's URL: "auto" is ``/x/`` for an index and
            ``/about`` for ``about.html`` (`clean_urls`), "always" a slash for both, "never" none.
            The other form is redirected.
        redirects: redirects from paths below the root, before a file is looked up; the first one
            counts: ``Redirect("/old/*", "/new/:splat", 301)``.
        netlify_files: read ``_redirects`` and ``_headers`` at the top of the root, as Netlify and
            Cloudflare Pages do; they are denied then.
        symlinks: "within_root" follows links that stay inside, also absolute ones that begin with
            the root's path; "deny" follows none, "follow" all - never "follow" on a tree that
            hostile users can write.
        dotfiles: serve names that begin with a dot. ``/.well-known/`` is always served.
        deny: glob patterns of names never served: of one segment ("*.bak"), or with a
            slash of the path from the root ("private/*"). They hold for what is below a directory,
            for every spelling of a name (case, Unicode) and for its coded forms ("x.bak.gz").
        hide_forbidden: answer 404 instead of 403 where permission is missing.
        max_target: bytes of a request target; longer is 414.
        cache_control: the Cache-Control of every answer that no rule below covers.
        immutable: glob patterns of fingerprinted names, of one segment or with a slash of the
            whole path, compared exactly. The bytes of such a name never change, so caches may keep
            them for a year without asking.
        media_types: Content-Type by suffix, ``{".foo": "text/x-foo"}``.
        rules: what the answers with some files say: a `Rule`, or a table of its arguments, or
            several; later ones count more.
        preset: names of settings and rules for a purpose, such as "secure-headers"; the other
            settings named here count more.
        at: the path at which a site mounts this root, such as "/app", or "": the paths that rules
            match begin with it.
        precompressed: serve ``app.js.br``, ``.zst``, ``.gz`` beside ``app.js``, once they are
            proven to decode to it.
        etag: "auto" hashes files up to 8 MiB and derives the tags of larger ones from size,
            modification time and samples, "content" hashes all (once per version), "off" sends
            none.
        cors: origins that may read from scripts, as browsers send them in Origin fields, such as
            "https://example.com"; ``("*",)`` for all.
        resolver: which path resolver; "auto" asks the kernel.
        manifest: JSON files below the root, as bundlers write them (``.vite/manifest.json``);
            the fingerprinted names in them are immutable. Read at the start.
        early_hints: a page that a manifest of Vite names gets a ``Link`` field that preloads its
            styles and scripts, and 103 Early Hints where the server can send them.
        offload: large files are named to the server in front, which sends them:
            "x-accel-redirect" (nginx) or "x-sendfile" (Apache, lighttpd). Never set it where
            no such server strips the field: clients would get empty files.
        offload_prefix: where the server in front finds the root: nginx's internal location,
            such as "/_files"; for "x-sendfile" a directory, the root's own path if "".
        unchanging: nothing below the root changes while it is served, so a server may open a
            file by its name once more (ASGI's pathsend).
        previous_root_grace: seconds for which, after the root was replaced by a deploy, files
            that only the tree before has are still served from it; 0 switches that off.
        users: who may read, by name and password (Basic authentication, RFC 7617): an htpasswd file
            outside of the root, which is read again when it changes, or a mapping of names to
            hashes of argon2 or bcrypt; everybody if None.
        realm: the name that a browser shows when it asks for a password.
        allow_from: networks and addresses of the only clients that may read ("10.0.0.0/8"); "unix"
            for clients without an address, on a Unix socket.
        deny_from: networks and addresses of clients that may not; it counts more than `allow_from`.
        rate_limit: requests that one client may make, such as "10/s" or "600/m burst 50"; no limit
            if "". More are answered 429.
        direct: a server with the direct entry may answer without ASGI; False leaves this root, and
            the roots behind it, to the ASGI app.
        listing: a directory without an index answers with the names in it, as a page or as JSON.
            `authorize` is asked about the directory only: files that it would refuse are listed too.
        listing_template: a Jinja2 template for that page, in place of our own; relative to the
            working directory.
        listing_zip: the largest folder that may be downloaded as a zip, in bytes of its files or as
            "1GiB"; 0 for none.
        limits: what the root may take; those that the process has by default, if not named.
    """

    root: str = ""
    more_roots: tuple[str, ...] = ()
    index: tuple[str, ...] = ("index.html",)
    not_found: str = ""
    error_pages: Mapping[int, str] = field(default_factory=dict)
    spa: bool | str = False
    clean_urls: bool = False
    trailing_slash: TrailingSlash = "auto"
    redirects: tuple[Redirect, ...] = ()
    netlify_files: bool = False
    symlinks: Symlinks = "within_root"
    dotfiles: bool = False
    deny: tuple[str, ...] = ()
    hide_forbidden: bool = False
    max_target: int = 8192
    cache_control: str = "no-cache"
    immutable: tuple[str, ...] = ()
    media_types: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    preset: tuple[str, ...] = ()
    at: str = ""
    precompressed: bool = True
    etag: TagPolicy = "auto"
    cors: tuple[str, ...] = ()
    resolver: ResolverChoice = "auto"
    manifest: tuple[str, ...] = ()
    early_hints: bool = False
    offload: Offload = "off"
    offload_prefix: str = ""
    unchanging: bool = False
    previous_root_grace: float = 0.0
    users: str | Mapping[str, str] | None = field(default=None, repr=False)
    realm: str = "Restricted"
    allow_from: tuple[str, ...] = ()
    deny_from: tuple[str, ...] = ()
    rate_limit: str = ""
    direct: bool = True
    listing: bool = False
    listing_template: str = ""
    listing_zip: int = 0

    limits: Limits = field(default_factory=Limits)

    def __init__(self, root: Roots | None = None, **options: Unpack[SettingsOptions]) -> None:
        given: dict[str, Any] = dict(options)
        limits = given.pop("limits", None)
        refuse_unknown(given, FIELDS)
        first, *more = paths_of(root) or [""]
        given["root"] = first
        given["more_roots"] = [*more, *paths_of(given.get("more_roots", ()))]
        given["rules"] = rules_of(given.get("rules", ()))
        given["preset"] = coerce("preset", HINTS["preset"], given.get("preset", ()))
        assign(self, {**settings_of_presets(given["preset"]), **given})
        if self.netlify_files:
            denied = dict.fromkeys((*self.deny, "/_redirects", "/_headers"))
            object.__setattr__(self, "deny", tuple(denied))
        of_limits = {name: given[name] for name in fields_of(Limits) if name in given}
        object.__setattr__(self, "limits", _limits(limits, of_limits))
        if problem := contradiction(self):
            raise SettingsError(problem)

    @property
    def roots(self) -> tuple[str, ...]:
        """The root, then those behind it."""
        return (self.root, *self.more_roots)

    @property
    def named_rules(self) -> list[tuple[str, Rule]]:
        """The rules of the presets, then `rules`; each with a name for people."""
        own = [(f"rules[{number}]", rule) for number, rule in enumerate(self.rules)]
        return [*rules_of_presets(self.preset), *own]

    @property
    def shell(self) -> str:
        """The path of the shell of a single-page app below the root; "" without one."""
        return self.index[0] if self.spa is True else self.spa or ""

    @property
    def pages(self) -> dict[int, str]:
        """The paths of the error pages by status, `not_found` included."""
        return {**({404: self.not_found} if self.not_found else {}), **self.error_pages}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: Any) -> Settings:
        """Build settings from ``ASYNCSTATIC_*`` variables.

        Without ``ASYNCSTATIC_ROOT``, ``./static`` is served, else ``./public``. A variable that
        is no setting is ignored with a warning.

        Args:
            environ: all variables.
            **overrides: settings that count more than the variables.

        Raises:
            SettingsError: an unusable value, or no root.
        """
        from asyncstatic.config.environment import options_of_environment

        return cls(**options_of_environment(environ, overrides))


FIELDS = fields_of(Settings) | fields_of(Limits)
HINTS = hints_of(Settings) | hints_of(Limits)


def checked(name: str, value: Any) -> Any:
    """Return the value of one setting, converted.

    Raises:
        ValueError: it is unusable; the message is the rest of an error message.
    """
    return converted(name, HINTS[name], value)


def _limits(limits: Any, options: Any) -> Limits:
    """Return limits with the options that were named beside them."""
    if limits is None:
        return Limits(**options)
    if not isinstance(limits, Limits):
        raise SettingsError(f"limits={limits!r}: an object is needed, Limits(cache_bytes=...)")
    return replace(limits, **options) if options else limits
