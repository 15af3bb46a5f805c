"""AniList: nothing is missed under the depth cap, whatever changes or dies; it stops where nothing makes sense."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.items import Absent, Airing, Anime, Character
from anime_crawler.sandbox.upstreams.anilist import json as anilist_json
from anime_crawler.sandbox.upstreams.anilist import service as sandbox_anilist
from anime_crawler.sandbox.world.elsewhere import OFFSETS, Role, id_at
from anime_crawler.sandbox.world.invented import invent_one
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sources.anilist import spider as anilist_spider
from anime_crawler.sources.anilist.schema import MEDIA_FORMATS, MEDIA_STATUSES
from anime_crawler.sources.anilist.spider import AnilistSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.test_anilist_words import DATES
from tests.sources.upstream import Upstream

DAY = 86_400
STATUSES = {
    "FINISHED": "released",
    "RELEASING": "ongoing",
    "NOT_YET_RELEASED": "anons",
    "CANCELLED": "cancelled",
    "HIATUS": "ongoing",
}
"""The sandbox's words for AniList's; which running title pauses is a matter of its id."""
KINDS = {word: kind for kind, word in anilist_json.FORMATS.items() if kind != "tv_special"} | {"TV_SHORT": "tv"}
few_examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def template() -> Title:
    """What all titles have that tests do not ask for."""
    title = invent_one(Random(1), set(), 1, int(time.time()))
    title.english, title.japanese, title.description, title.season, title.next_episode_at = None, None, None, None, None
    title.synonyms, title.related, title.genres, title.studios = [], [], [], []
    return replace(title, aired_on=(2021, 4, 5), episodes=12, aired=12)


@cache
def ids_in_world(paused: bool) -> Callable[[int], int]:
    """The n-th id of the world of which AniList makes nothing odd; it pauses running titles of these ids, or not."""

    def fits(number: int) -> bool:
        running, announced = (replace(template(), id=number, status=status) for status in ("ongoing", "anons"))
        is_plain = all(anilist_json.begin_of(title) == title.aired_on for title in (running, announced))
        return is_plain and bool(id_at("anilist", running)) and anilist_json.is_paused(running) == paused

    found: list[int] = []
    more = filter(fits, count(1))

    def at(place: int) -> int:
        while len(found) <= place:
            found.append(next(more))
        return found[place]

    return at


def media(
    number: int,
    date: int | None = 2021_04_05,
    *,
    updated_at: int = 1,
    status: str = "FINISHED",
    format: str = "TV",
    **other: Any,
) -> Title:
    """A title of the sandbox, as AniList describes it; parts of its date that are 0 are unknown."""
    parts = (date // 10_000, date // 100 % 100, date % 100) if date else (0, 0, 0)
    known = {
        "id": ids_in_world(status == "HIATUS")(number),
        "romaji": f"Title {number}",
        "aired_on": tuple(part or None for part in parts),
        "updated_at": updated_at,
        "status": STATUSES[status],
        "kind": KINDS[format],
        "duration": 5 if format == "TV_SHORT" else 24,
    }
    return replace(template(), **{**known, **other})


def own(number: int) -> str:
    """AniList's id of a title that does not pause; it may not be there."""
    return str(ids_in_world(False)(number) + OFFSETS["anilist"])


def ids(numbers: Iterable[int]) -> str:
    """The same of several, as the spider is given them."""
    return ",".join(map(own, numbers))


class Anilist(Upstream):
    """The sandbox's AniList with these titles and no others."""

    def __init__(self, titles: Iterable[Title] = ()) -> None:
        super().__init__("anilist", titles=1)
        self.world = self.services.world
        self.world.titles.clear()
        self.put(titles)

    def put(self, titles: Iterable[Title]) -> None:
        """These titles are there as well."""
        self.world.titles |= {title.id: title for title in titles}
        self.world.version += 1

    def lose(self, number: int) -> None:
        """A title is no more."""
        self.world.titles.pop(ids_in_world(False)(number), None)
        self.world.version += 1

    def change(self, number: int, updated_at: int) -> None:
        """A title has changed."""
        self.world.titles[ids_in_world(False)(number)].updated_at = updated_at
        self.world.version += 1

    @property
    def variables(self) -> list[dict[str, Any]]:
        """Of the queries that were asked."""
        return [json.loads(request.body)["variables"] for request in self.asked]


