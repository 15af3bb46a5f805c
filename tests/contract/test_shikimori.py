"""Shikimori's recorded answers, asked for by the spider's own requests and understood by its own parser."""

from __future__ import annotations

from anime_crawler.items import Absent, Anime, Rejected
from anime_crawler.sources.shikimori.spider import ShikimoriSpider
from tests.contract.support import FakeRun, Upstream, crawl

UNKNOWN = "999999999"


def test_titles_are_asked_for_in_one_batch_and_an_unknown_one_is_told(recorded, addresses):
    """Metadata of those that exist, an absence of the one that does not, in one request; no drift."""
    ids, run = [*map(str, range(1, 41)), UNKNOWN], FakeRun()
    spider = ShikimoriSpider(ids=",".join(ids))
    session = recorded("shikimori_titles")
    found = list(crawl(spider, Upstream(session, addresses["shikimori"]), run))
    known = [item for item in found if isinstance(item, Anime)]
    assert {anime.source_id for anime in known} | {i.source_id for i in found if isinstance(i, Absent)} == set(ids)
    assert known
    assert all(anime.titles.romaji for anime in known)
    assert UNKNOWN in {item.source_id for item in found if isinstance(item, Absent)}
    assert [item for item in found if isinstance(item, Rejected)] == []
    assert (run.failures, run.drifted) == ([], {})
