"""Presets: a word for settings and rules that belong together. `docs/rules.md` has their table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from asyncstatic.http.cache_control import IMMUTABLE
from asyncstatic.settings.rules import Rule
from asyncstatic.settings.values import SettingsError, nearest


class Preset(NamedTuple):
    """Settings and rules of one purpose.

    Attributes:
        rules: come before the user's own.
        settings: count less than the user's own.
    """

    rules: tuple[Rule, ...] = ()
    settings: Mapping[str, Any] = {}


# Bundlers put only names that contain a hash of the content there: Vite, SvelteKit, Next.js,
# Nuxt, and Create React App.
_HASHED = (
    "**/assets/*-????????.*",
    "**/_app/immutable/**",
    "**/_next/static/**",
    "**/_nuxt/**",
    "**/static/{js,css,media}/*.????????.*",
)
# These neither run scripts nor show a page that the uploader could write. All others are saved,
# under any spelling of their suffix.
_PASSIVE = (
    "*.{png,jpg,jpeg,gif,webp,avif,bmp,ico,"
    "mp4,m4v,webm,mov,mp3,m4a,aac,ogg,oga,ogv,opus,wav,flac,txt,log,json}"
)
_SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)

_IMMUTABLE_ASSETS = (
    *(Rule(match, {"Cache-Control": IMMUTABLE}) for match in _HASHED),
    # Nuxt's name of the newest build, by which an open page learns of a deploy.
    Rule("**/_nuxt/builds/latest.json", {"Cache-Control": "no-cache"}),
)

PRESETS: Mapping[str, Preset] = {
    "spa": Preset(_IMMUTABLE_ASSETS, {"spa": True}),
    "docs": Preset(settings={"clean_urls": True, "not_found": "**/404.html"}),
    "hashed-assets": Preset(_IMMUTABLE_ASSETS),
    "downloads": Preset(
        (
            Rule("**", {"Content-Disposition": "attachment"}),
            Rule("{index,404}.html", {"Content-Disposition": False}),
        )
    ),
    "untrusted": Preset(
        (
            Rule(
                "**",
                {"Content-Security-Policy": _SANDBOX, "Content-Disposition": "attachment"},
                media_type="application/octet-stream",
            ),
            Rule(_PASSIVE, {"Content-Disposition": False}, media_type=False),
        )
    ),
    "cross-origin-isolated": Preset(
        (
            Rule(
                "**",
                {
                    "Cross-Origin-Opener-Policy": "same-origin",
                    "Cross-Origin-Embedder-Policy": "require-corp",
                    "Cross-Origin-Resource-Policy": "same-origin",
                },
            ),
        )
    ),
    "secure-headers": Preset(
        (
            Rule(
                "**",
                {
                    "Strict-Transport-Security": "max-age=31536000",
                    "Content-Security-Policy": (
                        "base-uri 'self'; frame-ancestors 'self'; object-src 'none'"
                    ),
                    "Referrer-Policy": "strict-origin-when-cross-origin",
                    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
                    "Cross-Origin-Opener-Policy": "same-origin",
                },
            ),
        )
    ),
}


def settings_of_presets(names: Any) -> dict[str, Any]:
    """Return the settings of presets; later ones count more.

    Args:
        names: a tuple; anything else has no presets, and is refused with the other settings.

    Raises:
        SettingsError: there is no such preset.
    """
    found: dict[str, Any] = {}
    for name in names if isinstance(names, tuple) else ():
        found.update(_preset(name).settings)
    return found


def rules_of_presets(names: Iterable[str]) -> list[tuple[str, Rule]]:
    """Return the rules of presets with their names, in the order in which these are given."""
    return [(f"preset {name}", rule) for name in names for rule in _preset(name).rules]


def _preset(name: Any) -> Preset:
    if name in PRESETS:
        return PRESETS[name]
    raise SettingsError(f"preset={name!r}: {nearest(str(name), PRESETS)}")
