"""AniSearch's walk: every anime once, whatever moves, dies or is missing; blocks and robots.txt end it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from twisted.python.failure import Failure

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Absent, Anime, Character, Episode, Listed, utc_now
from anime_crawler.sandbox.upstreams.anisearch.pages import about, frame
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sources.anisearch import spider as module
from anime_crawler.sources.anisearch.spider import AniSearchSpider
from tests.sources.driving import RecordingRun, drive
from tests.sources.upstream import Upstream

SPARE = 5
"""Titles that may appear later."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three titles on a page of the index, until a test says otherwise."""
    monkeypatch.setattr(module, "PAGE_SIZE", 3)


class AniSearch(Upstream):
    """The sandbox's AniSearch with so many titles, all completed; tests number them in order of name and of id."""

    def __init__(self, count: int, size: int | None = None) -> None:
        super().__init__("anisearch", titles=2 * (count + SPARE) + 10)
        if size:
            module.PAGE_SIZE = size
        self.world = self.services.world
        known = sorted((int(own), title) for own, title in known_at("anisearch", self.world).items() if cast(title))
        self.titles: dict[int, Title] = {}
        self.own: dict[int, int] = {}
        """AniSearch's id by number."""
        for number, (own, title) in enumerate(known[: count + SPARE], 1):
            self.titles[number], self.own[number] = title, own
            title.romaji, title.english, title.japanese, title.synonyms = f"Title {number:02}", None, None, []
            title.status, title.episodes, title.aired = "released", 2, 2
        assert len(self.titles) == count + SPARE
        self.world.titles.clear()
        self.add_numbers(range(1, count + 1))

    def add_numbers(self, numbers: Iterable[int]) -> None:
        """These titles are there."""
        for number in numbers:
            self.world.titles[self.titles[number].id] = self.titles[number]
        self.world.version += 1

    def lose(self, number: int) -> None:
        """This title is no more."""
        self.world.titles.pop(self.titles[number].id, None)
        self.world.version += 1

    def numbers(self) -> set[int]:
        """Of the titles that are there."""
        return {number for number, own in self.own.items() if str(own) in self.known()}

    def says(self, number: int, status: str) -> None:
        """A title's page has that word for its status."""
        self.fault("rewritten", pattern="Completed", text=status, match={"path": self.path(number)})

    def fail(self, path: str, status: int, body: str) -> None:
        """What begins with the path is answered so."""
        self.fault("status", status=status, body=body, content_type="text/html", match={"path": path})

    def path(self, number: int) -> str:
        """Of a title's page."""
        return f"/anime/{self.own[number]}"

    def ids(self, *numbers: int) -> str:
        """The argument."""
        return ",".join(str(self.own[number]) for number in numbers)

    @property
    def paths(self) -> list[str]:
        """Of the requests that were made."""
        return [urlsplit(request.url).path for request in self.asked]

    def details(self) -> Counter[int]:
        """How often each anime's page was asked for."""
        number_of = {own: number for number, own in self.own.items()}
        found = (re.fullmatch(r"/anime/(\d+)", path) for path in self.paths)
        return Counter(number_of[int(match[1])] for match in found if match)

    def pages(self) -> int:
        """How many pages of the index were asked for."""
        return sum("/index/page-" in path for path in self.paths)

    def read(self, run: RecordingRun, kind: type = Anime) -> set[int]:
        """Numbers of the items of that kind."""
        number_of = {str(own): number for number, own in self.own.items()}
        return {number_of[item.source_id] for item in run.items if isinstance(item, kind)}


def crawl(run: RecordingRun, site: Any, *, kill_after: int = 10_000, **arguments: str) -> list[Request]:
    """One run; the requests it made."""
    made = drive(AniSearchSpider(**arguments), run, site, kill_after=kill_after)
    if kill_after == 10_000:
        run.id += 1
    return made


