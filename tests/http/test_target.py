"""The request target: one spelling for each file, everything else refused before the disk."""

from __future__ import annotations

import sys
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstatic.http import target as target_module
from asyncstatic.http.model import Refusal
from asyncstatic.http.target import (
    TargetPath,
    is_public,
    matches,
    origin_form,
    parse_target,
    portable_name,
)
from asyncstatic.settings import Settings

PLAIN = Settings()

# What a client could name that a file system could hold: not the separators, not the controls.
NEVER_IN_NAME = "/\\" + "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))

# -- what is served --------------------------------------------------------------------------

ACCEPTED = [
    pytest.param(b"/", (), True, id="the root"),
    pytest.param(b"/a", ("a",), False, id="one letter"),
    pytest.param(b"/a/", ("a",), True, id="directory"),
    pytest.param(b"/a/b/c.css", ("a", "b", "c.css"), False, id="three segments"),
    pytest.param(b"/app.js", ("app.js",), False, id="suffix"),
    pytest.param(b"/app.min.js.map", ("app.min.js.map",), False, id="several dots"),
    pytest.param(b"/a..b", ("a..b",), False, id="two dots inside a name"),
    pytest.param(b"/a..", ("a..",), False, id="two dots behind a name"),
    pytest.param(b"/a.", ("a.",), False, id="dot behind a name"),
    pytest.param(b"/~user/-x_y", ("~user", "-x_y"), False, id="all unreserved marks"),
    pytest.param(b"/0", ("0",), False, id="digit"),
    pytest.param(b"/%61", ("a",), False, id="escaped letter is that letter"),
    pytest.param(b"/%7Euser", ("~user",), False, id="escaped tilde"),
    pytest.param(b"/a%20b", ("a b",), False, id="space"),
    pytest.param(b"/a+b", ("a+b",), False, id="plus is no space"),
    pytest.param(b"/%2Bb", ("+b",), False, id="escaped plus"),
    pytest.param(b"/a%3Fb", ("a?b",), False, id="escaped question mark"),
    pytest.param(b"/a%23b", ("a#b",), False, id="escaped hash"),
    pytest.param(b"/100%25", ("100%",), False, id="escaped percent sign"),
    pytest.param(b"/%2541", ("%41",), False, id="escaped escape is decoded once"),
    pytest.param(b"/%252e%252e/x", ("%2e%2e", "x"), False, id="doubly escaped dots are a name"),
    pytest.param(b"/a:b", ("a:b",), False, id="colon"),
    pytest.param(b"/a@b;c=d,e!$&'()*", ("a@b;c=d,e!$&'()*",), False, id="sub-delims"),
    pytest.param(b'/a"b<c>|^`{}', ('a"b<c>|^`{}',), False, id="visible bytes outside the grammar"),
    pytest.param(b"/[x]", ("[x]",), False, id="brackets"),
    pytest.param(b"/%C3%A9", ("é",), False, id="UTF-8 of two bytes"),
    pytest.param(b"/%c3%a9", ("é",), False, id="lower-case escapes"),
    pytest.param(b"/%E2%82%AC", ("€",), False, id="UTF-8 of three bytes"),
    pytest.param(b"/%F0%9F%98%80", ("😀",), False, id="UTF-8 of four bytes"),
    pytest.param(b"/e%CC%81", ("e\u0301",), False, id="decomposed accent stays decomposed"),
    pytest.param(b"/%EF%BC%8F", ("\uff0f",), False, id="fullwidth solidus is a letter"),
    pytest.param(b"/%E2%80%AE", ("\u202e",), False, id="right-to-left override is a name"),
    pytest.param(
        b"/.well-known/security.txt", (".well-known", "security.txt"), False, id="RFC 8615"
    ),
    pytest.param(b"/.well-known", (".well-known",), False, id="well-known itself"),
    pytest.param(b"/%2ewell-known/x", (".well-known", "x"), False, id="well-known, dot escaped"),
    pytest.param(b"/" + b"a" * 255, ("a" * 255,), False, id="longest name"),
    pytest.param(b"/" + b"%C3%A9" * 127, ("é" * 127,), False, id="254 bytes of UTF-8"),
    pytest.param(b"/a" * 4096, ("a",) * 4096, False, id="8192 bytes in 4096 segments"),
    pytest.param(
        b"/" + b"a/" * 3993, ("a",) * 3993, True, id="in a request line of 8000 (RFC 9112 §3)"
    ),
    pytest.param(b"/con", ("con",), False, id="a device elsewhere is a file here"),
]


