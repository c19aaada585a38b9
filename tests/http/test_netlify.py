"""``_redirects`` and ``_headers``: the forms that Netlify and Cloudflare Pages document."""

from __future__ import annotations

import pytest

from asyncstatic.http.glob import Glob
from asyncstatic.http.netlify import SiteRedirects, read_headers, read_redirects
from asyncstatic.http.redirects import Redirect
from asyncstatic.http.rules import Rulebook
from asyncstatic.settings import SettingsError

INDEX = ("index.html",)


@pytest.mark.parametrize(
    ("line", "redirect"),
    [
        pytest.param("/home /", Redirect("/home", "/"), id="without a status"),
        pytest.param("/home301 / 301", Redirect("/home301", "/"), id="301"),
        pytest.param("/home302 / 302", Redirect("/home302", "/", 302), id="302"),
        pytest.param("/a /b 301!", Redirect("/a", "/b"), id="forced, as all are"),
        pytest.param("\t/a\t/b   308  ", Redirect("/a", "/b", 308), id="tabs and spaces"),
        pytest.param("/a /b 302 # why", Redirect("/a", "/b", 302), id="a comment behind it"),
        pytest.param("/a /b#top", Redirect("/a", "/b#top"), id="a fragment is no comment"),
        pytest.param("/trailing /trailing/", Redirect("/trailing", "/trailing/"), id="a slash"),
        pytest.param(
            "/news/:month/:date/* /blog/:date/:month/:splat",
            Redirect("/news/:month/:date/*", "/blog/:date/:month/:splat"),
            id="placeholders",
        ),
        pytest.param(
            "/google https://www.google.com",
            Redirect("/google", "https://www.google.com"),
            id="URL",
        ),
    ],
)
def test_a_line_is_a_redirect(line: str, redirect: Redirect) -> None:
    assert read_redirects(line) == SiteRedirects((redirect,))
    assert read_redirects(f"\ufeff# comment\r\n\r\n  # more\r\n{line}\r\n").redirects == (redirect,)


@pytest.mark.parametrize("line", ["/* /index.html 200", "/*  /index.html  200!"])
def test_the_last_resort_is_the_shell(line: str) -> None:
    assert read_redirects(f"/a /b\n{line}\n") == SiteRedirects(
        (Redirect("/a", "/b"),), "index.html"
    )
    assert read_redirects(f"{line}\n/* /other.html 200\n").shell == "index.html"  # the first counts


@pytest.mark.parametrize(
    ("line", "help_"),
    [
        pytest.param("/a", "say SOURCE TARGET STATUS", id="no target"),
        pytest.param("a /b", "a path from the root", id="a relative source"),
        pytest.param("/a /b 999", "the status 999 is no redirect", id="no such status"),
        pytest.param("/a /b 200", "a rewrite (200)", id="a rewrite"),
        pytest.param("/* / 200", "the name of a page below", id="a shell without a name"),
        pytest.param("/* //x.html 200", "the name of a page", id="a host as the shell"),
        pytest.param("/* https://a.example/ 200", "the name of a page", id="a proxy"),
        pytest.param("/* /404.html 404", "say not_found=", id="a page for 404"),
        pytest.param("/a id=:id /b/:id", "query parameters are not compared", id="a query"),
        pytest.param("/a /b 302 Country=de", "conditions such as Country=", id="a country"),
        pytest.param("/a /b Language=de", "conditions such as Country=", id="a language"),
        pytest.param("https://a.example/* /b 301", "the source has a host", id="a domain"),
        pytest.param("/a //evil.example/", "host cannot depend", id="a host without scheme"),
        pytest.param("/a/:x /b/:y", "/a/:x has no :y", id="no such placeholder"),
    ],
)
def test_a_line_that_is_not_understood_is_named_by_its_number(line: str, help_: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_redirects(f"# one\n/x /y\n{line}\n")
    assert str(raised.value).startswith("_redirects:3: ")
    assert help_ in str(raised.value)


def fields_about(text: str, path: str, at: str = "") -> dict[str, str]:
    ruling = Rulebook(read_headers(text, INDEX, at), at).about(tuple(path.split("/")))
    fields = {name.decode(): value.decode() for name, value in ruling.fields}
    more = {"cache-control": ruling.cache_control, "content-type": ruling.media_type}
    return {**fields, **{name: value for name, value in more.items() if value}}


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        pytest.param("/*", ["a", "index.html", "x/y/z.js"], [], id="everything"),
        pytest.param("/x/*", ["x/a", "x/y/b", "x/index.html"], ["a", "xy/a"], id="below"),
        pytest.param("/", ["index.html"], ["a", "x/index.html"], id="the root"),
        pytest.param("/x/", ["x/index.html"], ["x", "x/a"], id="a directory"),
        pytest.param("/a", ["a", "a.html", "a/index.html"], ["b", "a/b", "x/a"], id="a page"),
        pytest.param("/a.js", ["a.js"], ["aXjs", "b.js"], id="a file"),
        pytest.param("/*.jpg", ["a.jpg", "x/b.jpg"], ["a.png"], id="a suffix anywhere"),
        pytest.param("/u/:id/p", ["u/7/p", "u/7/p.html"], ["u/7/8/p"], id="a placeholder"),
        pytest.param("/a%20[b]", ["a [b]"], ["a b"], id="characters of globs"),
        pytest.param("/a/*/x", ["a/b/x", "a/b/c/x.html"], ["a/x", "a/xx"], id="names between"),
        pytest.param("/*/*/x", ["a/b/x", "a/b/c/x"], ["x", "a/x"], id="names twice"),
        pytest.param(
            "/a/*/", ["a/b/index.html", "a/b/c/index.html"], ["a/index.html"], id="an end"
        ),
        pytest.param("/a*/x", ["a/x", "ab/c/x"], ["x", "b/a/x"], id="the rest of a name"),
    ],
)
def test_a_path_is_that_of_the_files_behind_it(
    pattern: str, matched: list[str], others: list[str]
) -> None:
    for at in ("", "/docs"):
        text = f"{pattern}\n  X-A: 1\n"
        assert all(fields_about(text, path, at) for path in matched), matched
        assert not any(fields_about(text, path, at) for path in others), others


