"""What Kitsu's answers mean: verdicts, drift, dates, free texts, dead letters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import Action, ResponseError
from anime_crawler.items import Anime, Episode, Rejected
from anime_crawler.sources.kitsu.parse import parse_file, precision, status_on
from anime_crawler.sources.kitsu.schema import drift
from anime_crawler.sources.kitsu.spider import KitsuSpider

NOW = datetime(2026, 5, 3, tzinfo=UTC)


def bare_row() -> dict[str, Any]:
    """A title of which little is told."""
    names = {"en_jp": "Toudai 1", "en": None}
    attributes = {"canonicalTitle": "Toudai 1", "titles": names, "status": "finished"}
    return {"id": "1", "type": "anime", "attributes": attributes}


def test_a_dead_letter_can_be_read_again_with_all_that_it_refers_to():
    """The raw record holds what was included for it, but not the works it is related to."""
    genre = {"type": "genres", "id": "1", "attributes": {"name": "Comedy"}}
    other = {"type": "anime", "id": "2", "attributes": {"canonicalTitle": "x" * 99_999}}
    row = bare_row() | {"relationships": {"genres": {"data": [{"type": "genres", "id": "1"}]}}}
    row["relationships"]["mediaRelationships"] = {"data": [{"type": "anime", "id": "2"}]}
    names = {"titles": row["attributes"].pop("titles", {}), "canonicalTitle": row["attributes"].pop("canonicalTitle")}
    (letter,) = parse_file(json.dumps({"data": [row], "included": [genre, other]}).encode(), "page", NOW)
    assert isinstance(letter, Rejected)
    assert len(letter.raw) < 1000
    mended = letter.raw.replace('"attributes":{', f'"attributes":{json.dumps(names)[:-1]},', 1)
    (anime,) = parse_file(mended.encode(), "dead letter 1", NOW)
    assert isinstance(anime, Anime)
    assert anime.genres == ("Comedy",)


def test_a_dead_letter_of_an_episode_knows_its_anime():
    """The page's address is not in the record, so that it is added."""
    page = {"data": [{"id": "5", "type": "episodes", "attributes": {"number": "?"}}]}
    (letter,) = parse_file(json.dumps(page).encode(), "https://x.test/anime/7/episodes?page=1", NOW)
    assert isinstance(letter, Rejected)
    (found,) = parse_file(letter.raw.replace('"?"', "3").encode(), "dead letter 1", NOW)
    assert isinstance(found, Episode)
    assert (found.anime_id, found.number) == ("7", 3)


# --- what it makes of answers


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"data":[]}', ("accept", "ok", None)),
        (200, b'{"data":{"id":"1"}}', ("accept", "ok", None)),
        (200, b'{"data":[],"included":null}', ("accept", "ok", None)),
        (200, b'{"data":[]', ("retry", "not_json", None)),
        (200, b"<html>", ("retry", "not_json", None)),
        (200, b"[" * 100_000, ("retry", "not_json", None)),
        (200, b"null", ("retry", "wrong_shape", None)),
        (200, b'{"data":[],"links":5}', ("retry", "wrong_shape", None)),
        (400, b'{"errors":[{"code":"118"}]}', ("retry", "refused", None)),
        (401, b'{"errors":[]}', ("give_up", "not_allowed", None)),
        (403, b'{"errors":[]}', ("give_up", "not_allowed", None)),
        (403, b"<html>", ("give_up", "blocked", None)),
        (404, b'{"errors":[{"code":"404"}]}', ("give_up", "not_found", None)),
        (404, b"<html>", ("give_up", "status_404", "KITSU_BASE_URL")),
        (429, b'{"errors":[{"status":429}]}', ("retry", "rate_limited", None)),
        (500, b'{"errors":[{"code":"500"}]}', ("retry", "server_error", None)),
        (503, b"<html>", ("retry", "server_error", None)),
        (522, b"", ("retry", "server_error", None)),
        (301, b"", ("give_up", "moved", "KITSU_BASE_URL")),
    ],
)
def test_answers_are_judged_by_status_and_body(status, body, expected):
    """What may pass is trouble of the upstream; the rest wants a person."""
    verdict = KitsuSpider().judge(TextResponse("https://x.test/", status=status, body=body))
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected
    assert verdict.is_upstream_trouble is (verdict.action is Action.RETRY)


