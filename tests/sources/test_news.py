"""Which runs of every source look for news, and so take no answer out of the HTTP cache."""

from __future__ import annotations

import asyncio
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request

from anime_crawler.base_spiders import SourceSpider
from anime_crawler.cache.policy import is_young, takes_kept
from anime_crawler.sources import cards
from tests.sources.driving import RecordingRun

DAY_S = 86_400
OWN = {"ANIDB_CLIENT": "client", "ANIDB_CLIENTVER": 1, "ANILIST_MASS_COLLECTION": True}
METADATA = ("jikan", "anilist", "kitsu", "anidb", "animeschedule", "anisearch", "anime_planet")
BOTH_MODES: list[dict[str, str]] = [{}, {"mode": "full"}, {"mode": "incremental"}]
WALKS: dict[str, list[dict[str, str]]] = {
    # Kodik's search too: players come and go by the hour.
    "kodik": [*BOTH_MODES, {"shikimori_ids": "20"}],
    "shikimori": [{}, {"mode": "incremental"}],
    "jikan": [*BOTH_MODES, {"season": "2026-fall"}, {"mode": "snapshot"}, {"episodes": "1"}],
    **{source: BOTH_MODES for source in METADATA if source != "jikan"},
}
"""Arguments of the runs that look for news; of a source that is not here, those without any."""
AGE_IN_WALKS_S = {"anidb": DAY_S}
"""What a walk takes all the same: AniDB bans who asks for the dump, or for one anime, twice in a day."""
LOOKUPS: dict[str, list[dict[str, str]]] = {
    "shikimori": [{"ids": "20"}],
    **{source: [{"ids": "20"}, {"titles": "Naruto"}] for source in METADATA},
}
"""Arguments of the runs that may be answered from the cache, for as long as the card says."""


def spider_of(source: str, arguments: dict[str, str]) -> SourceSpider:
    """The source's spider as a run makes it."""
    module = import_module(f"anime_crawler.sources.{source}.spider")
    own = [kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__]
    (kind,) = (kind for kind in own if isinstance(kind, type) and issubclass(kind, SourceSpider))
    spider: SourceSpider = kind(**arguments)
    spider.own, run = OWN, RecordingRun()
    run.wants = ["20"]
    spider.run = run
    spider.crawler = SimpleNamespace(engine=SimpleNamespace(scheduler=SimpleNamespace(resumed=False)))  # type: ignore
    return spider


def first_request(spider: SourceSpider) -> Request:
    """The first that the run makes."""

    async def ask() -> Any:
        return await anext(spider.start())

    request: Request = asyncio.run(ask())
    return request


def oldest_taken_s(source: str, arguments: dict[str, str]) -> float:
    """How old a fresh answer may be that the run's first request takes; 0: it takes none. Up to a week."""
    spider = spider_of(source, arguments)
    request = first_request(spider)
    ages = [age_s for age_s in (1, DAY_S, 7 * DAY_S) if is_young(request, spider, age_s)]
    return max(ages, default=0) if takes_kept(request, spider) else 0


def cases(table: dict[str, list[dict[str, str]]]) -> list[Any]:
    rows = [(source, arguments) for source in cards() for arguments in table.get(source, [{}])]
    return [pytest.param(*row, id=f"{row[0]}-{'-'.join(row[1].values()) or 'default'}") for row in rows]


@pytest.mark.parametrize(("source", "arguments"), cases(WALKS))
def test_a_run_for_news_is_answered_by_the_upstream(source: str, arguments: dict[str, str]) -> None:
    """Lists, seasons, timetables, cursors, what the catalogue wants: whatever is kept, it is asked anew."""
    assert oldest_taken_s(source, arguments) == AGE_IN_WALKS_S.get(source, 0)


@pytest.mark.parametrize(("source", "arguments"), [case for case in cases({"kodik": [], **LOOKUPS}) if case.values[1]])
def test_a_lookup_may_be_answered_from_the_cache(source: str, arguments: dict[str, str]) -> None:
    """For as long as the card says."""
    assert oldest_taken_s(source, arguments) == 7 * DAY_S


def test_metadata_is_kept_for_a_day_and_what_the_main_job_uses_is_not() -> None:
    """Nothing that the main job asks may be a day old."""
    ttl_s = {name: card.cache_ttl_s for name, card in cards().items() if name in WALKS}
    assert {name for name, seconds in ttl_s.items() if seconds is None} == {"kodik", "shikimori"}
    assert {seconds for seconds in ttl_s.values() if seconds} == {DAY_S}