def test_a_page_whose_url_has_a_slash_is_behind_its_path() -> None:
    for slash, holds in ((True, True), (False, False)):
        (rule,) = read_headers("/x/\n", INDEX, "/docs", slash=slash)
        glob = Glob(rule.match)
        assert glob.matches("/docs/x/index.html")
        assert glob.matches("/docs/x.html") is holds
        assert not glob.matches("/docs/x")
        (rule,) = read_headers("/\n", INDEX, slash=slash)
        assert not Glob(rule.match).matches("/.html")


def test_fields_are_combined_as_documented() -> None:
    text = """\
# a comment
/*
  X-Frame-Options: DENY
  X-Robots-Tag: nosnippet
  Cache-Control: max-age=0
  cache-control: must-revalidate
  Content-Security-Policy: default-src 'self'; img-src https://b.example:8080

/open/*
  ! X-Frame-Options
  X-Robots-Tag: all
  Content-Type: text/plain
"""
    assert fields_about(text, "a.html") == {
        "x-frame-options": "DENY",
        "x-robots-tag": "nosnippet",
        "cache-control": "max-age=0, must-revalidate",
        "content-security-policy": "default-src 'self'; img-src https://b.example:8080",
    }
    inner = fields_about(text, "open/a.html")
    assert "x-frame-options" not in inner
    assert (inner["x-robots-tag"], inner["content-type"]) == ("all", "text/plain")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("/*\nX-A: 1\n", id="a field without indentation"),
        pytest.param("  /*\n  X-A: 1\n", id="an indented path"),
        pytest.param("  # why\n/*  # all\n\tX-A: 1\n# end", id="comments"),
    ],
)
def test_a_line_that_begins_with_a_slash_is_a_path(text: str) -> None:
    """Indentation has no meaning, as at Netlify and Cloudflare."""
    assert fields_about(text, "a.html") == {"x-a": "1"}


@pytest.mark.parametrize("value", ['</feed>; rel=next; title="No #4"', "#fff", "noindex # now"])
def test_a_hash_in_a_value_is_a_part_of_it(value: str) -> None:
    """As at Netlify and Cloudflare; what is cut off silently would be another policy."""
    assert fields_about(f"/*\n  X-A: {value}\n", "a.html") == {"x-a": value}


@pytest.mark.parametrize(
    ("line", "help_"),
    [
        pytest.param("https://a.example/*", "a path from the root", id="a domain"),
        pytest.param("a/*", "or a path, /docs/*", id="a relative path"),
        pytest.param("X-A", "say NAME: VALUE", id="no value, no indentation"),
        pytest.param("  X-A", "say NAME: VALUE", id="no value"),
        pytest.param("  X A: 1", "no name of a field", id="a space in a name"),
        pytest.param("  ETag: 1", "ETag cannot be set", id="a validator"),
        pytest.param("  Content-Length: 1", "cannot be set", id="framing"),
        pytest.param("  Set-Cookie: a=b", "cannot be set", id="a cookie"),
        pytest.param("  X-A: é", "printable ASCII", id="not ASCII"),
        pytest.param("  Cache-Control: max_age=1", "did you mean max-age", id="a typo"),
        pytest.param("  Basic-Auth: user:secret", "passwords do not belong", id="a password"),
        pytest.param("/a/../b", 'the names "." and ".."', id="dot-dot"),
    ],
)
def test_a_field_that_is_not_understood_is_named_by_its_number(line: str, help_: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_headers(f"/*\n  X-B: 1\n{line}\n", INDEX)
    assert str(raised.value).startswith("_headers:3: ")
    assert help_ in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "placeholder"),
    [
        ("/films/:title", 'You watch ":title"', ":title"),
        ("/films/*", "<https://a.example/:splat>; rel=canonical", ":splat"),
        ("/films/:title", "https://a.example/:titles", ""),
        ("/films/:title", "a:splat", ""),
        ("/films/*", "https://a.example:80/", ""),
    ],
)
def test_a_value_that_would_need_its_path_is_refused(
    path: str, value: str, placeholder: str
) -> None:
    """Cloudflare puts placeholders in; the text itself would be a wrong value."""
    text = f"{path}\n  X-A: {value}\n"
    if placeholder:
        with pytest.raises(SettingsError, match=f"_headers:2: {placeholder} in a value"):
            read_headers(text, INDEX)
    else:
        assert read_headers(text, INDEX)[0].headers == {"X-A": value}


def test_a_field_without_a_path_is_refused() -> None:
    with pytest.raises(SettingsError, match="_headers:1: a path comes before"):
        read_headers("  X-A: 1\n", INDEX)
