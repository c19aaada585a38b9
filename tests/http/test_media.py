"""Media types by name."""

from __future__ import annotations

import importlib.util
import json
import mimetypes
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.media import MEDIA_TYPES, media_type

if TYPE_CHECKING:
    from types import ModuleType

TEXT = "text/plain; charset=utf-8"
UNKNOWN = "application/octet-stream"
GENERATOR = Path(__file__).parents[2] / ".ci" / "media_types.py"

NAMES = [
    # The web.
    ("index.html", "text/html; charset=utf-8"),
    ("index.htm", "text/html; charset=utf-8"),
    ("page.xhtml", "application/xhtml+xml"),
    ("app.css", "text/css; charset=utf-8"),
    ("app.js", "text/javascript; charset=utf-8"),
    ("app.mjs", "text/javascript; charset=utf-8"),
    ("lib.umd.cjs", "text/javascript; charset=utf-8"),
    ("app.3f2a1b9c.js", "text/javascript; charset=utf-8"),
    ("app.js.map", "application/json"),
    ("app.wasm", "application/wasm"),
    ("site.webmanifest", "application/manifest+json"),
    ("favicon.ico", "image/vnd.microsoft.icon"),
    ("robots.txt", TEXT),
    ("sitemap.xml", "application/xml"),
    ("feed.atom", "application/atom+xml"),
    ("feed.rss", "application/rss+xml"),
    ("style.xsl", "application/xslt+xml"),
    # Images.
    ("a.png", "image/png"),
    ("a.jpg", "image/jpeg"),
    ("a.jpeg", "image/jpeg"),
    ("a.gif", "image/gif"),
    ("a.svg", "image/svg+xml"),
    ("a.webp", "image/webp"),
    ("a.avif", "image/avif"),
    ("a.jxl", "image/jxl"),
    ("a.apng", "image/apng"),
    ("a.heic", "image/heic"),
    ("a.cur", "image/vnd.microsoft.icon"),
    # Fonts.
    ("a.woff2", "font/woff2"),
    ("a.woff", "font/woff"),
    ("a.ttf", "font/ttf"),
    ("a.otf", "font/otf"),
    # Sound and pictures that move.
    ("a.mp4", "video/mp4"),
    ("a.webm", "video/webm"),
    ("a.mp3", "audio/mpeg"),
    ("a.m4a", "audio/mp4"),
    ("a.ogg", "audio/ogg"),
    ("a.opus", "audio/ogg"),
    ("a.flac", "audio/flac"),
    ("a.wav", "audio/wav"),
    ("a.weba", "audio/webm"),
    ("a.m3u8", "application/vnd.apple.mpegurl"),
    ("a.mpd", "application/dash+xml"),
    ("a.m4s", "video/iso.segment"),
    ("segment0.ts", "video/mp2t"),
    ("a.vtt", "text/vtt; charset=utf-8"),
    # Things in space.
    ("a.glb", "model/gltf-binary"),
    ("a.gltf", "model/gltf+json"),
    ("a.stl", "model/stl"),
    ("a.usdz", "model/vnd.usdz+zip"),
    ("a.geojson", "application/geo+json"),
    ("a.pmtiles", "application/vnd.pmtiles"),
    # Data.
    ("a.json", "application/json"),
    ("a.jsonl", "application/jsonl"),
    ("a.jsonld", "application/ld+json"),
    ("a.yaml", "application/yaml"),
    ("a.yml", "application/yaml"),
    ("a.toml", "application/toml"),
    ("a.cbor", "application/cbor"),
    ("a.csv", "text/csv; charset=utf-8"),
    ("a.parquet", "application/vnd.apache.parquet"),
    ("a.ics", "text/calendar; charset=utf-8"),
    ("a.vcf", "text/vcard; charset=utf-8"),
    ("a.md", "text/markdown; charset=utf-8"),
    ("a.pdf", "application/pdf"),
    ("a.epub", "application/epub+zip"),
    ("a.rtf", "application/rtf"),
    # Source text.
    ("a.d.ts", TEXT),
    ("a.py", TEXT),
    ("a.rs", TEXT),
    ("a.tsx", TEXT),
    # Packages and archives: files, never codings.
    ("a.zip", "application/zip"),
    ("a.gz", "application/gzip"),
    ("a.tar", "application/x-tar"),
    ("a.tar.gz", "application/gzip"),
    ("a.tgz", "application/gzip"),
    ("a.svgz", "application/gzip"),
    ("a.html.gz", "application/gzip"),
    ("a.js.zst", "application/zstd"),
    ("a.js.br", UNKNOWN),  # brotli has no media type
    ("a.deb", "application/vnd.debian.binary-package"),
    ("a.apk", "application/vnd.android.package-archive"),
    ("a-1.0-py3-none-any.whl", UNKNOWN),  # as a zip, some clients would unpack it
    ("a.exe", UNKNOWN),
    ("a.tar.gz.sha256", TEXT),
    # Names.
    ("INDEX.HTML", "text/html; charset=utf-8"),
    ("A.Tar.Gz", "application/gzip"),
    ("Makefile", TEXT),
    ("LICENSE", TEXT),
    ("SHA256SUMS", TEXT),
    ("license", UNKNOWN),
    ("apple-app-site-association", "application/json"),
    ("program", UNKNOWN),
    ("html", UNKNOWN),
    (".html", UNKNOWN),
    (".htaccess", UNKNOWN),
    ("..html", UNKNOWN),
    (".hidden.html", "text/html; charset=utf-8"),
    ("a.", UNKNOWN),
    ("a.html.", UNKNOWN),
    ("a.html ", UNKNOWN),
    ("a..html", "text/html; charset=utf-8"),
    ("a b.html", "text/html; charset=utf-8"),
    ("a.unheard-of", UNKNOWN),
    ("", UNKNOWN),
    (".", UNKNOWN),
]


