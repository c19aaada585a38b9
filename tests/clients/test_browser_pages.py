"""Chromium, headless: a single-page app whose deep links are opened and reloaded."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.clients.test_browser import OPTIONS
from tests.support.browser import browser
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import serving
from tests.support.site import write_site

SHELL = b"""<!doctype html><title>App</title><link rel=icon href="data:,"><body>
<script type=module src="/assets/app-3f9c2a71.js"></script>"""
#: Shows what it sees once it was reloaded.
APP = b"""
if (!sessionStorage.loaded) {
  sessionStorage.loaded = '1';
  location.reload();
} else {
  const data = await fetch('/users/7');
  const old = await import('/assets/old-00000000.js').then(() => 'a page', () => 'an error');
  document.body.innerHTML = `<p>${location.pathname}${location.search} ${data.status} ${old}</p>`;
}
"""
FILES = {
    "index.html": SHELL,
    "index.html.gz": gzip.compress(SHELL, mtime=0),
    "assets/app-3f9c2a71.js": APP,
    "about.html": b"<!doctype html><title>About</title><body><p>about</p>",
    "404.html": b"<!doctype html><title>Missing</title><body><p>missing</p>",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site", FILES)


@pytest.fixture(params=["serve", pytest.param("hypercorn-no-direct", marks=pytest.mark.slow)])
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


def test_a_deep_link_reloads_and_an_old_asset_is_missing(
    run: Run, tmp_path: Path, site: Path, setup: str
) -> None:
    with serving(setup, site, preset="spa") as server:
        url = f"http://{HOST}:{server.port}/users/7?tab=2"
        assert shown(run, tmp_path, url) == "/users/7?tab=2 404 an error"


def test_clean_urls_redirects_and_the_error_page_are_shown(
    run: Run, tmp_path: Path, site: Path, setup: str
) -> None:
    with serving(setup, site, preset="docs", redirects="/old/* /:splat") as server:
        origin = f"http://{HOST}:{server.port}"
        assert shown(run, tmp_path, f"{origin}/old/about.html") == "about"
        assert shown(run, tmp_path, f"{origin}/nothing/here") == "missing"


WORKER = b"""
addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => event.respondWith(fetch(event.request)));
"""
WITH_WORKER = b"""<!doctype html><title>App</title><link rel=icon href="data:,"><body>
<script>navigator.serviceWorker.register('/sw.js')</script>"""


def test_a_service_worker_that_passes_requests_on_opens_a_deep_link(
    tmp_path: Path, setup: str
) -> None:
    site = write_site(tmp_path / "site", {"index.html": WITH_WORKER, "sw.js": WORKER})
    with serving(setup, site, spa="1") as server, browser(tmp_path) as page:
        origin = f"http://{HOST}:{server.port}"
        page.visit(f"{origin}/")
        page.until("navigator.serviceWorker.controller !== null")
        page.visit(f"{origin}/users/7")
        assert page.evaluate("[document.title, navigator.serviceWorker.controller !== null]") == [
            "App",
            True,
        ]
        assert page.evaluate("fetch('/users/8').then(answer => answer.status)") == 404
