"""What AnimeSchedule's answers mean, and what becomes of texts and numbers that people typed in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import TextResponse

from anime_crawler.base_spiders import Action, ResponseError
from anime_crawler.items import Airing, Anime, Rejected
from anime_crawler.sources.animeschedule.parse import external_ids, items_from_rows, items_from_shows, parse_file
from anime_crawler.sources.animeschedule.schema import Websites, drift
from anime_crawler.sources.animeschedule.spider import AnimeScheduleSpider

BASE = "https://animeschedule.net/api/v3"
ZERO = "0001-01-01T00:00:00Z"
NOTHING = "Something went wrong"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LIST, NEXT, SEARCH = "/anime?st=alphabetic&page=1", "/anime?st=alphabetic&page=2", "/anime?q=one&page=1"
ONE, TIMETABLE = "/anime/anime-00001", "/timetables/raw?year=2026&week=47&tz=UTC"


def show(number: int, **other: Any) -> dict[str, Any]:
    """An anime; numbers sort as titles do."""
    return {"id": f"id{number}", "route": f"anime-{number:05}", "title": f"Anime {number:05}", **other}


def row(route: str, number: int, kind: str, at: str = "2026-11-18T15:00:00Z", **other: Any) -> dict[str, Any]:
    """An episode that has aired."""
    return {
        "title": route,
        "route": route,
        "status": "Ongoing",
        "airType": kind,
        "airingStatus": "aired",
        "episodeDate": at,
        "episodeNumber": number,
        "delayedFrom": ZERO,
        "delayedUntil": ZERO,
        **other,
    }


PAGE = json.dumps({"page": 1, "totalAmount": 1, "anime": [show(1)]})


def answer(path: str, status: int, body: str, **headers: str) -> TextResponse:
    return TextResponse(BASE + path, status=status, body=body.encode(), headers=headers)


@pytest.mark.parametrize(
    ("path", "status", "body", "expected"),
    [
        (LIST, 200, PAGE, ("accept", "ok", None)),
        (SEARCH, 200, PAGE, ("accept", "ok", None)),
        (ONE, 200, json.dumps(show(1)), ("accept", "ok", None)),
        ("/anime/anime", 200, json.dumps(show(1)), ("accept", "ok", None)),
        (TIMETABLE, 200, "[]", ("accept", "ok", None)),
        (TIMETABLE, 200, json.dumps([row("a", 1, "raw")]), ("accept", "ok", None)),
        (LIST, 200, PAGE[:-3], ("retry", "not_json", None)),
        (LIST, 200, "<html>", ("retry", "not_json", None)),
        (LIST, 200, NOTHING, ("retry", "not_json", None)),
        (LIST, 200, "[]", ("retry", "wrong_shape", None)),
        (LIST, 200, '{"page":1,"anime":[]}', ("retry", "wrong_shape", None)),
        (LIST, 200, json.dumps(show(1)), ("retry", "wrong_shape", None)),
        (ONE, 200, PAGE, ("retry", "wrong_shape", None)),
        (ONE, 200, "null", ("retry", "wrong_shape", None)),
        (TIMETABLE, 200, "{}", ("retry", "wrong_shape", None)),
        (TIMETABLE, 200, '[{"name":"Action","route":"action"}]', ("retry", "wrong_shape", None)),
        (NEXT, 500, NOTHING, ("retry", "nothing_there", None)),
        (SEARCH, 500, NOTHING + "\n", ("retry", "nothing_there", None)),
        (LIST, 500, NOTHING, ("retry", "server_error", None)),
        (ONE, 500, NOTHING, ("retry", "server_error", None)),
        (TIMETABLE, 500, NOTHING, ("retry", "server_error", None)),
        (NEXT, 500, "<html>", ("retry", "server_error", None)),
        (NEXT, 503, NOTHING, ("retry", "server_error", None)),
        (LIST, 522, "", ("retry", "server_error", None)),
        (LIST, 429, "", ("retry", "rate_limited", None)),
        (TIMETABLE, 401, "Unauthorized", ("give_up", "token_refused", "ANIMESCHEDULE_TOKEN")),
        (LIST, 401, '{"message":"x"}', ("give_up", "token_refused", "ANIMESCHEDULE_TOKEN")),
        (LIST, 403, "<html>", ("give_up", "blocked", None)),
        (ONE, 404, "Not Found", ("give_up", "not_found", None)),
        (TIMETABLE, 404, "", ("give_up", "not_found", None)),
        (ONE, 404, "\n<html>", ("give_up", "status_404", "ANIMESCHEDULE_BASE_URL")),
        (LIST, 404, "Not Found", ("give_up", "status_404", "ANIMESCHEDULE_BASE_URL")),
        (LIST, 301, "", ("give_up", "moved", "ANIMESCHEDULE_BASE_URL")),
        (LIST, 400, "", ("give_up", "status_400", None)),
    ],
)
def test_answers_are_judged_by_address_status_and_body(path, status, body, expected):
    """The text for no hits means that only in searches and behind the first page."""
    verdict = AnimeScheduleSpider().judge(answer(path, status, body))
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected
    is_trouble = expected[0] == "retry" and expected[1] != "nothing_there"
    assert verdict.is_upstream_trouble is is_trouble


def test_nothing_there_is_believed_when_it_is_said_twice():
    """Asked once more, since a failure in passing has the same text; not a third time."""
    spider = AnimeScheduleSpider()
    actions = [spider.judge(answer(path, 500, NOTHING)).action for path in (NEXT, SEARCH, NEXT, SEARCH)]
    assert actions == [Action.RETRY, Action.RETRY, Action.GIVE_UP, Action.GIVE_UP]


def test_a_redirect_is_named_by_its_host_only():
    """The host is what the setting needs; the rest may hold what must not be shown."""
    verdict = AnimeScheduleSpider().judge(answer(LIST, 302, "", Location="https://new.example.org/?token=canary"))
    assert "new.example.org" in verdict.message
    assert "canary" not in verdict.message


# --- anime


def anime(**fields: Any) -> Anime | Rejected:
    (item,) = items_from_shows([show(1, **fields)], NOW)
    assert isinstance(item, Anime | Rejected)
    return item


@given(year=st.integers(0, 1899), rest=st.sampled_from(["01-01T00:00:00Z", "12-31T23:00:00+09:00", "01-01T05:17:00Z"]))
def test_a_date_of_a_year_before_anime_is_unknown(year, rest):
    """The zero date in whatever form a recorder left it."""
    at = f"{year:04}-{rest}"
    found = anime(premier=at, delayedFrom="2026-01-01T00:00:00Z", delayedUntil=at, status="Delayed")
    assert isinstance(found, Anime)
    assert (found.aired_from, found.year, found.status) == (None, None, "paused")


@given(st.dates(datetime(1917, 1, 1).date(), datetime(2100, 12, 31).date()))
def test_a_known_first_day_is_kept_whole(day):
    """As ISO date; the year is its year where no other is told."""
    found = anime(premier=f"{day}T00:00:00Z", year=0)
    assert isinstance(found, Anime)
    assert (found.aired_from, found.year) == (day.isoformat(), day.year)


@given(st.text(max_size=60))
def test_any_text_as_a_date_is_a_date_or_sets_the_record_aside(text):
    """Never an exception, never an invented day."""
    found = anime(premier=text)
    assert isinstance(found, Rejected) or found.aired_from is None or found.aired_from[:4].isdigit()


@given(number=st.integers(1, 999_999_999), tail=st.sampled_from(["", "/", "/Some_Title", "?x=1", "#top", "/a/b?c"]))
def test_ids_are_whole_segments_of_addresses(number, tail):
    """With or without scheme, www and what follows."""
    for scheme in ("", "https://", "http://www.", "//", "www."):
        websites = Websites(
            mal=f"{scheme}myanimelist.net/anime/{number}{tail}",
            aniList=f"{scheme}anilist.co/anime/{number}{tail}",
            kitsu=f"{scheme}kitsu.app/anime/{number}{tail}",
            anidb=f"{scheme}anidb.net/anime/{number}{tail}",
        )
        assert external_ids(websites) == dict.fromkeys(("mal", "anilist", "kitsu", "anidb"), str(number))


@pytest.mark.parametrize(
    ("websites", "expected"),
    [
        ({"kitsu": "kitsu.io/anime/one-piece"}, {}),
        ({"kitsu": "kitsu.io/anime/22-7"}, {}),
        ({"mal": "myanimelist.net/anime/21x"}, {}),
        ({"mal": "myanimelist.net/manga/21"}, {}),
        ({"mal": "anilist.co/anime/21"}, {}),
        ({"mal": "notmyanimelist.net/anime/21"}, {}),
        ({"mal": "myanimelist.net/anime.php?id=21"}, {"mal": "21"}),
        ({"mal": "", "aniList": None}, {}),
        ({"anidb": "anidb.net/a69"}, {"anidb": "69"}),
        ({"anidb": "anidb.net/perl-bin/animedb.pl?show=anime&aid=69"}, {"anidb": "69"}),
        ({"anidb": "anidb.net/perl-bin/animedb.pl?aid=69&show=anime"}, {"anidb": "69"}),
        ({"animePlanet": "https://www.anime-planet.com/anime/one-piece?x"}, {"anime_planet": "one-piece"}),
        ({"animePlanet": "www.anime-planet.com/anime/"}, {}),
    ],
)
def test_odd_addresses_give_an_id_or_none(websites, expected):
    """Never another site's id, never a part of one."""
    assert external_ids(Websites(**websites)) == expected