@pytest.mark.parametrize(("target", "segments", "directory"), ACCEPTED)
def test_a_well_formed_target_names_segments(
    target: bytes, segments: tuple[str, ...], directory: bool
) -> None:
    assert parse_target(target, PLAIN) == TargetPath(segments, directory)


# -- what is refused -------------------------------------------------------------------------

REFUSED = [
    # 400: names no file under any configuration
    pytest.param(b"", 400, id="empty"),
    pytest.param(b"*", 400, id="asterisk-form"),
    pytest.param(b"a", 400, id="no slash"),
    pytest.param(b"?", 400, id="a query alone"),
    pytest.param(b"example.com:443", 400, id="authority-form"),
    pytest.param(b"ftp://example.com/a", 400, id="another scheme"),
    pytest.param(b"/a b", 400, id="raw space"),
    pytest.param(b"/a\tb", 400, id="raw tab"),
    pytest.param(b"/a\rb", 400, id="raw CR"),
    pytest.param(b"/a\nb", 400, id="raw LF"),
    pytest.param(b"/a\x00b", 400, id="raw NUL"),
    pytest.param(b"/a\x7fb", 400, id="raw DEL"),
    pytest.param(b"/\xc3\xa9", 400, id="raw UTF-8"),
    pytest.param(b"/\xff", 400, id="raw byte above ASCII"),
    pytest.param(b"/a\\b", 400, id="raw backslash"),
    pytest.param(b"/..\\x", 400, id="backslash traversal"),
    pytest.param(b"/a#b", 400, id="raw fragment"),
    pytest.param(b"/a%", 400, id="percent sign at the end"),
    pytest.param(b"/a%4", 400, id="escape cut short"),
    pytest.param(b"/a%4/b", 400, id="escape cut by a slash"),
    pytest.param(b"/%zz", 400, id="escape of no digits"),
    pytest.param(b"/%u002e", 400, id="IIS escape"),
    pytest.param(b"/% 41", 400, id="escape with a space"),
    pytest.param(b"/%+41", 400, id="escape that int() would take"),
    pytest.param(b"/%%41", 400, id="doubled percent sign"),
    pytest.param(b"/a%2Fb", 400, id="escaped slash"),
    pytest.param(b"/a%2fb", 400, id="escaped slash in lower case"),
    pytest.param(b"/%2F", 400, id="escaped slash alone"),
    pytest.param(b"/a%5Cb", 400, id="escaped backslash"),
    pytest.param(b"/a%00", 400, id="escaped NUL"),
    pytest.param(b"/a%00.png", 400, id="escaped NUL before a suffix"),
    pytest.param(b"/a%0Ab", 400, id="escaped LF"),
    pytest.param(b"/a%0D%0ASet-Cookie:x", 400, id="escaped CRLF"),
    pytest.param(b"/a%09", 400, id="escaped tab"),
    pytest.param(b"/a%1F", 400, id="last of C0"),
    pytest.param(b"/a%7F", 400, id="escaped DEL"),
    pytest.param(b"/a%C2%80", 400, id="first of C1"),
    pytest.param(b"/a%C2%85", 400, id="next line (C1)"),
    pytest.param(b"/a%C2%9F", 400, id="last of C1"),
    pytest.param(b"/%FF", 400, id="byte that is no UTF-8"),
    pytest.param(b"/%C3", 400, id="UTF-8 cut short"),
    pytest.param(b"/%C3/%A9", 400, id="UTF-8 cut by a slash"),
    pytest.param(b"/%80", 400, id="continuation byte alone"),
    pytest.param(b"/%C0%AF", 400, id="overlong slash"),
    pytest.param(b"/%C0%AE%C0%AE/x", 400, id="overlong dots"),
    pytest.param(b"/%E0%80%AF", 400, id="overlong slash in three bytes"),
    pytest.param(b"/%ED%A0%80", 400, id="surrogate in UTF-8"),
    pytest.param(b"/%F4%90%80%80", 400, id="beyond Unicode"),
    pytest.param(b"/..", 400, id="dot-dot"),
    pytest.param(b"/../etc/passwd", 400, id="dot-dot first"),
    pytest.param(b"/a/..", 400, id="dot-dot last"),
    pytest.param(b"/a/../b", 400, id="dot-dot inside, though it stays below"),
    pytest.param(b"/a/../", 400, id="dot-dot with a slash"),
    pytest.param(b"/%2e%2e/x", 400, id="escaped dot-dot"),
    pytest.param(b"/.%2e/x", 400, id="half escaped dot-dot"),
    pytest.param(b"/%2E./x", 400, id="other half escaped dot-dot"),
    pytest.param(b"/%2e", 400, id="escaped dot"),
    pytest.param(b"/a/%2E/b", 400, id="escaped dot inside"),
    pytest.param(b"/..%2f..%2fetc", 400, id="dot-dot and escaped slash in one segment"),
    pytest.param(b"/..%5c..%5cwindows", 400, id="dot-dot and escaped backslash"),
    pytest.param(b"/..%00/", 400, id="dot-dot and NUL"),
    # 404: well-formed, but nothing public can be there
    pytest.param(b"//", 404, id="two slashes"),
    pytest.param(b"//a", 404, id="empty first segment"),
    pytest.param(b"//example.com/", 404, id="network-path reference"),
    pytest.param(b"/a//b", 404, id="empty inner segment"),
    pytest.param(b"/a//", 404, id="empty last but one segment"),
    pytest.param(b"///", 404, id="three slashes"),
    pytest.param(b"/.", 308, id="dot alone"),
    pytest.param(b"/.git/config", 404, id="dotfile first"),
    pytest.param(b"/a/.env", 404, id="dotfile last"),
    pytest.param(b"/a/.ssh/id", 404, id="dotfile inside"),
    pytest.param(b"/%2egit/config", 404, id="dotfile, dot escaped"),
    pytest.param(b"/...", 404, id="three dots are a dotfile"),
    pytest.param(b"/.../x", 404, id="three dots inside"),
    pytest.param(b"/..a", 404, id="dot-dot and a letter is a dotfile"),
    pytest.param(b"/a/.well-known/x", 404, id="well-known not first"),
    pytest.param(b"/.well-known/.x", 404, id="dotfile below well-known"),
    pytest.param(b"/.Well-Known/x", 404, id="well-known in capitals"),
    pytest.param(b"/" + b"a" * 256, 404, id="name one byte too long"),
    pytest.param(b"/" + b"%C3%A9" * 128, 404, id="128 letters of 256 bytes"),
    # 308: the literal dot segments that real clients send
    pytest.param(b"/./Release", 308, id="as apt asks for a flat repository"),
    pytest.param(b"/a/./b", 308, id="dot inside"),
    pytest.param(b"/a/.", 308, id="dot last"),
    pytest.param(b"/a/./", 308, id="dot last with a slash"),
    # order: what is worse is told first
    pytest.param(b"/" + b"a" * 8192, 414, id="one byte too long"),
    pytest.param(b"/%zz" + b"a" * 8192, 414, id="too long is told before malformed"),
    pytest.param(b"\x00" * 9000, 414, id="too long is told before NUL"),
    pytest.param(b"//..", 400, id="dot-dot is told before an empty segment"),
    pytest.param(b"/.git/..", 400, id="dot-dot is told before a dotfile"),
    pytest.param(b"/./..", 400, id="dot-dot is told before a dot"),
    pytest.param(b"/./.git", 308, id="a dotfile is redirected like a missing name"),
    pytest.param(b"/%E2%80%8B.env", 404, id="invisible character before a dot"),
    pytest.param(b"/.//a", 404, id="a dot segment does not hide an empty one"),
    pytest.param(b"/.//example.com", 404, id="no redirect can leave the origin"),
    pytest.param(b"/./%2e", 400, id="escaped dot is told before a literal one"),
]


