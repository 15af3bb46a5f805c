"""Kodik's walk: nothing is missed, whatever changes or dies meanwhile; it stops where the list makes no sense."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Release, utc_now
from anime_crawler.sandbox.server.services import TOKENS
from anime_crawler.sandbox.world.works import Material
from anime_crawler.sandbox.world.world import NOW
from anime_crawler.sources.kodik import spider as module
from anime_crawler.sources.kodik.spider import KodikSpider, Walk
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.upstream import Upstream


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three materials a page, until a test says otherwise."""
    monkeypatch.setitem(module.FORM, "limit", "3")


class Kodik(Upstream):
    """The sandbox's Kodik with so many materials, each changed in a second of its own; tests name them by number."""

    def __init__(self, count: int) -> None:
        super().__init__("kodik", titles=1, now=NOW)
        self.world = self.services.world
        self.kept: list[Material] = []
        for surplus in list(self.world.materials.values()):
            self.world.remove(surplus)
        self.world.tick(1)
        for number in range(1, count + 1):
            self.touch(number)

    def touch(self, number: int) -> None:
        """The material changes now; one that is not there yet appears."""
        if number > len(self.kept):
            made = self.services.mutator.apply("new_title", {"materials": 1})["material"]
            self.kept.append(self.world.materials[made])
        else:
            self.world.touch(self.kept[number - 1])

    def date(self, material: Material, updated_at: int) -> None:
        """The material says that it changed at that time."""
        material.updated_at = updated_at
        self.world.repaint(material)

    def versions(self) -> dict[str, datetime]:
        """When each material last changed."""
        return {own: datetime.fromtimestamp(material.updated_at, UTC) for own, material in self.world.materials.items()}

    def latest(self) -> datetime:
        return max(self.versions().values())


def of_pages(count: int, size: int) -> Kodik:
    """With so many materials a page."""
    module.FORM["limit"] = str(size)
    return Kodik(count)