@pytest.fixture
def low_cap(monkeypatch):
    """Lists are 100 entries deep, so that they are soon full."""
    monkeypatch.setattr(anilist_spider, "DEPTH", 100)
    monkeypatch.setattr(sandbox_anilist, "MAX_DEPTH", 100)
    return 100


def edited(anilist: Anilist, change: Callable[[Any], None], status: int = 200) -> Callable[[Request], TextResponse]:
    """The server, after a change of each answer."""

    def answer(request: Request) -> TextResponse:
        document = json.loads(anilist(request).body)
        change(document)
        return json_response(document, status)

    return answer


def found(run: RecordingRun, kind: type = Anime) -> set[str]:
    return {item.source_id for item in run.items if isinstance(item, kind)}


def now() -> int:
    return int(time.time())


# --- by id and by name


def test_ids_are_asked_for_fifty_at_a_time_and_unknown_ones_are_absent():
    """120 ids are three requests for lists, not for single titles, one of which would make all 404."""
    anilist, run = Anilist([media(n) for n in range(1, 101)]), RecordingRun()
    drive(AnilistSpider(ids=ids(range(1, 121))), run, anilist)
    assert [len(asked["ids"]) for asked in anilist.variables] == [50, 50, 20]
    assert found(run) == set(map(own, range(1, 101)))
    assert found(run, Absent) == set(map(own, range(101, 121)))
    assert run.state is None


def test_a_bad_title_is_set_aside_and_is_not_absent():
    """Neither is any other while one has no id that can be read."""
    anilist, run = Anilist([media(1), media(2)]), RecordingRun()
    anilist.fault("replaced", path="title", value=None, record=1)
    drive(AnilistSpider(ids=ids([1, 2])), run, anilist)
    assert (found(run), [letter.source_id for letter in run.rejected]) == ({own(1)}, [own(2)])
    anilist, run = Anilist([media(1)]), RecordingRun()
    anilist.fault("replaced", path="id", value=None)
    drive(AnilistSpider(ids=ids([1, 2])), run, anilist)
    assert (run.items, len(run.rejected), run.failures) == ([], 1, [])


def test_titles_that_nobody_asked_for_end_the_run():
    """A filter that is not heeded says nothing about who is absent."""
    anilist, run = Anilist([media(9)]), RecordingRun()

    def answer(request: Request) -> TextResponse:
        document = json.loads(request.body)
        del document["variables"]["ids"]
        return anilist(request.replace(body=json.dumps(document)))

    drive(AnilistSpider(ids=own(1)), run, answer)
    assert (run.items, [verdict.kind for verdict in run.failures]) == ([], ["wrong_answer"])


def test_a_name_gives_the_titles_of_that_name_and_their_airings():
    """Case, blanks and punctuation do not count; what is only near is named."""
    titles = [
        media(1, romaji="Kita no Toudai!"),
        media(2, romaji="Kita no Toudai 2"),
        media(
            3, romaji="Kita", synonyms=["KITA NO  TOUDAI"], status="RELEASING", aired=2, next_episode_at=1_900_000_000
        ),
    ]
    anilist, run = Anilist(titles), RecordingRun()
    drive(AnilistSpider(titles="Kita no Toudai; Kita to Minami"), run, anilist)
    assert (found(run), found(run, Airing)) == ({own(1), own(3)}, {f"{own(3)}003"})
    assert [asked["search"] for asked in anilist.variables] == ["Kita no Toudai", "Kita to Minami"]
    assert f"'Kita to Minami'. It found: Kita no Toudai! (ids={own(1)})" in run.missed[0][1]


