"""Preconditions: every combination of the fields, against the steps as RFC 9110 §13.2.2 has them."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.dates import http_date
from asyncstatic.http.entity_tag import EntityTag
from asyncstatic.http.model import Fields
from asyncstatic.http.preconditions import PreconditionResult, evaluate, range_applies
from asyncstatic.http.validators import Validators

NOW = 1_700_000_000
MODIFIED = 1_600_000_000

CURRENT = {
    "strong tag and date": Validators(EntityTag("v1"), MODIFIED),
    "weak tag and date": Validators(EntityTag("v1", weak=True), MODIFIED),
    "date alone": Validators(None, MODIFIED),
    "strong tag alone": Validators(EntityTag("v1"), None),
    "nothing": Validators(None, None),
}


class Option(NamedTuple):
    """A field value, and what is true of it by construction rather than by parsing."""

    value: str | None
    names_v1: bool = False
    strong: bool = False
    star: bool = False
    date: int | None = None


TAGS = [
    Option(None),
    Option('"v1"', names_v1=True, strong=True),
    Option('W/"v1"', names_v1=True),
    Option('"v0", W/"x,y" ,, "v1"', names_v1=True, strong=True),
    Option('"v2"'),
    Option("*", star=True),
    Option("v1"),
    Option('"v1'),
]
DATES = [
    Option(None),
    Option(http_date(MODIFIED), date=MODIFIED),
    Option(http_date(MODIFIED - 1), date=MODIFIED - 1),
    Option(http_date(MODIFIED + 1), date=MODIFIED + 1),
    Option("yesterday"),
]


def strong_match(option: Option, current: Validators) -> bool:
    """§13.1.1: a star, or a strong tag of the list equals a strong current one."""
    strong = current.tag is not None and not current.tag.weak
    return option.star or (strong and option.names_v1 and option.strong)


def weak_match(option: Option, current: Validators) -> bool:
    """§13.1.2: a star, or any tag of the list has the same text."""
    return option.star or (current.tag is not None and option.names_v1)


def steps(
    im: Option, ius: Option, inm: Option, ims: Option, current: Validators
) -> PreconditionResult:
    """§13.2.2, for GET and HEAD, one step after the other."""
    # 1. If-Match is present: true -> step 3, false -> 412.
    if im.value is not None:
        if not strong_match(im, current):
            return PreconditionResult.FAILED
    # 2. If-Match is not present, If-Unmodified-Since is: true -> step 3, false -> 412.
    elif ius.date is not None and current.modified is not None and current.modified > ius.date:
        return PreconditionResult.FAILED
    # 3. If-None-Match is present: true -> step 5, false -> 304.
    if inm.value is not None:
        if weak_match(inm, current):
            return PreconditionResult.NOT_MODIFIED
    # 4. If-None-Match is not present, If-Modified-Since is: true -> step 5, false -> 304.
    elif ims.date is not None and current.modified is not None and current.modified <= ims.date:
        return PreconditionResult.NOT_MODIFIED
    return PreconditionResult.PASS


@pytest.mark.parametrize("current", CURRENT.values(), ids=CURRENT)
@pytest.mark.parametrize("if_match", TAGS, ids=lambda option: f"If-Match {option.value}")
def test_every_combination_follows_the_steps(if_match: Option, current: Validators) -> None:
    results = set()
    for ius, inm, ims in product(DATES, TAGS, DATES):
        fields = Fields(
            if_match=if_match.value,
            if_unmodified_since=ius.value,
            if_none_match=inm.value,
            if_modified_since=ims.value,
        )
        expected = steps(if_match, ius, inm, ims, current)
        assert evaluate(fields, current, NOW) is expected, fields
        results.add(expected)
    assert len(results) > 1 or results == {PreconditionResult.FAILED}


@pytest.mark.parametrize("result", PreconditionResult)
def test_a_result_is_a_status(result: PreconditionResult) -> None:
    assert result.value in (200, 304, 412)


IF_RANGE = [
    pytest.param(None, "strong tag and date", True, id="absent"),
    pytest.param('"v1"', "strong tag and date", True, id="same strong tag"),
    pytest.param(' "v1"\t', "strong tag and date", True, id="same strong tag, OWS around"),
    pytest.param('W/"v1"', "strong tag and date", False, id="weakened tag"),
    pytest.param('"v1"', "weak tag and date", False, id="our tag is weak"),
    pytest.param('W/"v1"', "weak tag and date", False, id="both weak"),
    pytest.param('"v2"', "strong tag and date", False, id="another tag"),
    pytest.param('"v1"', "date alone", False, id="tag, we have none"),
    pytest.param('"v1", "v2"', "strong tag and date", False, id="a list"),
    pytest.param("*", "strong tag and date", False, id="star"),
    pytest.param("", "strong tag and date", False, id="empty"),
    pytest.param("v1", "strong tag and date", False, id="no quotes"),
    pytest.param(http_date(MODIFIED), "date alone", True, id="same date"),
    pytest.param(http_date(MODIFIED), "strong tag and date", True, id="same date beside a tag"),
    pytest.param(http_date(MODIFIED + 1), "date alone", False, id="later date"),
    pytest.param(http_date(MODIFIED - 1), "date alone", False, id="earlier date"),
    pytest.param(http_date(MODIFIED), "strong tag alone", False, id="date, we have none"),
    pytest.param(http_date(MODIFIED), "nothing", False, id="date, we have nothing"),
    pytest.param("Sunday, 13-Sep-20 12:26:40 GMT", "date alone", True, id="RFC 850 date"),
]


@pytest.mark.parametrize(("value", "current", "applies"), IF_RANGE)
def test_if_range_compares_strongly_and_exactly(
    value: str | None, current: str, applies: bool
) -> None:
    assert range_applies(Fields(if_range=value), CURRENT[current], NOW) is applies


@pytest.mark.parametrize(("age", "applies"), [(0, False), (1, True), (60, True)])
def test_a_date_is_strong_once_its_second_is_over(age: int, applies: bool) -> None:
    """RFC 9110 §8.8.2.2: within it the file may have changed again."""
    current = Validators(None, NOW - age)
    assert range_applies(Fields(if_range=http_date(NOW - age)), current, NOW) is applies


@pytest.mark.parametrize("value", [http_date(MODIFIED), "Sun Sep 13 12:26:40 2020"])
def test_a_date_does_not_tell_codings_apart(value: str) -> None:
    """All codings of a resource have its date; only a tag is of one of them (§8.8.1)."""
    current = CURRENT["strong tag and date"]
    assert range_applies(Fields(if_range=value), current, NOW)
    assert not range_applies(Fields(if_range=value), current, NOW, negotiable=True)
    assert range_applies(Fields(if_range='"v1"'), current, NOW, negotiable=True)


any_value = st.none() | st.text(st.characters(max_codepoint=255), max_size=60)
opaque_tags = st.builds(
    EntityTag,
    st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), max_size=5),
    st.booleans(),
)
validators = st.builds(Validators, st.none() | opaque_tags, st.none() | st.integers(0, NOW))


@given(any_value, any_value, any_value, any_value, any_value, validators)
def test_no_value_raises(
    im: str | None,
    ius: str | None,
    inm: str | None,
    ims: str | None,
    ir: str | None,
    current: Validators,
) -> None:
    fields = Fields(
        if_match=im, if_unmodified_since=ius, if_none_match=inm, if_modified_since=ims, if_range=ir
    )
    assert evaluate(fields, current, NOW) in PreconditionResult
    assert isinstance(range_applies(fields, current, NOW), bool)


@given(validators)
def test_what_we_sent_is_what_revalidates(current: Validators) -> None:
    """A client that sends our own validators back gets 304 - and passes If-Match, if strong."""
    if current.tag is not None:
        echoed = Fields(if_none_match=str(current.tag))
        assert evaluate(echoed, current, NOW) is PreconditionResult.NOT_MODIFIED
        passed = (
            evaluate(Fields(if_match=str(current.tag)), current, NOW) is PreconditionResult.PASS
        )
        assert passed is not current.tag.weak
        assert range_applies(Fields(if_range=str(current.tag)), current, NOW) is passed
    if current.modified is not None:
        echoed = Fields(if_modified_since=http_date(current.modified))
        assert evaluate(echoed, current, NOW) is PreconditionResult.NOT_MODIFIED


@given(validators, validators)
def test_another_version_never_passes_for_this_one(old: Validators, new: Validators) -> None:
    """Promise: no 304, and no part after If-Range, for another tag."""
    if old.tag is None or new.tag is None or old.tag.opaque == new.tag.opaque:
        return
    assert evaluate(Fields(if_none_match=str(old.tag)), new, NOW) is PreconditionResult.PASS
    assert evaluate(Fields(if_match=str(old.tag)), new, NOW) is PreconditionResult.FAILED
    assert not range_applies(Fields(if_range=str(old.tag)), new, NOW)
