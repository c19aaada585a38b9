"""A server in unusual surroundings: a locale without UTF-8, no working directory, one that is forbidden."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.raw import HOST
from tests.support.servers import running

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
