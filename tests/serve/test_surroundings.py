"""Unusual surroundings: a locale without UTF-8, a useless working directory, ``..`` behind a link."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt
import pytest
from quart import Quart, Response

import asyncstatic
from asyncstatic import AsyncStatic, SettingsError, StaticFiles, send_file, send_from_directory
from asyncstatic.serve.process.shared_metrics import shared_metrics
from tests.asgi import ask
from tests.support.raw import HOST
from tests.support.servers import environment, running
from tests.support.site import write_site
from tests.support.zips import write_zip

_SERVE = ("-m", "asyncstatic", "serve")
_BIND = ("--bind", f"{HOST}:{{port}}")

#: Python decodes names as ASCII then. A locale in ISO 8859-1 differs in the same way, and has to be installed.
_NO_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
_NAMES = ("ä.txt", "日本.txt", "plain.txt")


@pytest.mark.parametrize("resolver", ["openat2", "walk"])
def test_names_are_utf_8_in_every_locale(tmp_path: Path, resolver: str) -> None:
    root = tmp_path / "größe"
    folder = root / "ordner-ö"
    folder.mkdir(parents=True)
    for name in _NAMES:
        folder.joinpath(name).write_text(name, encoding="utf-8")
    folder.joinpath("link.txt").symlink_to("ä.txt")
    root.joinpath("geheim-ü").mkdir()
    root.joinpath("geheim-ü", "key.txt").write_text("key")
    folder.joinpath("denied.txt").symlink_to("../geheim-ü/key.txt")
    settings = ("--listing", "--set", f"resolver={resolver}", "--set", "deny=geheim-?")
    with running([*_SERVE, str(root), *_BIND, *settings], _NO_UTF_8) as server:
        at = quote("/ordner-ö/")
        for _ in range(3):  # from the disk, and twice from the cache
            for name in _NAMES:
                assert server.fetch(at + quote(name)).content.decode() == name
            assert server.fetch(f"{at}link.txt").content.decode() == "ä.txt"
            assert server.fetch(f"{at}missing.txt").status == 404
            assert server.fetch(f"{at}denied.txt").status == 404
        listed = json.loads(server.fetch(at, "Accept: application/json").content)
        assert {entry["name"] for entry in listed["entries"]} == {*_NAMES, "link.txt"}


# -- the working directory -------------------------------------------------------------------

#: Starts the command after the working directory has become useless.
_AFTER = "import os, runpy; os.{}; runpy.run_module('asyncstatic', run_name='__main__')"
_REMOVED, _FORBIDDEN = "rmdir(os.getcwd())", "chmod('.', 0)"


def ended(tmp_path: Path, change: str, *arguments: str) -> str:
    """Return what the command says, that must end by itself."""
    useless = tmp_path / "useless"
    useless.mkdir()
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _AFTER.format(change),
                "serve",
                *arguments,
                "--bind",
                f"{HOST}:0",
            ],
            cwd=useless,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        if useless.exists():
            useless.chmod(0o700)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("site",), id="a relative root"),
        pytest.param(("myapp:app",), id="an app"),
        pytest.param(("{root}", "--workers", "2"), id="workers"),
    ],
)
def test_a_working_directory_that_is_needed_and_was_removed_is_named(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    said = ended(tmp_path, _REMOVED, *(text.format(root=tmp_path) for text in arguments))
    assert "the working directory was removed" in said


@pytest.mark.parametrize("arguments", [("myapp:app",), ("{root}", "--workers", "2")])
def test_a_working_directory_that_no_worker_may_enter_is_named(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    probe = tmp_path / "probe"
    probe.mkdir(0)
    if os.access(probe, os.X_OK):
        pytest.skip("root may enter every directory")
    said = ended(tmp_path, _FORBIDDEN, *(text.format(root=tmp_path) for text in arguments))
    assert "the working directory may not be entered; start in another, such as /" in said


def test_metrics_without_a_directory_for_temporary_files_say_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SettingsError, match=r"^--metrics .* set TMPDIR .* such as /dev/shm$"):
        shared_metrics("/metrics").__enter__()


# -- a lifespan that is run again ------------------------------------------------------------


async def run_lifespan(app: Any) -> list[str]:
    """Start and stop an app, as a test client does around each test; return its answers."""
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    answers: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": next(events)}

    async def send(message: Any) -> None:
        answers.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return answers


async def test_a_root_answers_after_its_lifespan_has_ended(site: Path) -> None:
    static = await asyncio.to_thread(StaticFiles, site)
    for _ in range(2):
        ended = await run_lifespan(static)
        assert ended == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert (await ask(static, "/")).status == 200


# -- a package in an archive -----------------------------------------------------------------

_LISTED = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import asyncstatic
from tests.asgi import ask
assert asyncstatic.__file__.startswith(sys.argv[1])
static = asyncstatic.StaticFiles(sys.argv[2], listing=True)
print(asyncio.run(ask(static, "/")).status)
"""


