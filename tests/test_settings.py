"""Settings: from keywords and from the environment, checked once, with one line that helps."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.config.environment import option_of_assignment, options_of
from asyncstatic.http.redirects import Redirect
from asyncstatic.settings import Limits, Settings, SettingsError
from asyncstatic.settings.limits import LimitOptions, Size
from asyncstatic.settings.root import Names, RootOptions, SettingsOptions, Users
from asyncstatic.settings.rules import Rule, Rules
from asyncstatic.settings.values import SIZES

ROOT_NAMES = [field.name for field in fields(Settings) if field.name != "limits"]
LIMIT_NAMES = [field.name for field in fields(Limits)]


def value_of(settings: Settings, name: str) -> object:
    """Return the value of a setting, whichever kind it is."""
    return getattr(settings.limits if name in LIMIT_NAMES else settings, name)


# -- keyword arguments -----------------------------------------------------------------------


def test_the_defaults_are_safe() -> None:
    settings = Settings()
    assert settings.symlinks == "within_root"
    assert not settings.dotfiles
    assert settings.cache_control == "no-cache"
    assert settings.cors == ()
    assert settings.etag == "auto"


@pytest.mark.parametrize(
    ("name", "given_", "kept"),
    [
        pytest.param("index", "home.html", ("home.html",), id="one name"),
        pytest.param("index", ["a.html", "b.html"], ("a.html", "b.html"), id="a list"),
        pytest.param("index", (), (), id="no index at all"),
        pytest.param("deny", {"*.bak"}, ("*.bak",), id="a set"),
        pytest.param("cors", "*", ("*",), id="everybody"),
        pytest.param("pool_timeout", 5, 5.0, id="an integer of seconds"),
        pytest.param("cache_bytes", "64MiB", 64 << 20, id="a size with its unit"),
        pytest.param("send_timeout", 30, 30.0, id="an integer of other seconds"),
        pytest.param("deny", "*.bak", ("*.bak",), id="one pattern"),
        pytest.param("root", Path("site"), "site", id="a Path"),
        pytest.param("media_types", {".FOO": "a/b"}, {".foo": "a/b"}, id="a suffix in capitals"),
        pytest.param("cache_bytes", 0, 0, id="no cache"),
        pytest.param("dotfiles", True, True, id="a switch"),
        pytest.param("symlinks", "deny", "deny", id="a choice"),
        pytest.param("media_types", {".foo": "text/x-foo"}, {".foo": "text/x-foo"}, id="a mapping"),
        pytest.param("spa", True, True, id="the first index"),
        pytest.param("spa", "shell.html", "shell.html", id="a shell"),
        pytest.param(
            "redirects",
            [("/a", "/b"), {"from": "/c", "to": "/d", "status": 302}, Redirect("/e", "/f", 308)],
            (Redirect("/a", "/b"), Redirect("/c", "/d", 302), Redirect("/e", "/f", 308)),
            id="redirects",
        ),
    ],
)
def test_keywords_are_taken_in_their_natural_form(name: str, given_: Any, kept: object) -> None:
    value = value_of(Settings(**{"root": "x", name: given_}), name)
    assert value == kept
    assert type(value) is type(kept) or name == "media_types"


def test_a_mapping_that_is_changed_later_changes_no_settings() -> None:
    types = {".foo": "text/x-foo"}
    settings = Settings("x", media_types=types)
    types[".foo"] = "text/html"
    assert settings.media_types == {".foo": "text/x-foo"}


# What a caller may write for a field of a type, in the words of `asyncstatic.settings`.
WRITTEN: dict[Any, Any] = {
    tuple[str, ...]: Names,
    tuple[Redirect, ...]: Iterable[Redirect],
    tuple[Rule, ...]: Rules,
    str | Mapping[str, str] | None: Users,
}
KINDS = [
    pytest.param(Settings, RootOptions, {"root", "limits"}, id="of a root"),
    pytest.param(Limits, LimitOptions, set(), id="of the process"),
]


@pytest.mark.parametrize(("kind", "keywords", "others"), KINDS)
def test_the_keywords_that_mypy_knows_are_the_fields(
    kind: Any, keywords: Any, others: set[str]
) -> None:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in others}
    known = get_type_hints(keywords)
    assert list(known) == list(hints)
    for name, hint in hints.items():
        assert known[name] == (Size if name in SIZES else WRITTEN.get(hint, hint)), name


def test_both_kinds_may_be_named_together() -> None:
    both = RootOptions.__annotations__ | LimitOptions.__annotations__
    assert SettingsOptions.__annotations__.keys() == {*both, "limits"}
    settings = Settings("x", dotfiles=True, pool_threads=2)
    assert settings == Settings("x", dotfiles=True, limits=Limits(pool_threads=2))


def test_a_limit_counts_more_than_the_limits_beside_it() -> None:
    limits = Limits(cache_bytes=5, pool_threads=2)
    assert Settings("x", limits=limits).limits is limits
    assert Settings("x", limits=limits, pool_threads=3).limits == Limits(
        cache_bytes=5, pool_threads=3
    )


def test_the_root_may_be_named_by_its_place_or_its_keyword() -> None:
    assert Settings("x", index=["a"]) == Settings(root="x", index=["a"])


def test_a_limit_is_named_alike_on_the_command_line_and_in_the_environment() -> None:
    variables = {"ASYNCSTATIC_ROOT": "x", "ASYNCSTATIC_POOL_THREADS": "3"}
    overrides = dict([option_of_assignment("cache_bytes=1MiB")])
    settings = Settings.from_environment(variables, **overrides)
    assert settings == Settings("x", limits=Limits(pool_threads=3, cache_bytes="1MiB"))


@pytest.mark.parametrize("kind", [Settings, Limits])
def test_settings_survive_a_copy_for_another_process(kind: Any) -> None:
    settings = kind(cache_bytes="1MiB")
    assert pickle.loads(pickle.dumps(settings)) == settings == replace(settings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dotfiles=maybe", "--set dotfiles=maybe: say 1 or 0"),
        ("symlinks=Deny", "--set symlinks=Deny: choose one of within_root, deny, follow"),
        ("pool_threads=0", "--set pool_threads=0: at least 1 is needed"),
        ("pool_threads=2.5", "--set pool_threads=2.5: a number is needed"),
        ("indx=a", "--set indx=a: unknown setting, did you mean index?"),
        ("=a", "--set =a: unknown setting, asyncstatic config prints all"),
        ("at=/x", "--set at=/x: unknown setting, "),
        ("dotfiles", "--set dotfiles: say NAME=VALUE"),
        ("root=site", "--set root=site: name the directory as the argument, asyncstatic serve DIR"),
    ],
)
def test_a_wrong_assignment_is_reported_as_it_was_written(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        option_of_assignment(text)
    assert str(raised.value).startswith(says)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().root = "/"  # type: ignore[misc]  # what must not work


# -- what is wrong ---------------------------------------------------------------------------


def test_for_an_unknown_limit_only_limits_are_proposed() -> None:
    with pytest.raises(SettingsError, match=r"known are cache_bytes, .*, send_timeout$"):
        Limits(dotfile=True)  # type: ignore[call-arg]  # the mistake


WRONG: list[Any] = [
    pytest.param({"idnex": "x"}, "did you mean index?", id="a typo"),
    pytest.param(
        {"frobnicate": 1}, "frobnicate: asyncstatic config prints all", id="no such setting"
    ),
    pytest.param({"symlinks": "maybe"}, "choose one of within_root, deny, follow", id="choice"),
    pytest.param({"etag": None}, "choose one of auto, content, off", id="None for a choice"),
    pytest.param({"resolver": "realpath"}, "choose one of auto, openat2, walk", id="resolver"),
    pytest.param({"dotfiles": "yes"}, "bool is needed", id="text for a switch"),
    pytest.param({"dotfiles": 1}, "bool is needed", id="number for a switch"),
    pytest.param({"max_target": "4096"}, "a number", id="text for a number"),
    pytest.param({"max_target": True}, "a number", id="switch for a number"),
    pytest.param({"max_target": 1.5}, "a number", id="fraction of a byte"),
    pytest.param({"max_target": 0}, "at least 1", id="no target at all"),
    pytest.param({"max_target": -1}, "a number from 0 up", id="negative"),
    pytest.param({"pool_threads": 0}, "at least 1", id="no threads"),
    pytest.param({"pool_timeout": 0}, "above 0", id="no patience"),
    pytest.param({"send_timeout": 0.0}, "above 0", id="no patience with clients"),
    pytest.param({"pool_timeout": float("nan")}, "a number", id="not a number"),
    pytest.param({"pool_timeout": float("inf")}, "a number", id="for ever"),
    pytest.param({"cache_bytes": 2**60}, "a number", id="more than any machine has"),
    pytest.param({"index": ("a/b",)}, "plain file names", id="index with a slash"),
    pytest.param({"index": ("..",)}, "plain file names", id="index is dot-dot"),
    pytest.param({"index": (".hidden",)}, "plain file names", id="index is hidden"),
    pytest.param({"index": ("a\0b",)}, "plain file names", id="index with a NUL"),
    pytest.param({"index": ("",)}, "non-empty strings", id="index without a name"),
    pytest.param({"index": (1,)}, "non-empty strings", id="index is a number"),
    pytest.param({"index": 1}, "list", id="number for a list"),
    pytest.param({"deny": None}, "list", id="None for a list"),
    pytest.param({"cache_control": "a\r\nb"}, "printable ASCII", id="line end in a field"),
    pytest.param({"cache_control": "é"}, "printable ASCII", id="not ASCII"),
    pytest.param({"cache_control": 5}, "str is needed", id="number for a text"),
    *(
        pytest.param({"cache_control": value}, help_, id=f"Cache-Control: {value}")
        for value, help_ in (
            ("foo bar baz", "directives separated by commas are needed, such as public, max-age"),
            ("max-age=60; public", "directives separated by commas"),
            ("max-age=soon", "directives separated by commas"),
            ("max-age", "directives separated by commas"),
            ('private="', "directives separated by commas"),
            ("public, max_age=60", "did you mean max-age?"),
            ("nocache", "did you mean no-cache?"),
            ("no_store", "did you mean no-store?"),
        )
    ),
    *(
        pytest.param({"cors": (origin,)}, help_, id=f"Origin: {origin}")
        for origin, help_ in (
            ("example.com", "such as https://example.com"),
            ("https://example.com/", "such as https://example.com"),
            ("https://Example.com", "such as https://example.com"),
            ("https://example.com/path", "an origin is needed"),
            ("https://*.example.com", "an origin is needed"),
            ("https://", "an origin is needed"),
            ("https://example.com:443", "leave out the default port: say https://example.com"),
            ("http://example.com:80", "leave out the default port: say http://example.com"),
            ("https://a.example https://b.example", "an origin is needed"),
        )
    ),
    pytest.param({"cache_bytes": "64MX"}, "a number", id="no unit of a size"),
    pytest.param({"cache_bytes": "64"}, "a number", id="a size in quotes"),
    pytest.param({"root": b"site"}, "str is needed", id="bytes for a root"),
    pytest.param({"root": 5}, "root", id="number for a root"),
    pytest.param({"media_types": {"foo": "text/x"}}, "'.ext': 'type/subtype'", id="no dot"),
    pytest.param({"media_types": {".foo": "text"}}, "'.ext': 'type/subtype'", id="no subtype"),
    pytest.param({"media_types": {".f": "a/b\r\nc"}}, "'.ext': 'type/subtype'", id="line end"),
    pytest.param({"media_types": {".f": "text/€"}}, "'.ext': 'type/subtype'", id="cannot be sent"),
    pytest.param({"media_types": {1: "a/b"}}, "media_types", id="suffix is a number"),
    pytest.param({"media_types": {".f": 1}}, "media_types", id="type is a number"),
    pytest.param({"media_types": ".f"}, "media_types", id="text for a mapping"),
    pytest.param({"spa": "*.html"}, "the name of a page", id="no name of a shell"),
    pytest.param({"spa": 1}, "True, or the name", id="a number for a shell"),
    pytest.param({"spa": True, "index": ()}, "there is none", id="no index to be the shell"),
    pytest.param({"error_pages": {418: "a.html"}}, "no page; choose from 403", id="a teapot"),
    pytest.param({"error_pages": {404: "/a.html"}}, "below the root", id="an absolute page"),
    pytest.param({"error_pages": "404.html"}, "{404: '404.html'}", id="text for pages"),
    pytest.param({"error_pages": {404: "**/a/*.html"}}, "below the root", id="another glob"),
    pytest.param({"trailing_slash": "no"}, "choose one of auto, always, never", id="slash"),
    pytest.param({"redirects": ["/a"]}, "Redirect('/old/*'", id="text for a redirect"),
    pytest.param({"redirects": 5}, "a list of redirects", id="number for redirects"),
    pytest.param({"redirects": [("/a", "/a")]}, "into a loop", id="a redirect to itself"),
    pytest.param({"limits": {"cache_bytes": 1}}, "Limits(cache_bytes=...)", id="no Limits"),
    pytest.param({"previous_root_grace": -1}, "a number from 0 up", id="a past that lasts"),
    pytest.param(
        {"previous_root_grace": 5, "unchanging": True}, "by their names", id="grace and pathsend"
    ),
    pytest.param(
        {"previous_root_grace": 5, "offload": "x-sendfile"}, "by their names", id="and X-Sendfile"
    ),
]


@pytest.mark.parametrize(("options", "help_"), WRONG)
def test_a_wrong_setting_is_one_line_that_helps(options: dict[str, Any], help_: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings(**options)
    message = str(raised.value)
    assert help_ in message
    assert "\n" not in message
    assert next(iter(options)) in message


@pytest.mark.parametrize("kind", [Settings, Limits])
def test_every_setting_is_documented(kind: type[Settings] | type[Limits]) -> None:
    for field in fields(kind):
        assert f"\n        {field.name}: " in (kind.__doc__ or "")


@pytest.mark.parametrize("suffix", [".FOO", ".Foo"])
def test_a_suffix_counts_in_any_case(suffix: str) -> None:
    """Names are compared in lower case, so a setting that is not would never apply."""
    assert ".foo" in Settings("x", media_types={suffix: "text/x-foo"}).media_types


# -- environment -----------------------------------------------------------------------------


def from_environment(**variables: str) -> Settings:
    return Settings.from_environment(
        {f"ASYNCSTATIC_{name}": text for name, text in variables.items()}
    )


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        pytest.param("dotfiles", "1", True, id="1"),
        pytest.param("dotfiles", "TRUE", True, id="true"),
        pytest.param("dotfiles", "yes", True, id="yes"),
        pytest.param("dotfiles", "on", True, id="on"),
        pytest.param("dotfiles", "0", False, id="0"),
        pytest.param("dotfiles", "False", False, id="false"),
        pytest.param("dotfiles", "no", False, id="no"),
        pytest.param("dotfiles", "off", False, id="off"),
        pytest.param("dotfiles", "", False, id="empty"),
        pytest.param("max_target", "100", 100, id="number"),
        pytest.param("max_target", "8k", 8192, id="k"),
        pytest.param("cache_bytes", "65536", 65536, id="bytes"),
        pytest.param("cache_bytes", "64MiB", 64 << 20, id="MiB"),
        pytest.param("cache_bytes", "64M", 64 << 20, id="M as in nginx"),
        pytest.param("cache_bytes", "64 mib", 64 << 20, id="MiB in lower case"),
        pytest.param("cache_bytes", "1GiB", 1 << 30, id="GiB"),
        pytest.param("cache_bytes", "64MB", 64_000_000, id="MB"),
        pytest.param("cache_bytes", "0", 0, id="no cache"),
        pytest.param("cors", "*", ("*",), id="all origins"),
        pytest.param(
            "cors",
            "https://a.example, http://b:8080, http://[::1]:3000, null, app://x",
            ("https://a.example", "http://b:8080", "http://[::1]:3000", "null", "app://x"),
            id="origins",
        ),
        pytest.param("cache_control", "", "", id="no Cache-Control"),
        pytest.param("cache_control", "x-mine=1", "x-mine=1", id="an extension directive"),
        pytest.param("pool_timeout", "2.5", 2.5, id="seconds"),
        pytest.param("pool_timeout", "2", 2.0, id="whole seconds"),
        pytest.param("previous_root_grace", "60", 60.0, id="a grace"),
        pytest.param("index", "a.html, b.html", ("a.html", "b.html"), id="list"),
        pytest.param("deny", "*.bak", ("*.bak",), id="list of one"),
        pytest.param("deny", " , ", (), id="empty list"),
        pytest.param("symlinks", "deny", "deny", id="choice"),
        pytest.param("cache_control", "max-age=60", "max-age=60", id="text"),
        pytest.param("spa", "1", True, id="a shell: the first index"),
        pytest.param("spa", "off", False, id="no shell"),
        pytest.param("spa", "shell.html", "shell.html", id="a shell by name"),
        pytest.param(
            "error_pages",
            "403=no.html, 404=**/404.html",
            {403: "no.html", 404: "**/404.html"},
            id="error pages",
        ),
        pytest.param(
            "redirects",
            "/a /b, /c/* /d/:splat 302",
            (Redirect("/a", "/b"), Redirect("/c/*", "/d/:splat", 302)),
            id="redirects",
        ),
        pytest.param(
            "media_types",
            ".a=text/x-a, .b=text/x-b",
            {".a": "text/x-a", ".b": "text/x-b"},
            id="pairs",
        ),
    ],
)
def test_every_kind_of_setting_can_come_from_the_environment(
    name: str, text: str, kept: object
) -> None:
    settings = from_environment(ROOT="x", **{name.upper(): text})
    assert value_of(settings, name) == kept


@pytest.mark.parametrize(
    ("variables", "help_"),
    [
        pytest.param({"DOTFILES": "maybe"}, "say 1 or 0", id="switch"),
        pytest.param({"MAX_TARGET": "many"}, "a number is needed", id="number"),
        pytest.param({"MAX_TARGET": "1.5"}, "a number is needed", id="fraction"),
        pytest.param({"POOL_TIMEOUT": "nan"}, "a number", id="not a number"),
        pytest.param({"MEDIA_TYPES": ".a"}, "say .ext=type/subtype", id="pairs"),
        pytest.param({"SYMLINKS": "Deny"}, "ASYNCSTATIC_SYMLINKS='Deny': choose one of", id="Deny"),
        pytest.param(
            {"CORS": "example.com"}, "ASYNCSTATIC_CORS='example.com': an origin", id="cors"
        ),
        pytest.param({"CACHE_BYTES": "1,5G"}, "or a size such as 64KiB", id="size"),
        pytest.param({"CACHE_BYTES": "99999999999G"}, "below 2**53", id="a size too large"),
    ],
)
def test_a_wrong_variable_is_one_line_that_helps(variables: dict[str, str], help_: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_environment(ROOT="x", **variables)
    assert help_ in str(raised.value)
    assert "\n" not in str(raised.value)


UNKNOWN_VARIABLES: list[Any] = [
    pytest.param("DOTFILE", "1", "did you mean ASYNCSTATIC_DOTFILES?", id="typo"),
    pytest.param("INDEXX", "a", "did you mean ASYNCSTATIC_INDEX?", id="another typo"),
    pytest.param(
        "FROBNICATE", "1", "is no setting: asyncstatic config prints all", id="nothing like it"
    ),
    pytest.param("dotfiles", "1", "did you mean ASYNCSTATIC_DOTFILES?", id="lower case"),
    pytest.param("PORT", "8000", "say --bind HOST:PORT", id="a port, by a user"),
]


@pytest.mark.parametrize(("name", "value", "hint"), UNKNOWN_VARIABLES)
def test_an_unknown_variable_is_one_warning_with_the_nearest_name(
    name: str, value: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert from_environment(ROOT="x", **{name: value}) == Settings(root="x")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"ASYNCSTATIC_{name} is ignored, it is no setting: ")
    assert hint in record.getMessage()


SERVICE_VARIABLES = {
    # A Service named "asyncstatic" with one port named "http", as Kubernetes 1.31 sets them.
    "PORT": "tcp://10.96.12.7:8000",
    "PORT_8000_TCP": "tcp://10.96.12.7:8000",
    "PORT_8000_TCP_ADDR": "10.96.12.7",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "SERVICE_HOST": "10.96.12.7",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    # A Service named "asyncstatic-web".
    "WEB_PORT": "udp://10.96.12.8:53",
    "WEB_PORT_53_UDP": "udp://10.96.12.8:53",
    "WEB_PORT_53_UDP_ADDR": "10.96.12.8",
    "WEB_SERVICE_HOST": "10.96.12.8",
    "WEB_SERVICE_PORT": "53",
    # docker run --link asyncstatic
    "NAME": "/web/asyncstatic",
    "ENV_LANG": "C.UTF-8",
}


@pytest.mark.parametrize("name", SERVICE_VARIABLES)
def test_variables_of_a_service_are_never_settings(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert from_environment(ROOT="x", **{name: SERVICE_VARIABLES[name]}) == Settings(root="x")
    assert not caplog.records
    assert options_of({f"ASYNCSTATIC_{name}": SERVICE_VARIABLES[name]}) == {}


def test_a_number_in_an_apps_config_is_read_as_its_text() -> None:
    """Quart's `from_prefixed_env` reads variables as JSON: 1 is a number, and true is a bool."""
    config = {
        "LISTING": 1,
        "CLEAN_URLS": 0,
        "SPA": 0,
        "DOTFILES": True,
        "POOL_TIMEOUT": 5,
        "ROOT": 8,
    }
    options = options_of({f"ASYNCSTATIC_{name}": value for name, value in config.items()})
    assert options == {
        "listing": True,
        "clean_urls": False,
        "spa": False,
        "dotfiles": True,
        "pool_timeout": 5.0,
        "root": "8",
    }
    with pytest.raises(SettingsError, match="ASYNCSTATIC_LISTING=2: say 1 or 0"):
        options_of({"ASYNCSTATIC_LISTING": 2})