@settings(max_examples=40)
@given(count=st.integers(1, 25), size=st.integers(1, 7))
def test_a_full_walk_reads_every_anime_exactly_once(count, size):
    """Index pages and details, each once."""
    site, run = AniSearch(count, size), RecordingRun()
    crawl(run, site)
    assert run.failures == []
    assert site.read(run) == site.numbers()
    assert set(site.details().values()) == {1}
    pages = -(-count // size)
    assert site.pages() == (pages if pages == 1 else 2 * pages)  # the second time nothing is new
    assert run.state is not None
    assert run.state["complete"]


@settings(max_examples=40)
@given(count=st.integers(1, 20), size=st.integers(1, 5), deaths=st.lists(st.integers(1, 9), max_size=6))
def test_a_walk_that_dies_goes_on_where_it_was(count, size, deaths):
    """However often the process dies: no gap, and no more than the page that was being read is asked for again."""
    site, run = AniSearch(count, size), RecordingRun()
    for death in deaths:
        crawl(run, site, kill_after=death)
        if run.state and run.state["complete"]:
            return
    crawl(run, site)
    assert site.read(run) == site.numbers()
    assert set(site.details().values()) == {1}


def test_titles_that_move_to_another_page_are_read_once():
    """A new title at the front shifts the list: what comes again is passed over; a second pass finds the new one."""
    site, run = AniSearch(9), RecordingRun()
    crawl(run, site, kill_after=5)
    site.titles[10].romaji = "Title 00"
    site.add_numbers([10])
    crawl(run, site)
    assert set(site.details().values()) == {1}
    assert site.read(run) == set(range(1, 11))


@settings(max_examples=40)
@given(count=st.integers(4, 25), size=st.integers(1, 5), gone=st.lists(st.integers(1, 25), max_size=3))
def test_titles_that_are_deleted_hide_no_others(count, size, gone):
    """Each while the second page of the index, or a page of an anime, is read: whoever stays is found."""
    site, run = AniSearch(count, size), RecordingRun()
    left = [own for own in gone if own <= count - 2]

    def before(request: Request) -> None:
        if site.pages() >= 2 and left:
            site.lose(left.pop())

    site.before = before
    crawl(run, site)
    assert site.numbers() <= site.read(run)
    assert run.failures == []
    assert run.full_since == [1]


def test_a_checkpoint_of_an_earlier_release_walks_the_index_again_and_reads_what_was_not_read():
    """What had been listed is not read twice; the page number is not trusted."""
    site, run = AniSearch(9), RecordingRun()
    seen = f"{sum(1 << site.own[number] for number in range(1, 7)):x}"
    old = {"mode": "full", "page": 3, "todo": [site.own[6]], "titles": [], "is_last": False, "seen": seen}
    run.state = old | {"looked_at": "2026-11-01", "done": 5, "total": 300, "began_in": 1, "complete": False}
    crawl(run, site)
    assert set(site.details()) == {6, 7, 8, 9}
    assert run.state["complete"]


def test_an_incremental_walk_goes_down_to_the_first_page_of_known_titles():
    """One page when nothing is new; else the new ones and one page more; a page of new ones alone proves nothing."""
    site, run = AniSearch(12), RecordingRun()
    crawl(run, site)
    site.asked.clear()
    crawl(run, site)
    assert (site.pages(), sum(site.details().values())) == (1, 0)
    site.add_numbers([13, 14, 15, 16])
    site.asked.clear()
    crawl(run, site)
    assert (site.pages(), set(site.details())) == (6, {13, 14, 15, 16})
    site.add_numbers([17])
    site.asked.clear()
    crawl(run, site)
    assert (site.pages(), set(site.details())) == (2, {17})
    assert site.read(run) == site.numbers()


def test_what_was_not_finished_is_looked_at_again_after_a_week():
    """Not on the same day; a title that has ended since is left alone from then on."""
    site, run = AniSearch(6), RecordingRun()
    site.titles[2].status, site.titles[4].status = "ongoing", "anons"
    site.says(5, "On Hold")
    site.says(6, "Canceled")
    crawl(run, site)
    site.titles[2].status = "released"
    for days, expected in ((1, set()), (7, {2, 4, 5}), (7, {4, 5})):
        assert run.state is not None
        run.state["looked_at"] = (utc_now().date() - timedelta(days=days)).isoformat()
        site.asked.clear()
        crawl(run, site)
        assert set(site.details()) == expected


def test_full_mode_reads_everything_again_and_goes_on_after_an_interruption():
    """It begins anew in a new run only."""
    site, run = AniSearch(6), RecordingRun()
    crawl(run, site)
    crawl(run, site, mode="full", kill_after=4)
    crawl(run, site, mode="full")
    assert set(site.details().values()) == {2}


def test_ids_are_read_in_their_order_and_unknown_ones_are_absent():
    """No index page, no checkpoint; a repeated id once."""
    site, run = AniSearch(9), RecordingRun()
    crawl(run, site, ids=site.ids(7, 3, 10, 3))
    assert site.paths == [site.path(7), site.path(3), site.path(10)]
    assert site.read(run) == {7, 3}
    assert site.read(run, Absent) == {10}
    assert run.state is None


def test_titles_are_searched_for_and_the_very_title_is_preferred():
    """Whatever its case and punctuation; others are named, not read."""
    site, run = AniSearch(20), RecordingRun()
    site.titles[1].romaji = "Title: 1!"
    crawl(run, site, titles="TITLE: 1")
    assert site.read(run) == {1}
    crawl(run, site, titles="nobody knows;le 1")
    assert site.read(run) == {1}
    assert [kind for kind, _ in run.missed] == ["title_not_found"] * 2
    assert run.failures == []


def test_characters_and_episodes_are_read_with_their_anime():
    """Before the next anime, and kept by the same checkpoint."""
    site, run = AniSearch(2), RecordingRun()
    crawl(run, site, characters="1", episodes="1", kill_after=3)
    assert run.state is not None
    assert run.state["todo"] == [site.own[1], site.own[2]]  # its episodes are still missing
    crawl(run, site, characters="1", episodes="1")
    assert {type(item) for item in run.items} == {Anime, Character, Episode, Listed}
    paths = [re.sub(r",[^/]*", "", path) for path in site.paths[-3:]]
    assert paths == [site.path(2), f"{site.path(2)}/characters", f"{site.path(2)}/episodes"]
    parts = {(c.anime_id, c.source_id, c.role == "main") for c in run.items if isinstance(c, Character)}
    assert parts == {(str(site.own[n]), str(role.number), role.main) for n in (1, 2) for role in cast(site.titles[n])}


def test_a_missing_part_does_not_cost_the_rest():
    """A characters page that answers 404."""
    site, run = AniSearch(2), RecordingRun()
    site.fail(f"{site.path(1)},", 404, "gone")
    crawl(run, site, characters="1")
    assert site.read(run) == {1, 2}
    assert {item.anime_id for item in run.items if isinstance(item, Character)} == {str(site.own[2])}


@pytest.mark.parametrize(("kind", "status"), [("status", 403), ("cloudflare", 200), ("cloudflare", 503)])
@pytest.mark.parametrize("number", [None, 4])
def test_a_block_ends_the_walk_at_once_and_keeps_its_place(kind, status, number):
    """One request, no second try; the next run reads the rest, each anime once."""
    site, run = AniSearch(9), RecordingRun()
    path = site.path(number) if number else "/anime/index/page-2"
    site.fault(kind, status=status, match={"path": path})
    made = crawl(run, site)
    assert [verdict.kind for verdict in run.failures] == ["blocked"]
    assert site.paths.count(path) == 1
    assert made[-1].meta["unfinished"]
    site.calm()
    crawl(run, site)
    assert site.read(run) == site.numbers()
    assert max(count for own, count in site.details().items() if own != 4) == 1


def test_one_unreadable_anime_is_set_aside_and_looked_at_again():
    """As a dead letter with its id; the walk goes on."""
    site, run = AniSearch(6), RecordingRun()
    site.fail(site.path(2), 200, "<html>broken</html>")
    crawl(run, site)
    assert site.read(run) == {1, 3, 4, 5, 6}
    assert [(letter.source_id, letter.request) for letter in run.rejected] == [(site.ids(2), {"ids": site.ids(2)})]
    assert run.failures == []
    assert run.state is not None
    assert int(run.state["unfinished"], 16) == 1 << site.own[2]


def test_a_site_that_has_changed_ends_the_walk_after_three_pages():
    """Two are set aside, the third stays pending with a sentence."""
    site, run = AniSearch(9), RecordingRun()
    for number in range(2, 10):
        site.fail(site.path(number), 200, frame("new design", about("anime", site.ids(number))))
    crawl(run, site)
    assert [verdict.kind for verdict in run.failures] == ["wrong_shape"]
    assert [letter.source_id for letter in run.rejected if letter.kind == "anime"] == [site.ids(2), site.ids(3)]
    assert run.state is not None
    assert not run.state["complete"]


@pytest.mark.parametrize(
    ("number", "page", "kind"),
    [
        (1, '<table class="responsive-table"></table>', "wrong_shape"),
        (2, '<table class="responsive-table"></table>', "unstable_list"),
        (2, "no table", "wrong_shape"),
    ],
)
def test_an_index_page_without_rows_is_an_error_and_not_the_end(number, page, kind):
    """Otherwise a broken list would look like an empty catalogue. Behind the end it may be empty: that is looked at."""
    site, run = AniSearch(9), RecordingRun()
    site.fail(f"/anime/index/page-{number}", 200, frame(page))
    crawl(run, site)
    assert [verdict.kind for verdict in run.failures] == [kind]
    assert not (run.state or {}).get("complete")
    site.calm()
    crawl(run, site)
    assert site.read(run) == site.numbers()


@pytest.mark.parametrize("number", [2, 3])
def test_a_list_that_repeats_a_page_ends_the_walk(number):
    """The first page comes again as another one: what should have been there is missing."""
    site, run = AniSearch(9), RecordingRun()
    site.fault("page_ignored", match={"path": f"/anime/index/page-{number}"})
    made = crawl(run, site)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert made[-1].meta["unfinished"]
    site.calm()
    crawl(run, site)
    assert site.read(run) == site.numbers()


def test_a_redirect_to_the_address_with_a_slug_is_followed_once():
    """To another anime: this one is gone. Elsewhere: the run ends and names the setting."""
    site, run = AniSearch(9), RecordingRun()

    def redirect(number: int, location: str, count: int | None = None) -> None:
        site.fault("redirect", location=location, count=count, match={"path": site.path(number)})

    redirect(1, f"{site.path(1)},title-one", count=1)
    redirect(2, f"{site.path(3)},title-three", count=1)
    crawl(run, site, ids=site.ids(1, 2, 4))
    assert site.paths == [site.path(1), f"{site.path(1)},title-one", site.path(2), site.path(4)]
    assert site.read(run) == {1, 4}
    assert site.read(run, Absent) == {2}
    redirect(5, f"{site.path(5)},a")
    crawl(run, site, ids=site.ids(5))
    redirect(6, "https://elsewhere.example.org/anime/6")
    crawl(run, site, ids=site.ids(6))
    assert [verdict.kind for verdict in run.failures] == ["moved", "moved"]
    assert run.failures[1].setting == "ANISEARCH_BASE_URL"
    assert "elsewhere.example.org" in run.failures[1].message


def test_a_search_that_leads_straight_to_an_anime_has_found_it():
    """As sites do for a single hit."""
    site, run = AniSearch(9), RecordingRun()
    site.titles[8].romaji = "Title 8"
    site.fault("redirect", location=f"{site.path(8)},title-eight", match={"path": "/anime/index/"})
    crawl(run, site, titles="Eight;Title 8")
    assert site.read(run) == {8}
    assert [message.partition(". ")[0] for _, message in run.missed] == [
        "AniSearch has no anime called exactly 'Eight'"
    ]


def test_a_failure_that_is_a_bug_goes_through():
    """It is not taken for a page."""
    spider = AniSearchSpider(ids="1")
    (request,) = drive(spider, RecordingRun(), AniSearch(1), kill_after=1)
    failure = Failure(ZeroDivisionError())
    failure.request = request  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        list(spider.walk_failed(failure))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "season"}, "full or incremental"),
        ({"season": "2026-fall"}, "no argument season"),
        ({"ids": "x"}, "a list like 3633,4942"),
        ({"ids": ""}, "a list like 3633,4942"),
        ({"ids": "12345678"}, "a list like 3633,4942"),
        ({"titles": " ; "}, "a list like One Piece;Naruto"),
        ({"ids": "1", "mode": "full"}, "one of mode, ids and titles"),
        ({"ids": "1", "titles": "x"}, "one of mode, ids and titles"),
        ({"characters": "yes"}, "1 or 0"),
        ({"episodes": "2"}, "1 or 0"),
    ],
)
def test_wrong_arguments_are_refused_with_what_applies(arguments, message):
    """Before the first request."""
    with pytest.raises(ArgumentError, match=message):
        AniSearchSpider(**arguments)


