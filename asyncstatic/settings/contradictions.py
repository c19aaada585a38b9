"""Settings that contradict each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncstatic.http.redirects import problem_with_loops
from asyncstatic.settings.rules import first_cors_rule
from asyncstatic.settings.values import SettingsError

if TYPE_CHECKING:
    from asyncstatic.settings import Settings


def contradiction(settings: Settings) -> str:
    """Return why settings do not go together, and what is needed; "" if they do.

    It begins with the name of a setting that a user can change.
    """
    one_root = settings.unchanging or settings.offload != "off"
    if settings.more_roots and one_root:
        return "several roots: not together with offload or unchanging, of one root"
    if settings.early_hints and not settings.manifest:
        return "early_hints=True: the manifest that names the pages is needed, manifest=..."
    for name in ("listing_template", "listing_zip"):
        if getattr(settings, name) and not settings.listing:
            return f"{name}={getattr(settings, name)!r}: listing=True is needed beside it"
    if settings.offload == "x-accel-redirect" and not settings.offload_prefix.startswith("/"):
        return (
            f"offload_prefix={settings.offload_prefix!r}: the path of nginx's internal location "
            "is needed, such as /_files"
        )
    if settings.previous_root_grace and one_root:
        return (
            f"previous_root_grace={settings.previous_root_grace!r}: not together with offload or "
            "unchanging, by which files are opened by their names in the new tree"
        )
    return _of_answers(settings)


def _of_answers(settings: Settings) -> str:
    if settings.cors and (rule := first_cors_rule(rule for _, rule in settings.named_rules)):
        return (
            f"cors={settings.cors!r}: not together with rule {rule.match!r}, which sets the same "
            "fields: leave one of them out"
        )
    if loop := problem_with_loops(settings.redirects):
        return f"redirects: {loop}"
    if settings.spa is True and not settings.index:
        return "spa=True: the shell is the first index, but there is none"
    return ""


def refuse_options(options: Iterable[str], beside: str) -> None:
    """Refuse keyword arguments beside an object that says already how to serve.

    Args:
        options: names of the keyword arguments.
        beside: the kind of the object, such as "Settings".

    Raises:
        SettingsError: there is one.
    """
    names = ", ".join(f"{name}=" for name in options)
    if names:
        raise SettingsError(f"{names} is ignored beside a {beside} object: set it in that object")