@pytest.mark.parametrize(("name", "expected"), NAMES, ids=[repr(name) for name, _ in NAMES])
def test_a_name_has_the_same_type_on_every_machine(name: str, expected: str) -> None:
    assert media_type(name) == expected


OVERRIDES = {
    ".gz": "application/x-gzip",
    ".tar.gz": "application/x-tgz",
    ".html": "text/html",
    ".ts": "text/typescript",
    ".foo": "application/x-foo",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("a.foo", "application/x-foo", id="new"),
        pytest.param("a.FOO", "application/x-foo", id="any case"),
        pytest.param("a.gz", "application/x-gzip", id="replaced"),
        pytest.param("a.tar.gz", "application/x-tgz", id="the longest suffix"),
        pytest.param("a.b.tar.gz", "application/x-tgz", id="the longest that is there"),
        pytest.param("a.html", "text/html", id="used as written"),
        pytest.param("a.d.ts", "text/typescript", id="before a longer suffix of the table"),
        pytest.param("a.css", "text/css; charset=utf-8", id="the others stay"),
        pytest.param(".foo", UNKNOWN, id="hidden"),
    ],
)
def test_overrides_win(name: str, expected: str) -> None:
    assert media_type(name, OVERRIDES) == expected


@given(st.text())
def test_every_name_has_a_type(name: str) -> None:
    assert re.fullmatch(r"[a-z-]+/[!-~]+(?:; charset=utf-8)?", media_type(name))


@given(st.text("ab.", max_size=6), st.sampled_from(sorted(MEDIA_TYPES)))
def test_a_known_suffix_decides_whatever_comes_before_it(stem: str, suffix: str) -> None:
    compound = any(
        known.count(".") > 1 and f"{stem}{suffix}".endswith(known) for known in MEDIA_TYPES
    )
    assert compound or media_type(f"x{stem}{suffix}") == media_type(f"x{suffix}")


