"""Shikimori's batches: as few as possible, none larger than allowed, and one bad title costs only itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Absent, Anime
from anime_crawler.sources.shikimori import spider as shikimori_spider
from anime_crawler.sources.shikimori.spider import ShikimoriSpider
from tests.sources.driving import RecordingRun, drive, json_response, outcome_of

UNRESOLVED = {"errors": [{"exception": "UnresolvedValueError", "message": "`ivi` is no value"}]}


class FakeShikimori:
    """Knows `known` ids; a query that selects a poisoned title's field fails as a whole."""

    def __init__(self, known: Any, poisoned: dict[int, str] | None = None) -> None:
        self.known = {int(i) for i in known}
        self.poisoned = poisoned or {}
        self.asked: list[list[int]] = []
        self.queries: list[str] = []
        self.is_down = False

    def __call__(self, request: Request) -> TextResponse:
        query = json.loads(request.body)
        self.queries.append(query["query"])
        if self.is_down:
            return TextResponse(request.url, status=503, body=b"down")
        if "page" in query["variables"]:
            newest = sorted(self.known, reverse=True)
            page, limit = query["variables"]["page"], query["variables"]["limit"]
            assert limit <= 50
            ids = newest[(page - 1) * limit : page * limit]
        else:
            ids = [int(i) for i in query["variables"]["ids"].split(",")]
            assert len(ids) <= 50
        self.asked.append(ids)
        if any(self.poisoned.get(i, "nothing") in query["query"] for i in ids):
            return json_response(UNRESOLVED, 500)
        return json_response({"data": {"animes": [title(i) for i in ids if i in self.known]}})


def title(number: int) -> dict[str, Any]:
    updated = f"2026-01-{1 + number // 1000:02}T00:{number // 60 % 60:02}:{number % 60:02}+03:00"
    return {"id": str(number), "name": f"Title {number}", "updatedAt": updated}


def named(ids: Any) -> ShikimoriSpider:
    return ShikimoriSpider(ids=",".join(map(str, ids)))


def outcome(run: RecordingRun) -> dict[str, set[int]]:
    """What became of each id."""
    found: dict[str, set[int]] = {"Anime": set(), "Absent": set(), "Rejected": set()}
    for item in [*run.items, *run.rejected]:
        found[type(item).__name__].add(int(item.source_id or 0))
    return found


def test_ids_are_asked_for_fifty_at_a_time_and_unknown_ones_are_absent():
    """120 ids are three requests; whom Shikimori does not know is told apart."""
    shikimori, run = FakeShikimori(range(1, 101)), RecordingRun()
    drive(named(range(1, 121)), run, shikimori)
    assert [len(ids) for ids in shikimori.asked] == [50, 50, 20]
    assert outcome(run) == {"Anime": set(range(1, 101)), "Absent": set(range(101, 121)), "Rejected": set()}


def test_a_query_asks_for_as_many_as_it_names_and_leaves_nobody_out():
    """limit 50, censored titles too, stable order, no variable of a type the schema lacks."""
    shikimori = FakeShikimori([1])
    drive(named(["z1"]), RecordingRun(), shikimori)
    assert "ids: $ids, limit: 50, order: id, censored: false" in shikimori.queries[0]
    assert "$ids: String!" in shikimori.queries[0]


def test_a_bad_link_costs_a_page_its_links_only():
    """Asked once more without links and relations; everybody is answered."""
    shikimori, run = FakeShikimori(range(1, 51), {7: "externalLinks"}), RecordingRun()
    drive(named(range(1, 51)), run, shikimori)
    assert len(shikimori.asked) == 2
    assert outcome(run)["Anime"] == set(range(1, 51))


@settings(max_examples=60)
@given(
    count=st.integers(1, 60),
    known=st.sets(st.integers(1, 60)),
    bad=st.dictionaries(st.integers(1, 60), st.sampled_from(["externalLinks", "name", "related"]), max_size=4),
)
def test_every_id_is_answered_absent_or_set_aside_alone(count, known, bad):
    """Whatever titles are bad in whatever field: each of the others is answered."""
    ids = set(range(1, count + 1))
    shikimori, run = FakeShikimori(known, bad), RecordingRun()
    drive(named(sorted(ids)), run, shikimori)
    hopeless = {i for i in ids if bad.get(i) == "name"}
    assert outcome(run) == {"Anime": ids & known - hopeless, "Absent": ids - known - hopeless, "Rejected": hopeless}
    assert run.failures == []


def test_one_bad_title_of_fifty_costs_few_requests():
    """Once in full, once with less, then halves: below 20 requests."""
    shikimori, run = FakeShikimori(range(1, 51), {33: "name"}), RecordingRun()
    drive(named(range(1, 51)), run, shikimori)
    assert outcome(run)["Rejected"] == {33}
    assert len(shikimori.asked) <= 16


