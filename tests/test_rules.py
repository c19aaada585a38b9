"""Rules and presets as settings: their forms, and what is refused at the start, in one line."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncstatic import Rule, Settings, SettingsError
from asyncstatic.cli import main
from asyncstatic.cli.schema import schema
from asyncstatic.config.site import Sources
from asyncstatic.http.policy import ResponsePolicy
from asyncstatic.http.respond import respond
from asyncstatic.settings.presets import PRESETS
from tests.support.core import BOUNDARY, NOW, SECOND, ask, fields_of, stored

NO_INDEX = {"X-Robots-Tag": "noindex"}
TABLE = {"match": "/a/**", "headers": NO_INDEX}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(Rule("/a/**", NO_INDEX), id="one rule"),
        pytest.param(TABLE, id="one table"),
        pytest.param([Rule("/a/**", headers=NO_INDEX)], id="a list of rules"),
        pytest.param(iter([TABLE]), id="an iterator of tables"),
        pytest.param('[{"match": "/a/**", "headers": {"X-Robots-Tag": "noindex"}}]', id="JSON"),
    ],
)
def test_rules_are_taken_in_their_natural_form(given: Any) -> None:
    assert Settings("x", rules=given).rules == (Rule("/a/**", NO_INDEX),)


def test_an_environment_variable_holds_rules_as_json() -> None:
    text = '[{"match": "*.gz", "coding": "gzip"}, {"match": "*.js", "headers": {"A": false}}]'
    variables = {"ASYNCSTATIC_ROOT": "x", "ASYNCSTATIC_RULES": text}
    rules = Rule("*.gz", coding="gzip"), Rule("*.js", {"A": False})
    assert Settings.from_environment(variables).rules == rules


def test_rules_survive_a_copy_for_another_process() -> None:
    settings = Settings("x", rules=TABLE, preset="secure-headers")
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_table_that_is_changed_later_changes_no_rule() -> None:
    headers: dict[str, Any] = dict(NO_INDEX)
    rule = Rule("*", headers)
    headers["Vary"] = "*"
    assert rule.headers == NO_INDEX


REFUSED = [
    *(
        pytest.param({"headers": {name: "1"}}, f"{name} cannot be set: ", id=name)
        for name in (
            *("Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"),
            *("Keep-Alive", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Vary"),
            *("Date", "Age", "Server", "Allow", "Location", "Set-Cookie", "Repr-Digest"),
            *("X-Accel-Redirect", "X-Sendfile", "content-length", "TRANSFER-ENCODING"),
        )
    ),
    pytest.param({"headers": {"Content-Type": "a/b"}}, "say media_type=", id="Content-Type"),
    pytest.param({"headers": {"Content-Encoding": "br"}}, "say coding=", id="Content-Encoding"),
    pytest.param({"headers": {"A": "b\r\nSet-Cookie: c"}}, "printable ASCII", id="line end"),
    pytest.param({"headers": {"A": "b\0"}}, "printable ASCII", id="NUL"),
    pytest.param({"headers": {"A": "é"}}, "printable ASCII", id="not ASCII"),
    pytest.param({"headers": {"A": " b"}}, "printable ASCII", id="white space around"),
    pytest.param({"headers": {"A": ""}}, "or false to remove", id="empty"),
    pytest.param({"headers": {"A": True}}, "or false to remove", id="true"),
    pytest.param({"headers": {"A": 1}}, "or false to remove", id="a number"),
    pytest.param({"headers": {"A B": "c"}}, "no name of a field", id="space in a name"),
    pytest.param({"headers": {"A:": "c"}}, "no name of a field", id="colon in a name"),
    pytest.param({"headers": {":status": "200"}}, "no name of a field", id="pseudo-header"),
    pytest.param({"headers": {"A\r\nB": "c"}}, "no name of a field", id="line end in a name"),
    pytest.param({"headers": {"": "c"}}, "no name of a field", id="no name"),
    pytest.param({"headers": {1: "c"}}, "no name of a field", id="a number for a name"),
    pytest.param({"headers": {"A": "b", "a": "c"}}, "a is named twice", id="twice"),
    pytest.param({"headers": "A: b"}, "a table of names and values", id="text for a table"),
    pytest.param({"headers": {"Cache-Control": "nocache"}}, "did you mean no-cache?", id="typo"),
    pytest.param({"media_type": "html"}, "say type/subtype", id="no subtype"),
    pytest.param({"media_type": "a/b\r\nc"}, "say type/subtype", id="line end in a type"),
    pytest.param({"media_type": True}, "say type/subtype", id="true for a type"),
    pytest.param({"coding": "g zip"}, "such as gzip or br", id="no token"),
    pytest.param({"coding": "identity"}, "such as gzip or br", id="identity is no coding"),
    pytest.param({"coding": "Identity"}, "such as gzip or br", id="Identity is none either"),
    pytest.param({"coding": True}, "such as gzip or br", id="true for a coding"),
    *(
        pytest.param({"match": pattern}, says, id=f"glob {pattern!r}")
        for pattern, says in (
            ("", "a pattern is needed"),
            ("/a//b", "a name is missing"),
            ("/a/", "write /** for all below"),
            ("/a/../b", '"." and ".."'),
            ("a\n", "control characters"),
            ("{a", "braces do not pair"),
            ("a}", "braces do not pair"),
            ("{a,{b}}", "braces do not pair"),
            ("[ab].js", "no character classes"),
            ("a\\", "a character is missing"),
            ("{a,b}" * 20, "more than 256 ways"),
            ("a" * 1025, "at most 1024 characters"),
            (5, "a glob is needed"),
        )
    ),
]


@pytest.mark.parametrize(("options", "says"), REFUSED)
def test_a_wrong_rule_is_one_line_that_helps(options: dict[str, Any], says: str) -> None:
    table = {"match": "/a/**", **options}
    for build in (lambda: Rule(**table), lambda: Settings("x", rules=[{"match": "*"}, table])):
        with pytest.raises(SettingsError) as raised:
            build()
        assert says in str(raised.value)
        assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"rules[1]: rule {table['match']!r}: ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rules": 5}, "rules=5: a list of rules is needed"),
        ({"rules": "*.js"}, "rules='*.js': JSON is needed"),
        ({"rules": ["*.js"]}, "rules[0]='*.js': a rule is needed"),
        ({"rules": {"headers": {}}}, "rules[0]: match is needed"),
        ({"rules": {"match": "*", "header": {}}}, "rules[0]: unknown key header, known are match"),
        ({"preset": "secure-header"}, "preset='secure-header': did you mean secure-headers?"),
        ({"preset": ["x", "y"]}, "preset='x': known are cross-origin-isolated, "),
        ({"preset": 5}, "preset=5: a list of non-empty strings"),
        ({"at": "app"}, "at='app': a path such as /app"),
        ({"at": "/"}, "at='/': a path such as /app"),
        ({"at": "/a/../b"}, "at='/a/../b': a path such as /app"),
        (
            {"cors": "*", "rules": {"match": "*", "headers": {"Access-Control-Max-Age": "1"}}},
            "not together with rule '*'",
        ),
    ],
)
def test_wrong_settings_of_rules_are_one_line_that_helps(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings("x", **options)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


# -- presets ---------------------------------------------------------------------------------

DOCUMENT = Path(__file__).parents[1] / "docs" / "rules.md"


def rows_of(name: str) -> list[str]:
    """What a preset sets, as the table in docs/rules.md says it."""
    preset = PRESETS[name]
    rows = [
        f"| `{name}` | setting `{setting}` | `{json.dumps(value)}` |"
        for setting, value in preset.settings.items()
    ]
    for rule in preset.rules:
        sets = [
            f"`{field}: {value}`" if value else f"no `{field}`"
            for field, value in rule.headers.items()
        ]
        if rule.media_type is not None:
            sets.append(f"type `{rule.media_type}`" if rule.media_type else "type by suffix")
        rows.append(f"| `{name}` | `{rule.match}` | {'<br>'.join(sets)} |")
    return rows


@pytest.mark.skipif(not DOCUMENT.exists(), reason="tested without the source tree")
def test_the_table_of_presets_says_exactly_what_each_sets() -> None:
    section = DOCUMENT.read_text("utf-8").partition("\n## Presets\n")[2]
    told = re.findall(r"^\| `.*$", section, re.M)
    assert told == [row for name in PRESETS for row in rows_of(name)]


def fields_of_preset(name: str, file: str, **settings: Any) -> dict[str, str]:
    policy = ResponsePolicy(Settings("x", preset=name, **settings))
    return fields_of(respond(ask(), stored(b"x", file), policy, NOW * SECOND, BOUNDARY))


YEAR = "public, max-age=31536000, immutable"
HASHED = [
    ("assets/index-DiwrgTda.js", YEAR),  # Vite
    ("app/assets/index-B3a_-x9Q.css", YEAR),
    ("_app/immutable/chunks/0.B7jzBPzU.js", YEAR),  # SvelteKit
    ("_next/static/chunks/main-app-8b3f1c2d4e5f6a7b.js", YEAR),  # Next.js
    ("_nuxt/entry.BxD1zQ9k.css", YEAR),  # Nuxt
    ("_nuxt/builds/meta/94520237-0f1c-4a80-9b8e-8c2f5a1b8a51.json", YEAR),  # Nuxt
    ("_nuxt/builds/latest.json", "no-cache"),  # Nuxt: an open page learns of a deploy by it
    ("static/js/main.8b3f1c2d.js", YEAR),  # Create React App
    ("static/js/main.8b3f1c2d.chunk.js", YEAR),
    ("index.html", "no-cache"),
    ("assets/logo.png", "no-cache"),
    ("vite.svg", "no-cache"),
    ("static/js/main.js", "no-cache"),
    ("assets/deep/index-DiwrgTda.js", "no-cache"),
]


@pytest.mark.parametrize(("file", "value"), HASHED)
def test_hashed_assets_are_kept_for_a_year(file: str, value: str) -> None:
    for at in ("", "/app"):
        assert fields_of_preset("hashed-assets", file, at=at)["cache-control"] == value


@pytest.mark.parametrize(
    ("file", "active"),
    [
        *((f"a.{suffix}", True) for suffix in ("html", "HTML", "svg", "xml", "js", "pdf", "wasm")),
        *((f"a.{suffix}", True) for suffix in ("html.gz", "xhtml", "css", "zip", "foo", "PNG")),
        ("README", True),
        *((f"a.{suffix}", False) for suffix in ("png", "jpg", "webp", "mp4", "ogg", "txt", "json")),
    ],
)
def test_an_untrusted_file_is_saved_unless_it_is_known_to_be_passive(
    file: str, active: bool
) -> None:
    found = fields_of_preset("untrusted", file)
    assert found["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert (found.get("content-disposition") == "attachment") is active
    assert (found["content-type"] == "application/octet-stream") is active
    assert found["x-content-type-options"] == "nosniff"


def test_a_setting_of_the_user_counts_more_than_a_preset() -> None:
    docs = Settings("x", preset="docs", clean_urls=False)
    assert (docs.clean_urls, docs.not_found) == (False, "**/404.html")
    assert Settings("x", preset=["docs", "spa"]).spa is True


def test_each_preset_names_settings_that_exist() -> None:
    for name, preset in PRESETS.items():
        settings = Settings("x", preset=name)
        for setting, value in preset.settings.items():
            assert getattr(settings, setting) == value
            assert Settings("x", **{setting: value})


def test_downloads_are_saved_and_their_pages_shown() -> None:
    assert fields_of_preset("downloads", "d/a.png")["content-disposition"] == "attachment"
    assert "content-disposition" not in fields_of_preset("downloads", "d/index.html")
    assert "content-disposition" not in fields_of_preset("downloads", "404.html")


# -- the configuration file ------------------------------------------------------------------

CONFIGURATION = """
[mounts]
"/" = { root = ".", preset = ["secure-headers", "untrusted"] }
"/app" = { root = ".", rules = [{ match = "*.gz", coding = "gzip", media_type = false }] }

[[rules]]
match = "/app/**"
headers = { X-A = "1", X-B = false }
"""


def test_a_configuration_is_printed_as_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ASYNCSTATIC_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "asyncstatic.toml"
    file.write_text(CONFIGURATION)
    before = Sources().read({}).mounts
    assert [rule.match for rule in before["/app"].rules] == ["/app/**", "*.gz"], "its own is last"
    printed = CliRunner().invoke(main, ["config"])
    assert printed.exit_code == 0
    file.write_text(
        "".join(line for line in printed.output.splitlines(True) if "added" not in line)
    )
    assert Sources().read({}).mounts == before
    as_json = json.loads(CliRunner().invoke(main, ["config", "--json"]).output)
    assert as_json["mounts"]["/app"]["rules"]["value"][-1]["match"] == "*.gz"


def test_the_schema_knows_the_presets() -> None:
    known = schema([])["properties"]["preset"]["anyOf"][0]["enum"]
    assert sorted(known) == sorted(PRESETS)