def test_a_name_of_dots_alone_is_searched_no_further_than_a_suffix_is_long() -> None:
    asked: list[str] = []

    class Listening(Mapping[str, str]):
        def __getitem__(self, key: str) -> str:
            asked.append(key)
            raise KeyError(key)

        def __iter__(self) -> Iterator[str]:
            return iter([".foo"])

        def __len__(self) -> int:
            return 1

    assert media_type("a" + "." * 4096 + "x", Listening()) == UNKNOWN
    assert 0 < len(asked) < 100


def test_every_row_is_a_media_type_of_a_suffix_and_says_something() -> None:
    for suffix, found in MEDIA_TYPES.items():
        assert re.fullmatch(r"(?:\.[a-z0-9_-]+){1,2}", suffix)
        assert re.fullmatch(r"[a-z-]+/[a-z0-9][a-z0-9!#$&^_.+-]*", found)
        assert found != UNKNOWN


def test_charset_is_for_text_alone() -> None:
    for suffix, found in MEDIA_TYPES.items():
        has_charset = media_type(f"a{suffix}") == f"{found}; charset=utf-8"
        assert has_charset is found.startswith("text/")


# A foreign witness. Not asked: what it names differently from version to version (.js, .ico, ...).
WITNESSED = (
    *("html", "css", "txt", "csv", "json", "pdf", "png", "jpg", "jpeg", "gif", "svg"),
    *("mp4", "webm", "mp3", "mov", "mpeg", "wasm", "zip", "tar", "doc", "xls", "ppt", "tiff"),
    *("htm", "bmp", "webmanifest", "m3u8", "avi", "swf", "ps", "eps"),
)


@pytest.mark.parametrize("suffix", WITNESSED)
def test_the_standard_library_agrees_where_nothing_is_contested(suffix: str) -> None:
    standard = mimetypes.MimeTypes().types_map[True][f".{suffix}"]
    assert media_type(f"a.{suffix}").partition(";")[0] == standard


# --- The generator -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_media_types", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_choice_made_by_hand_is_in_the_table(generator: ModuleType) -> None:
    for suffix, chosen in generator.CHOSEN.items():
        assert MEDIA_TYPES.get(f".{suffix}", UNKNOWN) == chosen


@pytest.mark.parametrize(
    ("types", "chosen"),
    [
        pytest.param(
            {"a/nginx": "nginx", "a/apache": "apache", "a/iana": "iana"}, "a/iana", id="iana"
        ),
        pytest.param({"a/nginx": "nginx", "a/apache": "apache"}, "a/apache", id="apache"),
        pytest.param({"a/own": None, "a/nginx": "nginx"}, "a/nginx", id="nginx"),
        pytest.param({"a/own": None}, "a/own", id="mime-db"),
    ],
)
def test_the_better_source_wins(
    generator: ModuleType, types: dict[str, str | None], chosen: str
) -> None:
    registry = {name: {"source": source, "extensions": ["x"]} for name, source in types.items()}
    assert generator.choose("x", generator.candidates(registry)["x"]) == chosen


def test_a_registry_that_disagrees_with_itself_needs_a_decision(generator: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"\.x: choose one of a/b, a/c"):
        generator.choose("x", [(0, "a/b"), (0, "a/c")])


def test_a_choice_that_changes_nothing_is_refused(generator: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no longer needed"):
        generator.choose("cbor", [(0, "application/cbor")])


def test_check_tells_a_changed_table_from_an_equal_one(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = {"a/b": {"source": "iana", "extensions": ["x"]}}
    monkeypatch.setattr(generator, "download", lambda _: json.loads(json.dumps(registry)))
    monkeypatch.setattr(generator, "CHOSEN", {})
    monkeypatch.setattr(generator, "MODULE", tmp_path / "table.py")
    monkeypatch.setattr(sys, "argv", ["media_types.py"])
    generator.main()
    monkeypatch.setattr(sys, "argv", ["media_types.py", "--check"])
    generator.main()
    registry["a/b"]["extensions"] = ["y"]
    with pytest.raises(SystemExit, match=r"table\.py is not what"):
        generator.main()


def test_a_missing_npm_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, GENERATOR, "--check"],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"mime-db [\d.]+ cannot be fetched: .*npm.*\n", done.stderr)