def test_characters_come_only_when_asked_for_25_at_a_time(monkeypatch):
    """60 characters are three more requests; a title that is gone since is absent."""
    roles = [Role(number, f"Who {number}", main=True, voice="Aoi Mori") for number in range(60)]
    monkeypatch.setattr(anilist_json, "cast", lambda title: roles)
    anilist, run = Anilist([media(1)]), RecordingRun()
    drive(AnilistSpider(ids=own(1)), run, anilist)
    assert len(anilist.asked) == 1
    drive(AnilistSpider(ids=own(1), characters="1"), run, anilist)
    assert [asked["page"] for asked in anilist.variables] == [1, 1, 1, 2, 3]
    assert len(found(run, Character)) == 60
    anilist.before = lambda request: anilist.lose(1) if b"characters(" in request.body else None
    drive(AnilistSpider(ids=own(1), characters="1"), run, anilist)
    assert isinstance(run.items[-1], Absent)
    assert run.failures == []


def test_characters_of_another_title_end_the_run(monkeypatch):
    """What is not listed there is not withdrawn here."""
    roles = [Role(number, f"Who {number}", main=True, voice="Aoi Mori") for number in range(3)]
    monkeypatch.setattr(anilist_json, "cast", lambda title: roles)
    anilist, run = Anilist([media(1), media(2)]), RecordingRun()

    def answer(request: Request) -> TextResponse:
        return anilist(request.replace(body=request.body.replace(f'"id":{own(1)}'.encode(), f'"id":{own(2)}'.encode())))

    drive(AnilistSpider(ids=own(1), characters="1"), run, answer)
    assert (found(run), found(run, Character)) == ({own(1)}, set())
    assert [type(item).__name__ for item in run.items] == ["Anime"]
    assert [verdict.kind for verdict in run.failures] == ["wrong_answer"]


# --- the whole catalogue


@few_examples
@given(dates=st.lists(st.none() | DATES, max_size=400), deaths=st.lists(st.integers(1, 40), max_size=4))
def test_every_title_is_found_under_the_cap_however_often_the_process_dies(low_cap, dates, deaths):
    """Any dates, unknown ones too; no list is asked for deeper than it goes."""
    anilist, run = Anilist([media(n, date) for n, date in enumerate(dates, 1)]), RecordingRun()
    assume(max(Counter(dates).values(), default=0) <= low_cap)  # of one status and format: no filter would be left
    for death in deaths:
        drive(AnilistSpider(mode="full"), run, anilist, kill_after=death)
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == anilist.known()
    assert run.failures == []
    assert run.state is not None
    assert (run.state["walks"], run.state["complete"]) == ({}, True)


def test_a_year_that_is_full_is_split_until_it_is_not(low_cap):
    """350 titles of one year, 150 of one month of it."""
    dates = [2021_00_00 + 100 * (n % 12 + 1) + n % 28 for n in range(200)] + [2021_05_00 + n % 28 for n in range(150)]
    anilist, run = Anilist([media(n, date) for n, date in enumerate(dates, 1)]), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == anilist.known()
    assert len(anilist.asked) < 100


def test_undated_titles_beyond_the_cap_are_split_by_status_and_format(low_cap):
    """They match no date filter, so that is how they are told apart."""
    titles = [media(n, None, status=MEDIA_STATUSES[n % 5], format=MEDIA_FORMATS[n % 7]) for n in range(1, 1401)]
    anilist, run = Anilist(title for title in titles if anilist_json.begin_value(title) is None), RecordingRun()
    assert len(anilist.known()) > 600
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == anilist.known()
    assert run.failures == []


