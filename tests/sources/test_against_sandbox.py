"""Jikan's and AniList's spiders against the sandbox's services, in this process: every kind of request they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import SourceSpider
from anime_crawler.sandbox.server.services import Upstream
from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.upstreams.anilist.service import Anilist
from anime_crawler.sandbox.upstreams.jikan.json import episode_rows
from anime_crawler.sandbox.upstreams.jikan.service import Jikan
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources.anilist.spider import AnilistSpider
from anime_crawler.sources.jikan import parse
from anime_crawler.sources.jikan.spider import JikanSpider
from tests.sources.driving import RecordingRun, drive

WORLD = World(seed=2, titles=200)


def answering(upstream: Upstream) -> Callable[[Request], TextResponse]:
    """The service as a function of Scrapy's requests."""

    def answer(request: Request) -> TextResponse:
        parts = urlsplit(request.url)
        path = parts.path.removeprefix("/v4")
        headers = {name.decode().lower(): values[0].decode() for name, values in request.headers.items()}
        call = Call("x", request.method, path, parts.query, headers, request.body, "https://x.test")
        reply = upstream.answer(call)
        return TextResponse(request.url, status=reply.status, body=reply.body, headers=reply.headers)

    return answer


def crawl(spider: SourceSpider, upstream: Upstream) -> RecordingRun:
    """A run in which nothing went wrong."""
    run = RecordingRun()
    drive(spider, run, answering(upstream))
    assert (run.failures, run.rejected, dict(run.drifted)) == ([], [], {})
    return run


def counted(run: RecordingRun) -> Counter[str]:
    """Items by kind."""
    return Counter(type(item).__name__ for item in run.items)


def test_jikan_tells_a_title_with_its_episodes_and_characters() -> None:
    """As many as the world has; a number nobody has is absent."""
    number, title = next((n, t) for n, t in known_at("jikan", WORLD).items() if cast(t) and len(episode_rows(t)) > 100)
    found = counted(crawl(JikanSpider(ids=f"{number},999999", episodes="1", characters="1"), Jikan(WORLD)))
    wanted = {"Anime": 1, "Absent": 1, "Episode": len(episode_rows(title)), "Character": len(cast(title)), "Listed": 2}
    assert found == wanted


def test_jikan_tells_a_season_a_search_and_four_rankings() -> None:
    """A season of 2020 has some; a title is found by its name; 25 of each ranking, or all there are."""
    jikan = Jikan(WORLD)
    assert counted(crawl(JikanSpider(season="2020-spring"), jikan))["Anime"] > 0
    number, title = next(iter(known_at("jikan", WORLD).items()))
    assert number in {item.source_id for item in crawl(JikanSpider(titles=title.romaji), jikan).items}
    snapshots: list[Any] = [
        i for i in crawl(JikanSpider(mode="snapshot"), jikan).items if type(i).__name__ == "Snapshot"
    ]
    assert {snapshot.snapshot_type for snapshot in snapshots} == set(parse.SNAPSHOTS)
    top = [snapshot.score for snapshot in snapshots if snapshot.snapshot_type == "top"]
    assert len(top) == 25
    assert top == sorted(top, reverse=True)


def test_anilist_tells_titles_by_id_and_name_with_their_characters() -> None:
    """A number nobody has is absent, and takes nothing with it."""
    anilist = Anilist(WORLD)
    number, title = next((n, t) for n, t in known_at("anilist", WORLD).items() if cast(t))
    found = counted(crawl(AnilistSpider(ids=f"{number},999999", characters="1"), anilist))
    assert (found["Anime"], found["Absent"], found["Character"]) == (1, 1, len(cast(title)))
    assert number in {item.source_id for item in crawl(AnilistSpider(titles=title.romaji), anilist).items}