def test_an_unknown_key_of_an_apps_config_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"ASYNCSTATIC_DOTFILE: did you mean ASYNCSTATIC_DOTF"):
        options_of({"ASYNCSTATIC_DOTFILE": True})


def test_other_variables_are_nobodys_business() -> None:
    settings = Settings.from_environment(
        {"PATH": "x", "ASYNC": "y", "ASYNCSTATIC_ROOT": "site", "ASYNCSTATIC_TEST_STRICT": "1"}
    )
    assert settings == Settings(root="site")


@pytest.mark.parametrize(
    ("directories", "root"),
    [
        pytest.param(["static"], "static", id="static"),
        pytest.param(["public"], "public", id="public"),
        pytest.param(["static", "public"], "static", id="static before public"),
    ],
)
@pytest.mark.parametrize("variables", [{}, {"ROOT": ""}], ids=["not set", "empty"])
def test_without_a_root_the_usual_names_are_tried(
    directories: list[str],
    root: str,
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in directories:
        os.mkdir(name)
    assert from_environment(**variables).root == root


def test_without_any_root_both_names_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "static").write_text("a file, no directory")
    with pytest.raises(SettingsError, match=r"neither ./static nor ./public .* ASYNCSTATIC_ROOT"):
        from_environment()


# -- invariants ------------------------------------------------------------------------------

names = st.sampled_from([*ROOT_NAMES, *LIMIT_NAMES])
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.lists(st.none() | st.integers() | st.text(max_size=4), max_size=3),
    st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=2),
)


def complaint(build: Callable[[], object]) -> str:
    """What is said about settings; "" when they are taken."""
    try:
        build()
    except SettingsError as error:
        return str(error)
    return ""


@given(names, anything)
def test_any_value_is_taken_or_refused_in_one_way(name: str, value: Any) -> None:
    assert "\n" not in complaint(lambda: Settings(**{name: value}))


@given(names, st.text(min_size=1, max_size=20))
def test_any_text_of_the_environment_is_taken_or_refused_in_one_way(name: str, text: str) -> None:
    variables = {"ASYNCSTATIC_ROOT": "x", f"ASYNCSTATIC_{name.upper()}": text}
    assert "\n" not in complaint(lambda: Settings.from_environment(variables))