def test_what_cannot_be_split_any_more_ends_the_run_and_says_so(low_cap):
    """101 titles of one day, status and format: a person must know that some were not read."""
    anilist, run = Anilist([media(n) for n in range(1, 102)]), RecordingRun()
    made = drive(AnilistSpider(mode="full"), run, anilist)
    assert [verdict.kind for verdict in run.failures] == ["wrong_answer"]
    assert "more than 100" in run.failures[0].message
    assert made[-1].meta["unfinished"]


def test_a_catalogue_of_3000_titles_takes_few_requests():
    """60 full pages; the slices cost one partly filled page each."""
    anilist, run = Anilist([media(n, (1960 + n % 66) * 10_000 + 101) for n in range(1, 3000)]), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == anilist.known()
    assert len([item for item in run.items if isinstance(item, Anime)]) - 2999 <= 50  # the look for undated ones
    assert len(anilist.asked) < 100


def test_after_a_full_walk_changes_are_read_from_its_beginning():
    """What changed while it went on may have been read before it changed."""
    anilist, run = Anilist([media(1)]), RecordingRun()
    before = now()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert run.state is not None
    assert before <= run.state["watermark"] <= now()
    anilist.change(1, before)
    anilist.put([media(2, updated_at=before + 1)])
    run.items.clear()
    drive(AnilistSpider(), run, anilist)
    assert found(run) == {own(1), own(2)}


def test_a_full_walk_goes_on_in_its_own_run_and_begins_anew_in_another():
    """What an older run had read is old by then."""
    anilist, run = Anilist([media(n, 1950_00_00) for n in range(1, 300)]), RecordingRun()
    drive(AnilistSpider(mode="full"), run, anilist, kill_after=3)
    anilist.asked.clear()
    drive(AnilistSpider(mode="full"), run, anilist, kill_after=1)
    assert anilist.variables[0]["page"] > 1
    run.id = 2
    drive(AnilistSpider(), run, anilist)
    run.id = 3
    anilist.asked.clear()
    drive(AnilistSpider(mode="full"), run, anilist)
    assert anilist.variables[0]["page"] == 1
    assert found(run) == anilist.known()


def test_a_checkpoint_of_an_earlier_release_is_read():
    """Its watermark holds; a walk that was under way begins again."""
    run, at = RecordingRun(), now()
    old = {"slices": [{"sort": "ID"}], "page": 7, "began": at - 60, "floor": 0, "top": None, "listed": 300}
    run.state = {"full": old, "incremental": None, "watermark": at - 500}
    anilist = Anilist([media(1, updated_at=at - 400), *(media(n, updated_at=at - DAY) for n in range(2, 200))])
    drive(AnilistSpider(), run, anilist)
    assert len(anilist.asked) == 2
    drive(AnilistSpider(mode="full"), run, anilist)
    assert found(run) == anilist.known()


def test_a_change_in_the_future_moves_no_watermark():
    """What changes after it is still found; a watermark that was taken from one by an earlier release is not used."""
    at = now()
    anilist, run = Anilist([media(1, updated_at=at - 60), media(2, updated_at=at + 300 * DAY)]), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert run.state is not None
    assert run.state["watermark"] == at - 60
    assert run.drifted["updatedAt (in the future)", "unknown"] == 1
    run.id, run.state = 2, {"full": None, "incremental": None, "watermark": at + 300 * DAY}
    anilist.put(media(n, updated_at=at - 30) for n in range(3, 103))
    drive(AnilistSpider(), run, anilist)
    assert found(run) == anilist.known()
    assert run.state["watermark"] == at - 30


# --- what changed


def test_the_first_look_goes_a_day_back_and_the_next_to_the_watermark():
    """A hundred titles of a day, none of the thousand before; then one page."""
    at = now()
    recent = [media(n, updated_at=at - n * 60) for n in range(1, 101)]
    old = [media(n, updated_at=at - 2 * DAY - n) for n in range(101, 1101)]
    anilist, run = Anilist([*recent, *old]), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert found(run) >= set(map(own, range(1, 101)))
    assert len(found(run)) <= 150
    assert run.state is not None
    assert (run.state["watermark"], run.state["walks"]) == (at - 60, {})
    run.id = 2
    anilist.asked.clear()
    drive(AnilistSpider(mode="incremental"), run, anilist)
    assert [asked.get("sort") for asked in anilist.variables] == [["UPDATED_AT_DESC", "ID"], None]