@pytest.mark.parametrize(("target", "status"), REFUSED)
def test_every_other_target_is_refused(target: bytes, status: int) -> None:
    parsed = parse_target(target, PLAIN)
    assert isinstance(parsed, Refusal)
    assert parsed.status == status


@pytest.mark.parametrize(
    "code", [*range(0x21), *range(0x7F, 0x100)], ids=lambda code: f"{code:02x}"
)
def test_no_byte_outside_visible_ascii_is_accepted_raw(code: int) -> None:
    parsed = parse_target(b"/a" + bytes([code]) + b"b", PLAIN)
    assert isinstance(parsed, Refusal)
    assert parsed.status == 400


@pytest.mark.parametrize("character", NEVER_IN_NAME, ids=lambda character: f"{ord(character):02x}")
def test_no_control_and_no_separator_is_accepted_escaped(character: str) -> None:
    parsed = parse_target(b"/a" + quote(character, safe="").encode() + b"b", PLAIN)
    assert isinstance(parsed, Refusal)
    assert parsed.status == 400


@pytest.mark.parametrize(
    ("target", "location"),
    [
        pytest.param(b"/.", b"/", id="the root"),
        pytest.param(b"/./", b"/", id="the root with a slash"),
        pytest.param(b"/./Release", b"/Release", id="file"),
        pytest.param(b"/././././x", b"/x", id="several"),
        pytest.param(b"/a/.", b"/a/", id="a dot last names a directory"),
        pytest.param(b"/a/./", b"/a/", id="directory"),
        pytest.param(b"/a/./b/./c", b"/a/b/c", id="inside"),
        pytest.param(b"/./caf%c3%a9", b"/caf%C3%A9", id="canonical quoting"),
        pytest.param(b"/./a:b", b"/a%3Ab", id="colon"),
        pytest.param(b"/./a%20%3f%23", b"/a%20%3F%23", id="what would end a path stays quoted"),
    ],
)
def test_a_dot_segment_leads_to_the_canonical_path(target: bytes, location: bytes) -> None:
    parsed = parse_target(target, PLAIN)
    assert isinstance(parsed, Refusal)
    assert (parsed.status, parsed.location) == (308, location)