def test_a_resumed_run_starts_no_request_of_its_own():
    """The frontier still holds those of the interrupted run."""

    async def first(spider: AniSearchSpider) -> list[Any]:
        return [request async for request in spider.start()]

    spider = AniSearchSpider()
    spider.run = RecordingRun()
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=SimpleNamespace(resumed=True)))  # type: ignore
    assert asyncio.run(first(spider)) == []


def test_an_unknown_word_costs_only_itself():
    """The anime is stored without a status, and the word is counted."""
    site, run = AniSearch(3), RecordingRun()
    site.says(2, "Dreaming")
    crawl(run, site)
    assert (site.read(run), run.rejected) == ({1, 2, 3}, [])
    assert run.drifted["status: unknown value 'dreaming'", "unknown"] == 1


def test_requests_go_out_as_plain_data():
    """Callbacks by name and values of JSON only, so that a killed run goes on."""
    site, run = AniSearch(3), RecordingRun()
    spider = AniSearchSpider(characters="1")
    asked = drive(spider, run, site)
    assert len(asked) > 3
    for request in asked:
        assert json.loads(json.dumps(request.cb_kwargs)) == request.cb_kwargs
        assert getattr(spider, request.callback.__name__) == request.callback  # type: ignore[union-attr]
        assert getattr(spider, request.errback.__name__) == request.errback  # type: ignore[union-attr]
