"""What the client accepts: content-codings and media types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.accept import (
    coding_quality,
    coding_tiers,
    coding_weights,
    media_quality,
    media_ranges,
    prefers_html,
)

HEADER_BLOCK = 65_536  # bytes: the largest field value any server in front of us lets through
AVAILABLE = ("br", "zstd", "gzip")

QUALITIES = [
    pytest.param("gzip", "gzip", 1000, id="named"),
    pytest.param("gzip", "br", 0, id="not named"),
    pytest.param("gzip;q=0.5", "gzip", 500, id="half"),
    pytest.param("gzip;q=0.29", "gzip", 290, id="no float's rounding"),
    pytest.param("gzip;q=0.001", "gzip", 1, id="least"),
    pytest.param("gzip;q=0", "gzip", 0, id="refused"),
    pytest.param("gzip;q=0.000", "gzip", 0, id="refused to three digits"),
    pytest.param("gzip;q=1.000", "gzip", 1000, id="most to three digits"),
    pytest.param("gzip;q=0.", "gzip", 0, id="a dot without digits"),
    pytest.param("gzip ; q=0.5", "gzip", 500, id="OWS around the semicolon"),
    pytest.param("gzip;Q=0.5", "gzip", 500, id="Q in upper case"),
    pytest.param("GZip", "gzip", 1000, id="coding in any case"),
    pytest.param("x-gzip", "gzip", 1000, id="x-gzip"),
    pytest.param("br;q=0.2,gzip", "br", 200, id="first of two"),
    pytest.param("br,gzip;q=0.2", "gzip", 200, id="second of two"),
    pytest.param("gzip;q=0.2, gzip;q=0.7", "gzip", 700, id="the last counts"),
    pytest.param("*", "br", 1000, id="asterisk"),
    pytest.param("*;q=0.3, br", "gzip", 300, id="asterisk for what is not named"),
    pytest.param("*, br;q=0", "br", 0, id="named before asterisk"),
    pytest.param("*;q=0", "br", 0, id="nothing at all"),
    pytest.param("gzip", "identity", 1, id="identity by default"),
    pytest.param("", "identity", 1, id="identity when empty"),
    pytest.param("", "gzip", 0, id="no coding when empty"),
    pytest.param("identity;q=0", "identity", 0, id="identity refused"),
    pytest.param("*;q=0", "identity", 0, id="identity refused by asterisk"),
    pytest.param("*;q=0, identity;q=0.1", "identity", 100, id="identity named"),
    pytest.param("*;q=0.7", "identity", 1, id="asterisk does not raise identity"),
    pytest.param("br;q=x, gzip", "br", 0, id="malformed weight"),
    pytest.param("br;q=x, gzip", "gzip", 1000, id="its neighbour counts"),
    pytest.param("br;q=1.001", "br", 0, id="above one"),
    pytest.param("br;q=0.1234", "br", 0, id="four digits"),
    pytest.param("br;q=-1", "br", 0, id="negative"),
    pytest.param("br;q=.5", "br", 0, id="no leading digit"),
    pytest.param("br;q =0.5", "br", 0, id="space before ="),
    pytest.param("br;level=5", "br", 0, id="unknown parameter"),
    pytest.param("b r", "br", 0, id="space inside"),
    pytest.param("br gzip", "gzip", 0, id="no comma"),
    pytest.param("gzip\n", "gzip", 0, id="line end"),
    pytest.param("gzip;q=\u0660", "gzip", 0, id="digit that is not ASCII"),
]


@pytest.mark.parametrize(("value", "coding", "quality"), QUALITIES)
def test_the_weight_of_a_coding(value: str, coding: str, quality: int) -> None:
    assert coding_quality(coding_weights(value), coding) == quality


TIERS = [
    pytest.param("", [["identity"]], id="empty"),
    pytest.param("gzip", [["gzip"], ["identity"]], id="gzip"),
    pytest.param("gzip, deflate, br, zstd", [["br", "zstd", "gzip"], ["identity"]], id="a browser"),
    pytest.param("gzip;q=1.0, br;q=0.8", [["gzip"], ["br"], ["identity"]], id="by weight"),
    pytest.param("br;q=0", [["identity"]], id="refused"),
    pytest.param("br;q=0, gzip", [["gzip"], ["identity"]], id="one refused"),
    pytest.param("*", [["br", "zstd", "gzip"], ["identity"]], id="asterisk"),
    pytest.param("*;q=0", [], id="nothing acceptable"),
    pytest.param("gzip, *;q=0", [["gzip"]], id="gzip or nothing"),
    pytest.param("gzip, identity;q=0", [["gzip"]], id="not plain"),
    pytest.param("identity", [["identity"]], id="plain, as curl and dpkg ask"),
    pytest.param("identity, gzip;q=0.5", [["identity"], ["gzip"]], id="plain preferred"),
    pytest.param("gzip, identity", [["gzip", "identity"]], id="indifferent"),
    pytest.param("gzip, identity;q=0.5, *;q=0", [["gzip"], ["identity"]], id="the RFC's"),
    pytest.param("gzip;q=0.001", [["gzip"], ["identity"]], id="unmentioned identity comes last"),
    pytest.param("compress, x-gzip", [["gzip"], ["identity"]], id="old names"),
    pytest.param("!!, ;;q=1, br", [["br"], ["identity"]], id="noise"),
]


@pytest.mark.parametrize(("value", "tiers"), TIERS)
def test_codings_come_in_tiers_of_equal_weight(value: str, tiers: list[list[str]]) -> None:
    assert coding_tiers(coding_weights(value), AVAILABLE) == tuple(map(tuple, tiers))


def test_without_sidecars_only_identity_is_left() -> None:
    assert coding_tiers(coding_weights("br, gzip"), ()) == (("identity",),)


codings = st.sampled_from(["br", "gzip", "zstd", "deflate", "identity", "*"])
all_weights = st.dictionaries(codings, st.integers(0, 1000))


@given(all_weights)
def test_a_field_is_read_as_it_was_written(weights: dict[str, int]) -> None:
    written = (f"{coding};q={weight / 1000:.3f}" for coding, weight in weights.items())
    assert coding_weights(", ".join(written)) == weights


@given(all_weights, st.lists(st.sampled_from(AVAILABLE)))
def test_tiers_hold_each_acceptable_coding_once_and_nothing_else(
    weights: dict[str, int], available: list[str]
) -> None:
    listed = [coding for tier in coding_tiers(weights, available) for coding in tier]
    acceptable = {each for each in {*available, "identity"} if coding_quality(weights, each)}
    assert len(listed) == len(set(listed))
    assert set(listed) == acceptable


@given(all_weights)
def test_tiers_descend(weights: dict[str, int]) -> None:
    qualities = [
        {coding_quality(weights, coding) for coding in tier}
        for tier in coding_tiers(weights, AVAILABLE)
    ]
    assert all(len(tier) == 1 for tier in qualities)
    flat = [quality for tier in qualities for quality in tier]
    assert flat == sorted(flat, reverse=True)


@given(st.text() | st.text("brgzip*;q=01., \t"))
def test_parsing_never_raises(value: str) -> None:
    assert all(0 <= weight <= 1000 for weight in coding_weights(value).values())
    assert 0 <= media_quality(media_ranges(value), "text/html") <= 1000


@pytest.mark.parametrize(
    ("value", "count"),
    [
        pytest.param("," * HEADER_BLOCK, 0, id="commas"),
        pytest.param("a," * (HEADER_BLOCK // 2), 1, id="one coding again and again"),
        pytest.param(",".join(map(str, range(11_000))), 11_000, id="many codings"),
        pytest.param("a;" * (HEADER_BLOCK // 2), 0, id="semicolons"),
        pytest.param(" " * HEADER_BLOCK, 0, id="spaces"),
        pytest.param("br" + " " * HEADER_BLOCK + "x", 0, id="spaces inside"),
        pytest.param("a" * HEADER_BLOCK + "\x00", 0, id="one long token"),
    ],
)
def test_64_kib_are_read_to_the_end(value: str, count: int) -> None:
    assert len(coding_weights(value)) == count


CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)

MEDIA = [
    pytest.param("", 1000, 1000, False, id="empty"),
    pytest.param("???", 1000, 1000, False, id="nothing usable"),
    pytest.param("*/*", 1000, 1000, False, id="curl, fetch()"),
    pytest.param(CHROMIUM, 1000, 800, True, id="Chromium"),
    pytest.param("text/html, text/plain, text/sgml, */*;q=0.01", 1000, 1000, True, id="Lynx"),
    pytest.param("text/html, text/*;q=0.5, image/*", 1000, 500, True, id="w3m"),
    pytest.param("application/json, text/plain, */*", 1000, 1000, False, id="axios"),
    pytest.param("application/json", 0, 0, False, id="an API client"),
    pytest.param("text/plain", 0, 1000, False, id="plain"),
    pytest.param("text/*", 1000, 1000, False, id="any text"),
    pytest.param("TEXT/HTML", 1000, 0, True, id="any case"),
    pytest.param("text/html;q=0.2, text/plain;q=0.3", 200, 300, False, id="plain preferred"),
    pytest.param("text/html;q=0, */*", 0, 1000, False, id="refused"),
    pytest.param("text/html;q=0, text/plain;q=0", 0, 0, False, id="both refused"),
    pytest.param("text/*;q=0.3, */*;q=0.9", 300, 300, False, id="the more specific"),
    pytest.param("text/html;charset=utf-8", 1000, 0, True, id="charset"),
    pytest.param('text/html; charset="UTF-8" ; q=0.5', 500, 0, True, id="charset and weight"),
    pytest.param("text/html;level=1, */*;q=0.1", 100, 100, False, id="a variant we do not have"),
    pytest.param("text/html;q=2, text/plain;q=0.1", 0, 100, False, id="malformed weight"),
    pytest.param('a/b;c="x,text/html", text/plain', 0, 1000, False, id="comma in quotes"),
    pytest.param('a/b;c="x\\",text/html", text/plain', 0, 1000, False, id="quote in quotes"),
    pytest.param('text/plain, a/b;c="text/html', 0, 1000, False, id="quote never closed"),
    pytest.param("text/html;;q=0.5", 500, 0, True, id="empty parameter"),
    pytest.param("*/html", 0, 0, False, id="a range that matches nothing"),
    pytest.param('"\\' * (HEADER_BLOCK // 2), 1000, 1000, False, id="64 KiB of quotes"),
    pytest.param("text/html" + ";" * HEADER_BLOCK, 1000, 0, True, id="64 KiB of semicolons"),
    pytest.param("," * HEADER_BLOCK + "text/html", 1000, 0, True, id="64 KiB of commas"),
]


@pytest.mark.parametrize(("accept", "html", "plain", "prefers"), MEDIA)
def test_the_most_specific_media_range_decides(
    accept: str, html: int, plain: int, prefers: bool
) -> None:
    assert media_quality(media_ranges(accept), "text/html") == html
    assert media_quality(media_ranges(accept), "text/plain") == plain
    assert prefers_html(accept) is prefers
