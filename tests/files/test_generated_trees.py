"""In trees nobody thought of, both resolvers agree with each other and with realpath(3)."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import RootHandle, Segments
from tests.files.conftest import DIRECTORY, is_visible, outcome

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

NAMES = ["a", "b", "c", ".h"]
TARGETS = st.lists(st.sampled_from([*NAMES, "..", ".", ""]), min_size=1, max_size=5).map("/".join)
ENTRIES = st.dictionaries(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple),
    st.one_of(st.just("file"), st.just("dir"), TARGETS.map("-> {}".format)),
    max_size=12,
)


def grow(root: Path, entries: dict[Segments, str]) -> None:
    for segments, what in sorted(entries.items()):
        path = root.joinpath(*segments)
        try:
            if what == "dir":
                path.mkdir(parents=True, exist_ok=True)
            elif what == "file":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("/".join(segments), encoding="utf-8")
            elif what != "-> ":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(what.removeprefix("-> "))
        except OSError:
            continue  # the name is taken, or lies below a file: the tree is smaller then


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries=ENTRIES,
    paths=st.lists(st.lists(st.sampled_from(NAMES), max_size=4).map(tuple), min_size=1),
    policy=st.sampled_from(["deny", "within_root"]),
)
def test_in_any_tree_both_agree_and_what_opens_lies_really_inside(
    entries: dict[Segments, str],
    paths: list[Segments],
    policy: Literal["deny", "within_root"],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        grow(Path(directory), {("site", *path): what for path, what in entries.items()})
        root = os.path.realpath(directory) + "/site"
        os.makedirs(root, exist_ok=True)
        resolvers = [
            choose_resolver(RootHandle(root), symlinks=policy, allowed=is_visible, prefer=prefer)
            for prefer in (("auto", "walk"))
        ]
        try:
            for path in paths:
                outcomes = [outcome(resolver, *path) for resolver in resolvers]
                assert outcomes[0] == outcomes[1], path
                if isinstance(outcomes[0], str):
                    check_inside(root, path, outcomes[0])
        finally:
            for resolver in resolvers:
                resolver.root.close()


def check_inside(root: str, path: Segments, content: str) -> None:
    real = os.path.realpath("/".join((root, *path)))
    assert os.path.commonpath((root, real)) == root
    if content == DIRECTORY:
        assert os.path.isdir(real)
    else:
        assert Path(real).read_text(encoding="utf-8") == content
