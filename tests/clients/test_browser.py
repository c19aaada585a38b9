"""Chromium, headless: a page and all it loads, revalidation, a deploy, and seeking in media."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import wave
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.clients.conftest import Run
from tests.clients.tap import Exchange, Tap
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import SETUPS, environment, free_port, serving

Visit = Callable[[str], Any]

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
REPORT = "/report?"
PATIENCE = 30.0  # seconds for a page to tell what it saw: a loaded two-core machine
SECONDS = 1800  # of sound: so large that a browser does not read it whole

#: A page that tells by a request what came of everything it loaded.
PAGES = {
    "index.html": """<!doctype html><meta charset=utf-8><title>Page</title>
<link rel=stylesheet href=style.css><body>
<img id=picture src=picture.png><img id=drawing src=drawing.svg>
<iframe id=frame src=frame/></iframe>
<script src=classic.js></script><script src=notes.txt></script>
<script type=module>
import { word } from './module.mjs';
const { sum } = await import('./lazy.js');
const at = (id) => document.getElementById(id);
const wasm = await WebAssembly.instantiateStreaming(fetch('answer.wasm'));
const data = await (await fetch('data.json')).json();
if (document.readyState !== 'complete') await new Promise((done) => { onload = done; });
const saw = {
  color: getComputedStyle(document.body).color,
  picture: at('picture').naturalWidth, drawing: at('drawing').naturalWidth,
  frame: at('frame').contentDocument.title,
  classic: window.classic, notes: window.notes ?? null,
  word, sum: sum(2, 3), wasm: wasm.instance.exports.answer(), data: data.list,
};
fetch('/report?' + encodeURIComponent(JSON.stringify(saw)));
</script>""",
    "style.css": "body { color: rgb(1, 2, 3) }",
    "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5"></svg>',
    "frame/index.html": "<!doctype html><title>a frame</title>",
    "classic.js": "window.classic = 'ran';",
    "notes.txt": "window.notes = 'ran, though it is text/plain';",
    "module.mjs": "export const word = 'été';",
    "lazy.js": "export const sum = (a, b) => a + b;",
    "data.json": '{"list": [1, 2, 3]}',
    "protocol.html": """<!doctype html><title>Protocol</title><img id=picture src=picture.png>
<script src=classic.js></script><script>
onload = () => {
  const by = performance.getEntries().filter((entry) => entry.nextHopProtocol);
  const [page, file] = by.map((entry) => entry.nextHopProtocol);
  const width = document.getElementById('picture').naturalWidth;
  document.body.innerHTML = `<p>${page} ${file} ${width} ${window.classic}</p>`;
};
</script>""",
    "cors.html": """<!doctype html><title>Another origin</title>
<script type=module>
const url = `http://127.0.0.1:${location.search.slice(1)}/picture.png`;
const image = new Image();
image.src = url;
await image.decode();
const saw = { picture: image.naturalWidth, bytes: 'blocked' };
try { saw.bytes = (await (await fetch(url)).arrayBuffer()).byteLength; } catch {}
fetch('/report?' + encodeURIComponent(JSON.stringify(saw)));
</script>""",
    "sound.html": """<!doctype html><title>Sound</title>
<audio id=sound preload=metadata src=sound.wav></audio>
<script type=module>
const sound = document.getElementById('sound');
const happened = (name) => new Promise((done) => sound.addEventListener(name, done, { once: true }));
if (sound.readyState < 1) await happened('loadedmetadata');
const saw = { duration: sound.duration, positions: [] };
for (const part of [0.9, 0.5]) {
  sound.currentTime = sound.duration * part;
  await happened('seeked');
  saw.positions.push(sound.currentTime);
}
fetch('/report?' + encodeURIComponent(JSON.stringify(saw)));
</script>""",
}

SAW = {
    "color": "rgb(1, 2, 3)", "picture": 3, "drawing": 7, "frame": "a frame", "classic": "ran",
    "notes": None, "word": "été", "sum": 5, "wasm": 42, "data": [1, 2, 3],
}  # fmt: skip

#: (module (func (export "answer") (result i32) i32.const 42))
WASM = bytes.fromhex(
    "0061736d01000000010501600001 7f03020100070a0106616e7377657200000a06010400412a0b"
)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = (b"\0" + b"\x10\x20\x30" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return (
        signature + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def write_silence(path: Path) -> None:
    """Write sound that takes no room on the disk: a header, and a hole."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(44_100)
        sound.setnframes(SECONDS * 44_100)
        sound.writeframesraw(b"")
    os.truncate(path, 44 + SECONDS * 44_100 * 2)


@pytest.fixture(scope="module", params=["serve", pytest.param("hypercorn", marks=pytest.mark.slow)])
def setup(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, setup: str) -> Path:
    root = tmp_path_factory.mktemp(f"browser-{setup}")
    (root / "frame").mkdir()
    for name, text in PAGES.items():
        (root / name).write_text(text, encoding="utf-8")
    (root / "picture.png").write_bytes(png(3, 2))
    (root / "answer.wasm").write_bytes(WASM)
    return root


