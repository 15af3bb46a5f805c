"""Jikan's walks: nothing is missed, whatever changes or dies meanwhile; lists that lie about their end have one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy.http import TextResponse

from anime_crawler.items import Absent, Anime, Character, Episode, Snapshot
from anime_crawler.sources.jikan import parse
from anime_crawler.sources.jikan import spider as jikan_spider
from anime_crawler.sources.jikan.spider import JikanSpider
from tests.sources.driving import RecordingRun, drive
from tests.sources.fake_jikan import FakeJikan, title

PARSER_ERROR = (500, {"status": 500, "type": "ParserException", "message": "Unable to parse"})
DOWN = (504, {"status": 504, "type": "BadResponseException", "message": "Jikan failed to connect to MyAnimeList."})


def crawl(run: RecordingRun, jikan: Any, kill_after: int = 10_000, **arguments: str) -> list[Any]:
    """One run, or as much of it as comes before the process dies; its requests."""
    return drive(JikanSpider(**arguments), run, jikan, kill_after=kill_after)


def ids(run: RecordingRun, kind: type = Anime) -> list[int]:
    """Ids of the items of a kind, in their order."""
    return [int(item.source_id) for item in run.items if isinstance(item, kind)]


class Changing:
    """The server, with some titles removed before each request."""

    def __init__(self, jikan: FakeJikan, plan: list[list[int]]) -> None:
        self.jikan, self.plan = jikan, list(plan)

    def __call__(self, request: Any) -> TextResponse:
        for number in self.plan.pop(0) if self.plan else ():
            self.jikan.titles.pop(number, None)
        return self.jikan(request)


# --- everything


def test_everything_is_listed_by_id_25_a_page():
    """60 titles are three pages; each title once; the walk is complete."""
    jikan, run = FakeJikan(60), RecordingRun()
    crawl(run, jikan)
    assert ids(run) == list(range(1, 61))
    assert jikan.paths[0] == "/anime?order_by=mal_id&sort=asc&limit=25&page=1"
    assert len(jikan.paths) == 3
    assert run.state is not None
    assert run.state["walks"]["full"]["complete"]
    assert run.state["newest_id"] == 60


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 130), deaths=st.lists(st.integers(1, 4), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, deaths):
    """However often the process dies after a page was stored, the runs together list everything, and once."""
    jikan, run = FakeJikan(count), RecordingRun()
    for death in deaths:
        crawl(run, jikan, kill_after=death, mode="full")
    crawl(run, jikan, mode="full")
    assert ids(run) == list(range(1, count + 1))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(60, 130), plan=st.lists(st.lists(st.integers(1, 130), max_size=3), max_size=8))
def test_titles_removed_under_way_hide_no_others(count, plan):
    """What moves up onto a page that was read is read again; every title that stayed is listed."""
    jikan, run = FakeJikan(count), RecordingRun()
    crawl(run, Changing(jikan, plan))
    assert set(jikan.titles) <= set(ids(run))
    assert run.failures == []


@pytest.mark.parametrize("says_more", [True, False])
def test_a_list_that_lies_about_its_end_is_read_to_its_end(says_more):
    """Always more: an empty page is the end. Never more: the total says otherwise."""
    jikan, run = FakeJikan(60), RecordingRun()
    jikan.says_more = says_more
    crawl(run, jikan)
    assert ids(run) == list(range(1, 61))
    assert run.failures == []
    assert len(jikan.paths) == (4 if says_more else 3)


def test_a_server_that_ignores_pages_ends_the_run_incomplete():
    """The same 25 again are not everything, and not asked for for ever."""
    jikan, run = FakeJikan(60), RecordingRun()
    jikan.ignores_pages = True
    made = crawl(run, jikan)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]
    assert len(made) == 2


def test_a_server_that_repeats_its_last_page_has_been_read():
    """All that it counts was listed before the repetition."""
    jikan, run = FakeJikan(25), RecordingRun()
    jikan.says_more, jikan.ignores_pages = True, True
    crawl(run, jikan)
    assert run.failures == []
    assert run.state is not None
    assert run.state["walks"]["full"]["complete"]


def test_a_list_without_end_is_left(monkeypatch):
    """At the cap, as a failure: what it lists cannot be everything."""
    monkeypatch.setitem(jikan_spider.MOST_PAGES, "full", 3)
    jikan, run = FakeJikan(200), RecordingRun()
    crawl(run, jikan)
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_a_server_without_an_index_is_named():
    """Nothing at all is no catalogue; the next run tries again."""
    run = RecordingRun()
    crawl(run, FakeJikan(0))
    assert [(verdict.kind, verdict.setting) for verdict in run.failures] == [("empty_list", "JIKAN_BASE_URL")]
    assert run.state is None


def test_a_full_walk_that_is_complete_begins_again_with_another_run_only():
    """A run that is continued after its last page has nothing left to do."""
    jikan, run = FakeJikan(30), RecordingRun()
    crawl(run, jikan, mode="full")
    assert crawl(run, jikan, mode="full") == []
    run.id = 2
    assert len(crawl(run, jikan, mode="full")) == 2


def test_a_bad_record_costs_only_itself():
    """One without a title is set aside with the way to ask for it; an unknown kind is counted."""
    jikan, run = FakeJikan(25), RecordingRun()
    jikan.titles[7] |= {"title": "", "titles": []}
    jikan.titles[8]["type"] = "Hologram"
    crawl(run, jikan)
    assert len(ids(run)) == 24
    assert run.drifted["kind: unknown value 'hologram'", "unknown"] == 1
    (letter,) = run.rejected
    assert (letter.source_id, letter.request) == ("7", {"path": "/anime/7/full"})


def test_a_field_nobody_knows_is_counted():
    """Drift of titles, by name."""
    jikan, run = FakeJikan(3), RecordingRun()
    jikan.titles[1]["mood"] = "sad"
    crawl(run, jikan)
    assert run.drifted["data.mood", "unknown"] == 1


# --- what changed


def listed_once(count: int = 100) -> tuple[FakeJikan, RecordingRun]:
    """A server and a run in which everything has been listed."""
    jikan, run = FakeJikan(count), RecordingRun()
    crawl(run, jikan)
    run.id, run.items = 2, []
    jikan.paths.clear()
    return jikan, run


def test_after_a_full_walk_only_what_may_have_changed_is_read():
    """This season, what is announced, what ended of late, what is new; a page of each list when nothing is."""
    jikan, run = listed_once()
    crawl(run, jikan)
    assert [path.split("&limit")[0].split("limit")[0] for path in jikan.paths] == [
        "/seasons/now?continuing=true",
        "/seasons/upcoming?",
        "/anime?status=complete&order_by=end_date&sort=desc",
        "/anime?status=complete&order_by=start_date&sort=desc",
        "/anime?order_by=mal_id&sort=desc",
    ]


def test_changes_of_every_kind_are_found():
    """Under way, announced, ended, a film without an end, and new ones over two pages."""
    jikan, run = listed_once()
    today = datetime.now(UTC).date().isoformat()
    jikan.titles[5] = title(5, "Currently Airing")
    jikan.now = [5]
    jikan.titles[6] = title(6, "Not yet aired")
    jikan.titles[7] = title(7, day=today)
    jikan.titles[8] = title(8, aired={"from": today, "to": None, "string": None})
    jikan.titles |= {number: title(number) for number in range(101, 131)}
    crawl(run, jikan)
    assert {5, 6, 7, 8, *range(101, 131)} <= set(ids(run))
    assert run.state is not None
    assert run.state["newest_id"] == 130
    run.id = 3
    crawl(run, jikan)
    newest = [path[-1] for path in jikan.paths if path.startswith("/anime?order_by=mal_id")]
    assert newest == ["1", "2", "1"]  # the first walk's two pages, then one: what was new is known


@settings(max_examples=30, deadline=None)
@given(deaths=st.lists(st.integers(1, 3), max_size=4))
def test_an_incremental_walk_that_dies_goes_on_where_it_was(deaths):
    """Season over two pages, announced over two: whatever dies when, each is read."""
    jikan, run = listed_once()
    jikan.now = list(range(1, 31))
    jikan.titles |= {n: title(n, "Not yet aired") for n in range(31, 71)}
    for death in deaths:
        crawl(run, jikan, kill_after=death, mode="incremental")
    crawl(run, jikan, mode="incremental")
    assert set(range(1, 71)) <= set(ids(run))


def test_an_incremental_walk_before_any_other_ends():
    """Nothing is known: one page of what is new, and no whole catalogue by the back door."""
    jikan, run = FakeJikan(300), RecordingRun()
    made = crawl(run, jikan, mode="incremental")
    assert len(made) == 5


def test_a_full_walk_under_way_survives_an_incremental_one():
    """Both have their place in the checkpoint."""
    jikan, run = FakeJikan(100), RecordingRun()
    crawl(run, jikan, kill_after=2)
    crawl(run, jikan, mode="incremental")
    jikan.paths.clear()
    crawl(run, jikan)
    assert jikan.paths[0].endswith("sort=asc&limit=25&page=3")


def test_a_list_of_changes_without_end_is_left(monkeypatch):
    """At the cap, as a failure: what comes after it may have changed too."""
    monkeypatch.setitem(jikan_spider.MOST_PAGES, "incremental", 2)
    jikan, run = listed_once()
    jikan.now = list(range(1, 101))
    crawl(run, jikan)
    assert sum(path.startswith("/seasons/now") for path in jikan.paths) == 2
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_the_server_s_time_of_reading_is_the_time_of_the_source():
    """`Last-Modified` where there is one; lists by query have none."""
    jikan, run = listed_once()
    jikan.now = [1]
    crawl(run, jikan)
    season, other = [item for item in run.items if isinstance(item, Anime)][:2]
    assert season.source_updated_at == datetime(2022, 12, 9, 6, 40, 25, tzinfo=UTC)
    assert other.source_updated_at is None


# --- a season, rankings, single titles


def test_a_season_is_read_to_its_end_and_keeps_no_checkpoint():
    """Two pages; a title that comes on both is no error."""
    jikan, run = FakeJikan(60), RecordingRun()
    jikan.now = [*range(1, 31), 1]
    crawl(run, jikan, season="2026-fall")
    assert ids(run) == [*range(1, 31), 1]
    assert jikan.paths[0] == "/seasons/2026/fall?limit=25&page=1"
    assert run.state is None


def test_a_snapshot_is_the_first_25_of_four_rankings():
    """Best rated, and most popular under way, announced, and of films; ranks and numbers of today."""
    jikan, run = FakeJikan(60), RecordingRun()
    jikan.titles[3] = title(3, "Currently Airing")
    jikan.titles[4] = title(4, "Not yet aired")
    jikan.titles[5] = title(5, type="Movie")
    crawl(run, jikan, mode="snapshot")
    found = [item for item in run.items if isinstance(item, Snapshot)]
    by_type = {kind: [int(s.source_id) for s in found if s.snapshot_type == kind] for kind in parse.SNAPSHOTS}
    assert by_type == {
        "top": list(range(60, 35, -1)),
        "airing": [3],
        "upcoming": [4],
        "popular_movies": [5],
    }
    assert (found[0].rank, found[0].score, found[0].popularity, found[0].votes) == (60, 0.06, 60, 5)
    assert found[0].day == found[0].fetched_at.date()


def test_ids_are_asked_for_in_full_and_unknown_ones_are_absent():
    """Each with its episodes and characters, if they are wanted."""
    jikan, run = FakeJikan(5), RecordingRun()
    jikan.episodes, jikan.characters = {2: [1, 2, 3]}, {2: [70]}
    crawl(run, jikan, ids="2, 9", episodes="1", characters="1")
    assert ids(run) == [2]
    assert ids(run, Absent) == [9]
    assert [(e.anime_id, e.number) for e in run.items if isinstance(e, Episode)] == [("2", 1), ("2", 2), ("2", 3)]
    assert [(c.anime_id, c.source_id) for c in run.items if isinstance(c, Character)] == [("2", "70")]
    assert run.failures == []


def test_titles_are_searched_and_those_called_so_asked_for_in_full():
    """Whatever the case and punctuation; what is only near is named."""
    jikan, run = FakeJikan(30), RecordingRun()
    crawl(run, jikan, titles="title: 3;Title;Nothing")
    assert ids(run) == [3]
    assert ["(ids=1)" in message for _, message in run.missed] == [True, False]
    assert "/anime?q=title%3A%203&limit=25&page=1" in jikan.paths


@pytest.mark.parametrize(
    ("count", "pages"), [(0, 1), (26, 1), (99, 1), (100, 2), (250, 3)], ids=lambda value: str(value)
)
def test_a_list_of_episodes_ends_where_it_ends(count, pages):
    """Its `has_next_page` is always true: fewer than 100 rows are the last."""
    jikan, run = FakeJikan(1), RecordingRun()
    jikan.episodes = {1: list(range(1, count + 1))}
    crawl(run, jikan, ids="1", episodes="1")
    assert sum("/episodes" in path for path in jikan.paths) == pages
    assert [e.number for e in run.items if isinstance(e, Episode)] == list(range(1, count + 1))


def test_a_list_of_episodes_that_repeats_itself_ends():
    """Page 2 is page 1 again: nothing new, nothing twice."""
    jikan, run = FakeJikan(1), RecordingRun()
    jikan.episodes, jikan.ignores_pages = {1: list(range(2, 102))}, True
    crawl(run, jikan, ids="1", episodes="1")
    assert len(jikan.paths) == 3
    assert [e.number for e in run.items if isinstance(e, Episode)] == list(range(2, 102))


# --- failures


def test_a_page_that_jikan_cannot_read_is_asked_for_twice_and_costs_one_title():
    """The second time it may work; if not, the title is set aside and the others come."""
    jikan, run = FakeJikan(3), RecordingRun()
    jikan.failing = {"/anime/1/full": [PARSER_ERROR], "/anime/2/full": [PARSER_ERROR, PARSER_ERROR]}
    crawl(run, jikan, ids="1,2,3")
    assert sorted(ids(run)) == [1, 3]
    assert [(letter.kind, letter.source_id) for letter in run.rejected] == [("anime", "2")]
    assert run.failures == []


def test_episodes_that_cannot_be_had_cost_only_themselves():
    """Unknown: nothing is said of the title. Unreadable: a dead letter."""
    jikan, run = FakeJikan(2), RecordingRun()
    gone = (404, {"status": 404, "type": "BadResponseException", "message": "Resource does not exist"})
    jikan.failing = {"/anime/1/episodes": [gone], "/anime/2/episodes": [PARSER_ERROR, PARSER_ERROR]}
    crawl(run, jikan, ids="1,2", episodes="1")
    assert ids(run) == [1, 2]
    assert ids(run, Absent) == []
    assert [letter.kind for letter in run.rejected] == ["page"]
    assert run.failures == []


@pytest.mark.parametrize("answer", [DOWN, (500, b"<html>"), (200, b"<html>"), (200, {"data": None})])
def test_a_server_that_fails_ends_the_walk_and_keeps_its_place(answer):
    """Two pages are stored; the request of the third stays pending, and a later run goes on with it."""
    jikan, run = FakeJikan(100), RecordingRun()
    crawl(run, jikan, kill_after=2)
    jikan.failing = {"/anime": [answer]}
    made = crawl(run, jikan)
    assert len(run.failures) == 1
    assert made[-1].meta["unfinished"]
    crawl(run, jikan)
    assert ids(run) == list(range(1, 101))
