"""Dates that are known in part, and the cour that follows from them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.normalize.date import cour_of, partial_date, read_date, season_of, utc_stamp

DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 20))


@given(DAYS, st.sampled_from([4, 7, 10]), st.sampled_from(["", "T00:00:00+09:00", " 12:30"]))
def test_a_date_is_read_as_far_as_it_is_known(day, length, rest):
    """Parts that are left out, or zero, are unknown; a time behind a whole date is not read."""
    text = day.isoformat()[:length]
    assert read_date(text + (rest if length == 10 else "")) == text
    padded = text + {4: "-00-00", 7: "-00", 10: ""}[length]
    assert read_date(padded) == text


@given(st.text(max_size=12) | st.from_regex(r"\d{4}-\d\d-\d\d", fullmatch=True))
def test_what_is_read_is_a_date_or_refused(text):
    """Nothing is guessed, and nothing else is raised."""
    try:
        found = read_date(text)
    except ValueError:
        return
    if found is None:
        assert not text.strip() or text.strip().startswith("0000")
    else:
        assert text.strip().startswith(found)
        date.fromisoformat(found + "-01-01"[: 10 - len(found)] if len(found) < 7 else (found + "-01")[:10])


@pytest.mark.parametrize("text", ["2025-02-30", "2025-13-01", "soon", "20250101", "2025-W01-1", "२०२५-01-01", "1"])
def test_what_is_no_date_is_refused(text):
    """Also what Python's own reader would take."""
    with pytest.raises(ValueError, match=r"."):
        read_date(text)


MONTHS = [None, "winter", "fall"]
"""What sources say of early December."""


@given(DAYS, st.sampled_from(MONTHS))
def test_a_winter_that_begins_in_december_is_the_next_years(day, derived):
    """From 23 December on it is winter, whatever a source's months say; before that day it is what they say."""
    season, year = cour_of(day.isoformat(), derived=derived)
    if (day.month, day.day) >= (12, 23):
        assert (season, year) == ("winter", day.year + 1)
    else:
        assert season == derived
        assert year == (None if derived is None else day.year + (derived == "winter" and day.month == 12))


@given(DAYS, st.sampled_from(["winter", "spring", "summer", "fall"]), st.none() | st.integers(1990, 2030))
def test_the_season_that_a_source_states_is_taken(day, season, year):
    """With its year, but for a winter that begins in December, which is the next year's."""
    found = cour_of(day.isoformat(), season, year, derived="spring")
    is_december = season == "winter" and day.month == 12
    assert found == (season, day.year + 1 if is_december else year or day.year)


@pytest.mark.parametrize(
    ("given_", "derived", "found"),
    [
        (("2024-12-28",), "fall", ("winter", 2025)),
        (("2024-12-22",), "fall", ("fall", 2024)),
        (("2024-12-05",), "winter", ("winter", 2025)),
        (("2024-12",), "fall", ("fall", 2024)),
        (("2024-12", "winter"), None, ("winter", 2025)),
        (("2024-12-05", "winter", 2024), None, ("winter", 2025)),
        (("2024-12-28", "fall", 2024), None, ("fall", 2024)),
        (("2025-01-05", "winter", 2025), None, ("winter", 2025)),
        (("2024",), None, (None, None)),
        ((None, "fall", 2024), None, ("fall", 2024)),
        ((None, "winter"), None, ("winter", None)),
        ((None, None, 2024), None, (None, None)),
    ],
)
def test_what_is_unknown_of_a_cour_stays_unknown(given_, derived, found):
    """Without a month there is no cour, and without a year none of it."""
    assert cour_of(*given_, derived=derived) == found


@given(st.integers(1900, 2100), st.none() | st.integers(0, 12), st.none() | st.integers(0, 31))
def test_a_partial_date_is_never_filled_in(year, month, day):
    """A day without a month is none."""
    try:
        found = partial_date(year, month, day)
    except ValueError:
        return
    assert found == "-".join([f"{year:04}", *([f"{month:02}", *([f"{day:02}"] if day else [])] if month else [])])


def test_the_ends_of_the_calendar_are_no_error():
    """A source's "never": the last day there is; a moment that UTC does not have is none."""
    assert cour_of("9999-12-31", derived=season_of("9999-12-31")) == ("winter", 10_000)
    assert utc_stamp("9999-12-31T23:59:59-14:00") is None
    assert utc_stamp("0001-01-01T00:00:00+14:00") is None