def test_too_long_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is bounded by `max_target`, whatever a server lets through."""

    def touched(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the target was looked at")

    monkeypatch.setattr(target_module, "_PLAIN", None)
    monkeypatch.setattr(target_module, "_decode", touched)
    huge = b"/%41" * 1_000_000
    assert parse_target(huge, PLAIN) == Refusal(414)


@pytest.mark.parametrize("segments", [1, 10, 100, 1000])
def test_each_segment_is_decoded_once(segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear: as many decodings as segments, of as many bytes as the target has."""
    seen: list[bytes] = []

    def counted(raw: bytes) -> bytes:
        seen.append(raw)
        return unquote_to_bytes(raw)

    monkeypatch.setattr(target_module, "unquote_to_bytes", counted)
    parsed = parse_target(b"/%61" * segments, PLAIN)
    assert parsed == TargetPath(("a",) * segments, directory=False)
    assert seen == [b"%61"] * segments


def test_max_target_is_a_setting() -> None:
    short = Settings(max_target=4)
    assert parse_target(b"/abc", short) == TargetPath(("abc",), directory=False)
    assert parse_target(b"/abcd", short) == Refusal(414)


# -- a target that somebody decoded ----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        pytest.param("/100%", ("100%",), id="percent sign"),
        pytest.param("/%41", ("%41",), id="what looks like an escape"),
        pytest.param("/%2e%2e", ("%2e%2e",), id="what looks like dot-dot"),
        pytest.param("/a b", ("a b",), id="space"),
        pytest.param("/é", ("é",), id="UTF-8"),
        pytest.param("/a#b?c", ("a#b?c",), id="what would end a path"),
    ],
)
def test_a_decoded_path_is_never_decoded_again(path: str, segments: tuple[str, ...]) -> None:
    parsed = parse_target(path.encode(), PLAIN, decoded=True)
    assert parsed == TargetPath(segments, directory=False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(b"/..", 400, id="dot-dot"),
        pytest.param(b"/a\\b", 400, id="backslash"),
        pytest.param(b"/a\x00", 400, id="NUL"),
        pytest.param(b"/a\r\nb", 400, id="CRLF"),
        pytest.param(b"/\xff", 400, id="no UTF-8"),
        pytest.param(b"a", 400, id="no slash"),
        pytest.param(b"/.git", 404, id="dotfile"),
        pytest.param(b"//a", 404, id="empty segment"),
        pytest.param(b"/./a", 308, id="dot"),
    ],
)
def test_a_decoded_path_is_refused_by_the_same_rules(path: bytes, status: int) -> None:
    parsed = parse_target(path, PLAIN, decoded=True)
    assert isinstance(parsed, Refusal)
    assert parsed.status == status


