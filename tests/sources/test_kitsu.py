"""Kitsu's walk: nothing is skipped, whatever vanishes or dies meanwhile; what is asked for by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.frontier.codec import request_from_json, request_to_json
from anime_crawler.items import Absent, Anime, Character, Episode
from anime_crawler.sandbox.upstreams.kitsu import json as kitsu_json
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sources.kitsu import spider as module
from anime_crawler.sources.kitsu.spider import KitsuSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.upstream import Upstream

SPARE = 5
"""Titles that may appear later."""


class Kitsu(Upstream):
    """The sandbox's Kitsu with so many titles, all finished; tests name them by number, in order of their ids."""

    def __init__(self, count: int, statuses: dict[int, str] | None = None) -> None:
        super().__init__("kitsu", titles=count + count // 3 + 40)
        self.world = self.services.world
        self.titles: dict[int, Title] = {}
        self.number: dict[str, int] = {}
        """By Kitsu's id."""
        for own, title in sorted(known_at("kitsu", self.world).items(), key=lambda known: int(known[0])):
            date_title(title, "finished", self.world.now)
            if len(self.titles) < count + SPARE and self.status_of(title) == "finished":  # not one of the odd ones
                self.number[own] = len(self.titles) + 1
                self.titles[self.number[own]] = title
        assert len(self.titles) == count + SPARE
        self.world.titles.clear()
        self.let_be(range(1, count + 1), "finished")
        for number, status in (statuses or {}).items():
            self.let_be([number], status)

    def status_of(self, title: Title) -> str:
        """As Kitsu shows it."""
        return str(kitsu_json.anime(title, self.world).attributes["status"])

    def let_be(self, numbers: Iterable[int], status: str) -> None:
        """These titles are there, with that status."""
        for number in numbers:
            title = self.titles[number]
            date_title(title, status, self.world.now)
            assert self.status_of(title) == status
            self.world.titles[title.id] = title
        self.world.version += 1

    def lose(self, *numbers: int) -> None:
        """These titles are no more."""
        for number in numbers:
            if number in self.titles:
                self.world.titles.pop(self.titles[number].id, None)
        self.world.version += 1

    def numbers(self) -> set[int]:
        """Of the titles that are there."""
        return {self.number[own] for own in self.known()}

    def ids(self, *numbers: int) -> list[int]:
        """Kitsu's ids of some titles."""
        by_number = {number: int(own) for own, number in self.number.items()}
        return [by_number[number] for number in numbers]

    def seen(self, run: RecordingRun, kind: type = Anime) -> list[int]:
        """Numbers of the items of that kind."""
        return [self.number[item.source_id] for item in run.items if isinstance(item, kind)]

    def queries(self) -> list[dict[str, str]]:
        """Of the requests that were made."""
        return [dict(parse_qsl(urlsplit(request.url).query)) for request in self.asked]

    def first_page(self) -> TextResponse:
        """Of all titles."""
        words = {"sort": "id", "page[limit]": "20", "page[offset]": "0"}
        return self(Request(f"https://kitsu.app/api/edge/anime?{urlencode(words)}"))


def date_title(title: Title, status: str, now: int) -> None:
    """Give the title the dates of which Kitsu makes that status."""
    soon = datetime.fromtimestamp(now, UTC) + timedelta(days=40)
    title.status, title.aired_on, title.released_on = {
        "finished": ("released", (2010, 1, 5), (2010, 3, 30)),
        "current": ("ongoing", (2010, 1, 5), (None, None, None)),
        "upcoming": ("anons", (soon.year, soon.month, soon.day), (None, None, None)),
        "tba": ("released", (None, None, None), (None, None, None)),
    }[status]
    title.next_episode_at = None
    title.aired = title.episodes = 12


def ids_of(kitsu: Kitsu, numbers: Iterable[int]) -> str:
    """The argument."""
    return ",".join(map(str, kitsu.ids(*numbers)))


def error(status: int, code: str, title: str) -> TextResponse:
    """JSON:API's error document."""
    return json_response({"errors": [{"title": title, "code": code, "status": str(status)}]}, status)


def crawl(run: RecordingRun, kitsu: Any, *, kill_after: int = 10_000, **arguments: str) -> list[Request]:
    """One run; its requests, of which none may come twice but the first."""
    made = drive(KitsuSpider(**arguments), run, kitsu, kill_after=kill_after)
    run.id += kill_after == 10_000
    assert [url for url, times in Counter(r.url for r in made if not r.dont_filter).items() if times > 1] == []
    spider = KitsuSpider(**arguments)
    for request in made:  # each can be kept in a job directory
        request_from_json(request_to_json(request.replace(**unbound(request)), spider), spider)
    return made


def unbound(request: Request) -> dict[str, Any]:
    return {"callback": None, "errback": None}


def asked(kitsu: Kitsu) -> list[str]:
    """What each request was for, in a word and its value."""
    return [
        next((f"{name}={query[name]}" for name in ("filter[id]", "filter[status]") if name in query), "all")
        for query in kitsu.queries()
    ]


def vanishing(kitsu: Kitsu, plan: list[list[int]]) -> Kitsu:
    """Some titles are gone before each request from now on."""
    plan = list(plan)

    def before(request: Request) -> None:
        kitsu.lose(*(plan.pop(0) if plan else ()))

    kitsu.before = before
    return kitsu


plans = st.lists(st.lists(st.integers(1, 40), max_size=7), max_size=12)


@pytest.fixture(scope="class")  # hypothesis refuses those of a function, which all examples would share
def small_pages() -> Iterator[None]:
    """Five titles a page, so that few are many pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAGE_SIZE", 5)
        yield


def test_a_full_walk_lists_every_title_once():
    """By ascending id, 20 a page, each page beginning with the last row of the one before."""
    kitsu, run = Kitsu(100), RecordingRun()
    crawl(run, kitsu)
    assert kitsu.seen(run) == list(range(1, 101))
    assert [query["page[offset]"] for query in kitsu.queries()] == ["0", "19", "38", "57", "76", "95"]
    assert {query["sort"] for query in kitsu.queries()} == {"id"}
    assert "mappings" in kitsu.queries()[0]["include"]
    assert run.state is not None
    assert run.state["complete"]


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 39, 40])
def test_lists_of_any_length_end(count):
    """Also where the last page holds nothing new, or there is nothing at all."""
    kitsu, run = Kitsu(count), RecordingRun()
    crawl(run, kitsu)
    assert kitsu.seen(run) == list(range(1, count + 1))
    assert len(kitsu.asked) <= 1 + count // 19
    assert run.failures == []


@pytest.mark.usefixtures("small_pages")
@settings(max_examples=40)
@given(count=st.integers(0, 40), plan=plans)
def test_titles_that_vanish_while_the_list_is_walked_hide_no_others(count, plan):
    """Whoever is there to the end is listed, and nobody twice."""
    kitsu, run = Kitsu(count), RecordingRun()
    crawl(run, vanishing(kitsu, plan))
    assert run.failures == []
    assert kitsu.numbers() <= set(kitsu.seen(run))
    assert len(kitsu.seen(run)) == len(set(kitsu.seen(run)))
    assert kitsu.seen(run) == sorted(kitsu.seen(run))


@pytest.mark.usefixtures("small_pages")
@settings(max_examples=30)
@given(count=st.integers(1, 40), plan=plans, deaths=st.lists(st.integers(1, 4), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, plan, deaths):
    """However often the process dies after a page was stored, the runs together list everybody."""
    kitsu, run = Kitsu(count), RecordingRun()
    vanishing(kitsu, plan)
    for death in deaths:
        crawl(run, kitsu, kill_after=death)
    crawl(run, vanishing(kitsu, []))
    assert run.failures == []
    assert kitsu.numbers() <= set(kitsu.seen(run))
    assert run.state is not None
    assert run.state["complete"]


def test_many_titles_that_appear_in_the_middle_do_not_stop_the_walk():
    """Adult ones, which are hidden, and are adult no more move the rest: pages of what is known are passed over."""
    kitsu, run = Kitsu(100), RecordingRun()
    for rating in ("rx", "g"):
        for number in range(2, 62):
            kitsu.titles[number].rating = rating
        kitsu.world.version += 1
        assert len(kitsu.known()) == (40 if rating == "rx" else 100)
        if rating == "rx":
            crawl(run, kitsu)
    kitsu.let_be([101], "finished")
    crawl(run, kitsu)
    assert run.failures == []
    assert kitsu.seen(run)[-1] == 101


def test_a_run_after_a_full_one_reads_what_is_new_and_what_is_unfinished():
    """The last row, the living, and those that lived before; in three requests."""
    kitsu, run = Kitsu(40, {5: "current", 7: "upcoming", 9: "tba"}), RecordingRun()
    crawl(run, kitsu)
    kitsu.asked.clear()
    run.items.clear()
    kitsu.let_be([5], "finished")
    kitsu.let_be([41], "current")
    crawl(run, kitsu)
    assert kitsu.seen(run) == [41, 7, 41, 5]
    assert asked(kitsu) == ["all", "filter[status]=current,upcoming", f"filter[id]={ids_of(kitsu, [5])}"]


def test_a_run_without_changes_asks_for_the_last_row_and_the_living():
    """And for nothing that was finished: here 2 requests after 16."""
    kitsu, run = Kitsu(300, {5: "current"}), RecordingRun()
    crawl(run, kitsu)
    assert len(kitsu.asked) == 16
    kitsu.asked.clear()
    crawl(run, kitsu)
    assert len(kitsu.asked) == 2


class TooMuch:
    """Fails for more rows than it can show at once, and for batches with one of the ids that it cannot show at all."""

    def __init__(self, kitsu: Kitsu, most: int, hopeless: set[int] | None = None) -> None:
        self.kitsu, self.most, self.hopeless = kitsu, most, hopeless or set()

    def __call__(self, request: Request) -> TextResponse:
        response = self.kitsu(request)
        rows = json.loads(response.body)["data"]
        is_hopeless = "filter%5Bid%5D" in request.url and self.hopeless & {self.kitsu.number[row["id"]] for row in rows}
        if len(rows) > self.most or is_hopeless:
            return error(503, "503", "Internal error")
        return response


@pytest.mark.parametrize("most", [10, 3, 1])
def test_titles_that_live_no_longer_are_asked_for_in_batches_that_kitsu_can_show(most):
    """Whatever it can show at once: the walk ends, and the next one has nothing left of it."""
    kitsu, run = Kitsu(30, dict.fromkeys(range(1, 31), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.let_be(range(1, 31), "finished")
    drive(KitsuSpider(), run, TooMuch(kitsu, max(10, most)))
    left = TooMuch(kitsu, most)
    drive(KitsuSpider(), run, lambda r: left(r) if "filter%5Bid%5D" in r.url else kitsu(r))
    assert (run.failures, set(kitsu.seen(run))) == ([], set(range(1, 31)))
    assert run.state is not None
    assert (run.state["complete"], run.state["left"], run.state["living"]) == (True, [], [])


def test_a_title_that_kitsu_cannot_show_waits_for_the_next_walk_and_holds_up_no_other():
    """It is a dead letter, and asked for again; three in a row are an outage, and the rest is left for the next run."""
    kitsu, run = Kitsu(30, dict.fromkeys(range(1, 31), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.let_be(range(1, 31), "finished")
    crawl(run, TooMuch(kitsu, 20, {7, 20}))
    assert (run.failures, set(kitsu.seen(run))) == ([], set(range(1, 31)) - {7, 20})
    assert [letter.source_id for letter in run.rejected] == [str(own) for own in kitsu.ids(7, 20)]
    assert run.state is not None
    assert (run.state["complete"], run.state["living"]) == (True, kitsu.ids(7, 20))
    crawl(run, kitsu)
    assert set(kitsu.seen(run)) == set(range(1, 31))
    kitsu.let_be(range(10, 16), "current")
    crawl(run, kitsu)
    kitsu.let_be(range(10, 16), "finished")
    made = crawl(run, TooMuch(kitsu, 20, set(range(10, 16))))
    assert [verdict.kind for verdict in run.failures] == ["server_error"]
    assert made[-1].meta["unfinished"]
    assert run.state["left"] == kitsu.ids(12, 13, 14, 15)


def test_a_batch_of_ids_that_is_too_much_is_asked_for_in_halves():
    """Named ones too."""
    kitsu, run = Kitsu(20), RecordingRun()
    crawl(run, TooMuch(kitsu, 6), ids=ids_of(kitsu, range(1, 21)))
    assert (run.failures, set(kitsu.seen(run))) == ([], set(range(1, 21)))


def test_an_answer_about_other_titles_makes_nobody_absent():
    """A filter that is not heeded says nothing about who is unknown."""
    kitsu, run = Kitsu(30), RecordingRun()
    drive(KitsuSpider(ids=ids_of(kitsu, [25])), run, lambda request: kitsu.first_page())
    assert (run.items, [verdict.kind for verdict in run.failures]) == ([], ["wrong_answer"])


def test_a_checkpoint_of_an_earlier_release_goes_on():
    """The last row of the catalogue is known, and what was living."""
    kitsu, run = Kitsu(40, {5: "current"}), RecordingRun()
    run.state = {
        "part": "catalogue",
        "places": {"catalogue": [38, *kitsu.ids(39)]},
        "living": kitsu.ids(5),
        "met": [],
        "left": [],
    }
    run.state |= {"full": True, "full_since": 7, "complete": True}
    crawl(run, kitsu)
    assert (kitsu.seen(run), len(kitsu.asked)) == ([40, 5], 2)


def test_what_lived_and_is_unknown_now_is_absent():
    """Taken out, or shown only after a login."""
    kitsu, run = Kitsu(30, {5: "current"}), RecordingRun()
    crawl(run, kitsu)
    kitsu.lose(5)
    crawl(run, kitsu)
    assert kitsu.seen(run, Absent) == [5]


@pytest.mark.parametrize("death", [1, 2, 3, 4, 5])
def test_an_incremental_walk_that_dies_goes_on_where_it_was(death):
    """New, living, and more than a batch of those that live no longer."""
    kitsu, run = Kitsu(100, dict.fromkeys(range(10, 60), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.let_be([*range(10, 50), 101], "finished")
    crawl(run, kitsu, kill_after=death)
    crawl(run, kitsu)
    assert set(kitsu.seen(run)) >= {101, *range(10, 60)}
    assert run.state is not None
    assert run.state["living"] == kitsu.ids(*range(50, 60))


def test_mode_full_lists_everything_again_and_an_interrupted_one_goes_on():
    """The run that began it does not begin it again; the next one would."""
    kitsu, run = Kitsu(100), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    crawl(run, kitsu, kill_after=2, mode="full")
    crawl(run, kitsu, mode="full")
    assert kitsu.seen(run) == list(range(1, 101))
    crawl(run, kitsu, mode="full")
    assert len(kitsu.seen(run)) == 200


def test_a_finished_full_run_that_is_started_again_asks_nothing():
    """It was stopped between its last checkpoint and its end."""
    kitsu, run = Kitsu(30), RecordingRun()
    drive(KitsuSpider(mode="full"), run, kitsu)
    kitsu.asked.clear()
    drive(KitsuSpider(mode="full"), run, kitsu)
    assert kitsu.asked == []


def test_a_server_that_gives_one_page_for_all_places_ends_the_run():
    """Incomplete, with a reason; the page stays pending."""
    kitsu, run = Kitsu(40), RecordingRun()
    kitsu.fault("page_ignored")
    made = drive(KitsuSpider(), run, kitsu)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]
    assert kitsu.seen(run) == list(range(1, 21))


def test_a_list_that_never_says_that_it_ends_ends():
    """One row, and always a next page."""
    kitsu, run = Kitsu(1), RecordingRun()
    page = json.loads(kitsu.first_page().body)
    page["links"]["next"] = page["links"]["first"]
    drive(KitsuSpider(), run, lambda request: json_response(page), kill_after=50)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]


def test_a_page_that_is_too_much_is_asked_for_with_half_the_rows():
    """Only that page; nothing is skipped."""
    kitsu, run = Kitsu(60), RecordingRun()

    def answer(request: Request) -> TextResponse:
        heavy = "page%5Blimit%5D=20&page%5Boffset%5D=19" in request.url
        return TextResponse(request.url, status=503, body=b"<html>") if heavy else kitsu(request)

    crawl(run, answer)
    assert kitsu.seen(run) == list(range(1, 61))
    assert [query["page[limit]"] for query in kitsu.queries()] == ["20", "10", "20", "20"]
    assert run.failures == []


def test_a_kitsu_that_is_down_fails_the_run_and_leaves_the_page_pending():
    """Once with 20 rows, once with 10; the checkpoint stands."""
    kitsu, run = Kitsu(60), RecordingRun()
    crawl(run, kitsu, kill_after=1)
    state = run.state
    made = drive(KitsuSpider(), run, lambda request: TextResponse(request.url, status=503, body=b""))
    assert [verdict.kind for verdict in run.failures] == ["server_error"]
    assert len(made) == 2
    assert made[-1].meta["unfinished"]
    assert run.state == state
    run.failures.clear()
    crawl(run, kitsu)
    assert kitsu.seen(run) == list(range(1, 61))


def test_a_page_of_another_shape_ends_the_run_with_its_dead_letter():
    """What was answered is kept."""
    run = RecordingRun()
    made = drive(KitsuSpider(), run, lambda request: json_response({"data": None}))
    assert [verdict.kind for verdict in run.failures] == ["wrong_shape"]
    assert made[-1].meta["unfinished"]
    assert [letter.kind for letter in run.rejected] == ["page"]


def test_bad_records_cost_only_themselves():
    """Wherever they stand on a page, the first and last row too; each can be asked for again."""
    kitsu, run = Kitsu(60), RecordingRun()

    def answer(request: Request) -> TextResponse:
        document = json.loads(kitsu(request).body)
        for row in document["data"]:
            if kitsu.number[row["id"]] in (1, 20, 33, 39):
                row["attributes"] |= {"titles": {}, "canonicalTitle": None, "abbreviatedTitles": None}
        document["data"] = [None if kitsu.number[row["id"]] == 58 else row for row in document["data"]]
        return json_response(document)

    crawl(run, answer)
    assert kitsu.seen(run) == [i for i in range(1, 61) if i not in (1, 20, 33, 39, 58)]
    numbers = [kitsu.number.get(letter.request.get("ids", "")) for letter in run.rejected]
    assert numbers == [1, 20, 33, 39, None, None]


# --- by id, by name


def test_ids_are_asked_for_twenty_at_a_time_and_unknown_ones_are_absent():
    """45 ids are three requests."""
    kitsu, run = Kitsu(40), RecordingRun()
    crawl(run, kitsu, ids=ids_of(kitsu, range(1, 46)))
    assert len(kitsu.asked) == 3
    assert (sorted(kitsu.seen(run)), kitsu.seen(run, Absent)) == (list(range(1, 41)), [41, 42, 43, 44, 45])


def test_titles_are_compared_because_search_finds_something_for_everything():
    """Case, width and punctuation do not count; what is called otherwise is left out, and it is said."""
    kitsu, run = Kitsu(50), RecordingRun()
    for number, title in kitsu.titles.items():
        title.romaji, title.english, title.synonyms, title.votes = f"Toudai {number}", None, [], 100 - number
    kitsu.titles[25].japanese = "北の灯台"
    crawl(run, kitsu, titles="TOUDAI: 7;北の　灯台;Nobody")
    assert sorted(kitsu.seen(run)) == [7, 25]
    (missed,) = run.missed
    assert "Nobody" in missed[1]
    offsets = [(query["filter[text]"], query["page[offset]"]) for query in kitsu.queries()]
    assert ("TOUDAI: 7", "20") not in offsets
    assert ("北の　灯台", "40") in offsets  # its likeness is that of all others, and the second page is the first again


def test_episodes_and_characters_come_with_each_title_when_they_are_wanted():
    """Episodes page by page; items of a title are its own."""
    kitsu, run = Kitsu(2), RecordingRun()
    kitsu.titles[1].episodes = kitsu.titles[1].aired = 45
    crawl(run, kitsu, ids=ids_of(kitsu, [1, 2]), episodes="1", characters="1")
    episodes = [item for item in run.items if isinstance(item, Episode)]
    wanted = [(n, e) for n in (1, 2) for e in range(1, len(kitsu_json.episodes(kitsu.titles[n])) + 1)]
    assert sorted((kitsu.number[e.anime_id], e.number) for e in episodes) == wanted
    assert len(wanted) > 40  # more than two pages
    parts = [(kitsu.number[c.anime_id], c.source_id, c.role) for c in run.items if isinstance(c, Character)]
    roles = {True: "main", False: "supporting"}
    assert sorted(parts) == sorted((n, str(r.number), roles[r.main]) for n in (1, 2) for r in cast(kitsu.titles[n]))
    assert parts
    listed = [query for query, request in zip(kitsu.queries(), kitsu.asked, strict=True) if "episodes" in request.url]
    assert {query["sort"] for query in listed} == {"number"}


@pytest.mark.parametrize("what", ["episodes", "characters"])
def test_the_episodes_or_characters_of_another_title_end_the_run(what):
    """A complete list withdraws what it lacks, so that it must be the list of the title that was asked for."""
    kitsu, run = Kitsu(2), RecordingRun()
    one, two = kitsu.ids(1, 2)

    def answer(request: Request) -> TextResponse:
        return kitsu(request.replace(url=request.url.replace(f"/{one}/{what}", f"/{two}/{what}")))

    made = drive(KitsuSpider(ids=str(one), **{what: "1"}), run, answer)
    assert [type(item) for item in run.items] == [Anime]
    assert [verdict.kind for verdict in run.failures] == ["wrong_answer"]
    assert made[-1].meta["unfinished"]


def test_a_walk_asks_for_details_only_when_they_are_wanted():
    """None by default; the walk goes on beside them."""
    kitsu, run = Kitsu(40), RecordingRun()
    crawl(run, kitsu, episodes="1")
    paths = Counter(urlsplit(request.url).path.rpartition("/")[2] for request in kitsu.asked)
    assert paths == {"anime": 3, "episodes": 40}
    assert kitsu.seen(run) == list(range(1, 41))


def test_a_title_that_vanished_before_its_episodes_were_asked_for_is_absent():
    """404 there is no failure of the run."""
    kitsu, run = Kitsu(1), RecordingRun()
    kitsu.before = lambda request: kitsu.lose(1) if "episodes" in request.url else None
    crawl(run, kitsu, ids=ids_of(kitsu, [1]), episodes="1")
    assert kitsu.seen(run, Absent) == [1]
    assert run.failures == []


def test_episodes_that_never_end_or_cannot_be_had_fail_the_run():
    """The same page again and again; a server error."""
    kitsu, run = Kitsu(1), RecordingRun()
    kitsu.titles[1].episodes = kitsu.titles[1].aired = 90
    for kind, options in (("page_ignored", {}), ("status", {"status": 502})):
        kitsu.calm()
        kitsu.fault(kind, match={"path": "/anime/"}, **options)
        drive(KitsuSpider(ids=ids_of(kitsu, [1]), episodes="1"), run, kitsu)
    assert [verdict.kind for verdict in run.failures] == ["endless_list", "server_error"]


@pytest.mark.parametrize(
    "arguments",
    [
        *({"mode": "season"}, {"mode": ""}, {"ids": ""}, {"ids": "1,naruto"}, {"ids": "0"}, {"titles": " ; "}),
        *({"ids": "1", "mode": "full"}, {"ids": "1", "titles": "x"}, {"episodes": "yes"}, {"characters": ""}),
        {"season": "2026-fall"},
    ],
)
def test_a_wrong_argument_is_refused_and_what_applies_is_named(arguments):
    """Before anything runs."""
    with pytest.raises(ArgumentError, match=r"wanted|it has"):
        KitsuSpider(**arguments)
