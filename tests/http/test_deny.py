"""Deny patterns hold for a file in every spelling of its name and in every coding."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.deny import is_denied, may_be_below

KEY = "private/key.txt"
#: pattern, path, is it denied?
ROWS = [
    # case
    ("private/*", KEY, True),
    ("private/*", "Private/key.txt", True),
    ("private/*", "PRIVATE/KEY.TXT", True),
    ("PRIVATE/*", KEY, True),
    ("*.BAK", "a.bak", True),
    ("*.bak", "A.Bak", True),
    ("[a-c]*", "Apple", True),
    ("[A-C]*", "apple", True),
    ("[!a-z]*", "Apple", True),  # as it did when case counted
    ("[!a-z]*", "apple", False),
    # Unicode: normalisation, full case folding, invisible characters
    ("caf\u00e9", "cafe\u0301", True),
    ("cafe\u0301", "caf\u00e9", True),
    ("caf\u00e9", "CAFE\u0301", True),
    ("caf?.txt", "CAFE\u0301.TXT", True),
    ("stra\u00dfe", "STRASSE", True),
    ("strasse", "Stra\u1e9ee", True),
    ("?key", "\u1e9eKEY", True),
    ("kelvin", "\u212aelvin", True),
    ("private/*", "pr\u0131vate/key.txt", True),
    ("private/*", "pri\u200bvate/key.txt", True),
    ("private/*", "\ufeffprivate/key.txt", True),
    ("private/*", "pri\u00advate/key.txt", True),
    ("\u03c3", "\u03c2", True),  # the two small sigmas
    # dots and spaces at the end (FAT, SMB), and short names
    ("*.txt", "key.txt.", True),
    ("*.txt", "key.txt. .", True),
    ("private/*", "private /key.txt", True),
    ("*.", "page", False),  # a dot in a pattern is a dot
    ("private/*", "PRIVAT~1/KEY.TXT", True),
    ("*.bak", "notes~12.txt", True),
    ("*.bak", "notes.txt~", False),
    ("*.bak", "notes.~1~", False),
    ("*.bak", "IMG_1234~2.jpg", False),  # too long for a short name
    # codings
    ("*.map", "app.js.map", True),
    ("*.map", "app.js.map.gz", True),
    ("*.map", "app.js.map.br", True),
    ("*.map", "app.js.map.zst", True),
    ("*.map", "app.js.map.GZ", True),
    ("*.map", "app.js.map.gz.br", True),
    ("*.map", "app.js.map" + ".gz" * 50, True),
    ("*.map", "js/app.js.map.gz", True),
    ("private/key.txt", "private/key.txt.gz", True),
    ("*.map", "app.js.gz", False),
    ("*.map", "app.js.map.xz", False),  # an archive, not a coding that is served
    ("*.map", "app.js.map.gz/other", False),  # a directory is not coded
    ("*.gz", "app.js.gz", True),
    ("*.gz", "app.js", False),
    # what a pattern means
    ("private/*", "private", False),  # the directory itself; its index is asked by name
    ("private/*", "private/index.html", True),
    ("private/*", "private/a/b/c", True),  # "*" spans slashes
    ("private/*", "x/private/key.txt", False),
    ("private/*", "privateer", False),
    ("private", "private/a/b", True),
    ("private", "x/private/a", True),
    ("private/", KEY, True),
    ("private/", "private", True),
    ("private/", "x/private/a", False),
    ("/private", "private/a/b", True),
    ("/private", "x/private", False),
    ("a/secret", "a/secret/b", True),  # a directory holds what is below it
    ("a/secret", "a/secretary", False),
    ("a/*.d", "a/x.d/y", True),
    ("*", "anything", True),
    ("a.b", "axb", False),
    ("x\uffff", "x", False),
]


@pytest.mark.parametrize(("pattern", "path", "denied"), ROWS)
def test_a_pattern_holds_for_the_file_however_it_is_spelled(
    pattern: str, path: str, denied: bool
) -> None:
    assert is_denied((pattern,), tuple(path.split("/"))) is denied
    assert is_denied(("zzz", pattern, "z/zz"), tuple(path.split("/"))) is denied


def test_the_root_is_not_denied() -> None:
    assert not is_denied(("*", "/", "/*"), ())


NAMES = st.text(st.sampled_from("abAB.~1 \u00e9\u0301\u00df\u0130\u200b"), max_size=6)
PATTERNS = st.text(st.sampled_from("abAB.*?[]!-\u00e9\u00df"), min_size=1, max_size=6)


@given(PATTERNS, NAMES, st.sampled_from(["", ".gz", ".br.zst"]))
def test_other_spellings_of_a_denied_name_are_denied(pattern: str, name: str, codings: str) -> None:
    name += "b"  # a name does not end in a dot or a space where such an end is dropped
    if re.match(translate(pattern), name) is None:
        return
    assert is_denied((pattern,), (name,))
    assert is_denied((pattern,), (name + codings,))
    if not set(pattern) & set("?[]!-"):  # these count characters, and spellings differ in length
        assert is_denied((pattern,), (name + ".",))
        assert is_denied((pattern,), (name.swapcase(),))
        for form in ("NFC", "NFD"):
            assert is_denied((pattern,), (unicodedata.normalize(form, name),))


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("a/private", True),
        ("a/private/key.txt", True),
        ("A/Private/key.txt", True),
        ("a/pr\u0131vate", True),
        ("a/private. /key.txt", True),
        ("a/PRIVAT~1/key.txt", True),
        ("a", False),
        ("private", False),
        ("a/private2/key.txt", False),
        ("b/a/private", False),
    ],
)
def test_a_path_may_be_below_a_directory_under_every_spelling_of_it(path: str, may: bool) -> None:
    assert may_be_below(tuple(path.split("/")), ("a", "private")) is may