def test_a_request_that_is_refused_twice_is_given_up():
    """Correct ones are refused now and then; two tries are enough to tell."""
    request = Request("https://x.test/", meta={"attempt": 2})
    response = TextResponse(request.url, status=400, body=b'{"errors":[{"title":"Bad","detail":"sort"}]}')
    response.request = request
    verdict = KitsuSpider().judge(response)
    assert (verdict.action, verdict.kind) == (Action.GIVE_UP, "refused")
    assert "Bad: sort" in verdict.message


def test_drift_shows_in_the_report():
    """New attributes, words and types; a missing `included` that rows refer to; a usual attribute that is gone."""
    rows = [bare_row() for _ in range(20)]
    rows[0]["attributes"]["mood"] = "calm"
    rows[0]["relationships"] = {"genres": {"data": [{"type": "genres", "id": "1"}]}}
    counts = drift({"data": rows, "extra": 1})
    assert counts["anime.attributes.mood", "unknown"] == 1
    assert counts["extra", "unknown"] == 1
    assert counts["included", "vanished"] == 1
    assert counts["anime.attributes.posterImage", "vanished"] == 20
    words = [{"type": "mediaRelationships", "id": "1", "attributes": {"role": "remake"}}, {"type": "moods", "id": "1"}]
    counts = drift({"data": [], "included": words})
    assert set(counts) == {("mediaRelationships.attributes.role remake", "unknown"), ("type moods", "unknown")}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"data":[{"type":"genres","id":"1"}]}', "genres"),
        (b'{"data":[{"type":"episodes","id":"1"}]}', "whose episodes"),
        (b'{"errors":[{"title":"Bad","detail":"sort"}]}', "Bad: sort"),
        (b"<html>", "not JSON"),
    ],
)
def test_a_file_without_items_says_what_it_is(body, says):
    """For people who look at recorded answers."""
    with pytest.raises(ResponseError, match=says):
        parse_file(body, "file.json", NOW)


# --- free texts and dates


@pytest.mark.parametrize(
    ("tba", "length"),
    [
        *(("2026", 4), ("October 2025", 7), ("Oct. 2025", 7), ("Fall 2026", 4), ("Q3 2025", 4), ("early 2027", 4)),
        *(("tba", 10), ("", 10), (None, 10), ("5 October 2025", 10), ("October 5th, 2025", 10), ("2025-10-05", 10)),
    ],
)
def test_what_is_said_of_a_date_limits_what_is_known_of_it(tba, length):
    """A month leaves year and month, a year the year; a day leaves all."""
    assert precision(tba) == length


@given(st.text())
def test_any_text_about_a_date_leaves_a_length_of_a_date(text):
    """Whatever people write."""
    assert precision(text) in (4, 7, 10)


days = st.dates(datetime(1950, 1, 1).date(), datetime(2036, 12, 31).date())


@given(start=st.none() | days, end=st.none() | days, tba=st.none() | st.text() | st.sampled_from(["2026", "May 2026"]))
def test_dates_are_never_more_than_kitsu_says(start, end, tba):
    """What is kept is a beginning of what was sent; a status follows from whole dates only."""
    a = {"canonicalTitle": "Toudai", "startDate": start and str(start), "endDate": end and str(end), "tba": tba}
    document = {"data": [{"id": "1", "type": "anime", "attributes": a}]}
    (anime,) = parse_file(json.dumps(document).encode(), "page", NOW)
    assert isinstance(anime, Anime)
    for sent, kept in ((start, anime.aired_from), (end, anime.aired_to)):
        assert str(sent).startswith(kept) if kept else sent is None
    if {len(kept) for kept in (anime.aired_from, anime.aired_to) if kept} == {10}:
        assert anime.status == status_on("2026-05-03", anime.aired_from, anime.aired_to)
    else:
        assert anime.status is None
    assert (anime.season is None) == (anime.aired_from is None or len(anime.aired_from) < 10)


@given(st.text())
def test_any_text_for_a_date_or_a_rating_is_understood_or_set_aside(text):
    """One record, one outcome."""
    for name in ("startDate", "averageRating", "nextRelease"):
        row = {"id": "1", "type": "anime", "attributes": {"canonicalTitle": "Toudai", name: text}}
        (found,) = parse_file(json.dumps({"data": [row]}).encode(), "page", NOW)
        assert isinstance(found, Anime | Rejected)