def test_titles_missing_beside_errors_are_asked_for_again_and_not_taken_for_absent():
    """GraphQL may answer some titles and an error; the other titles are not unknown."""
    answers = iter(
        [
            {"data": {"animes": [title(1)]}, "errors": [{"message": "a resolver failed"}]},
            {"data": {"animes": [title(2)]}},
        ]
    )
    run = RecordingRun()
    drive(named([1, 2]), run, lambda request: json_response(next(answers)))
    assert outcome(run) == {"Anime": {1, 2}, "Absent": set(), "Rejected": set()}


BESIDE = {"exception": "X", "message": "a resolver failed", "path": ["animes", 1, "russian"]}


@pytest.mark.parametrize("spider", [named([1, 2]), ShikimoriSpider(mode="incremental")], ids=["by id", "walk"])
def test_data_beside_errors_are_used_and_the_errors_are_told(spider):
    """Of the title that an error names, what is empty is untold, so that what is stored stays; exit code 1."""
    pages = iter([{"data": {"animes": [title(1), title(2)]}, "errors": [BESIDE]}])
    run = RecordingRun()
    drive(spider, run, lambda request: json_response(next(pages, {"data": {"animes": []}})))
    assert outcome(run) == {"Anime": {1, 2}, "Absent": set(), "Rejected": set()}
    assert [kind for kind, _ in run.missed] == ["partial_answer"]
    assert [("description" in item.untold, len(item.not_understood)) for item in run.items] == [(False, 0), (True, 1)]
    assert run.failures == []


def test_an_error_without_a_path_may_be_of_any_title():
    """What is empty in any of them is untold."""
    run = RecordingRun()
    answer = {"data": {"animes": [title(1), title(2)]}, "errors": [{"message": "a resolver failed"}]}
    drive(named([1, 2]), run, lambda request: json_response(answer))
    assert all("description" in item.untold for item in run.items)
    assert [kind for kind, _ in run.missed] == ["partial_answer"]


def test_an_empty_page_beside_an_error_ends_no_walk():
    """It may be empty because of the error: the run is incomplete, and asks for the page again."""
    run = RecordingRun()
    answer = {"data": {"animes": []}, "errors": [{"message": "a resolver failed"}]}
    drive(ShikimoriSpider(mode="incremental"), run, lambda request: json_response(answer))
    assert [verdict.kind for verdict in run.failures] == ["empty_list"]
    assert not (run.state or {}).get("complete")


def test_an_answer_nobody_asked_for_makes_nobody_absent():
    """A page of other titles than asked for is no proof that those asked for are unknown."""
    run = RecordingRun()
    drive(named([1]), run, lambda request: json_response({"data": {"animes": [title(99)]}}))
    assert outcome(run) == {"Anime": set(), "Absent": set(), "Rejected": {1}}


def test_what_changed_is_read_down_to_the_watermark_and_the_new_one_is_stored_last():
    """The first run reads everything; the next one reads the first page only."""
    shikimori, run = FakeShikimori(range(1, 121)), RecordingRun()
    drive(ShikimoriSpider(mode="incremental"), run, shikimori)
    assert len(outcome(run)["Anime"]) == 120
    assert run.state is not None
    assert (run.state["watermark"], run.state["complete"]) == ("2025-12-31T21:02:00+00:00", True)
    asked = len(shikimori.asked)
    shikimori.known.add(3000)
    drive(ShikimoriSpider(mode="incremental"), run, shikimori)
    assert len(shikimori.asked) - asked == 1  # its last title is older than the watermark
    assert 3000 in outcome(run)["Anime"]
    state = run.state
    drive(ShikimoriSpider(mode="incremental"), run, shikimori)
    assert (len(shikimori.asked) - asked, run.state) == (2, state)


def test_a_change_in_the_future_moves_no_watermark():
    """And one that an earlier release has taken for the watermark is not used."""
    rows = [title(9) | {"updatedAt": "2999-01-01T00:00:00+03:00"}, *(title(n) for n in (3, 2, 1))]
    run = RecordingRun()
    drive(ShikimoriSpider(mode="incremental"), run, lambda request: json_response({"data": {"animes": rows}}))
    assert run.state is not None
    assert run.state["watermark"] == "2025-12-31T21:00:03+00:00"
    assert run.drifted["updatedAt (in the future)", "unknown"] == 1
    shikimori, run.state = FakeShikimori(range(1, 121)), {"watermark": "2998-12-31T21:00:00+00:00"}
    drive(ShikimoriSpider(mode="incremental"), run, shikimori)
    assert outcome(run)["Anime"] == set(range(1, 121))
    assert run.state["watermark"] == "2025-12-31T21:02:00+00:00"


def test_a_server_that_ignores_the_page_ends_the_run_incomplete():
    """The first page for ever: three requests, no watermark."""
    page, run = [title(number) for number in range(50, 0, -1)], RecordingRun()
    made = drive(ShikimoriSpider(mode="incremental"), run, lambda request: json_response({"data": {"animes": page}}))
    assert len(made) == 3
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert run.state is not None
    assert run.state["watermark"] is None