@given(st.text(max_size=300))
def test_any_description_becomes_clean_text(text):
    """No tag begins in it, and no source note stands in it."""
    found = anime(description=f"{text} (Source: Somewhere (else))")
    assert isinstance(found, Anime)
    assert "(Source: Somewhere (else))" not in (found.description or "")
    assert "<script" not in (found.description or "")


# --- rows


@given(number=st.integers(0, 3000), below=st.integers(0, 40), days=st.integers(1, 400))
def test_a_row_gives_each_of_its_episodes_once_at_the_date_that_counts(number, below, days):
    """The delay's end while it is delayed, none without an end, the old date otherwise."""
    lowest = max(0, number - below)
    at = datetime(2026, 11, 18, 15, tzinfo=UTC)
    until = at + timedelta(days=days)
    delayed = {"airingStatus": "delayed-air", "delayedFrom": at.isoformat()}
    for other, expected in (
        ({}, at),
        ({"delayedUntil": until.isoformat()}, at),
        ({**delayed, "delayedUntil": until.isoformat()}, until),
        (delayed, None),
        ({**delayed, "delayedUntil": "2026-03-09T00:00:00Z"}, None),
    ):
        record = row("a", number, "sub", at.isoformat(), subtractedEpisodeNumber=lowest, **other)
        found = list(items_from_rows([record], NOW))
        assert all(isinstance(item, Airing) and item.airs_at == expected for item in found)
        wanted = list(range(lowest or number, number + 1)) if expected else []
        assert [item.number for item in found if isinstance(item, Airing)] == wanted