@contextmanager
def browsing(home: Path, url: str, *options: str) -> Iterator[None]:
    """Show a page in a browser whose profile is below `home`, until the block ends."""
    command = (
        require("chromium", apt="chromium"),
        *OPTIONS,
        *options,
        f"--user-data-dir={home}/profile",
        url,
    )
    with (home / "chromium.log").open("ab") as log:
        browser = subprocess.Popen(
            command,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(home),
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        browser.terminate()  # it writes its cache to the disk
        with suppress(subprocess.TimeoutExpired):
            browser.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(10)


@pytest.fixture
def visit(tap: Tap, tmp_path: Path) -> Visit:
    """Show a page until it reports; each test has one profile, and so one cache."""

    def visit(path: str) -> Any:
        tap.forget()
        deadline = time.monotonic() + PATIENCE
        with browsing(tmp_path, tap.url(path)):
            while time.monotonic() < deadline:
                for _, target, _ in tap.seen():
                    if target.startswith(REPORT):
                        return json.loads(unquote(target.removeprefix(REPORT)))
                time.sleep(0.05)
        log = (tmp_path / "chromium.log").read_text(errors="replace")
        raise AssertionError(f"no report; {tap.seen()}\n{log[-2000:]}")

    return visit


def of_the_site(exchanges: list[Exchange]) -> dict[str, int]:
    """Map target to status, without what only the tests or the browser ask for."""
    others = ("/report", "/favicon.ico")
    return {e.target: e.status for e in exchanges if not e.target.startswith(others)}


def test_a_page_loads_all_it_names_with_types_that_a_browser_takes(visit: Visit, tap: Tap) -> None:
    assert visit("/") == SAW
    assert set(of_the_site(tap.exchanges()).values()) == {200}


def test_a_page_shown_again_is_revalidated_and_not_sent_again(visit: Visit, tap: Tap) -> None:
    visit("/")
    first = of_the_site(tap.exchanges())
    assert visit("/") == SAW
    assert of_the_site(tap.exchanges()) == dict.fromkeys(first, 304)


def test_a_deploy_is_seen_at_the_next_visit(visit: Visit, tap: Tap, root: Path) -> None:
    assert visit("/") == SAW
    style = root / "style.css"
    times = (style.stat().st_atime, style.stat().st_mtime)
    before = style.read_text()
    style.write_text(before.replace("3", "9"))
    os.utime(style, times)  # size and time are as they were
    try:
        assert visit("/") == {**SAW, "color": "rgb(1, 2, 9)"}
        assert of_the_site(tap.exchanges())["/style.css"] == 200
        assert of_the_site(tap.exchanges())["/classic.js"] == 304
    finally:
        style.write_text(before)


def test_sound_is_sought_by_ranges(visit: Visit, tap: Tap, root: Path) -> None:
    write_silence(root / "sound.wav")
    saw = visit("/sound.html")
    assert saw == {"duration": SECONDS, "positions": [SECONDS * 0.9, SECONDS * 0.5]}
    pieces = [exchange for exchange in tap.exchanges() if exchange.target == "/sound.wav"]
    statuses = {exchange.status for exchange in pieces}
    assert statuses - {304} == {206}  # the browser may ask whether a part is current (§13.2.2)
    assert sum(exchange.received for exchange in pieces) < (root / "sound.wav").stat().st_size


@pytest.mark.parametrize("origins", ["*", "http://127.0.0.1:{port}"], ids=["all", "a list"])
def test_a_picture_that_is_cached_may_be_fetched(
    visit: Visit, tap: Tap, setup: str, root: Path, origins: str
) -> None:
    """The picture is asked for without Origin, kept, and then read by a script."""
    settings = {"cors": origins.format(port=tap.port), "cache_control": "max-age=600"}
    with serving(setup, root, **settings) as other:
        saw = visit(f"/cors.html?{other.port}")
    assert saw == {"picture": 3, "bytes": len(png(3, 2))}


@contextmanager
def serving_tls(setup: str, root: Path, chain: str, key: str) -> Iterator[int]:
    """Serve with TLS, until the block ends; yields the port."""
    port = free_port()
    words = [word.format(root=root, port=port) for word in SETUPS[setup]]
    process = subprocess.Popen(
        [sys.executable, *words, "--certfile", chain, "--keyfile", key],
        env=environment(ASYNCSTATIC_ROOT=str(root)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not listens(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_a_page_loads_over_tls_and_http2(
    setup: str, root: Path, certificate: tuple[str, str], run: Run, tmp_path: Path
) -> None:
    words = ("--ignore-certificate-errors", f"--user-data-dir={tmp_path}/profile", "--dump-dom")
    with serving_tls(setup, root, *certificate) as port:
        shown = run(
            require("chromium", apt="chromium"),
            *OPTIONS,
            *words,
            f"https://{HOST}:{port}/protocol.html",
        )
    assert "<p>h2 h2 3 ran</p>" in shown
