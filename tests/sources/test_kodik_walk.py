"""Kodik's walk: nothing is missed, whatever changes or dies meanwhile; it stops where the list makes no sense."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Release
from anime_crawler.sources.kodik.spider import KodikSpider, Walk
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.fake_kodik import FakeKodik, material


def stored(run: RecordingRun) -> dict[str, datetime | None]:
    """Last stored version of each release."""
    return {item.source_id: item.updated_at for item in run.items if isinstance(item, Release)}


def is_up_to_date(run: RecordingRun, kodik: FakeKodik) -> bool:
    return stored(run) == {f"movie-{n}": datetime.fromisoformat(kodik.stamp(n)) for n in kodik.updates}


def crawl(run: RecordingRun, answer: Any, **arguments: str) -> list[dict[str, Any]]:
    """One undisturbed run; the forms of its requests."""
    made = drive(KodikSpider(**arguments), run, answer)
    run.id += 1
    return [request.cb_kwargs for request in made]


class Changing:
    """The list, with some materials changed before each request."""

    def __init__(self, kodik: FakeKodik, plan: list[list[int]], refuse_at: int | None = None) -> None:
        self.kodik = kodik
        self.plan = list(plan)
        self.left = refuse_at

    def __call__(self, request: Any) -> Any:
        for number in self.plan.pop(0) if self.plan else ():
            self.kodik.touch(number)
        if self.left is not None:
            self.kodik.refuses_cursors = self.left == 0
            self.left -= 1
        return self.kodik(request)


changes = st.lists(st.lists(st.integers(1, 30), max_size=5), max_size=12)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 25), size=st.integers(1, 7), plan=changes)
def test_a_list_that_changes_while_it_is_walked_is_read_completely(count, size, plan):
    """Every material is stored in its last version, those that appeared or changed under way too."""
    kodik, run = FakeKodik(count, size), RecordingRun()
    crawl(run, Changing(kodik, plan))
    assert run.failures == []
    if len(plan) <= len(kodik.requests) - 1:  # the last page was read after the last change
        assert is_up_to_date(run, kodik)
    crawl(run, kodik)
    assert is_up_to_date(run, kodik)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 25), size=st.integers(1, 7), plan=changes, deaths=st.lists(st.integers(1, 6), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, size, plan, deaths):
    """However often the process dies after a page was stored, the runs together store everything."""
    kodik, run = FakeKodik(count, size), RecordingRun()
    answer = Changing(kodik, plan)
    for death in deaths:
        drive(KodikSpider(), run, answer, kill_after=death)
        run.is_new = False
    answer.plan.clear()
    crawl(run, answer)
    assert is_up_to_date(run, kodik)
    assert run.state is not None
    assert run.state["complete"]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(8, 25), size=st.integers(2, 7), plan=changes, refuse_at=st.integers(1, 4))
def test_a_refused_cursor_costs_nothing_but_a_look_from_the_newest_down(count, size, plan, refuse_at):
    """A cursor refused once, at any page, under changes: everything is stored in its last version."""
    kodik, run = FakeKodik(count, size), RecordingRun()
    answer = Changing(kodik, plan, refuse_at)
    crawl(run, answer)
    answer.plan.clear()
    crawl(run, answer)
    assert run.failures == []
    assert is_up_to_date(run, kodik)


def test_a_run_without_changes_makes_one_request():
    """The stored cursor leads to the last page; the checkpoint is not written again."""
    kodik, run = FakeKodik(20), RecordingRun()
    crawl(run, kodik)
    crawl(run, kodik)  # the first incremental run after a full one forgets that it was full
    before = run.state
    assert len(crawl(run, kodik)) == 1
    assert run.state == before


def test_after_a_fallback_a_run_without_changes_makes_one_request():
    """The newest page begins at the watermark."""
    kodik, run = FakeKodik(20), RecordingRun()
    crawl(run, Changing(kodik, [], refuse_at=3))
    kodik.refuses_cursors = False
    crawl(run, kodik)
    assert len(crawl(run, kodik)) == 1
    assert kodik.requests[-1]["order"] == "desc"


def test_a_full_walk_says_since_when_everything_was_listed():
    """So that what no run since then has seen is gone; an incremental walk never says so."""
    kodik, run = FakeKodik(10), RecordingRun()
    crawl(run, kodik)
    assert run.full_since == [1]
    assert run.full_listing
    crawl(run, kodik)
    assert run.full_since == [1]
    assert not run.full_listing
    crawl(run, kodik, mode="full")
    assert run.full_since == [1, 3]


def test_an_interrupted_full_walk_goes_on_and_counts_from_its_beginning():
    """mode=full begins anew in a new run only."""
    kodik, run = FakeKodik(20), RecordingRun()
    crawl(run, kodik)
    drive(KodikSpider(mode="full"), run, kodik, kill_after=3)
    run.is_new = False
    asked = len(kodik.requests)
    crawl(run, kodik, mode="full")
    assert len(kodik.requests) - asked == 4  # of 7 pages, 3 were read
    assert run.full_since == [1, 2]


@pytest.mark.parametrize("total", [9, 10_000])
def test_a_list_that_comes_up_short_proves_nothing_gone(total):
    """Fewer materials than the list itself counts: nothing may be marked as gone."""
    run = RecordingRun()
    page = {"total": total, "next_page": None, "results": [material(1, "2026-01-01T00:00:00Z")]}
    crawl(run, lambda request: json_response(page))
    assert run.full_since == []
    assert run.state is not None
    assert run.state["complete"]


def test_an_empty_list_proves_nothing_gone():
    """A catalogue is not emptied by an answer without results."""
    run = RecordingRun()
    crawl(run, lambda request: json_response({"total": 0, "next_page": None, "results": []}))
    assert run.failures == run.full_since == []


def test_max_pages_stops_after_exactly_so_many_requests_and_the_next_run_goes_on():
    """The pages of both runs together are those of one."""
    kodik, run = FakeKodik(20), RecordingRun()
    assert len(crawl(run, kodik, max_pages="5")) == 5
    assert run.state is not None
    assert not run.state["complete"]
    assert len(crawl(run, kodik)) == 2
    assert is_up_to_date(run, kodik)
    assert run.full_since == [1]


def test_a_run_that_ended_within_the_second_of_its_last_page_reads_that_second_again():
    """Page boundaries younger than a minute are read again; when they are older, only the last page is."""
    kodik, run = FakeKodik(9), RecordingRun()
    now = datetime.now().astimezone()
    kodik.stamp = lambda number: now.isoformat(timespec="seconds")  # type: ignore[method-assign]
    crawl(run, kodik)
    asked = len(kodik.requests)
    crawl(run, kodik)
    assert len(kodik.requests) - asked == 3
    del kodik.stamp
    crawl(run, kodik)
    asked = len(kodik.requests)
    crawl(run, kodik)
    assert len(kodik.requests) - asked == 1


def last_page(run: RecordingRun, made: list[Any]) -> None:
    assert made[-1].meta["unfinished"]
    assert run.state is None or not run.state["complete"]


def test_of_a_next_page_on_another_host_only_the_cursor_is_used(caplog):
    """Everything is read, at the configured host, and the odd host is told once."""
    kodik, run = FakeKodik(9), RecordingRun()
    kodik.next_host = "https://another.example.org"
    made = drive(KodikSpider(), run, kodik)
    assert {request.url for request in made} == {"https://kodik-api.com/list"}
    assert (len(stored(run)), run.failures) == (9, [])
    assert caplog.text.count("next_page is on another.example.org; only its cursor is used") == 1


def test_a_material_of_the_future_moves_no_watermark_and_is_drift():
    """What changes until then is found when the cursor is refused; of one such material, and of two pages of them."""
    for count in (1, 8):
        kodik, run = FakeKodik(9), RecordingRun()
        for number in range(100, 100 + count):
            kodik.updates[number] = 30_000_000_000 + number
        crawl(run, kodik)
        assert run.state is not None
        assert run.state["watermark"] == datetime.fromisoformat(kodik.stamp(9)).isoformat()
        assert run.drifted["updated_at (in the future)", "unknown"] >= count
        for number in range(20, 30):
            kodik.touch(number)
        crawl(run, Changing(kodik, [], refuse_at=0 if count == 1 else None))
        kodik.refuses_cursors = False
        crawl(run, kodik)
        assert {f"movie-{number}" for number in range(20, 30)} <= stored(run).keys()


def test_a_watermark_of_the_future_that_an_earlier_release_has_stored_is_not_used():
    """With a cursor that still leads on, and with one that is refused."""
    for refuse_at in (None, 0):
        kodik, run = FakeKodik(9), RecordingRun()
        crawl(run, kodik)
        assert run.state is not None
        known = ("walk", "cursor", "before", "boundary", "top", "seen", "full", "complete")
        run.state = {name: run.state[name] for name in known} | {"watermark": "2999-01-01T00:00:00+00:00"}
        run.state |= {"full_since": 1}
        for number in range(20, 30):
            kodik.touch(number)
        crawl(run, Changing(kodik, [], refuse_at=refuse_at))
        kodik.refuses_cursors = False
        assert {f"movie-{number}" for number in range(20, 30)} <= stored(run).keys()
        assert run.state["watermark"] == datetime.fromisoformat(kodik.stamp(29)).isoformat()


def test_a_page_that_repeats_stops_the_run():
    """Two cursors, one page: the second is not stored again, and no third is asked for."""
    run, cursors = RecordingRun(), iter("abc")
    results = [material(1, "2026-01-01T00:00:00Z")]

    def same(request: Any) -> Any:
        return json_response({"total": 9, "next_page": f"/list?next={next(cursors)}", "results": results})

    made = drive(KodikSpider(), run, same)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert len(made) == 2
    last_page(run, made)


def test_a_cursor_that_repeats_stops_the_run():
    """A circle of pages ends at its first repetition."""
    run, numbers = RecordingRun(), iter(range(1, 99))

    def circle(request: Any) -> Any:
        number = next(numbers)
        results = [material(number, "2026-01-01T00:00:00Z")]
        return json_response({"total": 9, "next_page": f"/list?next={number % 3}", "results": results})

    made = drive(KodikSpider(), run, circle)
    assert [verdict.kind for verdict in run.failures] == ["repeated_cursor"]
    assert len(made) == 4
    last_page(run, made)


def test_a_refused_token_costs_one_request_and_names_its_setting():
    """The request stays pending; with a new token the same walk goes on."""
    kodik, run = FakeKodik(9), RecordingRun()
    drive(KodikSpider(), run, kodik, kill_after=1)
    refuse = {"error": "Отсутствует или неверный токен"}
    made = drive(KodikSpider(), run, lambda request: json_response(refuse, 500))
    assert len(made) == 1
    assert [(v.kind, v.setting) for v in run.failures] == [("token_refused", "KODIK_API_TOKEN")]
    last_page(run, made)
    crawl(run, kodik)
    assert is_up_to_date(run, kodik)
    assert len(kodik.requests) == 3


def test_an_answer_that_stays_unreadable_is_kept_and_ends_the_run_incomplete():
    """A dead letter of the whole page, without the token that was in it."""
    run = RecordingRun()
    made = drive(KodikSpider(), run, lambda request: json_response({"next_page": "https://x/?token=canary&next=a"}))
    assert [verdict.kind for verdict in run.failures] == ["wrong_shape"]
    assert [(letter.kind, "canary" in letter.raw) for letter in run.rejected] == [("page", False)]
    last_page(run, made)


def test_no_token_is_in_requests_or_state():
    """Not in bodies, addresses, arguments, or the checkpoint: the download handler adds it."""
    kodik, run = FakeKodik(20), RecordingRun()
    for request in drive(KodikSpider(), run, kodik):
        assert "canary" not in request.body.decode() + request.url + json.dumps(request.cb_kwargs)
        assert "token" not in request.body.decode()
    assert "canary" not in json.dumps(run.state)


def test_named_anime_are_searched_one_by_one_without_a_checkpoint():
    """shikimori_ids: one search per id, prefixed or repeated."""
    run, forms = RecordingRun(), []

    def search(request: Any) -> Any:
        forms.append((request.url, request.body.decode()))
        return json_response({"total": 1, "results": [material(20, "2026-01-01T00:00:00Z")]})

    drive(KodikSpider(shikimori_ids="20,z1, 20"), run, search)
    assert [url.rpartition("/")[2] for url, _ in forms] == ["search", "search"]
    assert ["shikimori_id=20" in body for _, body in forms] == [True, False]
    assert run.state is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "delta"},
        {"max_pages": "0"},
        {"max_pages": "five"},
        {"max_pages": "²"},
        {"shikimori_ids": ""},
        {"shikimori_ids": "naruto"},
        {"shikimori_ids": "20", "mode": "full"},
        {"pages": "3"},
    ],
)
def test_a_wrong_argument_is_named(arguments):
    """Before anything runs, with what is wanted instead."""
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        KodikSpider(**arguments)


def test_the_state_is_plain_json():
    """What the checkpoint holds comes back from JSON as it was."""
    state = Walk(cursor="a", watermark="2026-01-01T00:00:00+00:00").model_dump()
    assert Walk.model_validate(json.loads(json.dumps(state))).model_dump() == state
