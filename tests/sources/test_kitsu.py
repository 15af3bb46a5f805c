"""Kitsu's walk: nothing is skipped, whatever vanishes or dies meanwhile; what is asked for by hand."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.frontier.codec import request_from_json, request_to_json
from anime_crawler.items import Absent, Anime, Character, Episode
from anime_crawler.sources.kitsu.spider import KitsuSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.fake_kitsu import FakeKitsu, error

NOW = datetime(2026, 5, 3, tzinfo=UTC)


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


def ids(run: RecordingRun, kind: type = Anime) -> list[int]:
    return [int(item.source_id) for item in run.items if isinstance(item, kind)]


def asked(kitsu: FakeKitsu) -> list[str]:
    """What each request was for, in a word and its value."""
    return [
        next((f"{name}={query[name]}" for name in ("filter[id]", "filter[status]") if name in query), "all")
        for _, query in kitsu.requests
    ]


class Vanishing:
    """Some titles are gone, or hidden no more, before each request."""

    def __init__(self, kitsu: FakeKitsu, plan: list[tuple[list[int], list[int]]]) -> None:
        self.kitsu = kitsu
        self.plan = list(plan)

    def __call__(self, request: Request) -> TextResponse:
        gone, shown = self.plan.pop(0) if self.plan else ([], [])
        for number in gone:
            self.kitsu.anime.pop(number, None)
        self.kitsu.hidden.difference_update(shown)
        return self.kitsu(request)


plans = st.lists(st.tuples(st.lists(st.integers(1, 150), max_size=25), st.just([])), max_size=12)


def test_a_full_walk_lists_every_title_once():
    """By ascending id, 20 a page, each page beginning with the last row of the one before."""
    kitsu, run = FakeKitsu(range(1, 101)), RecordingRun()
    crawl(run, kitsu)
    assert ids(run) == list(range(1, 101))
    assert [query["page[offset]"] for _, query in kitsu.requests] == ["0", "19", "38", "57", "76", "95"]
    assert {query["sort"] for _, query in kitsu.requests} == {"id"}
    assert "mappings" in kitsu.requests[0][1]["include"]
    assert run.state is not None
    assert run.state["complete"]


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 39, 40])
def test_lists_of_any_length_end(count):
    """Also where the last page holds nothing new, or there is nothing at all."""
    kitsu, run = FakeKitsu(range(1, count + 1)), RecordingRun()
    crawl(run, kitsu)
    assert ids(run) == list(range(1, count + 1))
    assert len(kitsu.requests) <= 1 + count // 19
    assert run.failures == []


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 150), plan=plans)
def test_titles_that_vanish_while_the_list_is_walked_hide_no_others(count, plan):
    """Whoever is there to the end is listed, and nobody twice."""
    kitsu, run = FakeKitsu(range(1, count + 1)), RecordingRun()
    crawl(run, Vanishing(kitsu, plan))
    assert run.failures == []
    assert set(kitsu.anime) <= set(ids(run))
    assert len(ids(run)) == len(set(ids(run)))
    assert ids(run) == sorted(ids(run))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 120), plan=plans, deaths=st.lists(st.integers(1, 4), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, plan, deaths):
    """However often the process dies after a page was stored, the runs together list everybody."""
    kitsu, run = FakeKitsu(range(1, count + 1)), RecordingRun()
    answer = Vanishing(kitsu, plan)
    for death in deaths:
        crawl(run, answer, kill_after=death)
    answer.plan.clear()
    crawl(run, answer)
    assert run.failures == []
    assert set(kitsu.anime) <= set(ids(run))
    assert run.state is not None
    assert run.state["complete"]


def test_many_titles_that_appear_in_the_middle_do_not_stop_the_walk():
    """Hidden ones that come to light move the rest: pages of what is known are passed over."""
    kitsu, run = FakeKitsu(range(1, 101)), RecordingRun()
    kitsu.hidden = set(range(2, 62))
    crawl(run, kitsu)
    kitsu.hidden.clear()
    kitsu.anime[101] = "finished"
    crawl(run, kitsu)
    assert run.failures == []
    assert ids(run)[-1] == 101


def test_a_run_after_a_full_one_reads_what_is_new_and_what_is_unfinished():
    """The last row, the living, and those that lived before; in three requests."""
    kitsu, run = FakeKitsu(range(1, 41), {5: "current", 7: "upcoming", 9: "tba"}), RecordingRun()
    crawl(run, kitsu)
    kitsu.requests.clear()
    run.items.clear()
    kitsu.anime |= {5: "finished", 41: "current"}
    crawl(run, kitsu)
    assert ids(run) == [41, 7, 41, 5]
    assert asked(kitsu) == ["all", "filter[status]=current,upcoming", "filter[id]=5"]


def test_a_run_without_changes_asks_for_the_last_row_and_the_living():
    """And for nothing that was finished: here 2 requests after 106."""
    kitsu, run = FakeKitsu(range(1, 2001), {5: "current"}), RecordingRun()
    crawl(run, kitsu)
    assert len(kitsu.requests) == 106
    kitsu.requests.clear()
    crawl(run, kitsu)
    assert len(kitsu.requests) == 2


class TooMuch:
    """Fails for more rows than it can show at once, and for batches with one of the ids that it cannot show at all."""

    def __init__(self, kitsu: FakeKitsu, most: int, hopeless: set[int] | None = None) -> None:
        self.kitsu, self.most, self.hopeless = kitsu, most, hopeless or set()

    def __call__(self, request: Request) -> TextResponse:
        response = self.kitsu(request)
        rows = json.loads(response.body)["data"]
        is_hopeless = "filter%5Bid%5D" in request.url and self.hopeless & {int(row["id"]) for row in rows}
        if len(rows) > self.most or is_hopeless:
            return error(503, "503", "Internal error")
        return response


@pytest.mark.parametrize("most", [10, 3, 1])
def test_titles_that_live_no_longer_are_asked_for_in_batches_that_kitsu_can_show(most):
    """Whatever it can show at once: the walk ends, and the next one has nothing left of it."""
    kitsu, run = FakeKitsu(range(1, 31), dict.fromkeys(range(1, 31), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.anime = dict.fromkeys(range(1, 31), "finished")
    drive(KitsuSpider(), run, TooMuch(kitsu, max(10, most)))
    left = TooMuch(kitsu, most)
    drive(KitsuSpider(), run, lambda r: left(r) if "filter%5Bid%5D" in r.url else kitsu(r))
    assert (run.failures, set(ids(run))) == ([], set(range(1, 31)))
    assert run.state is not None
    assert (run.state["complete"], run.state["left"], run.state["living"]) == (True, [], [])


def test_a_title_that_kitsu_cannot_show_waits_for_the_next_walk_and_holds_up_no_other():
    """It is a dead letter, and asked for again; three in a row are an outage, and the rest is left for the next run."""
    kitsu, run = FakeKitsu(range(1, 31), dict.fromkeys(range(1, 31), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.anime = dict.fromkeys(range(1, 31), "finished")
    crawl(run, TooMuch(kitsu, 20, {7, 20}))
    assert (run.failures, set(ids(run))) == ([], set(range(1, 31)) - {7, 20})
    assert [letter.source_id for letter in run.rejected] == ["7", "20"]
    assert run.state is not None
    assert (run.state["complete"], run.state["living"]) == (True, [7, 20])
    crawl(run, kitsu)
    assert set(ids(run)) == set(range(1, 31))
    kitsu.anime |= dict.fromkeys(range(10, 16), "current")
    crawl(run, kitsu)
    kitsu.anime |= dict.fromkeys(range(10, 16), "finished")
    made = crawl(run, TooMuch(kitsu, 20, set(range(10, 16))))
    assert [verdict.kind for verdict in run.failures] == ["server_error"]
    assert made[-1].meta["unfinished"]
    assert run.state["left"] == [12, 13, 14, 15]


def test_a_batch_of_ids_that_is_too_much_is_asked_for_in_halves():
    """Named ones too."""
    kitsu, run = FakeKitsu(range(1, 21)), RecordingRun()
    crawl(run, TooMuch(kitsu, 6), ids=",".join(map(str, range(1, 21))))
    assert (run.failures, set(ids(run))) == ([], set(range(1, 21)))


def test_an_answer_about_other_titles_makes_nobody_absent():
    """A filter that is not heeded says nothing about who is unknown."""
    kitsu, run = FakeKitsu(range(1, 31)), RecordingRun()
    other = kitsu.page(kitsu.listed({"sort": "id"}), 20, 0, "/anime")
    drive(KitsuSpider(ids="25"), run, lambda request: json_response(other))
    assert (run.items, [verdict.kind for verdict in run.failures]) == ([], ["wrong_answer"])


def test_a_checkpoint_of_an_earlier_release_goes_on():
    """The last row of the catalogue is known, and what was living."""
    kitsu, run = FakeKitsu(range(1, 41), {5: "current"}), RecordingRun()
    run.state = {"part": "catalogue", "places": {"catalogue": [38, 39]}, "living": [5], "met": [], "left": []}
    run.state |= {"full": True, "full_since": 7, "complete": True}
    crawl(run, kitsu)
    assert (ids(run), len(kitsu.requests)) == ([40, 5], 2)


def test_what_lived_and_is_unknown_now_is_absent():
    """Taken out, or shown only after a login."""
    kitsu, run = FakeKitsu(range(1, 31), {5: "current"}), RecordingRun()
    crawl(run, kitsu)
    del kitsu.anime[5]
    crawl(run, kitsu)
    assert ids(run, Absent) == [5]


@pytest.mark.parametrize("death", [1, 2, 3, 4, 5])
def test_an_incremental_walk_that_dies_goes_on_where_it_was(death):
    """New, living, and more than a batch of those that live no longer."""
    kitsu, run = FakeKitsu(range(1, 101), dict.fromkeys(range(10, 60), "current")), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    kitsu.anime |= dict.fromkeys(range(10, 50), "finished") | {101: "finished"}
    crawl(run, kitsu, kill_after=death)
    crawl(run, kitsu)
    assert set(ids(run)) >= {101, *range(10, 60)}
    assert run.state is not None
    assert run.state["living"] == list(range(50, 60))


def test_mode_full_lists_everything_again_and_an_interrupted_one_goes_on():
    """The run that began it does not begin it again; the next one would."""
    kitsu, run = FakeKitsu(range(1, 101)), RecordingRun()
    crawl(run, kitsu)
    run.items.clear()
    crawl(run, kitsu, kill_after=2, mode="full")
    crawl(run, kitsu, mode="full")
    assert ids(run) == list(range(1, 101))
    crawl(run, kitsu, mode="full")
    assert len(ids(run)) == 200


def test_a_finished_full_run_that_is_started_again_asks_nothing():
    """It was stopped between its last checkpoint and its end."""
    kitsu, run = FakeKitsu(range(1, 31)), RecordingRun()
    drive(KitsuSpider(mode="full"), run, kitsu)
    kitsu.requests.clear()
    drive(KitsuSpider(mode="full"), run, kitsu)
    assert kitsu.requests == []


def test_a_server_that_gives_one_page_for_all_places_ends_the_run():
    """Incomplete, with a reason; the page stays pending."""
    kitsu, run = FakeKitsu(range(1, 41)), RecordingRun()
    first = kitsu.page(kitsu.listed({"sort": "id"}), 20, 0, "/anime")
    made = drive(KitsuSpider(), run, lambda request: json_response(first))
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]
    assert ids(run) == list(range(1, 21))


def test_a_list_that_never_says_that_it_ends_ends():
    """One row, and always a next page."""
    kitsu, run = FakeKitsu([1]), RecordingRun()
    page = kitsu.page(kitsu.listed({"sort": "id"}), 20, 0, "/anime")
    page["links"]["next"] = page["links"]["first"]
    drive(KitsuSpider(), run, lambda request: json_response(page), kill_after=50)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]


def test_a_page_that_is_too_much_is_asked_for_with_half_the_rows():
    """Only that page; nothing is skipped."""
    kitsu, run = FakeKitsu(range(1, 61)), RecordingRun()

    def answer(request: Request) -> TextResponse:
        heavy = "page%5Blimit%5D=20&page%5Boffset%5D=19" in request.url
        return TextResponse(request.url, status=503, body=b"<html>") if heavy else kitsu(request)

    crawl(run, answer)
    assert ids(run) == list(range(1, 61))
    assert [query["page[limit]"] for _, query in kitsu.requests] == ["20", "10", "20", "20"]
    assert run.failures == []


def test_a_kitsu_that_is_down_fails_the_run_and_leaves_the_page_pending():
    """Once with 20 rows, once with 10; the checkpoint stands."""
    kitsu, run = FakeKitsu(range(1, 61)), RecordingRun()
    crawl(run, kitsu, kill_after=1)
    state = run.state
    made = drive(KitsuSpider(), run, lambda request: TextResponse(request.url, status=503, body=b""))
    assert [verdict.kind for verdict in run.failures] == ["server_error"]
    assert len(made) == 2
    assert made[-1].meta["unfinished"]
    assert run.state == state
    run.failures.clear()
    crawl(run, kitsu)
    assert ids(run) == list(range(1, 61))


def test_a_page_of_another_shape_ends_the_run_with_its_dead_letter():
    """What was answered is kept."""
    run = RecordingRun()
    made = drive(KitsuSpider(), run, lambda request: json_response({"data": None}))
    assert [verdict.kind for verdict in run.failures] == ["wrong_shape"]
    assert made[-1].meta["unfinished"]
    assert [letter.kind for letter in run.rejected] == ["page"]


def test_bad_records_cost_only_themselves():
    """Wherever they stand on a page, the first and last row too; each can be asked for again."""
    kitsu, run = FakeKitsu(range(1, 61)), RecordingRun()

    def answer(request: Request) -> TextResponse:
        document = json.loads(kitsu(request).body)
        for row in document["data"]:
            if int(row["id"]) in (1, 20, 33, 39):
                row["attributes"] |= {"titles": {}, "canonicalTitle": None, "abbreviatedTitles": None}
        document["data"] = [None if row["id"] == "58" else row for row in document["data"]]
        return json_response(document)

    crawl(run, answer)
    assert ids(run) == [i for i in range(1, 61) if i not in (1, 20, 33, 39, 58)]
    assert [letter.request.get("ids") for letter in run.rejected] == ["1", "20", "33", "39", None, None]


# --- by id, by name


def test_ids_are_asked_for_twenty_at_a_time_and_unknown_ones_are_absent():
    """45 ids are three requests."""
    kitsu, run = FakeKitsu(range(1, 41)), RecordingRun()
    crawl(run, kitsu, ids=",".join(map(str, range(1, 46))))
    assert len(kitsu.requests) == 3
    assert (ids(run), ids(run, Absent)) == (list(range(1, 41)), [41, 42, 43, 44, 45])


def test_titles_are_compared_because_search_finds_something_for_everything():
    """Case, width and punctuation do not count; what is called otherwise is left out, and it is said."""
    kitsu, run = FakeKitsu(range(1, 31)), RecordingRun()
    crawl(run, kitsu, titles="TOUDAI: 7;Toudai　25;Nobody")
    assert sorted(ids(run)) == [7, 25]
    assert "Nobody" in run.missed[0][1]
    assert len(kitsu.requests) == 1 + 2 + 2  # the 25th is on the second page


def test_episodes_and_characters_come_with_each_title_when_they_are_wanted():
    """Episodes page by page; items of a title are its own."""
    kitsu, run = FakeKitsu([1, 2]), RecordingRun()
    kitsu.episodes = {1: 45}
    crawl(run, kitsu, ids="1,2", episodes="1", characters="1")
    episodes = [item for item in run.items if isinstance(item, Episode)]
    assert [(e.anime_id, e.number) for e in episodes] == [("1", n) for n in range(1, 46)]
    assert [(c.anime_id, c.role) for c in run.items if isinstance(c, Character)] == [("1", "main"), ("2", "main")]
    assert {query["sort"] for path, query in kitsu.requests if path.endswith("episodes")} == {"number"}


def test_a_walk_asks_for_details_only_when_they_are_wanted():
    """None by default; the walk goes on beside them."""
    kitsu, run = FakeKitsu(range(1, 41)), RecordingRun()
    crawl(run, kitsu, episodes="1")
    paths = Counter(path.rpartition("/")[2] for path, _ in kitsu.requests)
    assert paths == {"anime": 3, "episodes": 40}
    assert ids(run) == list(range(1, 41))


def test_a_title_that_vanished_before_its_episodes_were_asked_for_is_absent():
    """404 there is no failure of the run."""
    kitsu, run = FakeKitsu([1]), RecordingRun()

    def answer(request: Request) -> TextResponse:
        return error(404, "404", "Record not found") if "episodes" in request.url else kitsu(request)

    crawl(run, answer, ids="1", episodes="1")
    assert ids(run, Absent) == [1]
    assert run.failures == []


def test_episodes_that_never_end_or_cannot_be_had_fail_the_run():
    """The same page again and again; a server error."""
    kitsu, run = FakeKitsu([1]), RecordingRun()
    kitsu.episodes = {1: 45}
    first = kitsu.page([{"id": "1", "type": "episodes", "attributes": {"number": 1}}] * 30, 20, 0, "/anime/1/episodes")
    drive(KitsuSpider(ids="1", episodes="1"), run, lambda r: json_response(first) if "episodes" in r.url else kitsu(r))
    drive(
        KitsuSpider(ids="1", episodes="1"),
        run,
        lambda r: TextResponse(r.url, status=502) if "episodes" in r.url else kitsu(r),
    )
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
