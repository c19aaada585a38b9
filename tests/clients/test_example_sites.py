"""The sites of examples/, each served from its own asyncstatic.toml, in Chromium."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.test_browser import write_silence
from tests.support.browser import Browser, browser
from tests.support.programs import require, require_path
from tests.support.servers import Server, running
from tests.support.site import write_site

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST = 10  # lines of a configuration file

if not EXAMPLES.is_dir():
    pytest.skip("examples/ belongs to the source tree", allow_module_level=True)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/asyncstatic.toml")), ids=str)
def test_a_site_is_described_in_a_few_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


@pytest.fixture
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the example that the test names."""
    (name,) = request.node.get_closest_marker("example").args
    return Path(shutil.copytree(EXAMPLES / name, tmp_path / name))


@contextmanager
def visited(site: Path, tmp_path: Path) -> Iterator[tuple[Server, Browser]]:
    """Serve a site from its file; afterwards no page may have logged anything."""
    arguments = ("-m", "asyncstatic", "serve", "--bind", "127.0.0.1:{port}")
    with running(arguments, {}, cwd=str(site)) as server, browser(tmp_path) as chromium:
        yield server, chromium
        assert chromium.console == []


@pytest.mark.example("vite")
@pytest.mark.timeout(300)
def test_a_vite_app_reloads_at_a_deep_link_and_its_old_assets_are_missing(
    copied: Path, tmp_path: Path
) -> None:
    npm = require("npm", apt="npm")
    for command in ("install --no-audit --no-fund --loglevel=error", "run build"):
        subprocess.run(
            [npm, *command.split()], cwd=copied, check=True, capture_output=True, timeout=240
        )
    text = "document.querySelector('main').textContent"
    with visited(copied, tmp_path) as (server, page):
        for _ in range(2):  # a visit, and a reload
            page.visit(server.url("/notes/1"))
            page.until(f"{text} === 'buy milk'")
        page.click("nav a")
        page.until(f"{text}.includes('water') && location.pathname === '/'")
        (script,) = (copied / "dist" / "assets").glob("index-*.js")
        kept = server.fetch(f"/assets/{script.name}")
        assert kept.field("cache-control") == "public, max-age=31536000, immutable"
        old = server.fetch(f"/assets/{script.stem[:-3]}old.js", "Sec-Fetch-Dest: script")
        assert old.status == 404
        assert server.fetch("/notes/1", "Accept: text/html").field("cache-control") == "no-cache"


@pytest.mark.example("docs")
def test_the_documentation_of_python_is_served_with_clean_urls(
    copied: Path, tmp_path: Path
) -> None:
    html = require_path(
        "/usr/share/doc/python3-doc/html", apt="python3-doc libjs-jquery libjs-underscore"
    )
    # Debian's links to jQuery lead out of the root.
    shutil.copytree(html, copied / "html", ignore=shutil.ignore_patterns("whatsnew", "c-api"))
    with visited(copied, tmp_path) as (server, page):
        page.visit(server.url("/library/os"))
        assert "os" in page.evaluate("document.title")
        page.evaluate("document.querySelector('a[href^=\"pathlib.html\"]').click()")
        page.until("location.pathname === '/library/pathlib' && document.readyState === 'complete'")
        moved = server.fetch("/latest/library/os?q=1")
        assert (moved.status, moved.field("location")) == (301, "/library/os?q=1")
        assert server.fetch("/library/missing").status == 404


@pytest.mark.example("media")
def test_a_folder_of_media_is_listed_and_its_files_seek(copied: Path, tmp_path: Path) -> None:
    folder = write_site(copied / "media", {"films/a.part": b"unfinished", "notes.txt": b"text"})
    write_silence(folder / "films" / "a film #1.wav")
    with visited(copied, tmp_path) as (server, page):
        page.visit(server.url("/films/"))
        names = page.evaluate("document.body.innerText")
        assert "a film #1.wav" in names
        assert "a.part" not in names
        page.visit(server.url("/films/a%20film%20%231.wav"))
        page.until("document.querySelector('video, audio').readyState > 0")
        page.evaluate(
            "new Promise((done) => { const media = document.querySelector('video, audio');"
            " media.onseeked = done; media.currentTime = media.duration / 2; })"
        )
        half = "(({currentTime, duration}) => currentTime / duration)"
        assert page.evaluate(f"{half}(document.querySelector('video, audio'))") > 0.4


# (module (func (export "answer") (result i32) i32.const 42))
WASM = bytes.fromhex(
    "0061736d010000000105016000017f03020100070a0106616e7377657200000a06010400412a0b"
)
GAME = """<!doctype html><title>Game</title><link rel=icon href="data:,"><body>
<script type=module>
const data = await (await fetch('Build/game.data.gz')).text();
const {instance} = await WebAssembly.instantiateStreaming(fetch('Build/game.wasm.gz'));
document.body.textContent = [data, instance.exports.answer(), crossOriginIsolated].join(' ');
</script>"""


@pytest.mark.example("unity")
def test_a_game_of_stored_gzip_files_is_compiled_and_isolated(copied: Path, tmp_path: Path) -> None:
    write_site(
        copied / "build",
        {
            "index.html": GAME.encode(),
            "Build/game.data.gz": gzip.compress(b"data"),
            "Build/game.wasm.gz": gzip.compress(WASM),
        },
    )
    with visited(copied, tmp_path) as (server, page):
        page.visit(server.url("/"))
        page.until("document.body.textContent.trim() === 'data 42 true'")
