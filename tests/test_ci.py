"""``.ci/run`` installs every program that a test asks for, so no test is skipped there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CI = Path(__file__).parents[1] / ".ci" / "run"
#: Every Debian machine that can run ``.ci/run`` has these, or it installs them by itself.
ALWAYS = {"apt", "dpkg", "git", "gzip", "npm"}
_ASKED = re.compile(r'(?:\bapt=|\b(?:require|require_path|absent)\("[^"]+", )"([a-z0-9+. -]+)"')

pytestmark = pytest.mark.skipif(not CI.exists(), reason="tested without the source tree")


def test_every_package_that_a_test_names_is_installed() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.rglob("*.py")]
    asked = {name for text in sources for names in _ASKED.findall(text) for name in names.split()}
    listed = re.search(r"^PACKAGES=\((.*?)\)", CI.read_text(), re.M | re.S)
    assert listed is not None
    assert {"curl", "goaccess"} <= asked, "the expression finds them"
    assert asked - ALWAYS <= set(listed[1].split())
