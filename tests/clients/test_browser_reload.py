"""Chromium and `asyncstatic serve --reload`: many tabs, a video, and a fetched fragment."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.clients.tap import Tap, tapping
from tests.clients.test_browser import PATIENCE, REPORT, SECONDS, browsing, write_silence
from tests.support.raw import HOST
from tests.support.servers import Server, running

TABS = 8  # browsers open six connections to a host
REPORTING = "fetch('/report?' + encodeURIComponent(JSON.stringify(saw)));"

PAGES = {
    "index.html": f"""<!doctype html><title>A tab</title><base href="/other/">
<script src=/text.js></script><script>
const saw = {{ tab: location.search, text: window.text }};
{REPORTING}
</script>""",
    "text.js": "window.text = 'one';",
    "video.html": f"""<!doctype html><title>Video</title>
<video id=video preload=metadata src=sound.wav></video>
<script type=module>
const video = document.getElementById('video');
const happened = (name) => new Promise((done) => video.addEventListener(name, done, {{ once: true }}));
if (video.readyState < 1) await happened('loadedmetadata');
const saw = {{ duration: video.duration, positions: [] }};
for (const part of [0.9, 0.5]) {{
  video.currentTime = video.duration * part;
  await happened('seeked');
  saw.positions.push(video.currentTime);
}}
{REPORTING}
</script>""",
    "fragments.html": f"""<!doctype html><title>Fragments</title>
<meta http-equiv=Content-Security-Policy
  content="script-src 'self' 'nonce-a'; connect-src 'self'; frame-src 'self'">
<iframe id=frame src=part.html></iframe><script type=module nonce=a>
const frame = document.getElementById('frame');
const scripts = (parent) => [...parent.querySelectorAll('script')].map((script) => script.src);
if (document.readyState !== 'complete') await new Promise((done) => {{ onload = done; }});
const loaded = performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname);
const saw = {{
  fragment: await (await fetch('part.html')).text(),
  again: await (await fetch('part.html')).text(),
  ofFrame: scripts(frame.contentDocument).length,
  ofPage: scripts(document).filter((source) => source).length,
  hasLoaded: loaded.includes('/.asyncstatic/reload.js'),
}};
{REPORTING}
</script>""",
    "part.html": "<p>a part</p>\n",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser-reload")
    for name, text in PAGES.items():
        (root / name).write_text(text, encoding="utf-8")
    write_silence(root / "sound.wav")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", f"{HOST}:{{port}}", "--reload"]
    with running(command, {}) as server:
        yield server


@pytest.fixture
def tap(server: Server) -> Iterator[Tap]:
    with tapping(server.port) as tap:
        yield tap


def reports(tap: Tap, count: int) -> list[dict[str, object]]:
    """Wait for so many different reports."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        texts = {target for _, target, _ in tap.seen() if target.startswith(REPORT)}
        if len(texts) >= count:
            return [json.loads(unquote(text.removeprefix(REPORT))) for text in sorted(texts)]
        time.sleep(0.1)
    raise AssertionError(tap.seen())


def open_tab(home: Path, url: str) -> None:
    """Open one more tab of a running browser (Chrome DevTools Protocol, HTTP endpoints)."""
    port_file = home / "profile" / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE
    while not (port_file.exists() and port_file.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tools = http.client.HTTPConnection(
        HOST, int(port_file.read_text().split()[0]), timeout=PATIENCE
    )
    tools.request("PUT", f"/json/new?{url}")
    assert tools.getresponse().status == 200
    tools.close()


def test_any_number_of_tabs_loads_and_reloads(tap: Tap, tmp_path: Path, root: Path) -> None:
    tabs = [f"?{number}" for number in range(TABS)]
    with browsing(tmp_path, tap.url(f"/{tabs[0]}"), "--remote-debugging-port=0"):
        for tab in tabs[1:]:
            open_tab(tmp_path, tap.url(f"/{tab}"))
        assert reports(tap, TABS) == [{"tab": tab, "text": "one"} for tab in tabs]
        for round_, text in enumerate(("two", "three"), start=2):
            (root / "text.js").write_text(f"window.text = '{text}';")
            seen = reports(tap, TABS * round_)
            assert [saw for saw in seen if saw["text"] == text] == [
                {"tab": tab, "text": text} for tab in tabs
            ]


def test_a_video_is_sought_by_ranges(tap: Tap, tmp_path: Path, root: Path) -> None:
    with browsing(tmp_path, tap.url("/video.html")):
        (saw,) = reports(tap, 1)
    assert saw == {"duration": SECONDS, "positions": [SECONDS * 0.9, SECONDS * 0.5]}
    pieces = [exchange for exchange in tap.exchanges() if exchange.target == "/sound.wav"]
    # 304: a range that it already has, and asks about.
    assert {206} <= {exchange.status for exchange in pieces} <= {206, 304}
    assert sum(exchange.received for exchange in pieces) < (root / "sound.wav").stat().st_size


def test_a_fetched_fragment_has_no_script_and_a_frame_has_it(tap: Tap, tmp_path: Path) -> None:
    with browsing(tmp_path, tap.url("/fragments.html")):
        (saw,) = reports(tap, 1)
    assert saw == {
        "fragment": PAGES["part.html"],
        "again": PAGES["part.html"],
        "ofFrame": 1,
        "ofPage": 1,
        "hasLoaded": True,
    }
