"""Absolute links to targets inside the root are followed, by both resolvers, and no others."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource
from asyncstatic.files.source import Opened
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.settings import Settings
from tests.files.conftest import DIRECTORY, MakeResolver, Outcome, is_visible, outcome, plant
from tests.support.trees import directory_source

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

E = errno
#: text of the link ``/link``; the path asked for; what it opens. "@" is the directory of `site`:
#: its ``alias`` leads to ``real``, and ``real/current`` to ``releases/42``, the root.
ROWS: list[tuple[str, str, Outcome]] = [
    # every name that the root has on the way from its configured path to its real one
    ("@/alias/current/page", "link", "page"),
    ("@/real/current/page", "link", "page"),
    ("@/alias/releases/42/page", "link", "page"),
    ("@/real/releases/42/page", "link", "page"),
    # what follows the name
    ("@/alias/current", "link", DIRECTORY),
    ("@/alias/current/", "link", DIRECTORY),
    ("@/alias/current", "link/page", "page"),
    ("@/alias/current/.", "link/css/app.css", "css"),
    ("@/alias/current/css", "link/app.css", "css"),
    ("@/alias/current/css/", "link/app.css", "css"),
    ("@/alias/current/css", "link", DIRECTORY),
    ("@/alias/current/page", "link/page", E.ENOTDIR),
    ("@/alias/current/page/", "link", E.ENOTDIR),
    ("@/alias/current/page/.", "link", E.ENOTDIR),
    ("@/alias/current/missing", "link", E.ENOENT),
    # dot segments and empty ones
    ("@/alias/current/css/../page", "link", "page"),
    ("@/alias/current/./css/./app.css", "link", "css"),
    ("//@/alias//.//current///page", "link", "page"),
    ("@/alias/./current/page", "link", "page"),
    ("@/alias/current/..", "link", E.EXDEV),
    ("@/alias/current/../current/page", "link", E.EXDEV),  # it leaves, though it comes back
    ("@/other/../alias/current/page", "link", E.EXDEV),
    ("@/alias/current/css/../../43/page", "link", E.EXDEV),
    # chains
    ("@/alias/current/to_page", "link", "page"),
    ("@/real/releases/42/css/to_page", "link", "page"),
    ("@/alias/current/css/to_css", "link/app.css", "css"),
    ("css/to_page", "link", "page"),
    ("css/to_css/to_css", "link/app.css", "css"),
    ("@/alias/current/link", "link", E.ELOOP),
    ("@/alias/current/to_secret", "link", E.EXDEV),
    # names of something else
    ("@/alias/releases/43/page", "link", E.EXDEV),
    ("@/alias/current2/page", "link", E.EXDEV),
    ("@/alias", "link", E.EXDEV),
    ("@/alias", "link/current/page", E.EXDEV),
    ("@/secret", "link", E.EXDEV),
    ("@/elsewhere/page", "link", E.EXDEV),  # a name that nobody configured: see `rootnames`
    ("/", "link", E.EXDEV),
    ("/", "link/etc/passwd", E.EXDEV),
    ("/etc/passwd", "link", E.EXDEV),
    ("/proc/self/root", "link/etc/passwd", E.EXDEV),
    # names that are not public
    ("@/alias/current/.env", "link", E.ENOENT),
    ("@/alias/current/.hidden", "link/key", E.ENOENT),
    ("@/alias/current/.hidden/../page", "link", "page"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    site = tmp_path / "real/releases/42"
    plant(
        site,
        **{
            "page": "page",
            "css/app.css": "css",
            "css/to_page": f"-> {tmp_path}/alias/current/page",
            "css/to_css": f"-> {site}/css",
            "to_page": f"-> {tmp_path}/real/current/page",
            "to_secret": f"-> {tmp_path}/secret",
            ".env": "hidden",
            ".hidden/key": "hidden",
        },
    )
    plant(
        tmp_path,
        **{
            "real/releases/43/page": "newer",
            "real/current": "-> releases/42",
            "real/current2/page": "secret",
            "alias": "-> real",
            "elsewhere": "-> real/releases/42",
            "other/page": "secret",
            "secret": "secret",
        },
    )
    return tmp_path


@pytest.mark.parametrize(("text", "path", "expected"), ROWS)
def test_an_absolute_link_is_followed_if_it_names_the_root(
    place: Path, kind: str, text: str, path: str, expected: Outcome, make_resolver: MakeResolver
) -> None:
    root = place / "alias/current"
    (root / "link").symlink_to(text.replace("@", str(place)))
    segments = path.split("/")
    resolver = make_resolver(root, prefer=kind)
    assert outcome(resolver, *segments) == expected
    assert outcome(resolver, *segments, cached_only=True) in (expected, E.EAGAIN)
    assert outcome(make_resolver(root, prefer=kind, symlinks="deny"), *segments) == E.ELOOP


@pytest.mark.parametrize(
    ("cwd", "configured", "named"),
    [
        ("other", "../alias/current", "alias/current"),
        ("other", "../alias/current", "alias/releases/42"),
        ("other", ".././alias/./current/", "real/current"),
        ("other", "../alias/current", "real/releases/42"),
        ("real", "current", "real/current"),
        ("real", "current", "real/releases/42"),
        ("real/releases", "42", "real/releases/42"),
        ("real/releases/42", ".", "real/releases/42"),
        ("real/releases/42", "css/..", "real/releases/42"),
    ],
)
def test_a_relative_root_has_absolute_names_too(
    place: Path,
    kind: str,
    cwd: str,
    configured: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    make_resolver: MakeResolver,
) -> None:
    (place / "real/releases/42/link").symlink_to(place / named / "page")
    monkeypatch.chdir(place / cwd)
    assert outcome(make_resolver(Path(configured), prefer=kind), "link") == "page"


def test_below_a_root_of_slash_every_absolute_link_is_inside(
    place: Path, kind: str, make_resolver: MakeResolver
) -> None:
    (place / "link").symlink_to(place / "secret")
    (place / "top").symlink_to("/")
    resolver = make_resolver(Path("/"), prefer=kind)
    names = place.parts[1:]
    assert outcome(resolver, *names, "link") == "secret"
    assert outcome(resolver, *names, "top", *names, "secret") == "secret"


def test_follow_leaves_absolute_links_to_the_kernel(
    place: Path, kind: str, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(place / "alias/current", prefer=kind, symlinks="follow")
    assert (outcome(resolver, "to_page"), outcome(resolver, "to_secret")) == ("page", "secret")


def test_without_proc_the_configured_names_are_enough(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    def unavailable(fd: int) -> str:
        raise FileNotFoundError(E.ENOENT, "no /proc")

    resolver = make_resolver(place / "alias/current", prefer=kind)
    monkeypatch.setattr(kernel, "fd_path", unavailable)
    assert outcome(resolver, "css", "to_page") == "page"
    assert outcome(resolver, "css", "to_css", "app.css") == "css"
    assert outcome(resolver, "to_secret") == E.EXDEV


@pytest.mark.parametrize("call", ["readlinkat", "stat", "fd_path"])
def test_a_fault_is_not_taken_for_a_link_that_leaves(
    place: Path, call: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    (place / "alias/current/link").symlink_to(place / "nowhere")
    really = getattr(kernel, call)

    def fail(*args: object) -> object:
        if call == "readlinkat" and args[-1] == b"link":  # the link itself, below the root
            return really(*args)
        raise OSError(E.EIO, "a broken disk")

    resolver = make_resolver(place / "alias/current", prefer="walk", recheck=60.0)
    monkeypatch.setattr(kernel, call, fail)
    assert outcome(resolver, "link") == E.EIO


def test_links_above_the_root_that_lead_in_circles_end(
    tmp_path: Path, kind: str, make_resolver: MakeResolver
) -> None:
    plant(tmp_path, **{"site/page": "page", "self": "-> .", "site/link": "-> /nowhere"})
    resolver = make_resolver(tmp_path / "self/self/self/self/self/site", prefer=kind)
    assert outcome(resolver, "link") == E.EXDEV
    assert outcome(resolver, "page") == "page"


def test_nothing_outside_is_opened_for_an_absolute_link(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    root = place / "alias/current"
    (root / "link").symlink_to(place / "elsewhere/page")
    resolver, opened = make_resolver(root, prefer=kind), []

    def watched(name: str) -> None:
        really = getattr(kernel, name)

        def call(*args: object) -> int:
            fd: int = really(*args)
            opened.append(os.readlink(f"/proc/self/fd/{fd}"))
            return fd

        monkeypatch.setattr(kernel, name, call)

    for name in ("openat2", "openat", "open_path"):
        watched(name)
    for path in ("link", "to_secret", "to_page", "css/to_css/app.css"):
        outcome(resolver, *path.split("/"))
    real = str(place / "real/releases/42")
    assert opened
    assert all(path.startswith(real) for path in opened)


# -- through a whole directory ---------------------------------------------------------------------


async def directory(root: Path, kind: Any, **settings: Any) -> TreeSource:
    chosen = Settings(root, resolver=kind, **settings)
    return await asyncio.to_thread(directory_source, chosen, is_visible)


async def content(source: CachedSource, path: str) -> bytes | Absence:
    lookup = Lookup(tuple(path.split("/")), False, (("identity",),))
    found = source.open_nowait(lookup)
    if found is None:
        found = await source.open(lookup)
    if not isinstance(found, Opened):
        assert isinstance(found, Absence)
        return found
    try:
        if found.handle is not None:
            return await found.handle.read(0, 1_000_000)
        return found.content or b""
    finally:
        found.close()


@pytest.mark.parametrize("large", [False, True], ids=["in memory", "by its handle"])
@pytest.mark.parametrize("path", ["link", "folder/page"], ids=["a file", "a directory"])
async def test_a_changed_absolute_link_is_noticed_at_once(
    place: Path, kind: str, path: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, size = place / "real/releases/42", 100_000 if large else 10
    for name in ("one", "two"):
        plant(root, **{f"{name}/page": name[0] * size})
        for old in (root / name, root / name / "page"):
            os.utime(old, (1_000_000_000, 1_000_000_000))
    later = time.time_ns() + 10**10  # when a change shows in the times of what changed
    monkeypatch.setattr(time, "time_ns", lambda: later)
    present = await directory(place / "alias/current", kind)
    source = CachedSource(present, Cache(1_000_000))

    def point_to(target: Path) -> None:
        (root / "next").symlink_to(target if path != "link" else target / "page")
        (root / "next").replace(root / path.split("/")[0])

    targets: list[tuple[Path, bytes | Absence]] = [
        (place / "alias/current/one", b"o" * size),
        (place / "real/current/two", b"t" * size),
        (place / "other", Absence.MISSING),
        (root / "one", b"o" * size),
        (place / "nowhere", Absence.MISSING),
        (root / "two", b"t" * size),
    ]
    try:
        for target, expected in targets:
            point_to(target)
            await asyncio.sleep(0)  # the next request comes in another turn of the loop
            for _ in range(3):
                assert await content(source, path) == expected
    finally:
        source.close()


async def test_an_absolute_link_in_the_previous_release_leads_to_that_release(
    place: Path, kind: str
) -> None:
    root = place / "alias/current"
    plant(place / "real/releases/42", **{"old/app.js": "old", "app.js": f"-> {root}/old/app.js"})
    (place / "real/releases/42/real.js").symlink_to(place / "real/releases/42/old/app.js")
    (place / "real/releases/42/newer").symlink_to(place / "real/releases/43/page")
    present = await directory(root, kind, previous_root_grace=60.0)
    source = CachedSource(present, Cache(1_000_000))
    try:
        assert await content(source, "app.js") == b"old"
        (place / "next").symlink_to("releases/43")
        (place / "next").replace(place / "real/current")
        assert await content(source, "page") in (b"page", b"newer")
        assert await content(source, "app.js") == b"old"
        assert await content(source, "real.js") == b"old"
        assert await content(source, "newer") is Absence.MISSING
        assert await content(source, "page") == b"newer"
    finally:
        source.close()
