"""AniList: nothing is missed under the depth cap, whatever changes or dies; it stops where nothing makes sense."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.items import Airing, Anime, Character
from anime_crawler.sources.anilist import spider as anilist_spider
from anime_crawler.sources.anilist.schema import MEDIA_FORMATS, MEDIA_STATUSES
from anime_crawler.sources.anilist.spider import AnilistSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.fake_anilist import DATES, FakeAnilist, media

DAY = 86_400
few_examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def low_cap(monkeypatch):
    """Lists are 100 entries deep, so that they are soon full."""
    monkeypatch.setattr(anilist_spider, "DEPTH", 100)
    return 100


def found(run: RecordingRun, kind: type = Anime) -> set[str]:
    return {item.source_id for item in run.items if isinstance(item, kind)}


def ids_of(anilist: FakeAnilist) -> set[str]:
    return set(map(str, anilist.titles))


def now() -> int:
    return int(time.time())


# --- by id and by name


def test_ids_are_asked_for_fifty_at_a_time_and_unknown_ones_are_absent():
    """120 ids are three requests for lists, not for single titles, one of which would make all 404."""
    anilist, run = FakeAnilist([media(n) for n in range(1, 101)]), RecordingRun()
    drive(AnilistSpider(ids=",".join(map(str, range(1, 121)))), run, anilist)
    assert [len(asked["ids"]) for asked in anilist.asked] == [50, 50, 20]
    assert found(run) == {str(n) for n in range(1, 101)}
    assert {i.source_id for i in run.items if type(i).__name__ == "Absent"} == {str(n) for n in range(101, 121)}
    assert run.state is None


def test_a_bad_title_is_set_aside_and_is_not_absent():
    """Neither is any other while one has no id that can be read."""
    anilist, run = FakeAnilist([media(1), media(2, title=None)]), RecordingRun()
    drive(AnilistSpider(ids="1,2"), run, anilist)
    assert (found(run), [letter.source_id for letter in run.rejected]) == ({"1"}, ["2"])
    page = {"pageInfo": {"hasNextPage": False}, "media": [{"id": None, "title": {"romaji": "x"}}]}
    run = RecordingRun()
    drive(AnilistSpider(ids="1,2"), run, lambda request: json_response({"data": {"Page": page}}))
    assert (run.items, len(run.rejected), run.failures) == ([], 1, [])


def test_titles_that_nobody_asked_for_end_the_run():
    """A filter that is not heeded says nothing about who is absent."""
    run = RecordingRun()
    page = {"pageInfo": {"hasNextPage": False}, "media": [media(9)]}
    drive(AnilistSpider(ids="1"), run, lambda request: json_response({"data": {"Page": page}}))
    assert (run.items, [verdict.kind for verdict in run.failures]) == ([], ["wrong_answer"])


def test_a_name_gives_the_titles_of_that_name_and_their_airings():
    """Case, blanks and punctuation do not count; what is only near is named."""
    titles = [
        media(1, title={"romaji": "Kita no Toudai!", "english": None, "native": None}),
        media(2, title={"romaji": "Kita no Toudai 2", "english": None, "native": None}),
        media(
            3,
            synonyms=["KITA NO  TOUDAI"],
            title={"romaji": "Kita", "english": None, "native": None},
            nextAiringEpisode={"id": 5, "airingAt": 1_900_000_000, "episode": 3},
        ),
    ]
    anilist, run = FakeAnilist(titles), RecordingRun()
    drive(AnilistSpider(titles="Kita no Toudai; Kita to Minami"), run, anilist)
    assert (found(run), found(run, Airing)) == ({"1", "3"}, {"5"})
    assert [asked["search"] for asked in anilist.asked] == ["Kita no Toudai", "Kita to Minami"]
    assert "'Kita to Minami'. It found: Kita no Toudai! (ids=1)" in run.missed[0][1]


def test_characters_come_only_when_asked_for_25_at_a_time():
    """60 characters are three more requests; a title that is gone since is absent."""
    anilist, run = FakeAnilist([media(1)]), RecordingRun()
    anilist.characters = {1: 60}
    drive(AnilistSpider(ids="1"), run, anilist)
    assert len(anilist.asked) == 1
    drive(AnilistSpider(ids="1", characters="1"), run, anilist)
    assert [asked["page"] for asked in anilist.asked] == [1, 1, 1, 2, 3]
    assert len(found(run, Character)) == 60
    listed = anilist(next(AnilistSpider(ids="1")._batches()))
    drive(AnilistSpider(ids="1", characters="1"), run, lambda r: listed if b"id_in" in r.body else FakeAnilist([])(r))
    assert type(run.items[-1]).__name__ == "Absent"
    assert run.failures == []


# --- the whole catalogue


@few_examples
@given(dates=st.lists(DATES, max_size=400), deaths=st.lists(st.integers(1, 40), max_size=4))
def test_every_title_is_found_under_the_cap_however_often_the_process_dies(low_cap, dates, deaths):
    """Any dates, unknown ones too; no list is asked for deeper than it goes."""
    anilist, run = FakeAnilist([media(n, date) for n, date in enumerate(dates, 1)], low_cap), RecordingRun()
    assume(max(Counter(dates).values(), default=0) <= low_cap)  # of one status and format: no filter would be left
    for death in deaths:
        drive(AnilistSpider(mode="full"), run, anilist, kill_after=death)
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == ids_of(anilist)
    assert run.failures == []
    assert run.state is not None
    assert (run.state["walks"], run.state["complete"]) == ({}, True)


def test_a_year_that_is_full_is_split_until_it_is_not(low_cap):
    """350 titles of one year, 150 of one month of it."""
    dates = [2021_00_00 + 100 * (n % 12 + 1) + n % 28 for n in range(200)] + [2021_05_00 + n % 28 for n in range(150)]
    anilist, run = FakeAnilist([media(n, date) for n, date in enumerate(dates, 1)], low_cap), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == ids_of(anilist)
    assert len(anilist.asked) < 100


def test_undated_titles_beyond_the_cap_are_split_by_status_and_format(low_cap):
    """They match no date filter, so that is how they are told apart."""
    titles = [media(n, None, status=MEDIA_STATUSES[n % 5], format=MEDIA_FORMATS[n % 7]) for n in range(1, 701)]
    anilist, run = FakeAnilist(titles, low_cap), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == ids_of(anilist)
    assert run.failures == []


def test_what_cannot_be_split_any_more_ends_the_run_and_says_so(low_cap):
    """101 titles of one day, status and format: a person must know that some were not read."""
    anilist, run = FakeAnilist([media(n) for n in range(1, 102)], low_cap), RecordingRun()
    made = drive(AnilistSpider(mode="full"), run, anilist)
    assert [verdict.kind for verdict in run.failures] == ["wrong_answer"]
    assert "more than 100" in run.failures[0].message
    assert made[-1].meta["unfinished"]


def test_a_catalogue_of_3000_titles_takes_few_requests():
    """60 full pages; the slices cost one partly filled page each."""
    anilist, run = FakeAnilist([media(n, (1960 + n % 66) * 10_000 + 101) for n in range(3000)]), RecordingRun()
    del anilist.titles[0]
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == ids_of(anilist)
    assert len([item for item in run.items if isinstance(item, Anime)]) - 2999 <= 50  # the look for undated ones
    assert len(anilist.asked) < 100


def test_after_a_full_walk_changes_are_read_from_its_beginning():
    """What changed while it went on may have been read before it changed."""
    anilist, run = FakeAnilist([media(1)]), RecordingRun()
    before = now()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert run.state is not None
    assert before <= run.state["watermark"] <= now()
    anilist.titles[1]["updatedAt"] = before
    anilist.titles[2] = media(2, updated_at=before + 1)
    run.items.clear()
    drive(AnilistSpider(), run, anilist)
    assert found(run) == {"1", "2"}


def test_a_full_walk_goes_on_in_its_own_run_and_begins_anew_in_another():
    """What an older run had read is old by then."""
    anilist, run = FakeAnilist([media(n, 1950_00_00) for n in range(1, 300)]), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist, kill_after=3)
    anilist.asked.clear()
    drive(AnilistSpider(mode="full"), run, anilist, kill_after=1)
    assert anilist.asked[0]["page"] > 1
    run.id = 2
    drive(AnilistSpider(), run, anilist)
    run.id = 3
    anilist.asked.clear()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert anilist.asked[0]["page"] == 1
    assert found(run) == ids_of(anilist)


def test_a_checkpoint_of_an_earlier_release_is_read():
    """Its watermark holds; a walk that was under way begins again."""
    run, at = RecordingRun(), now()
    old = {"slices": [{"sort": "ID"}], "page": 7, "began": at - 60, "floor": 0, "top": None, "listed": 300}
    run.state = {"full": old, "incremental": None, "watermark": at - 500}
    anilist = FakeAnilist([media(1, updated_at=at - 400), *(media(n, updated_at=at - DAY) for n in range(2, 200))])
    drive(AnilistSpider(), run, anilist)
    assert len(anilist.asked) == 2
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == ids_of(anilist)


def test_a_change_in_the_future_moves_no_watermark():
    """What changes after it is still found; a watermark that was taken from one by an earlier release is not used."""
    at = now()
    anilist, run = FakeAnilist([media(1, updated_at=at - 60), media(2, updated_at=at + 300 * DAY)]), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert run.state is not None
    assert run.state["watermark"] == at - 60
    assert run.drifted["updatedAt (in the future)", "unknown"] == 1
    run.id, run.state = 2, {"full": None, "incremental": None, "watermark": at + 300 * DAY}
    anilist.titles |= {n: media(n, updated_at=at - 30) for n in range(3, 103)}
    drive(AnilistSpider(), run, anilist)
    assert found(run) == ids_of(anilist)
    assert run.state["watermark"] == at - 30


# --- what changed


def test_the_first_look_goes_a_day_back_and_the_next_to_the_watermark():
    """A hundred titles of a day, none of the thousand before; then one page."""
    at = now()
    recent = [media(n, updated_at=at - n * 60) for n in range(1, 101)]
    old = [media(n, updated_at=at - 2 * DAY - n) for n in range(101, 1101)]
    anilist, run = FakeAnilist([*recent, *old]), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert found(run) >= {str(n) for n in range(1, 101)}
    assert len(found(run)) <= 150
    assert run.state is not None
    assert (run.state["watermark"], run.state["walks"]) == (at - 60, {})
    run.id = 2
    anilist.asked.clear()
    drive(AnilistSpider(mode="incremental"), run, anilist)
    assert [asked.get("sort") for asked in anilist.asked] == [["UPDATED_AT_DESC", "ID"], None]


@few_examples
@given(
    plan=st.lists(st.lists(st.integers(1, 200), max_size=60), max_size=10),
    deaths=st.lists(st.integers(1, 6), max_size=4),
)
def test_changes_are_all_read_though_rows_move_and_processes_die(plan, deaths):
    """Titles that change before any request, and deaths after any page: the last run leaves nothing unread."""
    at = now() - 3600
    anilist, run = FakeAnilist([media(n, updated_at=at - n) for n in range(1, 201)]), RecordingRun()
    clock = [at]
    left = list(plan)

    def answer(request: Request) -> TextResponse:
        for number in left.pop(0) if left else ():
            clock[0] += 1
            anilist.titles[number]["updatedAt"] = clock[0]
        return anilist(request)

    for death in deaths:
        drive(AnilistSpider(), run, answer, kill_after=death)
    drive(AnilistSpider(), run, answer)
    run.id = 2
    left.clear()
    drive(AnilistSpider(), run, answer)
    known = {i.source_id: i.source_updated_at for i in run.items if isinstance(i, Anime)}
    assert known == {str(n): datetime.fromtimestamp(t["updatedAt"], UTC) for n, t in anilist.titles.items()}


def test_more_changes_than_a_list_is_deep_are_read_in_slices(low_cap):
    """By status, then by format; the watermark is the first row of all."""
    at = now()
    titles = [
        media(n, updated_at=at - n, status=MEDIA_STATUSES[n % 5], format=MEDIA_FORMATS[n % 7]) for n in range(1, 901)
    ]
    anilist, run = FakeAnilist(titles, low_cap), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert found(run) == ids_of(anilist)
    assert run.state is not None
    assert (run.state["watermark"], run.state["walks"]) == (at - 1, {})


def test_airings_of_the_next_week_are_read():
    """To the end of their list, none of the week after."""
    anilist, run = FakeAnilist([]), RecordingRun()
    at = now()
    anilist.airings = [{"id": n, "airingAt": at + 3600 * n, "episode": n, "mediaId": 1} for n in range(1, 400)]
    drive(AnilistSpider(), run, anilist)
    assert found(run, Airing) == {str(n) for n in range(1, 168)}


# --- when AniList makes no sense


def test_the_same_page_again_ends_the_run():
    """Otherwise it would be asked for a hundred times, and in parts again."""
    run, titles = RecordingRun(), [media(n) for n in range(1, 51)]
    page = {"pageInfo": {"hasNextPage": True}, "media": titles}
    made = drive(AnilistSpider(mode="full"), run, lambda request: json_response({"data": {"Page": page}}))
    assert len(made) == 3
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]


def test_an_endless_list_ends(monkeypatch):
    """New titles on every page, whatever is asked for."""
    monkeypatch.setattr(anilist_spider, "MOST_LISTED", 500)
    run, numbers = RecordingRun(), iter(range(1, 10**6))

    def answer(request: Request) -> TextResponse:
        page = {"pageInfo": {"hasNextPage": True}, "media": [media(next(numbers)) for _ in range(50)]}
        return json_response({"data": {"Page": page}})

    assert len(drive(AnilistSpider(mode="full"), run, answer)) < 20
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_an_empty_page_is_the_last_whatever_it_says():
    """`hasNextPage` is true on it."""
    run = RecordingRun()
    page = {"pageInfo": {"hasNextPage": True}, "media": []}
    airings = {"pageInfo": {"hasNextPage": True}, "airingSchedules": []}

    def answer(request: Request) -> TextResponse:
        return json_response({"data": {"Page": airings if b"airingSchedules" in request.body else page}})

    assert len(drive(AnilistSpider(), run, answer)) == 2
    assert run.failures == []


def test_changes_without_times_end_the_run():
    """Nothing would say where to stop."""
    run = RecordingRun()
    drive(AnilistSpider(), run, FakeAnilist([media(1, updated_at=None)]))
    assert "does not say when" in run.failures[0].message


def test_a_usual_field_that_a_whole_page_lacks_is_reported():
    """Twenty titles without a cover."""
    run = RecordingRun()
    drive(AnilistSpider(ids=",".join(map(str, range(1, 21)))), run, FakeAnilist([media(n) for n in range(1, 21)]))
    assert run.drifted["coverImage", "vanished"] == 20


@pytest.mark.parametrize(("status", "kind"), [(403, "blocked"), (400, "query_refused"), (404, "not_found")])
def test_a_refusal_ends_the_run_and_leaves_the_request_pending(status, kind):
    """Asked once, stored nothing, and to be asked again by the next run."""
    run = RecordingRun()
    refusal = {"errors": [{"message": "No.", "status": status}], "data": None}
    made = drive(AnilistSpider(), run, lambda request: json_response(refusal, status))
    assert (len(made), made[0].meta["unfinished"], run.state) == (1, True, None)
    assert [verdict.kind for verdict in run.failures] == [kind]


def test_nothing_is_begun_while_requests_of_an_interrupted_run_are_pending():
    """They are the continuation."""
    spider = AnilistSpider()
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=SimpleNamespace(resumed=True)))  # type: ignore

    async def started() -> list[Any]:
        return [request async for request in spider.start()]

    assert asyncio.run(started()) == []


def test_a_request_says_who_we_are_and_survives_as_json():
    """A Referer of our own page, no token; what it carries is plain."""
    anilist = FakeAnilist([media(n) for n in range(1, 120)])
    made = drive(AnilistSpider(mode="full"), RecordingRun(), anilist)
    for request in made:
        assert request.headers["Referer"] == b"https://github.com/anime-crawler/anime_crawler"
        assert "Authorization" not in request.headers
        assert json.loads(json.dumps(request.cb_kwargs)) == request.cb_kwargs


# --- errors beside data


def partial(status: int | None, path: list[Any], message: str = "Not Found.") -> dict[str, Any]:
    """A page of two titles, with an error for a part of the first."""
    page = {"pageInfo": {"hasNextPage": False}, "media": [media(1, relations=None), media(2)]}
    error = {"message": message, "path": path, **({"status": status} if status else {})}
    return {"errors": [error], "data": {"Page": page}}


@pytest.mark.parametrize("http_status", [200, 404, 500])
@pytest.mark.parametrize("status", [404, 400, 500, None])
def test_data_beside_errors_are_used(status, http_status):
    """Each title of the page is stored; what could not be resolved is untold, and one problem is reported."""
    run, document = RecordingRun(), partial(status, ["Page", "media", 0, "relations"])
    drive(AnilistSpider(ids="1,2"), run, lambda request: json_response(document, http_status))
    first, second = (item for item in run.items if isinstance(item, Anime))
    assert "relations" in first.untold
    assert (second.untold, second.not_understood) == (frozenset(), ())
    assert (run.failures, run.rejected, [kind for kind, _ in run.missed]) == ([], [], ["partial_answer"])
    assert run.drifted["relations: not resolved: Not Found.", "unknown"] == 1


@pytest.mark.parametrize("path", [None, ["Page"], ["Page", "media", 7, "x"], "Page", [0], ["Media"]])
def test_an_error_that_names_no_title_is_reported_and_costs_none(path):
    """The titles are as they are."""
    run, document = RecordingRun(), partial(None, path)  # type: ignore[arg-type]
    drive(AnilistSpider(ids="1,2"), run, lambda request: json_response(document))
    assert found(run) == {"1", "2"}
    assert [kind for kind, _ in run.missed] == ["partial_answer"]


@pytest.mark.parametrize("data", [None, {"Page": None}, {"Page": {"pageInfo": {"hasNextPage": False}, "media": []}}])
def test_an_error_without_data_ends_no_walk(data):
    """An empty page beside an error is no end of a list."""
    run = RecordingRun()
    document = {"errors": [{"message": "Internal Server Error", "status": 500}], "data": data}
    drive(AnilistSpider(), run, lambda request: json_response(document))
    assert (run.items, run.state) == ([], None)
    assert run.failures
