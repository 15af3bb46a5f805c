"""Every walk of every source against the sandbox: the same table of what a list may do while it is read.

AniDB is not here: it gives everything in one answer, see `test_anidb`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scrapy import Request

from anime_crawler.base_spiders import WalkingSpider
from anime_crawler.items import Anime, Release
from anime_crawler.sources.anilist import spider as anilist_spider
from anime_crawler.sources.anilist.schema import Slice
from anime_crawler.sources.kodik import spider as kodik_spider
from tests.sources.driving import RecordingRun, drive
from tests.sources.upstream import Upstream

SIZE = 5
"""Rows of a page, so that few titles are many pages."""
TITLES = 40
NEW = 12
"""Titles that are new when an incremental walk begins: more than two pages."""
SIZES = {
    "kodik": ["sources.kodik.spider.PAGE_SIZE"],
    "shikimori": ["sources.shikimori.spider.BATCH"],
    "jikan": ["sources.jikan.spider.PAGE_SIZE"],
    "anilist": ["sources.anilist.spider.BATCH"],
    "kitsu": ["sources.kitsu.spider.PAGE_SIZE"],
    "animeschedule": ["sources.animeschedule.spider.PAGE_SIZE", "sandbox.upstreams.animeschedule.service.PAGE_SIZE"],
    "anisearch": ["sources.anisearch.spider.PAGE_SIZE"],
    "anime_planet": ["sources.anime_planet.spider.PAGE_SIZE", "sandbox.upstreams.anime_planet.service.PAGE_SIZE"],
}
"""By source: names of what says how large a page is."""
FULL = {source: {"mode": "full"} for source in SIZES} | {"shikimori": {"mode": "incremental"}}
"""Arguments of a walk that lists everything; Shikimori's first walk through all changes does."""
INCREMENTAL = {source: {"mode": "incremental"} for source in SIZES if source != "animeschedule"}
"""The same of a walk that finds what is new; AnimeSchedule's reads timetables, which have no pages."""
WALKS = [pytest.param(source, False, id=f"{source}-full") for source in FULL]
WALKS += [pytest.param(source, True, id=f"{source}-incremental") for source in INCREMENTAL]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """In spiders, and in the sandbox where a page has one size."""
    for names in SIZES.values():
        for name in names:
            monkeypatch.setattr(f"anime_crawler.{name}", SIZE)
    monkeypatch.setitem(kodik_spider.FORM, "limit", str(SIZE))
    # In slices by year so few titles would be one page each.
    monkeypatch.setattr(anilist_spider, "whole_catalogue", lambda now: (Slice(sort="ID"),))


class Scene:
    """A source's walk over a list that stands as it is until the test moves it."""

    def __init__(self, source: str, is_incremental: bool) -> None:
        self.upstream, self.run = Upstream(source, TITLES), RecordingRun()
        self.arguments = INCREMENTAL[source] if is_incremental else FULL[source]
        self.expected = self.upstream.known()
        """What was there before the walk, is there throughout, and is new to the catalogue."""
        self.pages = 0
        """Pages of lists that the walk has asked for."""
        if is_incremental:
            self.drive_with(FULL[source])
            assert (self.run.failures, self.found() >= self.expected) == ([], True)
            self.run.id, self.run.items, known = 2, [], self.upstream.known()
            self.upstream.add(NEW)
            self.expected = self.upstream.known() - known
            self.upstream.asked.clear()

    def spider(self, arguments: dict[str, str]) -> WalkingSpider:
        module = import_module(f"anime_crawler.sources.{self.upstream.source}.spider")
        (kind,) = (
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, WalkingSpider) and kind.__module__ == module.__name__
        )
        spider = kind(**arguments)
        spider.own = {"ANILIST_MASS_COLLECTION": True}
        return spider

    def drive_with(self, arguments: dict[str, str], kill_after: int = 2_000) -> int:
        """One process; how many requests it made."""
        return len(drive(self.spider(arguments), self.run, self.upstream, kill_after=kill_after))

    def walk(self, kill_after: int = 2_000) -> int:
        """The walk in one process."""
        return self.drive_with(self.arguments, kill_after)

    def before_pages(self, move: Any) -> None:
        """Call `move` with the number of each page of a list but the first, before it is answered."""

        def before(request: Request) -> None:
            if is_list_page(request):
                self.pages += 1
                if self.pages > 1:
                    move(self.pages)
                    self.expected &= self.upstream.known()

        self.upstream.before = before

    def found(self) -> set[str]:
        kind = Release if self.upstream.source == "kodik" else Anime
        return {item.source_id for item in self.run.items if isinstance(item, kind)}

    def is_complete(self) -> bool:
        return bool(self.run.state and self.run.state["complete"]) and not self.run.failures

    def missing(self) -> set[str]:
        return self.expected - self.found()


def is_list_page(request: Request) -> bool:
    return request.callback is not None and request.callback.__name__ == "parse_walk"