@few_examples
@given(
    plan=st.lists(st.lists(st.integers(1, 200), max_size=60), max_size=10),
    deaths=st.lists(st.integers(1, 6), max_size=4),
)
def test_changes_are_all_read_though_rows_move_and_processes_die(plan, deaths):
    """Titles that change before any request, and deaths after any page: the last run leaves nothing unread."""
    at = now() - 3600
    anilist, run = Anilist([media(n, updated_at=at - n) for n in range(1, 201)]), RecordingRun()
    clock = [at]
    left = list(plan)

    def move(request: Request) -> None:
        for number in left.pop(0) if left else ():
            clock[0] += 1
            anilist.change(number, clock[0])

    anilist.before = move
    for death in deaths:
        drive(AnilistSpider(), run, anilist, kill_after=death)
    drive(AnilistSpider(), run, anilist)
    run.id = 2
    left.clear()
    drive(AnilistSpider(), run, anilist)
    known = {i.source_id: i.source_updated_at for i in run.items if isinstance(i, Anime)}
    assert known == {
        str(t.id + OFFSETS["anilist"]): datetime.fromtimestamp(t.updated_at, UTC) for t in anilist.world.titles.values()
    }


def test_more_changes_than_a_list_is_deep_are_read_in_slices(low_cap):
    """By status, then by format; the watermark is the first row of all."""
    at = now()
    titles = [
        media(n, updated_at=at - n, status=MEDIA_STATUSES[n % 5], format=MEDIA_FORMATS[n % 7]) for n in range(1, 901)
    ]
    anilist, run = Anilist(titles), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert found(run) == anilist.known()
    assert run.state is not None
    assert (run.state["watermark"], run.state["walks"]) == (at - 1, {})


def test_airings_of_the_next_week_are_read():
    """To the end of their list, none of the week after."""
    at = now()
    running = {"status": "RELEASING", "episodes": 3, "aired": 2}
    anilist, run = Anilist(media(n, next_episode_at=at + 3600 * n, **running) for n in range(1, 400)), RecordingRun()
    drive(AnilistSpider(), run, anilist)
    assert found(run, Airing) == {f"{own(n)}003" for n in range(1, 168)}


# --- when AniList makes no sense


def test_the_same_page_again_ends_the_run():
    """Otherwise it would be asked for a hundred times, and in parts again."""
    anilist, run = Anilist(media(n, 1950_00_00) for n in range(1, 101)), RecordingRun()
    anilist.fault("page_ignored")
    made = drive(AnilistSpider(mode="full"), run, anilist)
    assert len(made) == 3
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]


def test_an_endless_list_ends(monkeypatch):
    """New titles on every page, whatever is asked for."""
    monkeypatch.setattr(anilist_spider, "MOST_LISTED", 500)
    numbers, run = count(1), RecordingRun()
    anilist = Anilist(media(next(numbers), 1950_00_00) for _ in range(50))
    anilist.before = lambda request: anilist.put(media(next(numbers), 1950_00_00) for _ in range(50))
    assert len(drive(AnilistSpider(mode="full"), run, anilist)) < 20
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_an_empty_page_is_the_last_whatever_it_says():
    """`hasNextPage` is true on it."""
    anilist, run = Anilist(), RecordingRun()
    anilist.fault("wrong_shape", path="data.Page.pageInfo.hasNextPage", value=True)
    assert len(drive(AnilistSpider(), run, anilist)) == 2
    assert run.failures == []


