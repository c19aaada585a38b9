"""`asyncstatic.toml`: what it may say, what is refused and how, and which value counts."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic import Settings, SettingsError, StaticFiles
from asyncstatic.cli.commands import config, main
from asyncstatic.cli.options import options_of
from asyncstatic.cli.schema import documentation, schema
from asyncstatic.cli.show_config import _toml
from asyncstatic.config.document import OPTIONS, SETTINGS, find_document
from asyncstatic.config.site import Sources
from asyncstatic.http.redirects import Redirect
from asyncstatic.settings import FIELDS, Rule
from tests.support.site import write_site

FILES = {
    **{f"{name}/index.html": name.encode() for name in ("site", "dist", "media", "base")},
    "other/static/index.html": b"static",
    "file": b"no directory",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with some roots, and no variables."""
    for name in [name for name in os.environ if name.startswith("ASYNCSTATIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(write_site(tmp_path, FILES))
    return tmp_path


def read(place: Path, text: str, *roots: str, **variables: str) -> dict[str, Settings]:
    """Write the file, and return the mounts of the site."""
    (place / "asyncstatic.toml").write_text(text)
    environ = {f"ASYNCSTATIC_{name}": value for name, value in variables.items()}
    return dict(Sources(roots=roots).read(environ).mounts)


# -- what a file may say -----------------------------------------------------------------------

RULES = (
    Rule("/app/assets/**", {"Cache-Control": "max-age=1", "X-Robots-Tag": False}),
    Rule("*.wasm.gz", media_type="application/wasm", coding="gzip"),
)
GOOD = [
    # the file -> prefix: some settings of its root
    pytest.param('root = "site"', {"": {"root": "site"}}, id="one root"),
    pytest.param('[mounts]\n"/" = "site"', {"": {"root": "site"}}, id="a directory"),
    pytest.param(
        '[mounts]\n"/" = "site"\n"/a/" = "dist"',
        {"": {"root": "site"}, "/a": {"root": "dist"}},
        id="two mounts",
    ),
    pytest.param(
        '[mounts]\n"/" = { root = "site", dotfiles = true, deny = "*.bak" }',
        {"": {"dotfiles": True, "deny": ("*.bak",)}},
        id="a table",
    ),
    pytest.param(
        '[mounts."/"]\nroot = "site"\nindex = ["a.html", "b.html"]',
        {"": {"index": ("a.html", "b.html")}},
        id="a table of its own",
    ),
    pytest.param(
        'cors = "*"\ncache_bytes = "1MiB"\n[mounts]\n"/" = "site"\n"/a" = {root = "dist", cors = []}',
        {"": {"cors": ("*",)}, "/a": {"cors": ()}},
        id="settings of all roots",
    ),
    pytest.param(
        '[mounts]\n"/" = ["site", "base"]',
        {"": {"root": "site", "more_roots": ("base",)}},
        id="an overlay",
    ),
    pytest.param(
        '[mounts]\n"/" = { root = ["site", "base"] }',
        {"": {"root": "site", "more_roots": ("base",)}},
        id="an overlay in a table",
    ),
    pytest.param(
        'root = "site"\n[media_types]\n".foo" = "text/x-foo"',
        {"": {"media_types": {".foo": "text/x-foo"}}},
        id="a mapping",
    ),
    pytest.param('bind = ":80"\nworkers = 2\nroot = "site"', {"": {"root": "site"}}, id="options"),
]
GOOD += [
    pytest.param(
        """
        preset = "secure-headers"
        [mounts]
        "/" = "site"
        "/app" = { root = "dist", preset = ["downloads", "hashed-assets"] }
        [[rules]]
        match = "/app/assets/**"
        headers = { Cache-Control = "max-age=1", "X-Robots-Tag" = false }
        [[rules]]
        match = "*.wasm.gz"
        media_type = "application/wasm"
        coding = "gzip"
        """,
        {
            "": {"at": "", "rules": RULES, "preset": ("secure-headers",)},
            "/app": {"at": "/app", "rules": RULES, "preset": ("downloads", "hashed-assets")},
        },
        id="rules and presets",
    ),
    pytest.param(
        """
        rules = [{ match = "/x" }]
        [mounts]
        "/app" = { root = "dist", rules = [{ match = "/app/y" }] }
        """,
        {"/app": {"rules": (Rule("/x"), Rule("/app/y"))}},
        id="rules of a mount come after those of the site",
    ),
]
GOOD += [
    pytest.param(
        """
        [mounts]
        "/" = { root = "site", spa = "index.html" }
        "/app" = { root = "dist", spa = true, error_pages = { 404 = "index.html" } }
        [[redirects]]
        from = "/old/*"
        to = "/new/:splat"
        [[redirects]]
        from = "/app/old/:x"
        to = "/app/new/:x?a=1"
        status = 308
        [[redirects]]
        from = "/app/gone"
        to = "/app"
        [[redirects]]
        from = "/app/out"
        to = "/application?a#b"
        """,
        {
            "": {"spa": "index.html", "redirects": (Redirect("/old/*", "/new/:splat"),)},
            "/app": {
                "spa": True,
                "error_pages": {404: "index.html"},
                "redirects": (
                    Redirect("/old/:x", "/new/:x?a=1", 308),
                    Redirect("/gone", "/"),
                    Redirect("/out", "/../application?a#b"),
                ),
            },
        },
        id="redirects belong to the mount that answers",
    ),
    pytest.param(
        """
        [mounts]
        "/" = "site"
        "/docs" = "dist"
        "/docs/v2" = "dist"
        [[redirects]]
        from = "/docs/*"
        to = "/docs/v2/:splat"
        [[redirects]]
        from = "/*"
        to = "/docs/:splat"
        """,
        {
            "": {"redirects": (Redirect("/*", "/./docs/:splat"),)},
            "/docs": {"redirects": (Redirect("/*", "/../docs/v2/:splat"),)},
            "/docs/v2": {"redirects": ()},
        },
        id="redirects to a mount below are no loop",
    ),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_a_file_describes_the_site(
    place: Path, text: str, expected: dict[str, dict[str, Any]]
) -> None:
    mounts = read(place, text)
    assert mounts.keys() == expected.keys()
    for prefix, settings in expected.items():
        for name, value in settings.items():
            assert getattr(mounts[prefix], name) == value


def test_a_folder_of_a_package_is_a_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(place, {"some_pkg/__init__.py": b"raise SystemExit", "some_pkg/static/a": b"a"})
    monkeypatch.syspath_prepend(place)
    mounts = read(place, 'root = "package:some_pkg/static"')
    assert mounts[""].root == str(place / "some_pkg" / "static")
    assert Settings("package:some_pkg/static") == mounts[""]


def test_a_package_in_one_that_cannot_be_imported_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(place, {"broken/__init__.py": b"1 / 0", "broken/inner/__init__.py": b""})
    monkeypatch.syspath_prepend(place)
    with pytest.raises(SettingsError) as refused:
        Settings("package:broken.inner/static")
    assert str(refused.value) == (
        "root package:broken.inner/static: broken.inner: a package around it cannot be imported: "
        "ZeroDivisionError: division by zero"
    )


def test_an_archive_and_a_directory_in_it_are_roots(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(place / "x.whl", "w") as archive:
        archive.writestr("zipped_pkg/__init__.py", "raise SystemExit")
        archive.writestr("zipped_pkg/static/a.txt", "a")
    monkeypatch.syspath_prepend(place / "x.whl")
    text = """
    [mounts]
    "/" = "x.whl"
    "/in" = "x.whl/zipped_pkg/static"
    "/pkg" = "package:zipped_pkg/static"
    """
    mounts = read(place, text)
    assert mounts["/pkg"].root == str(place / "x.whl/zipped_pkg/static")
    for settings in mounts.values():
        StaticFiles(settings).close()
    assert run().count("x.whl") == 3


def test_limits_are_settings_of_all_roots(place: Path) -> None:
    mounts = read(place, 'cache_bytes = "1MiB"\n[mounts]\n"/" = "site"\n"/a" = "dist"')
    assert {settings.limits.cache_bytes for settings in mounts.values()} == {1 << 20}


def test_paths_are_relative_to_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "other" / "x.toml").write_text('certfile = "a.pem"\nbind = "unix:s"\nroot = "static"')
    document = find_document("other/x.toml")
    assert document is not None
    assert document.settings["root"].value == "other/static"
    assert document.options["certfile"].value == "other/a.pem"
    assert document.options["bind"].value == "unix:other/s"


def test_a_home_directory_may_be_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    assert read(place, 'root = "~/site"')[""].root == str(place / "site")
    assert read(place, "", "/m=~/site")["/m"].root == str(place / "site")


def test_pyproject_has_a_table(place: Path) -> None:
    (place / "pyproject.toml").write_text('[tool.asyncstatic.mounts]\n"/" = "dist"')
    assert Sources().read({}).mounts[""].root == "dist"
    assert read(place, 'root = "site"')[""].root == "site"  # asyncstatic.toml counts more


def test_a_mistake_in_pyproject_has_its_line(place: Path) -> None:
    (place / "pyproject.toml").write_text('[project]\n[tool.asyncstatic]\nrot = "dist"')
    with pytest.raises(SettingsError, match=r"^pyproject\.toml:3: rot: unknown key"):
        find_document(None)


def test_a_byte_order_mark_is_skipped(place: Path) -> None:
    assert read(place, '\ufeffroot = "dist"')[""].root == "dist"


def test_a_pyproject_without_our_table_is_no_configuration(place: Path) -> None:
    (place / "pyproject.toml").write_text("[tool.other]\nx = 1")
    assert find_document(None) is None
    with pytest.raises(
        SettingsError, match=r"^pyproject.toml: it has no table \[tool.asyncstatic\]"
    ):
        find_document("pyproject.toml")


def test_the_file_itself_is_never_served(place: Path) -> None:
    (place / "static").mkdir()
    assert read(place, 'root = "."')[""].deny == ("asyncstatic.toml",)
    assert read(place, 'root = "site"')[""].deny == ()


_COMMAND: click.Command = config
SCHEMA = schema(options_of(_COMMAND))


# -- what is refused ---------------------------------------------------------------------------

BAD = [
    # the file, the whole message after "asyncstatic.toml:"
    ('rot = "site"', "1: rot: unknown key; did you mean root?"),
    ('[mount]\n"/" = "site"', "1: mount: unknown key; did you mean mounts?"),
    ("log-format = 1", "1: log-format: unknown key; did you mean log_format?"),
    (
        '[mounts]\n"/" = "site"\n"/app" = { root = "dist", dotfile = true }',
        '3: mounts."/app".dotfile: unknown key; did you mean dotfiles?',
    ),
    (
        '[mounts]\n"/" = "site"\nworkers = 2',
        "3: mounts.workers: this is a key of the whole file: write it above the first [table]",
    ),
    (
        '[mounts]\n"/" = { root = "site", bind = ":80" }',
        '2: mounts."/".bind: this is a key of the whole file: write it above the first [table]',
    ),
    ('[mounts]\n"app" = "dist"', '2: mounts.app: a path such as "/" or "/app" is needed'),
    ('[mounts]\n"/a?b" = "dist"', '2: mounts."/a?b": a path such as "/" or "/app" is needed'),
    ('[mounts]\n"/a/../b" = "dist"', '2: mounts."/a/../b": a path such as "/" or "/app" is needed'),
    ('[mounts]\n"/./a" = "dist"', '2: mounts."/./a": a path such as "/" or "/app" is needed'),
    (
        '[mounts]\n"/a" = "site"\n"/a/" = "dist"',
        '3: mounts."/a/": this prefix is named twice; leave one of them out',
    ),
    ('[mounts]\n"/" = "stie"', '2: mounts."/": stie does not exist; did you mean site?'),
    ('root = "zzz"', "1: root: zzz does not exist; create it or name another"),
    ('root = ["site", "bsae"]', "1: root: bsae does not exist; did you mean base?"),
    ("root = 1", "1: root: the path of a directory is needed, or a list of them"),
    ("root = []", "1: root: the path of a directory is needed, or a list of them"),
    (
        'root = "package:no_such_pkg/x"',
        "1: root: package:no_such_pkg/x: no_such_pkg is not an installed package",
    ),
    ('[mounts]\n"/" = 1', '2: mounts."/": a directory, a list of them, or a table is needed'),
    ('[mounts]\n"/" = {}', '2: mounts."/": the root is missing: root = "DIRECTORY"'),
    ("mounts = 1", '1: mounts: a table is needed: "/" = "site"'),
    (
        'root = "site"\n[mounts]\n"/" = "site"',
        '1: root: not beside [mounts]: say "/" = "DIRECTORY" there',
    ),
    ('dotfiles = "yes"', "1: dotfiles: true or false is needed, without quotes"),
    ("deny = [1]", "1: deny: a list of non-empty strings is needed"),
    ("cache_bytes = -1", "1: cache_bytes: a number from 0 up is needed"),
    ('cache_bytes = "1x"', "1: cache_bytes: a number is needed, or a size such as 64KiB or 128MiB"),
    ('symlinks = "all"', "1: symlinks: choose one of within_root, deny, follow"),
    (
        '\ncors = "HTTPS://x"',
        "2: cors: an origin is needed: * or scheme://host[:port], such as https://x",
    ),
    ("pool_timeout = 1979-05-27", "1: pool_timeout: a number from 0 up is needed"),
    ("a b = 1", "1: not TOML: Expected '=' after a key in a key/value pair at column 3"),
    ("root = site", "1: not TOML: Invalid value at column 8; put text in quotes"),
    ("\na = [1", "2: not TOML: Unclosed array at the end"),
    ('root = "site"\nroot = "x"', "2: not TOML: Cannot overwrite a value at the end"),
]
BAD += [
    ('\n[[rules]]\nmach = "/a"', "3: rules[0].mach: unknown key; did you mean match?"),
    (
        "[[rules]]\nx = 1",
        "2: rules[0].x: unknown key; known are coding, headers, match, media_type",
    ),
    ("[[rules]]\nheaders = {}", "1: rules[0]: match is needed, a glob such as /assets/** or *.js"),
    ("rules = 1", "1: rules: 1: a rule is needed, Rule(match, headers=...)"),
    (
        '[[rules]]\nmatch = "/a"\n[[rules]]\nmatch = "/["',
        (
            "4: rules[1].match: rule '/[': match: there are no character classes: write ? or {a,b}, "
            r"or \[ for a bracket itself"
        ),
    ),
    (
        '[[rules]]\nmatch = "/a"\n[rules.headers]\nX-A = "1"\nETag = "x"',
        (
            "5: rules[0].headers.ETag: rule '/a': headers: ETag cannot be set: it tells versions "
            "apart, so only the server can know it; see the setting etag"
        ),
    ),
    (
        '[[rules]]\nmatch = "/a"\nheaders = { Cache-Control = "" }',
        (
            "3: rules[0].headers.Cache-Control: rule '/a': headers: Cache-Control='': printable "
            "ASCII is needed, or false to remove the field"
        ),
    ),
    ('root = "site"\nat = "/x"', "2: at: unknown key; asyncstatic config prints all"),
    (
        'redirects = [{ frm = "/a", to = "/b" }]',
        "1: redirects[0].frm: unknown key; did you mean from?",
    ),
    (
        '\n[[redirects]]\nfrom = "a"\nto = "/b"',
        "3: redirects[0].from: from 'a': a path from the root is needed, such as /old/*",
    ),
    (
        '[[redirects]]\nfrom = "/a"\nto = "/:x"',
        "3: redirects[0].to: to '/:x': /a has no :x; write %3A for a plain colon",
    ),
    (
        '[[redirects]]\nfrom = "/a"\nto = "/b"\nstatus = 200',
        (
            "4: redirects[0].status: /a: the status 200 is no redirect; choose one of 301, 302, "
            "307, 308"
        ),
    ),
    ('root = "site"\npreset = "download"', "2: preset='download': did you mean downloads?"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_mistake_is_one_line_with_file_line_and_key(place: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(place, text)
    assert str(raised.value) == f"asyncstatic.toml:{says}"


_KEYS = st.sampled_from(
    [
        *SETTINGS,
        *OPTIONS,
        "mounts",
        "/",
        "/app",
        "/app/",
        "app",
        "match",
        "headers",
        "from",
        "at",
        "",
    ]
)
_VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-2, 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["site", "dist", "*", "1MiB", "off", "", "\0", "a/b", "#", "é\u202e"]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3), st.dictionaries(_KEYS, values, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("configuration"), FILES)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_document_is_read_or_refused_with_lines(
    shared_place: Path, data: dict[str, Any]
) -> None:
    text = "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in data.items())
    path = shared_place / "any.toml"
    path.write_text(text)
    jsonschema.Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text))
    try:
        Sources(config=str(path)).read({"ASYNCSTATIC_ROOT": str(shared_place / "site")})
    except SettingsError as error:
        for line in str(error).splitlines():
            assert line.startswith(f"{path}:"), line
            assert line.isprintable()


def test_each_mistake_has_its_line(place: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read(place, 'dotfiles = 1\ndney = "x"\n[mounts]\n"/" = "stie"')
    assert [line.split(":")[1] for line in str(raised.value).splitlines()] == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n\xff", "asyncstatic.toml:2: not UTF-8; save it as UTF-8"),
        (None, "asyncstatic.toml: Is a directory; name a configuration file that can be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    place: Path, content: bytes | None, says: str
) -> None:
    path = place / "asyncstatic.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        find_document("asyncstatic.toml")
    assert str(raised.value) == says


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^no\.toml: No such file or directory; name a config"):
        find_document("no.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'root = "site"\nunchanging = true\nprevious_root_grace = 3',
            "3: previous_root_grace=3.0: not together",
        ),
        (
            '[mounts]\n"/" = { root = "site", listing_zip = "1k" }',
            "2: listing_zip=1024: listing=True is needed",
        ),
        (
            '[mounts]\n"/" = { root = "site", listing_template = "t" }',
            "2: listing_template='t': listing=True is needed",
        ),
        (
            '[mounts]\n"/a" = { root = "dist", redirects = [["/a/x", "/a/y"], ["/a/y", "/a/x"]] }',
            '2: mounts."/a".redirects[0]: /a/x -> /a/y: this redirect leads into a loop',
        ),
        (
            'redirects = [\n["/c", "/d"],\n["/a", "/b"],\n["/b", "/a"]]\nroot = "site"',
            "3: redirects[1]: /a -> /b: this redirect leads into a loop",
        ),
        (
            """[mounts]
            "/" = { root = "site", redirects = [["/x", "/a/x"]] }
            "/a" = { root = "dist", redirects = [["/a/y", "/"], ["/a/x", "/x"]] }""",
            '2: mounts."/".redirects[0]: /x -> /a/x: this redirect leads into a loop',
        ),
        ('\nroot = "/proc"', "2: root /proc is the system's own"),
        ('[mounts]\n"/" = "site"\n"/x" = "/sys"', "3: root /sys is the system's own"),
    ],
)
def test_a_problem_with_a_whole_root_names_the_line(place: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(place, text)
    assert str(raised.value).startswith(f"asyncstatic.toml:{says}")


def test_a_problem_of_a_whole_root_names_the_variable(place: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"^ASYNCSTATIC_LISTING_ZIP: listing_zip=1024: listing=True"
    ):
        read(place, 'root = "site"', LISTING_ZIP="1k")


# -- which value counts ------------------------------------------------------------------------

TEXT = 'deny = "top"\n[mounts]\n"/" = "site"\n"/a" = { root = "dist", deny = "own" }'


@pytest.mark.parametrize(
    ("variables", "denied"),
    [
        ({}, {"": "top", "/a": "own"}),
        ({"DENY": "variable"}, {"": "variable", "/a": "variable"}),
    ],
)
def test_a_variable_counts_more_than_the_file(
    place: Path, variables: dict[str, str], denied: dict[str, str]
) -> None:
    mounts = read(place, TEXT, **variables)
    assert {prefix: settings.deny for prefix, settings in mounts.items()} == {
        prefix: (name,) for prefix, name in denied.items()
    }


def test_rules_and_redirects_of_a_variable_are_added_to_those_of_the_file(place: Path) -> None:
    """And count more: of rules the last one counts, of redirects the first one."""
    text = """
    [[rules]]
    match = "top"
    [[redirects]]
    from = "/a/top"
    to = "/x"
    [mounts]
    "/" = "site"
    "/a" = { root = "dist", rules = { match = "own" }, redirects = [["/a/own", "/x"]] }
    """
    mounts = read(place, text, RULES='{"match": "variable"}', REDIRECTS="/a/variable /x")
    found = {prefix: [rule.match for rule in each.rules] for prefix, each in mounts.items()}
    assert found == {"": ["top", "variable"], "/a": ["top", "own", "variable"]}
    sources = [redirect.source for redirect in mounts["/a"].redirects]
    assert sources == ["/variable", "/own", "/top"]
    told = run(RULES='{"match": "variable"}', REDIRECTS="/a/variable /x")
    assert read(place, told) == mounts


@pytest.mark.parametrize(
    ("roots", "variables", "expected"),
    [
        ((), {"ROOT": "media"}, {"": "media"}),
        (("base",), {"ROOT": "media"}, {"": "base"}),
        (("/=base", "/m=media"), {}, {"": "base", "/m": "media"}),
        (("/m/=media",), {}, {"/m": "media"}),
    ],
)
def test_roots_of_the_command_line_and_environment_replace_the_mounts(
    place: Path, roots: tuple[str, ...], variables: dict[str, str], expected: dict[str, str]
) -> None:
    mounts = read(place, TEXT, *roots, **variables)
    assert {prefix: settings.root for prefix, settings in mounts.items()} == expected
    assert {settings.deny for settings in mounts.values()} == {("top",)}  # of all roots


def test_an_overlay_is_named_with_commas(place: Path) -> None:
    (place / "x,y").mkdir()
    assert read(place, "", "site,base")[""].more_roots == ("base",)
    assert read(place, "", ROOT="site,base")[""].more_roots == ("base",)
    assert read(place, "", "x,y")[""] == Settings("x,y")


@pytest.mark.parametrize(
    ("roots", "says"),
    [
        (("/=site", "dist"), "^dist: say PREFIX=ROOT for each of several roots"),
        (("/=site", "/=base"), "^/=base: / is named twice; for an overlay say /=site,base$"),
        (("/a//b=site",), "^/a//b=site: a path such as /static is needed"),
        (("/../b=site",), "^/../b=site: a path such as /static is needed"),
        (("/=",), "the name of the directory is empty"),
    ],
)
def test_wrong_roots_of_the_command_line_are_refused(
    place: Path, roots: tuple[str, ...], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        read(place, "", *roots)


def test_a_name_that_a_mount_hides_is_told(place: Path) -> None:
    (place / "site" / "a").mkdir()
    (place / "asyncstatic.toml").write_text('[mounts]\n"/" = "site"\n"/a" = "dist"\n"/b" = "dist"')
    assert list(Sources().read({}).warnings()) == ["site/a is not served: the mount /a hides it"]


def test_a_variable_that_moves_no_root_is_told(place: Path) -> None:
    site = Sources(roots=(str(place / "site"),)).read({"ASYNCSTATIC_AT": "/docs"})
    assert list(site.mounts) == [""]
    assert list(site.warnings()) == [
        "ASYNCSTATIC_AT is ignored: mount a root as asyncstatic serve /PREFIX=ROOT, or in [mounts]"
    ]


@pytest.mark.parametrize(
    ("around", "closed", "open_at"),
    [
        ('"/" = "site"', '"/m" = { root = "site/a", users = "u" }', "/a"),
        ('"/" = "site"', '"/m" = { root = "site/a", allow_from = "10.0.0.0/8" }', "/a"),
        (
            '"/x" = ["dist", "site"]',
            '"/m" = { root = ["alone", "site/a"], deny_from = "::1" }',
            "/x/a",
        ),
        ('"/" = "site"', '"/m" = { root = "site", users = "u" }', "/"),
        ('"/" = "site"', '"/a" = { root = "site/a", users = "u" }', None),
        ('"/" = "site"', '"/m" = { root = "dist", users = "u" }', None),
        ('"/" = "site"', '"/m" = { root = "site/a", rate_limit = "1/s" }', None),
        ('"/" = { root = "site", deny = "a" }', '"/m" = { root = "site/a", users = "u" }', None),
        ('"/" = { root = "site", users = "u" }', '"/m" = { root = "site/a", users = "u" }', None),
        ('"/" = "site"\n"/a" = "dist"', '"/m" = { root = "site/a", users = "u" }', None),
    ],
)
def test_a_closed_root_that_is_open_elsewhere_is_told(
    place: Path, around: str, closed: str, open_at: str | None
) -> None:
    (place / "site" / "a").mkdir()
    (place / "alone").mkdir()
    (place / "asyncstatic.toml").write_text(f"[mounts]\n{around}\n{closed}")
    told = [line for line in Sources().read({}).warnings() if "is not served" not in line]
    prefix = closed[1:].partition('"')[0]
    says = f" is open at {open_at}, and closed at {prefix}: move it, or name it in deny"
    assert [line[line.index(" is open") :] for line in told] == ([says] if open_at else [])


def test_a_redirect_without_effect_is_told(place: Path) -> None:
    text = """
    redirects = [["/b/*", "/x"], ["/c", "/x"]]
    [mounts]
    "/a" = { root = "dist", redirects = [["/x", "/y"], ["/a/x", "/a/y"]] }
    "/b" = "site"
    """
    (place / "asyncstatic.toml").write_text(text)
    warnings = list(Sources().read({"ASYNCSTATIC_REDIRECTS": "/a/v /x"}).warnings())
    problem = "no effect, because its mount does not answer this path; begin with the prefix"
    assert [line.partition("redirect from ")[2] for line in warnings] == [
        f"/x: {problem}",
        f"/c: {problem}",
    ]


def test_a_rule_without_effect_is_told(place: Path) -> None:
    text = """
    rules = [{ match = "/b/**" }, { match = "*.js" }, { match = "/c/x" }]
    [mounts]
    "/a" = { root = "dist", rules = [{ match = "/x/**" }, { match = "/a/x" }] }
    "/b" = "site"
    """
    (place / "asyncstatic.toml").write_text(text)
    warnings = list(Sources().read({"ASYNCSTATIC_RULES": '[{"match": "/v"}]'}).warnings())
    problem = "no effect, because its mount has no file with such a path; begin with the prefix"
    told = [line.partition(": rule ")[2] for line in warnings]
    assert told == [f"{match}: {problem}" for match in ("/c/x", "/x/**", "/v")]
    (place / "asyncstatic.toml").write_text("rules = [{ match = '/c/x' }]\nroot = 'site'")
    assert list(Sources().read({}).warnings()) == []


# -- `asyncstatic config` ----------------------------------------------------------------------


def run(*arguments: str, **variables: str) -> str:
    environ = {f"ASYNCSTATIC_{name}": value for name, value in variables.items()}
    result = CliRunner().invoke(main, ["config", *arguments], env=environ)
    assert result.exit_code == 0, result.output
    return result.output


def test_each_value_is_told_with_its_origin(place: Path) -> None:
    (place / "asyncstatic.toml").write_text(f"workers = 2\nkeep_alive = 5\n{TEXT}")
    told = json.loads(run("--json", "--log-format", "json", "--set", "cors=*", KEEP_ALIVE="9"))
    options, mounts = told["options"], told["mounts"]
    assert told["file"] == "asyncstatic.toml"
    assert options["workers"] == {"value": 2, "origin": "asyncstatic.toml:1"}
    assert options["keep_alive"] == {"value": 9.0, "origin": "ASYNCSTATIC_KEEP_ALIVE"}
    assert options["log_format"] == {"value": "json", "origin": "--log-format"}
    assert options["sandbox"] == {"value": False, "origin": "default"}
    assert options["bind"] == {"value": ["127.0.0.1:8000"], "origin": "default"}
    assert mounts["/"]["deny"] == {"value": ["top"], "origin": "asyncstatic.toml:3"}
    assert mounts["/a"]["deny"] == {"value": ["own"], "origin": "asyncstatic.toml:6"}
    assert mounts["/a"]["cors"] == {"value": ["*"], "origin": "--set cors=*"}
    assert mounts["/a"]["etag"] == {"value": "auto", "origin": "default"}


def test_the_mode_of_a_socket_is_told_as_it_is_written(place: Path) -> None:
    arguments = (str(place / "site"), "--bind", "unix:s", "--socket-mode", "660")
    told = json.loads(run("--json", *arguments))["options"]
    assert told["socket_mode"] == {"value": "660", "origin": "--socket-mode"}
    assert "\nsocket_mode = " in run(*arguments)


def test_what_a_preset_sets_is_told(place: Path) -> None:
    told = read_told(place, '[mounts]\n"/" = { root = "site", preset = "docs" }')
    assert "clean_urls = true # preset docs" in told
    told = read_told(
        place, '[mounts]\n"/" = { root = "site", preset = "docs", clean_urls = false }'
    )
    assert "clean_urls = false # asyncstatic.toml:2" in told


def read_told(place: Path, text: str) -> list[str]:
    """Return the lines that are told of a file, with single spaces."""
    (place / "asyncstatic.toml").write_text(text)
    return [" ".join(line.split()) for line in run().splitlines()]


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_passwords_are_not_told(place: Path, arguments: tuple[str, ...]) -> None:
    """Nor their hashes: they may be guessed."""
    hash_ = "$2b$04$Jf2Y8LNVxkEDxFJfpfmBxO0BTLpxxFPNFNAqdfIxKEMAMmmLQnKSy"
    text = f"[mounts]\n'/' = {{ root = 'site', users = {{ alice = '{hash_}' }} }}"
    (place / "asyncstatic.toml").write_text(text)
    told = run(*arguments)
    assert "alice" in told
    assert hash_ not in told


def test_the_command_checks_the_roots(place: Path) -> None:
    (place / "asyncstatic.toml").write_text('root = "site"\nnot_found = "none.html"')
    result = CliRunner().invoke(main, ["config"])
    assert result.exit_code == 2
    assert "Error: asyncstatic.toml:2: not_found='none.html': " in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tls-bind", ":443"], "--tls-bind needs a certificate"),
        (["--redirect-https"], "--redirect-https needs an address without TLS and one with it"),
        (["--reload", "--workers", "2"], "--reload is for development: leave --workers out"),
        (["--health", "/a", "--metrics", "/a"], "--health and --metrics are both /a"),
        (["--access-logfile", "."], "--access-logfile .: Is a directory"),
        (["--proxy-protocol"], "--proxy-protocol needs --trusted-proxies"),
        (["--port", "80"], "no --port here: say --bind 127.0.0.1:80"),
        (["--open", "--bind", "unix:s"], "--open needs an address that a browser can open"),
        (["--sandbox", "--reload"], "--sandbox needs Linux 5.13 with Landlock, and cannot be"),
        (["missing:app"], "missing:app: there is no module missing"),
        (["missing:app", "--sandbox"], "--sandbox is for a directory"),
        (["missing:app", "--reload"], "--reload is for a directory"),
    ],
)
def test_the_command_checks_the_options_of_the_server(
    place: Path, arguments: list[str], says: str
) -> None:
    if arguments[0].startswith("-"):
        arguments = [str(place / "site"), *arguments]
    result = CliRunner().invoke(main, ["config", *arguments])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert result.output.startswith(f"Error: {says}")


@pytest.mark.parametrize("text", [param.values[0] for param in GOOD])
def test_what_is_told_is_a_file_with_the_same_meaning(place: Path, text: str) -> None:
    before = read(place, text)
    told = run()
    assert "# asyncstatic.toml:" in told
    assert read(place, told) == before
    assert {name for name in tomllib.loads(told) if name in OPTIONS} <= OPTIONS
    assert [line.partition("  # ")[0] for line in run().splitlines()] == [
        line.partition("  # ")[0] for line in told.splitlines()
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers = 0", "'asyncstatic.toml:1: workers': 0 is not in the range x>=1"),
        ("workers = true", "^Error: asyncstatic.toml:1: workers: a number without a fraction is"),
        ('workers = "2"', "^Error: asyncstatic.toml:1: workers: a number without a fraction is"),
        ('sandbox = "no"', "^Error: asyncstatic.toml:1: sandbox: true or false is needed"),
        ("bind = 80", "^Error: asyncstatic.toml:1: bind: text in quotes is needed, or a list of"),
        ('pid = ["a"]', "^Error: asyncstatic.toml:1: pid: text in quotes is needed$"),
        ('log_format = "xml"', "'asyncstatic.toml:1: log_format': 'xml' is not one of"),
        ('keyfile = "file"', "name one asyncstatic.toml:1: keyfile for each --certfile"),
        ('socket_mode = "rw"', "^Error: asyncstatic.toml:1: socket_mode rw: say an octal mode"),
    ],
)
def test_a_wrong_option_names_file_line_and_key(place: Path, text: str, says: str) -> None:
    (place / "asyncstatic.toml").write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "asyncstatic", "serve", "site"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 2
    assert re.search(says, result.stderr.strip().splitlines()[-1]), result


# -- the schema --------------------------------------------------------------------------------


def is_valid(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text)))


