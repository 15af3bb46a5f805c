"""What Jikan's answers, arguments and free texts mean, one at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError, RecordError
from anime_crawler.items import Anime
from anime_crawler.sources.jikan import parse, schema
from anime_crawler.sources.jikan.spider import JikanSpider


def title(number: int, status: str = "Finished Airing", day: str = "2019-01-05", **other: Any) -> dict[str, Any]:
    """A title that is one day long, and as well rated as its number is high."""
    return {
        "mal_id": number,
        "url": f"https://myanimelist.net/anime/{number}/x",
        "titles": [{"type": "Default", "title": f"Title {number}"}],
        "title": f"Title {number}",
        "title_english": None,
        "title_japanese": None,
        "type": "TV",
        "status": status,
        "aired": {"from": f"{day}T00:00:00+00:00", "to": f"{day}T00:00:00+00:00", "string": None},
        "score": number / 1000,
        "popularity": number,
        "rank": number,
        "scored_by": 5,
        **other,
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"data": []}, ("accept", "ok", None)),
        (200, {"data": {}}, ("retry", "wrong_shape", None)),
        (200, {"type": "RateLimitException", "message": "x"}, ("retry", "wrong_shape", None)),
        (200, [], ("retry", "wrong_shape", None)),
        (200, b"", ("retry", "not_json", None)),
        (204, b"", ("retry", "not_json", None)),
        (301, b"", ("give_up", "moved", "JIKAN_BASE_URL")),
        (
            400,
            {"status": 400, "type": "BadRequestException", "message": "Invalid season"},
            ("give_up", "refused", None),
        ),
        (401, b"", ("give_up", "status_401", None)),
        (403, b"<html>", ("give_up", "blocked", None)),
        (404, b"<html>", ("give_up", "status_404", "JIKAN_BASE_URL")),
        (404, {"type": "HttpException", "message": "Not Found"}, ("give_up", "status_404", "JIKAN_BASE_URL")),
        (405, {"type": "HttpException", "message": "x"}, ("give_up", "refused", None)),
        (429, {"status": "429", "type": "RateLimitException"}, ("retry", "rate_limited", None)),
        (429, b"slow down", ("retry", "rate_limited", None)),
        (500, {"type": "Exception", "message": "x"}, ("give_up", "unreadable_title", None)),
        (500, {"type": "UpstreamException", "message": "x"}, ("retry", "server_error", "JIKAN_BASE_URL")),
        (502, b"<html>", ("retry", "server_error", "JIKAN_BASE_URL")),
        (503, {"type": "ServiceUnavailableException"}, ("retry", "server_error", "JIKAN_BASE_URL")),
        (
            504,
            {"type": "BadResponseException", "message": "failed"},
            ("retry", "server_error", "JIKAN_BASE_URL"),
        ),
    ],
)
def test_answers_are_judged_by_status_and_type(status, body, expected):
    """What is worth another try is trouble of the upstream; nothing else is."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    verdict = JikanSpider().judge(TextResponse("https://x.test/anime?page=1", status=status, body=content))
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected
    assert verdict.is_upstream_trouble is (expected[0] == "retry")


def test_one_title_and_a_list_are_not_taken_for_each_other():
    """Where one title is asked for, a list is of the wrong shape."""
    judge = JikanSpider().judge
    assert judge(TextResponse("https://x.test/v4/anime/1/full", body=b'{"data":{}}')).kind == "ok"
    assert judge(TextResponse("https://x.test/v4/anime/1/full", body=b'{"data":[]}')).kind == "wrong_shape"
    assert judge(TextResponse("https://x.test/v4/anime/1/episodes", body=b'{"data":[]}')).kind == "ok"


@pytest.mark.parametrize(
    "arguments",
    [
        *({"mode": "all"}, {"mode": "season"}, {"season": "2026-autumn"}, {"mode": "full", "season": "2026-fall"}),
        *({"ids": ""}, {"ids": "1,x"}, {"ids": "0"}, {"ids": "-1"}, {"ids": "1", "mode": "full"}, {"titles": " ; "}),
        *({"titles": "X", "season": "2026-fall"}, {"episodes": "yes"}, {"mode": "snapshot", "characters": "1"}),
        *({"since": "2026"}, {"mode": "full", "season": "now"}),
    ],
)
def test_a_wrong_argument_is_refused_with_what_applies(arguments):
    """Before anything runs; the message shows a right one."""
    with pytest.raises(ArgumentError) as refused:
        JikanSpider(**arguments)
    assert len(str(refused.value)) > 20


# --- free text


@given(st.integers(0, 30), st.integers(0, 59), st.integers(0, 59), st.sampled_from(["", " per ep"]))
def test_durations_are_minutes(hours, minutes, seconds, end):
    """Seconds count only where there is nothing else, as one minute; nothing at all is unknown."""
    parts = [f"{n} {unit}" for n, unit in ((hours, "hr"), (minutes, "min"), (seconds, "sec")) if n]
    expected = hours * 60 + minutes or (1 if seconds else None)
    assert schema.minutes_of(" ".join(parts) + end if parts else "Unknown") == expected


@given(st.text(max_size=30))
def test_any_text_is_a_duration_a_date_or_set_aside(text):
    """Never another exception, never a number from nowhere."""
    for read in (schema.minutes_of, lambda t: schema.known_part("2021-05-09", t, None, "aired.from")):
        try:
            found = read(text)
        except RecordError:
            continue
        assert found is None or (isinstance(found, int) and found > 0) or "2021-05-09".startswith(str(found))


@given(st.dates(datetime(1917, 1, 1).date(), datetime(2090, 1, 1).date()), st.sampled_from([10, 7, 4]))
def test_a_date_is_as_long_as_its_words(day, length):
    """Day, month or year; the filled-in rest is dropped. Parts that are not filled in shorten it, too."""
    words = {10: f"{day:%b} {day.day}, {day.year}", 7: f"{day:%b} {day.year}", 4: f"{day.year}"}[length]
    moment = f"{day.isoformat()}T00:00:00+09:00"
    assert schema.known_part(moment, words, None, "x") == day.isoformat()[:length]
    parts = schema.Day(year=day.year, month=day.month, day=None)
    assert schema.known_part(moment, words, parts, "x") == day.isoformat()[: min(length, 7)]


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    day=st.sampled_from(sorted(schema.DAYS)),
    minutes=st.integers(0, 30 * 60 - 1),
)
def test_the_next_episode_is_within_a_week_at_its_time(now, day, minutes):
    """Not before now, on its weekday in Japan; after 24:00 is the day after, as stations write it."""
    at, time = now.replace(tzinfo=UTC), f"{minutes // 60:02}:{minutes % 60:02}"
    record = title(1, "Currently Airing") | {"broadcast": {"day": day, "time": time, "timezone": "Asia/Tokyo"}}
    record["aired"] = {"from": None, "to": None, "string": "Not available"}
    (anime, *_) = parse.items_from_titles([record], at)
    assert isinstance(anime, Anime)
    found = anime.next_episode_at
    assert found is not None
    assert at <= found < at + timedelta(days=7)
    start = found + timedelta(hours=9) - timedelta(minutes=minutes)
    assert (start.weekday(), start.hour, start.minute) == (schema.DAYS[day], 0, 0)