def test_a_row_with_more_episodes_than_can_air_at_once_is_set_aside():
    """A slip of the editors is not a thousand airings."""
    (found,) = items_from_rows([row("a", 1000, "raw", subtractedEpisodeNumber=1)], NOW)
    assert isinstance(found, Rejected)
    assert "cannot air at once" in found.reason


# --- files


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (NOTHING, "without hits"),
        ("<html>", "not JSON"),
        ("null", "there was null"),
        ("{}", "with title and route"),
        ('[{"name":"Action","route":"action"}]', "there is none"),
        ('{"page":1,"totalAmount":-1,"anime":[]}', "totalAmount"),
    ],
)
def test_a_file_without_items_says_what_it_is(body, says):
    """Errors, web pages, dictionaries."""
    with pytest.raises(ResponseError, match=says):
        parse_file(body.encode(), "file", NOW)


def test_a_list_of_anime_and_a_single_row_are_understood_too():
    """As somebody may have cut them out of an answer."""
    found = list(parse_file(json.dumps([show(1), show(2)]).encode(), "file", NOW))
    assert [type(item) for item in found] == [Anime, Anime]
    found = list(parse_file(json.dumps(row("a", 1, "raw")).encode(), "file", NOW))
    assert [type(item) for item in found] == [Airing]


def test_fields_that_nobody_has_seen_are_counted():
    """Wherever they are in a page or a timetable; a whole timetable without a usual one, too."""
    page = {"page": 1, "totalAmount": 1, "next": 2, "anime": [show(1, rank=1, stats={"median": 5}, names=None), 5]}
    assert set(drift(page)) == {("next", "unknown"), ("anime.rank", "unknown"), ("anime.stats.median", "unknown")}
    rows = [row(f"a{number}", number, "raw", zone="JST") for number in range(30)]
    for record in rows:
        del record["delayedUntil"]
    assert drift(rows) == {("timetable.zone", "unknown"): 30, ("timetable.delayedUntil", "vanished"): 30}