def form_of(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def stored(run: RecordingRun) -> dict[str, datetime | None]:
    """Last stored version of each release."""
    return {item.source_id: item.updated_at for item in run.items if isinstance(item, Release)}


def is_up_to_date(run: RecordingRun, kodik: Kodik) -> bool:
    return stored(run) == kodik.versions()


def crawl(run: RecordingRun, answer: Any, **arguments: str) -> list[dict[str, Any]]:
    """One undisturbed run; the arguments of its requests' callbacks."""
    made = drive(KodikSpider(**arguments), run, answer)
    run.id += 1
    return [request.cb_kwargs for request in made]


def changing(kodik: Kodik, plan: list[list[int]], refuse_at: int | None = None) -> Kodik:
    """Some materials change before each request from now on; the cursor of one request is refused."""
    plan, kodik.asked = list(plan), []

    def before(request: Request) -> None:
        for number in plan.pop(0) if plan else ():
            kodik.touch(number)

    kodik.before = before
    if refuse_at is not None:
        kodik.fault("cursor_refused", skip=refuse_at, count=1)
    return kodik


def at_rest(kodik: Kodik) -> Kodik:
    """Nothing changes any more."""
    kodik.before = lambda request: None
    kodik.calm()
    return kodik


changes = st.lists(st.lists(st.integers(1, 30), max_size=5), max_size=12)


@settings(max_examples=60)
@given(count=st.integers(0, 25), size=st.integers(1, 7), plan=changes)
def test_a_list_that_changes_while_it_is_walked_is_read_completely(count, size, plan):
    """Every material is stored in its last version, those that appeared or changed under way too."""
    kodik, run = of_pages(count, size), RecordingRun()
    crawl(run, changing(kodik, plan))
    assert run.failures == []
    if len(plan) <= len(kodik.asked) - 1:  # the last page was read after the last change
        assert is_up_to_date(run, kodik)
    crawl(run, at_rest(kodik))
    assert is_up_to_date(run, kodik)


@settings(max_examples=60)
@given(count=st.integers(1, 25), size=st.integers(1, 7), plan=changes, deaths=st.lists(st.integers(1, 6), max_size=5))
def test_a_walk_that_dies_goes_on_where_it_was(count, size, plan, deaths):
    """However often the process dies after a page was stored, the runs together store everything."""
    kodik, run = changing(of_pages(count, size), plan), RecordingRun()
    for death in deaths:
        drive(KodikSpider(), run, kodik, kill_after=death)
        run.is_new = False
    crawl(run, at_rest(kodik))
    assert is_up_to_date(run, kodik)
    assert run.state is not None
    assert run.state["complete"]


@settings(max_examples=60)
@given(count=st.integers(8, 25), size=st.integers(2, 7), plan=changes, refuse_at=st.integers(1, 4))
def test_a_refused_cursor_costs_nothing_but_a_look_from_the_newest_down(count, size, plan, refuse_at):
    """A cursor refused once, at any page, under changes: everything is stored in its last version."""
    kodik, run = changing(of_pages(count, size), plan, refuse_at), RecordingRun()
    crawl(run, kodik)
    crawl(run, at_rest(kodik))
    assert run.failures == []
    assert is_up_to_date(run, kodik)


def test_a_run_without_changes_makes_one_request():
    """The stored cursor leads to the last page; the checkpoint is not written again."""
    kodik, run = Kodik(20), RecordingRun()
    crawl(run, kodik)
    crawl(run, kodik)  # the first incremental run after a full one forgets that it was full
    before = run.state
    assert len(crawl(run, kodik)) == 1
    assert run.state == before


def test_after_a_fallback_a_run_without_changes_makes_one_request():
    """The newest page begins at the watermark."""
    kodik, run = Kodik(20), RecordingRun()
    crawl(run, changing(kodik, [], refuse_at=3))
    crawl(run, kodik)
    assert len(crawl(run, kodik)) == 1
    assert form_of(kodik.asked[-1])["order"] == "desc"


def test_a_full_walk_says_since_when_everything_was_listed():
    """So that what no run since then has seen is gone; an incremental walk never says so."""
    kodik, run = Kodik(10), RecordingRun()
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
    kodik, run = Kodik(20), RecordingRun()
    crawl(run, kodik)
    drive(KodikSpider(mode="full"), run, kodik, kill_after=3)
    run.is_new = False
    asked = len(kodik.asked)
    crawl(run, kodik, mode="full")
    assert len(kodik.asked) - asked == 4  # of 7 pages, 3 were read
    assert run.full_since == [1, 2]


@pytest.mark.parametrize("total", [9, 10_000])
def test_a_list_that_comes_up_short_proves_nothing_gone(total):
    """Fewer materials than the list itself counts: nothing may be marked as gone."""
    kodik, run = Kodik(1), RecordingRun()
    kodik.fault("wrong_shape", path="total", value=total)
    crawl(run, kodik)
    assert run.full_since == []
    assert run.state is not None
    assert run.state["complete"]


def test_an_empty_list_proves_nothing_gone():
    """A catalogue is not emptied by an answer without results."""
    run = RecordingRun()
    crawl(run, Kodik(0))
    assert run.failures == run.full_since == []


def test_max_pages_stops_after_exactly_so_many_requests_and_the_next_run_goes_on():
    """The pages of both runs together are those of one."""
    kodik, run = Kodik(20), RecordingRun()
    assert len(crawl(run, kodik, max_pages="5")) == 5
    assert run.state is not None
    assert not run.state["complete"]
    assert len(crawl(run, kodik)) == 2
    assert is_up_to_date(run, kodik)
    assert run.full_since == [1]


def test_a_run_that_ended_within_the_second_of_its_last_page_reads_that_second_again():
    """Page boundaries younger than a minute are read again; when they are older, only the last page is."""
    kodik, run = Kodik(9), RecordingRun()
    times = {own: material.updated_at for own, material in kodik.world.materials.items()}
    for material in kodik.kept:
        kodik.date(material, int(utc_now().timestamp()))
    crawl(run, kodik)
    asked = len(kodik.asked)
    crawl(run, kodik)
    assert len(kodik.asked) - asked == 3
    for material in kodik.kept:
        kodik.date(material, times[material.id])
    crawl(run, kodik)
    asked = len(kodik.asked)
    crawl(run, kodik)
    assert len(kodik.asked) - asked == 1


def last_page(run: RecordingRun, made: list[Any]) -> None:
    assert made[-1].meta["unfinished"]
    assert run.state is None or not run.state["complete"]


def test_of_a_next_page_on_another_host_only_the_cursor_is_used(caplog):
    """Everything is read, at the configured host, and the odd host is told once."""
    kodik, run = Kodik(9), RecordingRun()
    kodik.fault("foreign_next", host="another.example.org")
    made = drive(KodikSpider(), run, kodik)
    assert {request.url for request in made} == {"https://kodik-api.com/list"}
    assert (len(stored(run)), run.failures) == (9, [])
    assert caplog.text.count("next_page is on another.example.org; only its cursor is used") == 1


def test_a_material_of_the_future_moves_no_watermark_and_is_drift():
    """What changes until then is found when the cursor is refused; of one such material, and of two pages of them."""
    for count in (1, 8):
        kodik, run = Kodik(9 + count), RecordingRun()
        for number, material in enumerate(kodik.kept[9:]):
            kodik.date(material, 30_000_000_000 + number)
        crawl(run, kodik)
        assert run.state is not None
        assert run.state["watermark"] == kodik.versions()[kodik.kept[8].id].isoformat()
        assert run.drifted["updated_at (in the future)", "unknown"] >= count
        known = kodik.known()
        kodik.add(10)
        crawl(run, changing(kodik, [], refuse_at=0 if count == 1 else None))
        crawl(run, at_rest(kodik))
        assert kodik.known() - known <= stored(run).keys()


def test_a_watermark_of_the_future_that_an_earlier_release_has_stored_is_not_used():
    """With a cursor that still leads on, and with one that is refused."""
    for refuse_at in (None, 0):
        kodik, run = Kodik(9), RecordingRun()
        crawl(run, kodik)
        assert run.state is not None
        known = ("walk", "cursor", "before", "boundary", "top", "seen", "full", "complete")
        run.state = {name: run.state[name] for name in known} | {"watermark": "2999-01-01T00:00:00+00:00"}
        run.state |= {"full_since": 1}
        known = kodik.known()
        kodik.add(10)
        crawl(run, changing(kodik, [], refuse_at=refuse_at))
        assert kodik.known() - known <= stored(run).keys()
        assert run.state["watermark"] == kodik.latest().isoformat()


def test_a_page_that_repeats_stops_the_run():
    """Two cursors, one page: the second is not stored again, and no third is asked for."""
    kodik, run = Kodik(9), RecordingRun()
    kodik.fault("repeated_page")
    made = drive(KodikSpider(), run, kodik)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert len(made) == 2
    assert len([item for item in run.items if isinstance(item, Release)]) == 3
    last_page(run, made)


def test_a_cursor_that_repeats_stops_the_run():
    """A circle of pages ends at its first repetition."""
    kodik, run, nexts = Kodik(20), RecordingRun(), []

    def circle(request: Request) -> TextResponse:
        page = json.loads(kodik(request).body)
        nexts.append(page["next_page"])
        return json_response(page | {"next_page": nexts[(len(nexts) - 1) % 3]})

    made = drive(KodikSpider(), run, circle)
    assert [verdict.kind for verdict in run.failures] == ["repeated_cursor"]
    assert len(made) == 4
    last_page(run, made)


def test_a_refused_token_costs_one_request_and_names_its_setting():
    """The request stays pending; with a new token the same walk goes on."""
    kodik, run = Kodik(9), RecordingRun()
    drive(KodikSpider(), run, kodik, kill_after=1)
    kodik.fault("token_refused")
    made = drive(KodikSpider(), run, kodik)
    assert len(made) == 1
    assert [(v.kind, v.setting) for v in run.failures] == [("token_refused", "KODIK_API_TOKEN")]
    last_page(run, made)
    crawl(run, at_rest(kodik))
    assert is_up_to_date(run, kodik)
    assert len(kodik.asked) == 4


def test_an_answer_that_stays_unreadable_is_kept_and_ends_the_run_incomplete():
    """A dead letter of the whole page, without the token that was in it."""
    run = RecordingRun()
    made = drive(KodikSpider(), run, lambda request: json_response({"next_page": "https://x/?token=canary&next=a"}))
    assert [verdict.kind for verdict in run.failures] == ["wrong_shape"]
    assert [(letter.kind, "canary" in letter.raw) for letter in run.rejected] == [("page", False)]
    last_page(run, made)


def test_no_token_is_in_requests_or_state():
    """Not in bodies, addresses, arguments, or the checkpoint: the download handler adds it."""
    kodik, run = Kodik(20), RecordingRun()
    for request in drive(KodikSpider(), run, kodik):
        assert TOKENS["kodik"] not in request.body.decode() + request.url + json.dumps(request.cb_kwargs)
        assert "token" not in request.body.decode()
    assert TOKENS["kodik"] in kodik(request).text  # it was in what the spider read
    assert TOKENS["kodik"] not in json.dumps(run.state)


def test_named_anime_are_searched_one_by_one_without_a_checkpoint():
    """shikimori_ids: one search per id, prefixed or repeated."""
    kodik, run = Upstream("kodik", 20), RecordingRun()
    one, two = list(dict.fromkeys(m.shikimori_id for m in kodik.services.world.materials.values() if m.has_id))[:2]
    drive(KodikSpider(shikimori_ids=f"{one},z{two}, {one}"), run, kodik)
    assert [request.url.rpartition("/")[2] for request in kodik.asked] == ["search", "search"]
    assert [form_of(request)["shikimori_id"] for request in kodik.asked] == [one, two]
    materials = kodik.services.world.materials.values()
    assert stored(run).keys() == {material.id for material in materials if material.shikimori_id in (one, two)}
    assert run.state is None


def test_a_search_that_finds_other_anime_is_reported():
    """Their materials are true and stored, but the anime that was asked for was not had."""
    kodik, run = Upstream("kodik", 20), RecordingRun()
    one, two = list(dict.fromkeys(m.shikimori_id for m in kodik.services.world.materials.values() if m.has_id))[:2]

    def answer(request: Request) -> TextResponse:
        body = request.body.replace(f"shikimori_id={one}".encode(), f"shikimori_id={two}".encode())
        return kodik(request.replace(body=body))

    drive(KodikSpider(shikimori_ids=str(one)), run, answer)
    assert [kind for kind, _ in run.missed] == ["id_not_found"]
    assert two in run.missed[0][1]


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
