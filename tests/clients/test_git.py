"""git over the "dumb" protocol: names without suffix, and many that are not there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.tap import Tap
from tests.support.programs import require

IDENTITY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")


def git(*words: str | Path, cwd: Path) -> None:
    program = require("git", apt="git")
    subprocess.run((program, *words), cwd=cwd, check=True, capture_output=True, timeout=60)


def commit(work: Path, name: str, text: str) -> None:
    (work / name).write_text(text)
    git("add", name, cwd=work)
    git(*IDENTITY, "commit", "-m", name, cwd=work)


def publish(work: Path, bare: Path) -> None:
    git("push", "--all", bare, cwd=work)
    git("update-server-info", cwd=bare)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, setup: str) -> Path:
    """A working tree of 30 commits."""
    work = tmp_path_factory.mktemp("git") / "work"
    work.mkdir()
    git("init", "-b", "main", cwd=work)
    for number in range(30):
        commit(work, f"file-{number % 7}.txt", f"line {number}\n" * 50)
    return work


@pytest.fixture(scope="module")
def root(work: Path) -> Path:
    """A folder with the bare repository, most of it in a pack, the rest loose."""
    root = work.parent / "root"
    git("clone", "--bare", work, root / "repository.git", cwd=work)
    git("repack", "-a", "-d", cwd=root / "repository.git")
    commit(work, "loose.txt", "in an object of its own\n")
    publish(work, root / "repository.git")
    return root


def test_git_clones_a_static_repository_and_pulls_what_is_new(
    run: Run, tap: Tap, work: Path, root: Path, tmp_path: Path
) -> None:
    program = require("git", apt="git")
    run(program, "clone", tap.url("/repository.git"), tmp_path / "clone")
    commit(work, "later.txt", "pushed after the clone\n")
    publish(work, root / "repository.git")
    run(program, "pull", "--ff-only", cwd=tmp_path / "clone")
    run(program, "fsck", "--full", "--strict", cwd=tmp_path / "clone")
    for path in work.glob("*.txt"):
        assert (tmp_path / "clone" / path.name).read_bytes() == path.read_bytes()
    assert {status for _, _, status in tap.seen()} >= {200, 404}
