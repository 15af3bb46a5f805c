"""AniList's answers judged, arguments checked, dates and texts of any kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import TextResponse
from scrapy.utils.test import get_crawler

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Anime
from anime_crawler.sources.anilist.parse import KINDS, STATUSES, items_from_media, normalize_description
from anime_crawler.sources.anilist.schema import MEDIA_FORMATS, MEDIA_STATUSES, Slice, date_at, index_of
from anime_crawler.sources.anilist.spider import AnilistSpider, whole_catalogue

PAGE = json.dumps({"data": {"Page": {"pageInfo": {"hasNextPage": False}, "media": []}}}).encode()
GUARD = b"<!doctype html><html><title>Just a moment</title></html>"
DATES = st.builds(
    lambda y, m, d: y * 10_000 + m * 100 + (d if m else 0),
    st.integers(1907, 2030),
    st.integers(0, 12),
    st.integers(0, 28),
)
"""Dates as AniList writes them, known at least in part."""


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, PAGE, ("accept", "ok", None)),
        (200, b'{"data":{"Media":{"id":1}}}', ("accept", "ok", None)),
        (200, PAGE[:-3], ("retry", "not_json", None)),
        (200, GUARD, ("retry", "not_json", None)),
        (200, b"", ("retry", "not_json", None)),
        (200, b"null", ("retry", "wrong_shape", None)),
        (200, b'{"data":{"Page":null}}', ("retry", "wrong_shape", None)),
        (200, b'{"data":{"Page":{"media":[]}}}', ("retry", "wrong_shape", None)),
        (200, b'{"data":{"Page":{"pageInfo":{"hasNextPage":false}}}}', ("retry", "wrong_shape", None)),
        (200, b'{"errors":[{"message":"x","status":500}]}', ("retry", "server_error", None)),
        (200, b'{"errors":["x"]}', ("give_up", "query_refused", None)),
        (400, b'{"errors":[{"message":"Max query complexity"}]}', ("give_up", "query_refused", None)),
        (403, GUARD, ("give_up", "blocked", None)),
        (403, b"{}", ("give_up", "blocked", None)),
        (404, GUARD, ("give_up", "status_404", "ANILIST_BASE_URL")),
        (404, b'{"errors":[{"message":"Not Found.","status":404}]}', ("give_up", "not_found", None)),
        (429, b"", ("retry", "rate_limited", None)),
        (
            429,
            b'{"data":null,"errors":[{"message":"Too Many Requests.","status":429}]}',
            ("retry", "rate_limited", None),
        ),
        (429, PAGE, ("retry", "rate_limited", None)),
        (500, b'{"errors":[{"message":"Internal Server Error","status":500}]}', ("retry", "server_error", None)),
        (502, GUARD, ("retry", "server_error", None)),
        (522, b"", ("retry", "server_error", None)),
        (301, b"", ("give_up", "moved", "ANILIST_BASE_URL")),
    ],
)
def test_answers_are_judged_by_their_errors_and_then_by_status(status, body, expected):
    """A refusal is final, a block is never tried again, what cannot be read is."""
    verdict = AnilistSpider().judge(TextResponse("https://x.test/", status=status, body=body))
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected
    assert verdict.is_upstream_trouble is (verdict.action.value == "retry")


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "season"},
        {"mode": "full", "ids": "1"},
        {"ids": "1", "titles": "x"},
        {"ids": ""},
        {"ids": "1,naruto"},
        {"ids": "0"},
        {"titles": " ; "},
        {"characters": "yes"},
        {"episodes": "1"},
        {"season": "2026-fall"},
    ],
)
def test_a_wrong_argument_is_refused_and_the_message_helps(arguments):
    """Before anything runs, naming what applies."""
    with pytest.raises(ArgumentError, match=r"wanted|has no argument"):
        AnilistSpider(**arguments)


def test_the_whole_catalogue_wants_a_setting_because_the_terms_forbid_mass_collection():
    """Without it an error that says so; the other modes need none."""
    with pytest.raises(ArgumentError, match=r"terms forbid mass collection.*ANILIST_MASS_COLLECTION"):
        started(False, "full")
    assert started(True, "full").mode == "full"
    assert started(False, "incremental").mode == "incremental"


def started(may_collect: bool, mode: str) -> AnilistSpider:
    """The spider as a job with this setting makes it."""

    def attach(spider: AnilistSpider) -> None:
        spider.own = {"ANILIST_MASS_COLLECTION": may_collect}

    crawler = get_crawler(AnilistSpider)
    crawler.job = SimpleNamespace(attach=attach)  # type: ignore[attr-defined]
    return AnilistSpider.from_crawler(crawler, mode=mode)


@given(date=DATES)
def test_every_date_lies_in_exactly_one_slice_and_in_one_of_its_parts(date):
    """Slices tile what AniList can write, and so do the parts of each."""
    slices = [s for s in whole_catalogue(1_790_000_000) if s.sort == "ID" and s.status is None]
    (here,) = [s for s in slices if holds(s, date)]
    while parts := [s for s in here.split() if s.status is None]:
        (here,) = [s for s in parts if holds(s, date)]
    assert here.low == date


def holds(part: Slice, date: int) -> bool:
    """As AniList filters: both bounds are exclusive."""
    bounds = part.variables()
    return bool(bounds.get("from", 0) < date < bounds.get("to", 10**8))


@given(st.integers(0, 2100 * 13 * 32))
def test_places_and_dates_are_each_others_inverse(index):
    """And keep their order."""
    assert index_of(date_at(index)) == index
    assert date_at(index) < date_at(index + 1)


@given(year=st.integers(-5, 10_000), month=st.integers(-1, 14), day=st.integers(-1, 33))
def test_a_date_is_kept_partial_or_sets_the_title_aside(year, month, day):
    """Never filled in, never an exception."""
    date = {"year": year, "month": month or None, "day": day or None}
    record = {"id": 1, "title": {"romaji": "Kita"}, "format": "TV", "status": "FINISHED", "startDate": date}
    (item,) = items_from_media([record], datetime(2026, 1, 1, tzinfo=UTC))
    if isinstance(item, Anime) and item.aired_from:
        known = item.aired_from.split("-")
        assert int(known[0]) == year
        assert len(known) == (3 if month and day else 2 if month else 1)


@given(st.text(alphabet="ab <>br/!~()[]:source\n&;", max_size=80))
def test_a_description_has_no_marks_left(text):
    """Whatever people write: no tags, no spoiler marks, no empty lines in a row."""
    told = normalize_description(text)
    assert told is None or (told == told.strip() and "\n\n\n" not in told and "<b>" not in told and "<br>" not in told)


def test_slices_know_every_word_that_is_mapped():
    """What has a status or format that we do not ask for would be missed where a list is split."""
    assert set(MEDIA_STATUSES) == set(STATUSES)
    assert set(MEDIA_FORMATS) == set(KINDS)
