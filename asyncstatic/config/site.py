"""The site: which roots are served where, from the command line, the environment and a file.

A keyword or flag counts more than a variable, a variable more than the file, the file more than the
default. Within the file the table of a mount counts more than the settings of all roots. Roots that are
named on the command line, or by ``ASYNCSTATIC_ROOT``, replace the mounts of the file.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from typing import Any
from urllib.parse import unquote

from asyncstatic.config.document import (
    NAMES,
    OF_SITE,
    Document,
    Value,
    Values,
    find_document,
    merged,
)
from asyncstatic.config.environment import default_root, known_options, roots_of
from asyncstatic.config.variables import PREFIX
from asyncstatic.http.glob import Glob
from asyncstatic.http.redirects import (
    Location,
    MountPointRedirect,
    Redirect,
    Redirects,
    problem_with_loop,
)
from asyncstatic.http.target import is_public
from asyncstatic.settings import FIELDS, Settings, SettingsError
from asyncstatic.settings.values import printable, problem_with_prefix

_MOUNT = re.compile(r"(/[^=]*)=(.*)", re.DOTALL)
_NEVER_SERVED = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - an ordinary file system; live streams are put there
_CONFIG = f"{PREFIX}CONFIG"


@dataclass(frozen=True)
class Site:
    """The roots of a site, and where each of their settings came from.

    Attributes:
        mounts: the settings of each root, by prefix; "" for all paths.
        common: values for all roots, as far as they are not the default.
        own: for each prefix, the values of its root alone.
        document: the configuration file, if there is one.
    """

    mounts: Mapping[str, Settings]
    common: Values
    own: Mapping[str, Values]
    document: Document | None

    def origin(self, prefix: str, name: str) -> str:
        """Return where a setting of a root came from."""
        found = self.own[prefix].get(name) or self.common.get(name)
        return found.origin if found else "default"

    def prefix_of(self, path: str) -> str | None:
        """Return the prefix of the mount that answers a path, the longest one; None without one."""
        return max((each for each in self.own if is_below(path, each)), key=len, default=None)

    def redirects(self, prefix: str) -> list[Redirect]:
        """Return the redirects whose paths a mount answers, as paths of the site."""
        declared = self._declared("redirects", prefix).value
        return [each for each in declared if self.prefix_of(each.source) == prefix]

    def _declared(self, name: str, prefix: str) -> Value:
        """Return all redirects or rules that a mount has."""
        return merged(self.common, self.own[prefix]).get(name, Value((), "default"))

    def problem_with_loops(self) -> str:
        """Return which redirect never ends, with its place in front; "" if all do."""
        of_mounts = {prefix: self.redirects(prefix) for prefix in self.own}
        compiled = {prefix: Redirects(redirects) for prefix, redirects in of_mounts.items()}
        count = sum(map(len, of_mounts.values()))
        places = {} if self.document is None else self.document.places

        def find(path: str) -> Location | None:
            prefix = self.prefix_of(path)
            return None if prefix is None else compiled[prefix].find_path(path)

        for prefix, redirects in of_mounts.items():
            for each in redirects:
                if problem := problem_with_loop(each, count, find):
                    if place := places.get(each):
                        return f"{place}: {problem}"
                    return self.explained(prefix, f"redirects: {problem}")
        return ""

    def explained(self, prefix: str, problem: str) -> str:
        """Return the problem of a root with the variable, or the place in the file, in front."""
        name = re.split(r"\W", problem, maxsplit=1)[0]
        origin = self.origin(prefix, name) if name in FIELDS else "default"
        is_seen = origin in ("default", "command line") or origin.startswith("--")
        return problem if is_seen else f"{origin}: {problem}"

    def warnings(self) -> Iterator[str]:
        """Yield a line for each value and name without effect, and each root that is open elsewhere."""
        if at := self.common.get("at"):
            yield f"{at.origin} is ignored: mount a root as asyncstatic serve /PREFIX=ROOT, or in [mounts]"
        yield from self._idle_redirects()
        yield from self._idle_rules()
        yield from self._open_elsewhere()
        for prefix in self.mounts:
            for outer, settings in self.mounts.items():
                below = prefix.removeprefix(f"{outer}/")
                if below == prefix or not prefix:
                    continue
                for root in settings.roots:
                    path = os.path.join(root, below.lstrip("/"))
                    if os.path.lexists(path):
                        yield f"{printable(path)} is not served: the mount {prefix} hides it"

    def _open_elsewhere(self) -> Iterator[str]:
        """Yield a line for each root of a closed mount that an open one serves at another path."""
        for (prefix, inner), (outer, around) in permutations(self.mounts.items(), 2):
            if not _is_private(inner) or _is_private(around):
                continue
            for root, outer_root in product(inner.roots, around.roots):
                names = _names_below(root, outer_root)
                path = "/".join((outer, *(names or ())))
                is_open = names is not None and is_public(names, around)
                if is_open and self.prefix_of(path) == outer:
                    open_at = f"open at {printable(path) or '/'}, and closed at {prefix or '/'}"
                    yield f"{printable(root)} is {open_at}: move it, or name it in deny"

    def _idle_redirects(self) -> Iterator[str]:
        """Yield a line for each redirect whose path no mount that has it answers."""
        idle = self._idle("redirects", lambda each, prefix: self.prefix_of(each.source) == prefix)
        problem = "no effect, because its mount does not answer this path; begin with the prefix"
        for redirect, origin in idle:
            yield f"{origin}: redirect from {printable(redirect.source)}: {problem}"

    def _idle_rules(self) -> Iterator[str]:
        """Yield a line for each rule that matches no path below a mount that has it."""
        idle = self._idle("rules", lambda each, prefix: Glob(each.match).may_match_below(prefix))
        problem = "no effect, because its mount has no file with such a path; begin with the prefix"
        for rule, origin in idle:
            yield f"{origin}: rule {printable(rule.match)}: {problem}"

    def _idle(self, name: str, holds: Callable[[Any, str], bool]) -> list[tuple[Any, str]]:
        """Return each redirect or rule that holds in no mount that has it, and its origin."""
        found: dict[int, tuple[Any, str]] = {}
        used: set[int] = set()
        for prefix in self.own:
            values, origin = self._declared(name, prefix)
            for each in values:
                found.setdefault(id(each), (each, origin))
                if holds(each, prefix):
                    used.add(id(each))
        return [found[key] for key in found if key not in used]


@dataclass(frozen=True)
class Sources:
    """The inputs of a site, besides the environment; can be pickled.

    Args:
        config: the name of the configuration file; None looks in the working directory.
        roots: arguments of the command line: one root, or PREFIX=ROOT for each.
        assignments: settings of the command line, with their flags.
        options: names of settings that are options of the server here.
    """

    config: str | None = None
    roots: tuple[str, ...] = ()
    assignments: Mapping[str, Value] = field(default_factory=dict)
    options: frozenset[str] = frozenset()

    def files(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the paths where the configuration file is looked for."""
        named = self._named(environ)
        return NAMES if named is None else (named,)

    def _named(self, environ: Mapping[str, str]) -> str | None:
        return self.config or environ.get(_CONFIG) or None

    def read(self, environ: Mapping[str, str]) -> Site:
        """Read the site.

        Raises:
            SettingsError: something is wrong; one line for each problem.
        """
        document = find_document(self._named(environ))
        variables = {
            name: Value(value, f"{PREFIX}{name.upper()}")
            for name, value in known_options(environ).items()
            if name not in self.options
        }
        above = {**variables, **self.assignments}
        root = above.pop("root", Value("", "default"))
        below = {} if document is None else dict(document.settings)
        if document is not None and "direct" not in self.options and "direct" in document.options:
            below["direct"] = document.options["direct"]
        # Rules and redirects are joined: those of the file, of its mount, then of flag or variable.
        joined = {name: above.pop(name) for name in OF_SITE if name in above}
        common = merged(below, above)
        own = {
            prefix: merged({name: each for name, each in own.items() if name not in above}, joined)
            for prefix, own in self._mounts(document, root, common).items()
        }
        common.pop("root", None)
        site = Site({}, common, own, document)
        if problem := site.problem_with_loops():
            raise SettingsError(problem)
        return replace(site, mounts={prefix: _settings(site, prefix) for prefix in own})

    def _mounts(
        self, document: Document | None, root: Value, common: Values
    ) -> Mapping[str, Values]:
        """Return the values of each root alone: from the command line, a variable, or the file."""
        if self.roots:
            named = mounts_of_arguments(self.roots)
            return {
                prefix: {"root": Value(roots_of(text), "command line")}
                for prefix, text in named.items()
            }
        if root.value:
            return {"": {"root": root}}
        if document is not None and document.mounts:
            return document.mounts
        return {"": {"root": common.get("root") or Value(default_root(), "default")}}