@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
def test_an_undisturbed_walk_finds_everything(source: str, is_incremental: bool) -> None:
    """And is complete; in a run of its own the same walk then finds nothing left to do, or begins anew."""
    scene = Scene(source, is_incremental)
    scene.walk()
    assert (scene.missing(), scene.is_complete(), scene.run.rejected) == (set(), True, [])
    since = scene.run.full_since[-1:]
    assert since == ([1] if source != "shikimori" else [])


@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
def test_a_server_that_ignores_the_page_ends_the_run_incomplete(source: str, is_incremental: bool) -> None:
    """In few requests; when it is well again, the next run finds what is missing."""
    scene = Scene(source, is_incremental)
    scene.upstream.fault("page_ignored")
    scene.before_pages(lambda number: None)
    scene.walk()
    assert {verdict.kind for verdict in scene.run.failures} <= {"repeated_page", "repeated_cursor", "short_list"}
    assert scene.run.failures
    assert not scene.is_complete()
    assert scene.pages <= 12
    recover(scene)


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
def test_a_page_that_comes_again_hides_nothing(source: str, is_incremental: bool, page: int) -> None:
    """The first page in place of another, once: its rows are found all the same, or the run is incomplete."""
    scene = Scene(source, is_incremental)

    def move(number: int) -> None:
        scene.upstream.calm()
        if number == page:
            scene.upstream.fault("page_ignored")

    scene.before_pages(move)
    scene.walk()
    assert not scene.missing() or not scene.is_complete()
    recover(scene)


@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
@pytest.mark.parametrize("change", ["shrinks", "grows", "changes"])
def test_a_list_that_moves_while_it_is_read_is_read_whole(source: str, is_incremental: bool, change: str) -> None:
    """A title is removed, or added, or the one and then the other, before each of some pages."""
    scene = Scene(source, is_incremental)

    def move(number: int) -> None:
        if number <= 6 and (change == "shrinks" or (change == "changes" and number % 2)):
            scene.upstream.remove()
        elif number <= 6:
            scene.upstream.add()

    scene.before_pages(move)
    requests = scene.walk()
    assert scene.missing() == set()
    assert scene.is_complete(), scene.run.failures
    assert requests < 400


@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
def test_a_walk_that_is_killed_anywhere_goes_on(source: str, is_incremental: bool) -> None:
    """After the first answer, then after a few more, again and again: nothing is missing in the end."""
    scene = Scene(source, is_incremental)
    for death in (1, 2, 3, 1, 4):
        scene.walk(kill_after=death)
    scene.walk()
    assert scene.missing() == set()
    assert scene.is_complete()


steps = st.lists(st.sampled_from(["add", "remove", "kill", "rest"]), max_size=14)


@pytest.mark.parametrize(("source", "is_incremental"), WALKS)
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(plan=steps)
def test_whatever_happens_between_two_pages_complete_is_complete(
    source: str, is_incremental: bool, plan: list[str]
) -> None:
    """Any order of additions, removals and kills, one between two pages: the walk ends, and has found what it says."""
    scene, left = Scene(source, is_incremental), list(plan)

    def move(number: int) -> None:
        step = left.pop(0) if left else "rest"
        if step == "add":
            scene.upstream.add()
        elif step == "remove":
            scene.upstream.remove()

    scene.before_pages(move)
    for number, step in enumerate(plan):
        if step == "kill":
            scene.walk(kill_after=1 + number)
    scene.walk()
    assert scene.missing() == set()
    assert scene.is_complete(), scene.run.failures


@pytest.mark.parametrize("source", ["kodik", "shikimori", "anilist"])
def test_a_time_in_the_future_hides_nothing(source: str) -> None:
    """One record of the year 2999: what is new in the runs after it is found, and it is told as drift."""
    scene, future = Scene(source, is_incremental=False), 32_472_144_000
    world = scene.upstream.services.world
    title = next(title for title in world.titles.values() if title.at_shikimori)
    title.updated_at = future
    for material in world.materials.values():
        if material.title is title:
            material.updated_at = future
            world.repaint(material)
    world.version += 1
    scene.walk()
    assert scene.run.drifted[next(path for path in scene.run.drifted if "(in the future)" in path[0])] >= 1
    for run_id in (2, 3):
        scene.run.id, known = run_id, scene.upstream.known()
        scene.upstream.add(NEW)
        scene.upstream.fault("cursor_refused", count=1)  # Kodik's: the watermark alone says where to stop
        scene.drive_with(INCREMENTAL[source])
        assert scene.run.failures == []
        assert scene.upstream.known() - known <= scene.found()


def recover(scene: Scene) -> None:
    """When all is well again, runs of the same kind find everything; two, as a list that was given up begins anew."""
    scene.upstream.calm()
    scene.upstream.before = lambda request: None
    for _ in range(2):
        scene.run.failures.clear()
        scene.walk()
    assert scene.missing() == set()
    assert scene.is_complete()
