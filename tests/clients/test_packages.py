"""Python and npm packages from static folders: pip, uv and npm."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.clients.conftest import Run, StartTap, aged
from tests.clients.tap import Tap
from tests.support.programs import require

WHEEL = "static_hello-1.0-py3-none-any.whl"
INFO = "static_hello-1.0.dist-info"
LONG_AGO = 1_600_000_000


def wheel() -> bytes:
    """Return a wheel with one module and half a megabyte that does not compress."""
    module = b"GREETING = 'hello'\n"
    members = {
        "static_hello.py": module,
        "static_hello.bin": random.Random(1).randbytes(500_000),
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: static-hello\nVersion: 1.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},{_digest(data)},{len(data)}" for name, data in members.items()]
    members[f"{INFO}/RECORD"] = "\n".join([*lines, f"{INFO}/RECORD,,", ""]).encode()
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, data in members.items():
            written.writestr(zipfile.ZipInfo(name), data)
    return archive.getvalue()


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def npm_package() -> bytes:
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as written:
        text = json.dumps({"name": "static-hello", "version": "1.0.0"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        written.addfile(member, BytesIO(text))
    return archive.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels listed by a page, a simple index (PEP 503) that links to them, and a tarball."""
    root = tmp_path_factory.mktemp("packages")
    (root / "wheels").mkdir()
    (root / "wheels" / WHEEL).write_bytes(wheel())
    os.utime(root / "wheels" / WHEEL, (LONG_AGO, LONG_AGO))
    (root / "wheels/index.html").write_text(f'<!doctype html><a href="{WHEEL}">{WHEEL}</a>')
    (root / "simple/static-hello").mkdir(parents=True)
    digest = hashlib.sha256(wheel()).hexdigest()
    page = f'<!doctype html><a href="../../wheels/{WHEEL}#sha256={digest}">{WHEEL}</a>'
    (root / "simple/static-hello/index.html").write_text(page)
    (root / "static-hello-1.0.0.tgz").write_bytes(npm_package())
    return root


PIP = (sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check")


def test_pip_downloads_from_a_page_of_links(run: Run, tap: Tap, tmp_path: Path) -> None:
    page = tap.url("/wheels/")
    run(*PIP, "download", "--no-index", "--find-links", page, "static-hello")
    assert (tmp_path / WHEEL).read_bytes() == wheel()


def test_pip_downloads_from_a_simple_index(run: Run, tap: Tap, tmp_path: Path) -> None:
    run(*PIP, "download", "--index-url", tap.url("/simple"), "static-hello")
    assert (tmp_path / WHEEL).read_bytes() == wheel()
    assert ("GET", "/simple/static-hello/", 200) in tap.seen()


def test_pip_asks_a_cached_index_whether_it_changed(run: Run, tap: Tap, tmp_path: Path) -> None:
    pip = [word for word in PIP if word != "--no-cache-dir"]
    for name in ("first", "second"):
        run(*pip, "--cache-dir", tmp_path / "cache", "download", "--no-deps", "-d", name,
            "--trusted-host", f"127.0.0.1:{tap.port}", "--index-url", tap.url("/simple"), "static-hello")  # fmt: skip
    assert ("GET", "/simple/static-hello/", 304) in tap.seen()
    assert (tmp_path / "second" / WHEEL).read_bytes() == wheel()


def test_pip_reads_metadata_from_a_wheel_by_ranges(run: Run, tap: Tap) -> None:
    run(*PIP, "install", "--dry-run", "--ignore-installed", "--use-feature=fast-deps",
        "--index-url", tap.url("/simple"), "static-hello")  # fmt: skip
    of_wheel = [exchange for exchange in tap.exchanges() if exchange.target.endswith(WHEEL)]
    assert of_wheel[0].method == "HEAD"
    assert of_wheel[0].answered["accept-ranges"] == "bytes"
    assert 206 in {exchange.status for exchange in of_wheel}


def test_pip_resumes_a_download_that_was_cut(
    run: Run, tapped: StartTap, tmp_path: Path, root: Path
) -> None:
    aged(root / "wheels" / WHEEL)  # If-Range wants a strong tag
    tap = tapped(cut=(200_000,))
    run(*PIP, "--resume-retries", "3", "--retries", "0", "download", "--no-index",
        "--find-links", tap.url("/wheels/"), "static-hello")  # fmt: skip
    assert (tmp_path / WHEEL).read_bytes() == wheel()
    assert 206 in {status for _, _, status in tap.seen()}


def test_uv_installs_from_a_simple_index(run: Run, tap: Tap, tmp_path: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here: pip install uv")
    run(uv, "--no-config", "pip", "install", "--python", sys.executable, "--target",
        tmp_path / "target", "--cache-dir", tmp_path / "cache", "--index-url", tap.url("/simple"),
        "static-hello")  # fmt: skip
    assert (tmp_path / "target/static_hello.py").read_bytes() == b"GREETING = 'hello'\n"


def test_npm_installs_a_tarball(run: Run, tap: Tap, tmp_path: Path) -> None:
    npm = require("npm", apt="npm")
    (tmp_path / "package.json").write_text("{}")
    run(npm, "install", "--no-audit", "--no-fund", "--registry", tap.url("/"),
        tap.url("/static-hello-1.0.0.tgz"))  # fmt: skip
    installed = json.loads((tmp_path / "node_modules/static-hello/package.json").read_text())
    assert installed["version"] == "1.0.0"