def test_changes_without_times_end_the_run():
    """Nothing would say where to stop."""
    anilist, run = Anilist([media(1)]), RecordingRun()
    anilist.fault("replaced", path="updatedAt", value=None)
    drive(AnilistSpider(), run, anilist)
    assert "does not say when" in run.failures[0].message


def test_a_usual_field_that_a_whole_page_lacks_is_reported():
    """Twenty titles without a cover."""
    anilist, run = Anilist(media(n) for n in range(1, 21)), RecordingRun()
    anilist.fault("replaced", path="coverImage", value=None)
    drive(AnilistSpider(ids=ids(range(1, 21))), run, anilist)
    assert run.drifted["coverImage", "vanished"] == 20


@pytest.mark.parametrize(("status", "kind"), [(403, "blocked"), (400, "query_refused"), (404, "not_found")])
def test_a_refusal_ends_the_run_and_leaves_the_request_pending(status, kind):
    """Asked once, stored nothing, and to be asked again by the next run."""
    anilist, run = Anilist([media(1)]), RecordingRun()
    refusal = {"errors": [{"message": "No.", "status": status}], "data": None}
    anilist.fault("status", status=status, body=json.dumps(refusal))
    made = drive(AnilistSpider(), run, anilist)
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
    anilist = Anilist([media(n) for n in range(1, 120)])
    made = drive(AnilistSpider(mode="full"), RecordingRun(), anilist)
    assert len(made) > 1
    for request in made:
        assert request.headers["Referer"] == b"https://github.com/anime-crawler/anime_crawler"
        assert "Authorization" not in request.headers
        assert json.loads(json.dumps(request.cb_kwargs)) == request.cb_kwargs


# --- errors beside data


def partial(path: Any, status: int | None = None, http_status: int = 200) -> Callable[[Request], TextResponse]:
    """A server of two titles that fails in a part of the first: null, with an error beside the data."""
    error = {"message": "Not Found.", "path": path, **({"status": status} if status else {})}

    def change(document: Any) -> None:
        document["data"]["Page"]["media"][0]["relations"] = None
        document["errors"] = [error]

    return edited(Anilist([media(1), media(2)]), change, http_status)


@pytest.mark.parametrize("http_status", [200, 404, 500])
@pytest.mark.parametrize("status", [404, 400, 500, None])
def test_data_beside_errors_are_used(status, http_status):
    """Each title of the page is stored; what could not be resolved is untold, and one problem is reported."""
    run = RecordingRun()
    answer = partial(["Page", "media", 0, "relations"], status, http_status)
    drive(AnilistSpider(ids=ids([1, 2])), run, answer)
    first, second = (item for item in run.items if isinstance(item, Anime))
    assert "relations" in first.untold
    assert (second.untold, second.not_understood) == (frozenset(), ())
    assert (run.failures, run.rejected, [kind for kind, _ in run.missed]) == ([], [], ["partial_answer"])
    assert run.drifted["relations: not resolved: Not Found.", "unknown"] == 1


@pytest.mark.parametrize("path", [None, ["Page"], ["Page", "media", 7, "x"], "Page", [0], ["Media"]])
def test_an_error_that_names_no_title_is_reported_and_costs_none(path):
    """The titles are as they are."""
    run = RecordingRun()
    drive(AnilistSpider(ids=ids([1, 2])), run, partial(path))
    assert found(run) == {own(1), own(2)}
    assert [kind for kind, _ in run.missed] == ["partial_answer"]


@pytest.mark.parametrize("data", [None, {"Page": None}, {"Page": {"pageInfo": {"hasNextPage": False}, "media": []}}])
def test_an_error_without_data_ends_no_walk(data):
    """An empty page beside an error is no end of a list."""
    anilist, run = Anilist([media(1)]), RecordingRun()
    document = {"errors": [{"message": "Internal Server Error", "status": 500}], "data": data}
    anilist.fault("body", body=json.dumps(document))
    drive(AnilistSpider(), run, anilist)
    assert (run.items, run.state) == ([], None)
    assert run.failures