def test_a_bad_title_among_the_changed_is_found_by_the_ids_of_its_page():
    """In full, with less, for the ids alone, then by id."""
    shikimori, run = FakeShikimori(range(1, 61), {40: "name"}), RecordingRun()
    drive(ShikimoriSpider(mode="incremental"), run, shikimori)
    assert outcome(run) == {"Anime": set(range(1, 61)) - {40}, "Absent": set(), "Rejected": {40}}
    assert run.state is not None


# --- beside another spider


def accompany(run: RecordingRun, shikimori: FakeShikimori, story: Callable[[int, ShikimoriSpider], None]) -> list[int]:
    """Run the companion against a clock that the story sees tick; sizes of its batches.

    Args:
        story: called before each of its pauses with their number; sets what the run wants, who else runs.
    """
    return asyncio.run(_accompany(run, shikimori, story))


async def _accompany(run: RecordingRun, shikimori: FakeShikimori, story: Any) -> list[int]:
    spider, ticks = ShikimoriSpider(), iter(range(500))
    spider.run = run
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=SimpleNamespace(resumed=False)))  # type: ignore

    async def sleep(seconds: float) -> None:
        story(next(ticks), spider)
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        # The spider's own name for it: servers in other threads of this process sleep, too.
        patch.setattr(shikimori_spider, "asyncio", SimpleNamespace(sleep=sleep))
        sizes = []
        async for request in spider.start():
            assert request.meta["derived"]
            sizes.append(len(request.cb_kwargs["ids"]))
            pending = [request]
            while pending:
                now = pending.pop(0)
                for yielded in outcome_of(spider, now, shikimori(now)):
                    (pending.append if isinstance(yielded, Request) else run.take)(yielded)
        return sizes


def test_a_companion_waits_for_whole_batches_while_others_run():
    """120 titles that appear ten at a time are asked for in 50, 50 and, when the others have ended, 20."""
    shikimori, run = FakeShikimori(range(1, 121)), RecordingRun()
    run.others = True

    def story(tick: int, spider: ShikimoriSpider) -> None:
        run.wants = [str(i) for i in range(1, min(120, 10 * tick) + 1)]
        run.others = tick < 20

    assert accompany(run, shikimori, story) == [50, 50, 20]
    assert len(outcome(run)["Anime"]) == 120
    assert run.failures == []


def test_a_companion_with_nothing_wanted_asks_nothing():
    """No request when everything is known."""
    run = RecordingRun()
    assert accompany(run, FakeShikimori([]), lambda tick, spider: None) == []


def test_while_shikimori_is_down_titles_wait_and_are_asked_for_once_more_at_the_end():
    """It comes back before the others have ended: nothing failed, every title is described."""
    shikimori, run = FakeShikimori(range(1, 101)), RecordingRun()
    run.others, run.wants, shikimori.is_down = True, [str(i) for i in range(1, 101)], True

    def story(tick: int, spider: ShikimoriSpider) -> None:
        shikimori.is_down = tick < 5
        run.others = tick < 10

    sizes = accompany(run, shikimori, story)
    assert sum(sizes) == 150  # one batch twice
    assert outcome(run)["Anime"] == set(range(1, 101))
    assert run.failures == []


def test_shikimori_that_stays_down_fails_the_run_after_one_last_try():
    """One request while the others run, one at the end; the titles stay wanted."""
    shikimori, run = FakeShikimori(range(1, 101)), RecordingRun()
    run.others, run.wants, shikimori.is_down = True, [str(i) for i in range(1, 101)], True

    def story(tick: int, spider: ShikimoriSpider) -> None:
        run.others = tick < 10

    assert accompany(run, shikimori, story) == [50, 50]
    assert [verdict.kind for verdict in run.failures] == ["server_error"]
    assert run.items == []


def test_a_title_that_is_set_aside_is_not_asked_for_again_in_the_same_run():
    """The catalogue still wants it, the run knows better."""
    shikimori, run = FakeShikimori([1, 2], {2: "name"}), RecordingRun()
    run.wants = ["1", "2"]
    accompany(run, shikimori, lambda tick, spider: None)
    assert outcome(run) == {"Anime": {1}, "Absent": set(), "Rejected": {2}}
    assert len(shikimori.asked) < 10


def test_more_wanted_titles_than_a_queue_holds_are_each_asked_for_once():
    """The memory of what was asked last is bounded; the catalogue's own knowledge takes over."""
    shikimori, run = FakeShikimori(range(1, 1001)), RecordingRun()
    run.wants = [str(i) for i in range(1, 1001)]
    assert accompany(run, shikimori, lambda tick, spider: None) == [50] * 20
    assert sum(isinstance(item, Anime | Absent) for item in run.items) == 1000


@pytest.mark.parametrize("arguments", [{"mode": "full"}, {"ids": ""}, {"ids": "1,naruto"}, {"ids": "1", "mode": "x"}])
def test_a_wrong_argument_is_refused(arguments):
    """Before anything runs."""
    with pytest.raises(ArgumentError):
        ShikimoriSpider(**arguments)
