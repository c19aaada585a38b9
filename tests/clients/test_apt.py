"""apt against a flat repository: what `deb [trusted=yes] http://host/ ./` makes it ask for."""

from __future__ import annotations

import os
import random
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.tap import Tap
from tests.support.programs import require

CONTROL = """\
Package: hello-static
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a package with one file
"""

CONFIGURATION = """\
Dir::State "{home}/state";
Dir::State::status "{home}/state/status";
Dir::Cache "{home}/cache";
Dir::Log "{home}/log";
Dir::Etc::SourceList "{home}/sources.list";
Dir::Etc::SourceParts "{home}/none";
Dir::Etc::Parts "{home}/none";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{home}/none";
Dir::Etc::Trusted "/dev/null";
Dir::Etc::TrustedParts "{home}/none";
APT::Sandbox::User "";
APT::Get::Assume-Yes "true";
APT::Get::Allow-Downgrades "true";
Acquire::Languages "none";
Acquire::Retries "0";
"""

FIRST = 1_600_000_000  # old enough for its time to be a strong validator (RFC 9110 §8.8.2.2)
PACKAGE = "hello-static_1.0_all.deb"


def release(repository: Path, version: str, seconds: int) -> None:
    """Put a version of the package into the repository, as of a second since the epoch."""
    tree = repository.parent / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL.format(version=version))
    (tree / "hello").write_bytes(random.Random(version).randbytes(10_000))
    package = repository / f"hello-static_{version}_all.deb"
    command = ("dpkg-deb", "--root-owner-group", "-b", tree, package)
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    os.utime(package, (seconds, seconds))
    for name, subcommand in (("Packages", "packages"), ("Release", "release")):
        archive = require("apt-ftparchive", apt="apt-utils")
        text = subprocess.check_output((archive, subcommand, "."), cwd=repository, timeout=30)
        (repository / name).write_bytes(text)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("dpkg-deb", apt="dpkg")
    repository = tmp_path_factory.mktemp("apt") / "repository"
    repository.mkdir()
    release(repository, "1.0", FIRST)
    return repository


@pytest.fixture
def apt(tmp_path: Path, run: Run, tap: Tap) -> Run:
    """An apt that knows only the repository, and keeps everything in a directory of its own."""
    program = require("apt-get", apt="apt")
    for name in ("state/lists/partial", "cache/archives/partial", "none", "log"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "state/status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {tap.url('/')} ./\n")
    (tmp_path / "apt.conf").write_text(CONFIGURATION.format(home=tmp_path))
    return partial(run, program, APT_CONFIG=str(tmp_path / "apt.conf"))


def test_apt_finds_its_lists_unchanged_until_a_release(
    apt: Run, tap: Tap, root: Path, setup: str
) -> None:
    assert "Get:" in apt("update")
    # The "./" of its sources.list stands in what it asks for.
    assert ("GET", "/./Release", 308) in tap.seen()
    assert ("GET", "/Release", 200) in tap.seen()
    tap.forget()
    assert "Get:" not in apt("update")
    assert ("GET", "/Release", 304) in tap.seen()
    assert 200 not in {status for _, _, status in tap.seen()}
    release(root, f"1.0+{setup}", FIRST + 60)
    assert "Get:" in apt("update")


def test_apt_downloads_what_its_lists_name(apt: Run, tap: Tap, tmp_path: Path, root: Path) -> None:
    apt("update")
    apt("install", "--download-only", "hello-static=1.0")
    assert (tmp_path / "cache/archives" / PACKAGE).read_bytes() == (root / PACKAGE).read_bytes()


def test_apt_resumes_a_package(apt: Run, tap: Tap, tmp_path: Path, root: Path) -> None:
    apt("update")
    whole = (root / PACKAGE).read_bytes()
    begun = tmp_path / "cache/archives/partial" / PACKAGE
    begun.write_bytes(whole[:3000])
    os.utime(begun, (FIRST, FIRST))  # as apt leaves it: If-Range is this time
    tap.forget()
    apt("install", "--download-only", "hello-static=1.0")
    assert (tmp_path / "cache/archives" / PACKAGE).read_bytes() == whole
    assert (
        tap.exchanges()[-1].answered["content-range"] == f"bytes 3000-{len(whole) - 1}/{len(whole)}"
    )
