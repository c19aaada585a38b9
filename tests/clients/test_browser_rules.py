"""Chromium, headless: what rules and presets are for, as a browser does it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.test_browser import OPTIONS, WASM
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import serving

PAGE = """<!doctype html><title>Isolated</title><body><script type=module>
const { instance } = await WebAssembly.instantiateStreaming(fetch('answer.wasm.gz'));
const worker = new Worker('worker.js');
const there = await new Promise((done) => { worker.onmessage = (event) => done(event.data); });
document.body.innerHTML =
  `<p>${self.crossOriginIsolated} ${typeof SharedArrayBuffer} ${there} ${instance.exports.answer()}</p>`;
</script>"""
FILES = {
    "index.html": PAGE.encode(),
    "worker.js": b"postMessage(self.crossOriginIsolated)",
    "answer.wasm.gz": gzip.compress(WASM, mtime=0),
    "scripted.html": b"<!doctype html><body><p>as sent</p><script>"
    b"document.body.innerHTML = '<p>changed</p>'</script>",
}
CODED = {"match": "*.wasm.gz", "coding": "gzip"}
SANDBOX = {"match": "scripted.html", "headers": {"Content-Security-Policy": "sandbox"}}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    for name, content in FILES.items():
        (site / name).write_bytes(content)
    return site


@pytest.fixture(params=["serve", "serve-no-direct"])
def setup(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shown(run: Run, tmp_path: Path, url: str) -> str:
    """Return the text of the page once its scripts ran."""
    chromium = require("chromium", apt="chromium")
    profile = f"--user-data-dir={tmp_path}/profile"
    document = run(*(chromium, *OPTIONS, profile, "--virtual-time-budget=20000", "--dump-dom"), url)
    found = re.search(r"<p>(.*?)</p>", document)
    assert found is not None, document
    return found[1]


@pytest.mark.parametrize(
    ("preset", "saw"),
    [("cross-origin-isolated", "true function true 42"), ("", "false undefined false 42")],
)
def test_a_page_is_isolated_and_a_coded_module_is_compiled(
    run: Run, tmp_path: Path, site: Path, setup: str, preset: str, saw: str
) -> None:
    with serving(setup, site, preset=preset, rules=json.dumps(CODED)) as server:
        assert shown(run, tmp_path, f"http://{HOST}:{server.port}/") == saw


@pytest.mark.parametrize(("rules", "saw"), [([], "changed"), ([SANDBOX], "as sent")])
def test_a_sandbox_stops_scripts(
    run: Run, tmp_path: Path, site: Path, setup: str, rules: list[object], saw: str
) -> None:
    with serving(setup, site, rules=json.dumps(rules)) as server:
        assert shown(run, tmp_path, f"http://{HOST}:{server.port}/scripted.html") == saw