def test_the_schema_is_one(place: Path) -> None:
    """It is printed beside a wrong file, which an editor may have to complete."""
    (place / "asyncstatic.toml").write_text("wrong")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(run("--schema")) == SCHEMA


@pytest.mark.parametrize("text", [param.values[0] for param in GOOD])
def test_the_schema_allows_good_files(text: str) -> None:
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "[[rules]]\nheaders = {}",
        '[[rules]]\nmatch = "/a"\nheaders = { X-A = true }',
        'rot = "site"',
        'dotfiles = "yes"',
        "cache_bytes = -1",
        'cache_bytes = "1XB"',
        'symlinks = "all"',
        "workers = 0",
        'log_format = "xml"',
        '[mounts]\n"app" = "dist"',
        '[mounts]\n"/" = {}',
        '[mounts]\n"/" = { root = "site", spaa = true }',
        '[mounts]\n"/" = { root = "site", workers = 2 }',
        "[media_types]\n'.x' = 1",
    ],
)
def test_the_schema_refuses_bad_files(text: str) -> None:
    assert not is_valid(text)


def test_the_schema_has_every_key() -> None:
    assert SCHEMA["properties"].keys() == {*SETTINGS, *OPTIONS, "mounts"}
    assert SCHEMA["$defs"]["mount"]["properties"].keys() == set(SETTINGS)