# -- absolute-form ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"/a", b"/a", id="origin-form is left alone"),
        pytest.param(b"//a", b"//a", id="an empty segment is no authority"),
        pytest.param(b"http://example.com/a", b"/a", id="http"),
        pytest.param(b"https://example.com/a/b", b"/a/b", id="https"),
        pytest.param(b"HTTP://EXAMPLE.com/a", b"/a", id="scheme in capitals"),
        pytest.param(b"http://example.com", b"/", id="no path is the root"),
        pytest.param(b"http://example.com:8000/a", b"/a", id="port"),
        pytest.param(b"http://[::1]:80/a", b"/a", id="IPv6"),
        pytest.param(b"http://example.com//a", b"//a", id="the path is not repaired"),
        pytest.param(b"http:///a", None, id="no authority"),
        pytest.param(b"http://:80/a", None, id="a port alone"),
        pytest.param(b"http://example.com:a/a", None, id="a port that is none"),
        pytest.param(b"http://a%zz/a", None, id="a host that is badly encoded"),
        pytest.param(b"http://[::1/a", None, id="an open bracket"),
        pytest.param(b"http://user@example.com/a", None, id="userinfo"),
        pytest.param(b"http://exa mple/a", None, id="space in the authority"),
        pytest.param(b"http:/a", None, id="one slash"),
        pytest.param(b"ftp://example.com/a", None, id="another scheme"),
        pytest.param(b"example.com:443", None, id="authority-form"),
        pytest.param(b"*", None, id="asterisk-form"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_absolute_form_is_cut_to_origin_form(target: bytes, expected: bytes | None) -> None:
    assert origin_form(target) == expected


# -- the name policy -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "names", "public"),
    [
        pytest.param(Settings(dotfiles=True), (".git", "config"), True, id="dotfiles allowed"),
        pytest.param(Settings(dotfiles=True), ("a", ".env"), True, id="dotfiles allowed below"),
        pytest.param(Settings(deny=("*.bak",)), ("a.bak",), False, id="name"),
        pytest.param(Settings(deny=("*.bak",)), ("a.bak", "b"), False, id="name of a directory"),
        pytest.param(Settings(deny=("*.bak",)), ("a.bak.txt",), True, id="whole names only"),
        pytest.param(Settings(deny=("*.bak",)), ("A.BAK",), False, id="case does not count"),
        pytest.param(Settings(deny=("private/*",)), ("private", "a"), False, id="path"),
        pytest.param(Settings(deny=("private/*",)), ("private", "a", "b"), False, id="deep path"),
        pytest.param(Settings(deny=("private/*",)), ("x", "private", "a"), True, id="anchored"),
        pytest.param(Settings(deny=("private/*",)), ("privateer",), True, id="no prefix of a name"),
        pytest.param(Settings(deny=("/private/*",)), ("private", "a"), False, id="leading slash"),
        pytest.param(Settings(deny=("a[0-9]",)), ("a7",), False, id="class"),
        pytest.param(Settings(deny=("a.b",)), ("axb",), True, id="a dot is a dot"),
        pytest.param(Settings(deny=("x", "y/z")), ("y", "z"), False, id="one of several"),
        pytest.param(Settings(deny=("*",)), (), True, id="the root has no name"),
    ],
)
def test_deny_and_dotfiles_decide_what_is_public(
    settings: Settings, names: tuple[str, ...], public: bool
) -> None:
    assert is_public(names, settings) is public


def test_a_denied_directory_hides_what_is_below() -> None:
    assert not is_public(("private", "a", "b"), Settings(deny=("private",)))


def test_no_pattern_matches_nothing() -> None:
    assert not matches((), ("a",))


# -- names on other platforms ----------------------------------------------------------------

WINDOWS = [
    *("con", "CON", "con.txt", "nul", "nul.tar.gz", "aux", "prn", "com1", "lpt9", "COM0", "com¹"),
    *("conin$", "CONOUT$", "nul ", "nul .txt", "a:b", "a.txt::$DATA", "a.", "a ", "a. .", "a*"),
    *("a?", "a<b", "a>b", 'a"b', "a|b", "PROGRA~1", "a~2.txt"),
]


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_refuses_names_that_mean_something_else(name: str) -> None:
    assert not portable_name(name, "win32")
    assert portable_name(name, "linux")


@pytest.mark.parametrize("name", ["console", "com10", "nula.txt", "a.b", "~a", "comet", "lpt"])
def test_windows_keeps_names_that_only_look_alike(name: str) -> None:
    assert portable_name(name, "win32")