def test_a_package_that_is_imported_from_an_archive_lists_directories(tmp_path: Path) -> None:
    application = tmp_path / "application.pyz"  # as by zipapp
    package = Path(asyncstatic.__file__).parent
    with zipfile.ZipFile(application, "w") as archive:
        for path in package.rglob("*.*"):
            archive.write(path, path.relative_to(package.parent))
    done = subprocess.run(
        [sys.executable, "-c", _LISTED, str(application), str(tmp_path)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("200\n", "")


# -- ".." behind a symbolic link ---------------------------------------------------------------


@pytest.fixture
def behind_link(tmp_path: Path) -> str:
    """``here/link`` leads to ``there/folder``, so ``here/link/..`` is ``there``, and not ``here``."""
    for name in ("here", "there"):
        place = tmp_path / name
        write_site(place, {"site/a.txt": name.encode(), "listing.html": name.encode()})
        write_zip(place / "site.zip", {"a.txt": name.encode(), "docs/a.txt": name.encode()})
        password = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        (place / "users").write_text(f"{name}:{password}\n")
    (tmp_path / "there" / "folder").mkdir()
    (tmp_path / "here" / "link").symlink_to("../there/folder")
    return str(tmp_path / "here" / "link" / "..")


@pytest.mark.parametrize(
    "root", ["site", "site/.", "site.zip", "site.zip/", "site.zip/docs/../docs"]
)
async def test_dot_dot_of_a_root_is_resolved_by_the_system(behind_link: str, root: str) -> None:
    static = await asyncio.to_thread(StaticFiles, f"{behind_link}/{root}")
    assert (await ask(static, "/a.txt")).body == b"there"


@pytest.mark.parametrize("root", ["site.zip/..", "site.zip/../site.zip", "site.zip/docs/../../x"])
def test_dot_dot_does_not_lead_out_of_an_archive(behind_link: str, root: str) -> None:
    with pytest.raises(SettingsError, match="is not a directory"):
        StaticFiles(f"{behind_link}/{root}")


async def test_dot_dot_of_other_files_is_resolved_by_the_system(behind_link: str) -> None:
    static = await asyncio.to_thread(
        StaticFiles,
        f"{behind_link}/site",
        users=f"{behind_link}/users",
        listing=True,
        listing_template=f"{behind_link}/listing.html",
    )
    answers = []
    for name in ("here", "there"):
        credentials = base64.b64encode(f"{name}:secret".encode()).decode()
        answers.append(await ask(static, "/", {"authorization": f"Basic {credentials}"}))
    assert [answer.status for answer in answers] == [401, 200]
    assert answers[1].body == b"there"


async def test_dot_dot_of_views_is_resolved_by_the_system(behind_link: str) -> None:
    app = Quart("app", root_path=behind_link, static_folder=None)
    await asyncio.to_thread(AsyncStatic, app, "site")

    @app.get("/<path:name>")
    async def below(name: str) -> Response:
        return await send_from_directory("site", name)

    @app.get("/file")
    async def file() -> Response:
        return await send_file("site/a.txt")

    for target in ("/static/a.txt", "/a.txt", "/file"):
        assert (await ask(app, target)).body == b"there"