@pytest.mark.parametrize("name", FIELDS)
def test_the_schema_explains_every_setting(name: str) -> None:
    assert documentation(name)


# -- the documentation -------------------------------------------------------------------------

PROJECT = Path(__file__).parents[1]


@pytest.mark.skipif(not (PROJECT / ".ci").exists(), reason="tested without the source tree")
def test_the_documentation_has_the_table_of_all_keys() -> None:
    """`python .ci/configuration_keys.py` writes it."""
    names = runpy.run_path(str(PROJECT / ".ci" / "configuration_keys.py"))
    page = (PROJECT / "docs" / "configuration.md").read_text()
    assert names["replaced"](page) == page


EXAMPLES = re.findall(
    r"```toml\n(.*?)```",
    "".join((PROJECT / name).read_text() for name in ("README.md", "docs/configuration.md"))
    if (PROJECT / "README.md").exists()
    else "",
    re.DOTALL,
)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_documentation_can_be_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    write_site(place, {"theme/t": b"", "Videos/v": b"", "bootstrap_pkg/static/b": b""})
    write_site(place, {"bootstrap_pkg/__init__.py": b""})
    for name in ("vendor.zip", "site.whl"):
        with zipfile.ZipFile(place / name, "w") as archive:
            archive.writestr("pkg/static/a.txt", b"")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("HOME", str(place))
    assert is_valid(text)
    if "[mounts]" in text:
        assert {"", "/app"} <= read(place, text).keys()
