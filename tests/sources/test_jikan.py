"""Jikan's walks: nothing is missed, whatever changes or dies meanwhile; lists that lie about their end have one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.items import Absent, Anime, Character, Episode, Snapshot
from anime_crawler.sandbox.upstreams.jikan.json import episode_rows
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.works import Day, Title
from anime_crawler.sources.jikan import parse
from anime_crawler.sources.jikan import spider as jikan_spider
from anime_crawler.sources.jikan.spider import JikanSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.upstream import Upstream

PARSER_ERROR = {"status": 500, "type": "ParserException", "message": "Unable to parse"}
DOWN = {"status": 504, "type": "BadResponseException", "message": "Jikan failed to connect to MyAnimeList."}
GONE = {"status": 404, "type": "BadResponseException", "message": "Resource does not exist"}
SPARE = 40
"""Titles that may appear later."""
LONG_AGO, ENDED = (2019, 1, 5), (2019, 1, 12)
UNKNOWN = (None, None, None)


class Jikan(Upstream):
    """The sandbox's Jikan with so many titles, which have the ids from 1 on; each ended a week after it began.

    The higher the id, the better it is rated, and the fewer know it.
    """

    def __init__(self, count: int = 0) -> None:
        super().__init__("jikan", titles=(count + SPARE) * 3 // 2)
        self.world = self.services.world
        self.titles: dict[int, Title] = {}
        for title in known_at("jikan", self.world).values():
            title.kind, title.season, title.episodes, title.aired = "tv", None, 2, 2
            if len(self.titles) < count + SPARE and len(episode_rows(title)) == 2:  # not one that lacks its first
                self.titles[len(self.titles) + 1] = title
        assert len(self.titles) == count + SPARE
        self.world.titles.clear()
        for number, title in self.titles.items():
            title.mal_id, title.romaji = number, f"Title {number}"
            title.english, title.japanese, title.synonyms = None, None, []
            title.score, title.votes = number / 100, 20_000 - 3 * number
        self.let_be(range(1, count + 1))

    def let_be(
        self, numbers: Iterable[int], status: str = "released", began: Day = LONG_AGO, ended: Day = ENDED
    ) -> None:
        """These titles are there, with that status and those days."""
        for number in numbers:
            title = self.titles[number]
            title.status, title.aired_on, title.released_on = status, began, ended
            self.world.titles[title.id] = title
        self.world.version += 1

    def lose(self, numbers: Iterable[int]) -> None:
        """These titles are no more."""
        for number in numbers:
            if number in self.titles:
                self.world.titles.pop(self.titles[number].id, None)
        self.world.version += 1

    def fail(self, path: str, status: int, answer: Any, times: int = 1) -> None:
        """So many requests for what begins with the path are answered so."""
        body = answer if isinstance(answer, str) else json.dumps(answer)
        self.fault("status", status=status, body=body, count=times, match={"path": path})

    @property
    def paths(self) -> list[str]:
        """Of the requests that were made, with their queries."""
        return [request.url.partition("/v4")[2] for request in self.asked]


def edited(jikan: Jikan, change: Callable[[dict[str, Any]], None]) -> Callable[[Request], TextResponse]:
    """The server, after a change of each row that it lists."""

    def answer(request: Request) -> TextResponse:
        document = json.loads(jikan(request).body)
        for row in document["data"]:
            change(row)
        return json_response(document)

    return answer


def crawl(run: RecordingRun, jikan: Any, kill_after: int = 10_000, **arguments: str) -> list[Any]:
    """One run, or as much of it as comes before the process dies; its requests, all of which would survive that."""
    made = drive(JikanSpider(**arguments), run, jikan, kill_after=kill_after)
    for request in made:
        json.dumps([request.cb_kwargs, {name: value for name, value in request.meta.items() if name != "unfinished"}])
    return made


def ids(run: RecordingRun, kind: type = Anime) -> list[int]:
    """Ids of the items of a kind, in their order."""
    return [int(item.source_id) for item in run.items if isinstance(item, kind)]


# --- everything


def test_everything_is_listed_by_id_25_a_page():
    """60 titles are three pages; each title once; the walk is complete."""
    jikan, run = Jikan(60), RecordingRun()
    crawl(run, jikan)
    assert ids(run) == list(range(1, 61))
    assert jikan.paths[0] == "/anime?order_by=mal_id&sort=asc&limit=25&page=1"
    assert len(jikan.paths) == 3
    assert run.state is not None
    assert run.state["walks"]["full"]["complete"]
    assert run.state["newest_id"] == 60


@settings(max_examples=25)
@given(count=st.integers(1, 130), deaths=st.lists(st.integers(1, 4), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, deaths):
    """However often the process dies after a page was stored, the runs together list everything, and once."""
    jikan, run = Jikan(count), RecordingRun()
    for death in deaths:
        crawl(run, jikan, kill_after=death, mode="full")
    crawl(run, jikan, mode="full")
    assert ids(run) == list(range(1, count + 1))


@settings(max_examples=30)
@given(count=st.integers(60, 130), plan=st.lists(st.lists(st.integers(1, 130), max_size=3), max_size=8))
def test_titles_removed_under_way_hide_no_others(count, plan):
    """What moves up onto a page that was read is read again; every title that stayed is listed."""
    jikan, run = Jikan(count), RecordingRun()
    left = list(plan)
    jikan.before = lambda request: jikan.lose(left.pop(0) if left else ())
    crawl(run, jikan)
    assert {int(own) for own in jikan.known()} <= set(ids(run))
    assert run.failures == []


@pytest.mark.parametrize("says_more", [True, False])
def test_a_list_that_lies_about_its_end_is_read_to_its_end(says_more):
    """Always more: an empty page is the end. Never more: the total says otherwise."""
    jikan, run = Jikan(60), RecordingRun()
    jikan.fault("wrong_shape", path="pagination.has_next_page", value=says_more)
    crawl(run, jikan)
    assert ids(run) == list(range(1, 61))
    assert run.failures == []
    assert len(jikan.paths) == (4 if says_more else 3)


def test_a_server_that_ignores_pages_ends_the_run_incomplete():
    """The same 25 again are not everything, and not asked for for ever."""
    jikan, run = Jikan(60), RecordingRun()
    jikan.fault("page_ignored")
    made = crawl(run, jikan)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]
    assert len(made) == 2


def test_a_server_that_repeats_its_last_page_has_been_read():
    """All that it counts was listed before the repetition."""
    jikan, run = Jikan(25), RecordingRun()
    jikan.fault("page_ignored")

    def answer(request: Request) -> TextResponse:
        document = json.loads(jikan(request).body)
        document["pagination"]["has_next_page"] = True
        return json_response(document)

    crawl(run, answer)
    assert len(jikan.asked) == 2
    assert run.failures == []
    assert run.state is not None
    assert run.state["walks"]["full"]["complete"]


def test_a_list_without_end_is_left(monkeypatch):
    """At the cap, as a failure: what it lists cannot be everything."""
    monkeypatch.setitem(jikan_spider.MOST_PAGES, "full", 3)
    jikan, run = Jikan(200), RecordingRun()
    crawl(run, jikan)
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_a_server_without_an_index_is_named():
    """Nothing at all is no catalogue; the next run tries again."""
    run = RecordingRun()
    crawl(run, Jikan(0))
    assert [(verdict.kind, verdict.setting) for verdict in run.failures] == [("empty_list", "JIKAN_BASE_URL")]
    assert run.state is None


def test_a_full_walk_that_is_complete_begins_again_with_another_run_only():
    """A run that is continued after its last page has nothing left to do."""
    jikan, run = Jikan(30), RecordingRun()
    crawl(run, jikan, mode="full")
    assert crawl(run, jikan, mode="full") == []
    run.id = 2
    assert len(crawl(run, jikan, mode="full")) == 2


def test_a_bad_record_costs_only_itself():
    """One without a title is set aside with the way to ask for it; an unknown kind is counted."""
    jikan, run = Jikan(25), RecordingRun()
    changes = {7: {"title": "", "titles": []}, 8: {"type": "Hologram"}}
    crawl(run, edited(jikan, lambda row: row.update(changes.get(row["mal_id"], {}))))
    assert len(ids(run)) == 24
    assert run.drifted["kind: unknown value 'hologram'", "unknown"] == 1
    (letter,) = run.rejected
    assert (letter.source_id, letter.request) == ("7", {"path": "/anime/7/full"})


def test_a_field_nobody_knows_is_counted():
    """Drift of titles, by name."""
    jikan, run = Jikan(3), RecordingRun()
    crawl(run, edited(jikan, lambda row: row.update({"mood": "sad"} if row["mal_id"] == 1 else {})))
    assert run.drifted["data.mood", "unknown"] == 1


# --- what changed


def listed_once(count: int = 100) -> tuple[Jikan, RecordingRun]:
    """A server and a run in which everything has been listed."""
    jikan, run = Jikan(count), RecordingRun()
    crawl(run, jikan)
    run.id, run.items = 2, []
    jikan.asked.clear()
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
    today = datetime.now(UTC).date()
    jikan.let_be([5], "ongoing", ended=UNKNOWN)
    jikan.let_be([6], "anons", UNKNOWN, UNKNOWN)
    jikan.let_be([7], ended=(today.year, today.month, today.day))
    jikan.let_be([8], began=(today.year, today.month, today.day), ended=UNKNOWN)
    jikan.let_be(range(101, 131))
    crawl(run, jikan)
    assert {5, 6, 7, 8, *range(101, 131)} <= set(ids(run))
    assert run.state is not None
    assert run.state["newest_id"] == 130
    run.id = 3
    crawl(run, jikan)
    newest = [path[-1] for path in jikan.paths if path.startswith("/anime?order_by=mal_id")]
    assert newest == ["1", "2", "1"]  # the first walk's two pages, then one: what was new is known


@settings(max_examples=15)
@given(deaths=st.lists(st.integers(1, 3), max_size=4))
def test_an_incremental_walk_that_dies_goes_on_where_it_was(deaths):
    """Season over two pages, announced over two: whatever dies when, each is read."""
    jikan, run = listed_once()
    jikan.let_be(range(1, 31), "ongoing", ended=UNKNOWN)
    jikan.let_be(range(31, 71), "anons", UNKNOWN, UNKNOWN)
    for death in deaths:
        crawl(run, jikan, kill_after=death, mode="incremental")
    crawl(run, jikan, mode="incremental")
    assert set(range(1, 71)) <= set(ids(run))


def test_an_incremental_walk_before_any_other_ends():
    """Nothing is known: one page of what is new, and no whole catalogue by the back door."""
    jikan, run = Jikan(130), RecordingRun()
    made = crawl(run, jikan, mode="incremental")
    assert len(made) == 5


def test_a_full_walk_under_way_survives_an_incremental_one():
    """Both have their place in the checkpoint."""
    jikan, run = Jikan(100), RecordingRun()
    crawl(run, jikan, kill_after=2)
    crawl(run, jikan, mode="incremental")
    jikan.asked.clear()
    crawl(run, jikan)
    assert jikan.paths[0].endswith("sort=asc&limit=25&page=3")


def test_a_list_of_changes_without_end_is_left(monkeypatch):
    """At the cap, as a failure: what comes after it may have changed too."""
    monkeypatch.setitem(jikan_spider.MOST_PAGES, "incremental", 2)
    jikan, run = listed_once()
    jikan.let_be(range(1, 101), "ongoing", ended=UNKNOWN)
    crawl(run, jikan)
    assert sum(path.startswith("/seasons/now") for path in jikan.paths) == 2
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_the_server_s_time_of_reading_is_the_time_of_the_source():
    """`Last-Modified` where there is one; lists by query have none."""
    jikan, run = listed_once()
    jikan.let_be([1], "ongoing", ended=UNKNOWN)
    crawl(run, jikan)
    season, other = [item for item in run.items if isinstance(item, Anime)][:2]
    assert season.source_updated_at == datetime.fromtimestamp(jikan.world.now - 3600, UTC)
    assert other.source_updated_at is None


# --- a season, rankings, single titles


def test_a_season_is_read_to_its_end_and_keeps_no_checkpoint():
    """Two pages; a title that comes on both, because one moved up to the first, is no error."""
    jikan, run = Jikan(60), RecordingRun()
    jikan.let_be(range(1, 31), "ongoing", (2026, 10, 5), UNKNOWN)
    jikan.titles[31].votes = 99_999

    def before(request: Request) -> None:
        if "page=2" in request.url:
            jikan.let_be([31], "ongoing", (2026, 10, 5), UNKNOWN)

    jikan.before = before
    crawl(run, jikan, season="2026-fall")
    assert ids(run) == [*range(1, 26), *range(25, 31)]
    assert jikan.paths[0] == "/seasons/2026/fall?limit=25&page=1"
    assert run.state is None


def test_a_snapshot_is_the_first_25_of_four_rankings():
    """Best rated, and most popular under way, announced, and of films; ranks and numbers of today."""
    jikan, run = Jikan(60), RecordingRun()
    jikan.let_be([3], "ongoing", ended=UNKNOWN)
    jikan.let_be([4], "anons", UNKNOWN, UNKNOWN)
    jikan.titles[5].kind = "movie"
    crawl(run, jikan, mode="snapshot")
    found = [item for item in run.items if isinstance(item, Snapshot)]
    by_type = {kind: [int(s.source_id) for s in found if s.snapshot_type == kind] for kind in parse.SNAPSHOTS}
    assert by_type == {
        "top": list(range(60, 35, -1)),
        "airing": [3],
        "upcoming": [4],
        "popular_movies": [5],
    }
    assert (found[0].rank, found[0].score, found[0].popularity, found[0].votes) == (1, 0.6, 60, 19_820)
    assert found[0].day == found[0].fetched_at.date()


def test_ids_are_asked_for_in_full_and_unknown_ones_are_absent():
    """Each with its episodes and characters, if they are wanted."""
    jikan, run = Jikan(5), RecordingRun()
    own, title = next((own, title) for own, title in jikan.titles.items() if cast(title))
    title.episodes = title.aired = 3
    crawl(run, jikan, ids=f"{own}, 9", episodes="1", characters="1")
    assert ids(run) == [own]
    assert ids(run, Absent) == [9]
    episodes = [(e.anime_id, e.number) for e in run.items if isinstance(e, Episode)]
    assert episodes == [(str(own), 1), (str(own), 2), (str(own), 3)]
    characters = {(c.anime_id, c.source_id) for c in run.items if isinstance(c, Character)}
    assert characters == {(str(own), str(role.number)) for role in cast(title)}
    assert run.failures == []


def test_titles_are_searched_and_those_called_so_asked_for_in_full():
    """Whatever the case and punctuation; what is only near is named."""
    jikan, run = Jikan(30), RecordingRun()
    jikan.titles[3].english = jikan.titles[3].japanese = "TITLE: 3!"
    crawl(run, jikan, titles="title: 3;Title;Nothing")
    assert ids(run) == [3]
    assert ["(ids=" in message for _, message in run.missed] == [True, False]
    assert "/anime?q=title%3A%203&limit=25&page=1" in jikan.paths


@pytest.mark.parametrize(
    ("count", "pages"), [(0, 1), (26, 1), (99, 1), (100, 2), (250, 3)], ids=lambda value: str(value)
)
def test_a_list_of_episodes_ends_where_it_ends(count, pages):
    """Its `has_next_page` is always true: fewer than 100 rows are the last."""
    jikan, run = Jikan(1), RecordingRun()
    jikan.titles[1].episodes = jikan.titles[1].aired = count
    crawl(run, jikan, ids="1", episodes="1")
    assert sum("/episodes" in path for path in jikan.paths) == pages
    assert [e.number for e in run.items if isinstance(e, Episode)] == list(range(1, count + 1))


def test_a_list_of_episodes_that_repeats_itself_ends():
    """Page 2 is page 1 again: nothing new, nothing twice."""
    jikan, run = Jikan(1), RecordingRun()
    jikan.titles[1].episodes = jikan.titles[1].aired = 100
    jikan.fault("page_ignored")
    crawl(run, jikan, ids="1", episodes="1")
    assert len(jikan.paths) == 3
    assert [e.number for e in run.items if isinstance(e, Episode)] == list(range(1, 101))


# --- failures


def test_a_page_that_jikan_cannot_read_is_asked_for_twice_and_costs_one_title():
    """The second time it may work; if not, the title is set aside and the others come."""
    jikan, run = Jikan(3), RecordingRun()
    jikan.fail("/anime/1/full", 500, PARSER_ERROR)
    jikan.fail("/anime/2/full", 500, PARSER_ERROR, times=2)
    crawl(run, jikan, ids="1,2,3")
    assert sorted(ids(run)) == [1, 3]
    assert [(letter.kind, letter.source_id) for letter in run.rejected] == [("anime", "2")]
    assert run.failures == []


def test_episodes_that_cannot_be_had_cost_only_themselves():
    """Unknown: nothing is said of the title. Unreadable: a dead letter."""
    jikan, run = Jikan(2), RecordingRun()
    jikan.fail("/anime/1/episodes", 404, GONE)
    jikan.fail("/anime/2/episodes", 500, PARSER_ERROR, times=2)
    crawl(run, jikan, ids="1,2", episodes="1")
    assert ids(run) == [1, 2]
    assert ids(run, Absent) == []
    assert [letter.kind for letter in run.rejected] == ["page"]
    assert run.failures == []


@pytest.mark.parametrize("answer", [(504, DOWN), (500, "<html>"), (200, "<html>"), (200, {"data": None})])
def test_a_server_that_fails_ends_the_walk_and_keeps_its_place(answer):
    """Two pages are stored; the request of the third stays pending, and a later run goes on with it."""
    jikan, run = Jikan(100), RecordingRun()
    crawl(run, jikan, kill_after=2)
    jikan.fail("/anime", *answer)
    made = crawl(run, jikan)
    assert len(run.failures) == 1
    assert made[-1].meta["unfinished"]
    crawl(run, jikan)
    assert ids(run) == list(range(1, 101))


def test_another_title_than_was_asked_for_ends_the_run():
    """Nothing is stored of it, and the one that was asked for is not taken as read."""
    jikan, run = Jikan(3), RecordingRun()
    made = crawl(
        run, lambda request: jikan(request.replace(url=request.url.replace("/anime/1/", "/anime/2/"))), ids="1"
    )
    assert (run.items, [verdict.kind for verdict in run.failures]) == ([], ["wrong_answer"])
    assert made[-1].meta["unfinished"]