def _settings(site: Site, prefix: str) -> Settings:
    """Build the settings of one root."""
    values = merged(site.common, site.own[prefix])
    options = {name: found.value for name, found in values.items()}
    options["at"] = prefix
    options["redirects"] = [below_mount(each, prefix, site) for each in site.redirects(prefix)]
    try:
        settings = Settings(**options)
        for root in settings.roots:
            _refuse_system_root(root)
    except SettingsError as error:
        raise SettingsError(site.explained(prefix, str(error))) from None
    if site.document is None or not (hidden := _below_root(site.document.path, settings)):
        return settings
    return Settings(**{**options, "deny": (*settings.deny, *hidden)})


def is_below(path: str, prefix: str) -> bool:
    """Tell whether a path, percent-encoded or not, is a mount point or below it."""
    path = unquote(path)
    return path == prefix or path.startswith(f"{prefix}/")


def below_mount(redirect: Redirect, prefix: str, site: Site) -> Redirect:
    """Return a redirect of the site as one of the root at this prefix, which sees paths below it."""
    depth = prefix.count("/")
    target = redirect.target
    if target.startswith("/"):
        path = re.split("[?#]", target)[0]
        rest = target[len(path) :]
        if site.prefix_of(path) == prefix:
            target = _without(path, depth) + rest
        else:  # `Location` resolves "/..", which leads out of the mount, and "/."
            target = ("/.." * depth or "/.") + target
    is_mount_point = redirect.source.count("/") == depth
    kind = MountPointRedirect if is_mount_point else Redirect
    return kind(_without(redirect.source, depth), target, redirect.status)


