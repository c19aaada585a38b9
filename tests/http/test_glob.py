"""Globs of paths: each form, and equality with a plain translation to regular expressions."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.glob import LONGEST, Glob

MATCHES = [
    # pattern, paths that it matches, paths that it does not match
    ("*.js", ["/a.js", "/x/y/a.js", "/.js"], ["/a.jsx", "/a.js/b", "/a.JS"]),
    ("index.html", ["/index.html", "/a/index.html"], ["/index.htm", "/xindex.html"]),
    ("**", ["/a", "/a/b/c.txt"], []),
    ("*", ["/a", "/a/b/c.txt"], []),
    ("/*", ["/a"], ["/a/b"]),
    ("/**", ["/a", "/a/b/c.txt"], []),
    ("/app/**", ["/app/a", "/app/a/b"], ["/app", "/apple/a", "/x/app/a"]),
    ("app/**", ["/app/a", "/app/a/b"], ["/x/app/a"]),
    ("**/app/**", ["/app/a", "/x/app/a", "/x/y/app/a/b"], ["/xapp/a", "/app"]),
    ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/a/xb", "/ab", "/a/b/c"]),
    ("/a/**/*.js", ["/a/b.js", "/a/x/y/b.js"], ["/a/b.css", "/b.js"]),
    ("**/**/b", ["/b", "/x/b", "/x/y/b"], ["/xb"]),
    ("/a**b", ["/ab", "/a/b", "/a/x/yb"], ["/a/bc"]),
    ("/a***b", ["/ab", "/a/x/yb"], ["/b"]),
    ("/{a*,c}*b", ["/ab", "/axb", "/cxb"], ["/a/b"]),
    ("/a*/b", ["/a/b", "/axy/b"], ["/a/x/b"]),
    ("/a?c", ["/abc", "/a.c", "/aéc"], ["/ac", "/a/c", "/abbc"]),
    ("*.{png,jpg}", ["/a.png", "/x/a.jpg"], ["/a.gif", "/a.{png,jpg}"]),
    ("/{a,b/c,}x", ["/ax", "/b/cx", "/x"], ["/bx", "/cx"]),
    ("/{**/a,b*}.js", ["/x/y/a.js", "/a.js", "/bcd.js"], ["/c.js"]),
    (r"/\*.js", ["/*.js"], ["/a.js"]),
    (r"\[id\].js", ["/[id].js"], ["/i.js"]),
    (r"\{a\,b\}", ["/{a,b}"], ["/a"]),
    ("a,b", ["/a,b"], ["/a"]),
    ("*.wasm.gz", ["/Build/web.wasm.gz"], ["/web.wasm", "/web.wasm.gz.br"]),
    ("/файл/*", ["/файл/я"], ["/file/x"]),
]


@pytest.mark.parametrize(("pattern", "matched", "others"), MATCHES)
def test_a_pattern_matches_these_paths(pattern: str, matched: list[str], others: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in matched if not glob.matches(path)] == []
    assert [path for path in others if glob.matches(path)] == []


def plain_expression(pattern: str) -> str:
    """The same pattern as a regular expression, which may take exponential time."""
    names = "/" in pattern
    text = pattern if pattern.startswith("/") or not names else f"/{pattern}"
    text = re.sub(r"\*\*+", "**", text)
    text = re.sub(r"(?<![^/])\*\*/", "\1", text)  # any number of directories
    text = text.replace("**", "\2")
    forms = {
        "\1": "(?:.*/)?",
        "\2": ".*" if names else "[^/]*",
        "*": "[^/]*",
        "?": "[^/]",
        "{": "(?:",
        "}": ")",
    }
    expression, in_braces = "" if names else "(?:.*/)", False
    for character in text:
        in_braces = character == "{" or (in_braces and character != "}")
        is_comma = character == "," and in_braces
        expression += "|" if is_comma else forms.get(character, re.escape(character))
    return expression


names = st.text("ab.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
in_names = st.sampled_from(["a", "b", ".a", "*", "?", "**", "{a,b}", "{a*,.b,b?}"])
patterns = st.builds(
    lambda root, parts: root + "/".join("".join(part) for part in parts),
    st.sampled_from(["", "/"]),
    st.lists(
        st.one_of(st.just(["**"]), st.lists(in_names, min_size=1, max_size=3)),
        min_size=1,
        max_size=4,
    ),
)


@given(patterns, paths)
def test_matching_equals_a_plain_regular_expression(pattern: str, path: str) -> None:
    try:
        glob = Glob(pattern)
    except ValueError:  # a choice in the braces leaves no name
        return
    assert glob.matches(path) == bool(re.fullmatch(plain_expression(pattern), path)), pattern


@given(st.text("ab/*?{},.\\[]\0 é", max_size=12), paths)
def test_a_pattern_is_read_or_refused_in_one_line(pattern: str, path: str) -> None:
    try:
        Glob(pattern).matches(path)
    except ValueError as error:
        problem = str(error)
    else:
        problem = "none"
    assert problem
    assert "\n" not in problem


HOSTILE = [
    pytest.param("/" + "*a" * 500 + "b", id="many stars"),
    pytest.param("/" + "**a" * 300 + "b", id="many stars across names"),
    pytest.param("**/" * 300 + "b", id="many directories"),
    pytest.param("**/a/" * 200 + "b", id="many directories with names"),
    pytest.param("/" + "*?" * 500 + "b", id="stars and single characters"),
    pytest.param("/" + "{a*,*a}" * 8 + "b", id="many choices"),
]


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("path", ["/" + "a" * 4000, "/a" * 2000], ids=["one name", "many names"])
def test_a_hostile_pattern_takes_no_more_than_linear_time(pattern: str, path: str) -> None:
    """An engine that backtracks would not come back from any of these."""
    assert len(pattern) <= LONGEST
    assert not Glob(pattern).matches(path)
    assert Glob(pattern[:-1] + "**").matches(path) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "below", "others"),
    [
        ("/app/**", ["", "/app", "/app/x"], ["/ap", "/apps", "/x/app"]),
        ("/app", [""], ["/app", "/x"]),
        ("app/x.js", ["", "/app"], ["/app/x.js", "/x"]),
        ("*.js", ["", "/app"], []),
        ("**/a", ["", "/app", "/a"], []),
        ("/*/a", ["", "/app"], ["/app/b", "/app/a"]),
        ("/{a,b}/?", ["", "/a", "/b"], ["/c"]),
    ],
)
def test_a_directory_is_told_below_which_a_pattern_may_match(
    pattern: str, below: list[str], others: list[str]
) -> None:
    assert all(Glob(pattern).may_match_below(path) for path in below)
    assert not any(Glob(pattern).may_match_below(path) for path in others)


def test_braces_multiply_and_every_choice_is_tried() -> None:
    glob = Glob("{a,b}{a,b}{a,b}")
    assert all(glob.matches("/" + "".join(chosen)) for chosen in product("ab", repeat=3))
    assert not glob.matches("/aa")