@pytest.mark.parametrize("name", ["e\u0301", "a\u200d", "\ufeffa", "\u202ea", "\u212b"])
def test_macos_refuses_a_second_spelling(name: str) -> None:
    assert not portable_name(name, "darwin")
    assert portable_name(name, "linux")


@pytest.mark.parametrize("name", ["é", "a", "con", "日本"])
def test_macos_keeps_composed_names(name: str) -> None:
    assert portable_name(name, "darwin")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_parser_asks_for_the_platform_it_runs_on(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    bad = {"win32": b"/nul", "darwin": b"/e%CC%81"}[platform]
    assert parse_target(bad, PLAIN) == Refusal(404)


# -- invariants ------------------------------------------------------------------------------

any_target = st.one_of(
    st.binary(max_size=64),
    st.binary(max_size=64).map(lambda data: b"/" + data),
    st.lists(
        st.sampled_from(
            [b"/", b"a", b".", b"..", b"%2e", b"%2F", b"%00", b"%C3%A9", b"%", b"\\", b"%FF", b"~"]
        ),
        max_size=12,
    ).map(lambda parts: b"/" + b"".join(parts)),
)
policies = st.sampled_from([PLAIN, Settings(dotfiles=True), Settings(deny=("*a*", "b/*"))])


@given(any_target, policies, st.booleans())
@example(b"/" + b"a" * 5000, PLAIN, False)
def test_the_parser_never_raises_and_has_two_outcomes(
    target: bytes, settings: Settings, decoded: bool
) -> None:
    parsed = parse_target(target, settings, decoded=decoded)
    if isinstance(parsed, Refusal):
        assert parsed.status in (308, 400, 404, 414)
    else:
        assert isinstance(parsed.directory, bool)


@given(any_target, policies, st.booleans())
def test_no_segment_can_mean_another_place(
    target: bytes, settings: Settings, decoded: bool
) -> None:
    parsed = parse_target(target, settings, decoded=decoded)
    if isinstance(parsed, TargetPath):
        for segment in parsed.segments:
            assert segment not in {"", ".", ".."}
            assert not set(segment) & set(NEVER_IN_NAME)
            assert len(segment.encode()) <= 255
        assert is_public(parsed.segments, settings)
        assert parsed.directory or parsed.segments


def canonical(parsed: TargetPath) -> bytes:
    path = "".join("/" + quote(name) for name in parsed.segments)
    return (path + "/" if parsed.directory else path).encode("ascii")


@given(any_target, policies)
def test_the_canonical_spelling_of_a_result_is_parsed_to_it(
    target: bytes, settings: Settings
) -> None:
    parsed = parse_target(target, settings)
    if isinstance(parsed, TargetPath) and len(canonical(parsed)) <= settings.max_target:
        assert parse_target(canonical(parsed), settings) == parsed


file_names = st.text(
    st.characters(exclude_characters=NEVER_IN_NAME, exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."})


@given(st.lists(file_names, max_size=6), st.booleans())
def test_every_name_a_disk_can_hold_can_be_asked_for(names: list[str], slash: bool) -> None:
    asked = TargetPath(tuple(names), slash or not names)
    parsed = parse_target(canonical(asked), Settings(dotfiles=True))
    assert parsed == asked


@given(any_target, policies)
def test_a_redirect_leads_to_a_target_that_is_accepted(target: bytes, settings: Settings) -> None:
    """One hop: never a loop, never another origin, nothing to break out of the field."""
    parsed = parse_target(target, settings)
    if isinstance(parsed, Refusal) and parsed.status == 308:
        assert parsed.location.startswith(b"/")
        assert not parsed.location.startswith(b"//")
        assert isinstance(parse_target(parsed.location, settings), TargetPath)
    elif isinstance(parsed, Refusal):
        assert parsed.location == b""


@given(any_target)
def test_decoding_twice_is_impossible(target: bytes) -> None:
    """What a proxy decodes once more than we do would reach another file; we never do."""
    parsed = parse_target(target, Settings(dotfiles=True))
    if isinstance(parsed, TargetPath):
        names = [unquote_to_bytes(raw).decode() for raw in target.split(b"/")[1:]]
        assert list(parsed.segments) == (names[:-1] if parsed.directory else names)