def _without(path: str, depth: int) -> str:
    """Return a path without its first segments; "/" if none is left."""
    return "/" + "/".join(path.split("/")[depth + 1 :])


def _below_root(path: str, settings: Settings) -> list[str]:
    """Return a pattern for a configuration file that is below a root: it is never served."""
    below = (_names_below(path, root) for root in settings.roots)
    return [glob.escape("/".join(names)) for names in below if names is not None]


def _names_below(path: str, root: str) -> tuple[str, ...] | None:
    """Return the names of a path from a root on, links resolved; None if it is not below."""
    try:
        below = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    except ValueError:  # on another drive of Windows
        return None
    names = () if below == os.curdir else tuple(below.split(os.sep))
    return None if names[:1] == (os.pardir,) else names


def _is_private(settings: Settings) -> bool:
    """Tell whether some clients only may read."""
    return bool(settings.users is not None or settings.allow_from or settings.deny_from)


def _refuse_system_root(root: str) -> None:
    """Refuse a directory of the system, which nobody means to publish."""
    real = os.path.realpath(root)
    if real == os.path.sep or (_is_in(real, *_NEVER_SERVED) and not _is_in(real, _SHARED_MEMORY)):
        raise SettingsError(
            f"root {printable(root)} is the system's own; name the directory of the site"
        )


def _is_in(path: str, *directories: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in directories)


def mounts_of_arguments(arguments: tuple[str, ...]) -> dict[str, str]:
    """Read the arguments of ``asyncstatic serve``: one root, or PREFIX=ROOT for each.

    Raises:
        SettingsError: an argument is neither, or a prefix is named twice.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        prefix, root = mount_of(argument)
        if prefix is None and len(arguments) > 1:
            raise SettingsError(
                f"{printable(argument)}: say PREFIX=ROOT for each of several roots, such as "
                f"/={printable(argument)} /media=~/Videos"
            )
        prefix = prefix or ""
        if prefix in found:
            raise SettingsError(
                f"{printable(argument)}: {prefix or '/'} is named twice; for an overlay say "
                f"{prefix or '/'}={printable(found[prefix])},{printable(root)}"
            )
        found[prefix] = root
    if not all(found.values()):
        raise SettingsError("the name of the directory is empty: name the directory to serve")
    return found


def mount_of(argument: str) -> tuple[str | None, str]:
    """Return the prefix and root of an argument; None for a root without a prefix.

    Raises:
        SettingsError: the prefix is none.
    """
    match = None if os.path.isdir(argument) else _MOUNT.fullmatch(argument)
    if match is None:
        return None, argument
    prefix = match[1].rstrip("/")
    if problem := problem_with_prefix(prefix):
        raise SettingsError(f"{printable(argument)}: {problem}")
    return prefix, match[2]
