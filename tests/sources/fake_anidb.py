"""A fake AniDB that counts, and a driver for its spider: what it yields goes where the crawl would take it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders import OUT_OF_QUOTA, Action, GivenUp, Verdict
from anime_crawler.sources.anidb import CARD
from anime_crawler.sources.anidb.spider import AnidbSpider
from tests.sources.driving import RecordingRun

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
CLIENT = {"ANIDB_CLIENT": "testclient", "ANIDB_CLIENTVER": 2}
OVER = Verdict(Action.GIVE_UP, OUT_OF_QUOTA, "rests until tomorrow")
EPISODE = '<episode id="{0}1"><epno type="1">1</epno><title xml:lang="en">First</title></episode>'
CHARACTER = '<character id="{0}2" type="appears in"><name>Kaji Ren</name></character>'


class FakeAnidb:
    """Knows titles by aid; counts dumps; bans for the same anime twice in a day, and for each request when banned."""

    def __init__(self, titles: dict[int, str]) -> None:
        self.titles = titles
        self.modified = NOW
        self.dumps = 0
        self.asked: list[str] = []
        self.banned = False
        self.quota = 1_000_000
        """Requests that our own limits leave room for."""
        self.answers: dict[str, tuple[int, bytes]] = {}
        """aid, or ``dump`` -> status and body in place of the right ones."""

    def __call__(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        if parts.path == "/api/anime-titles.xml.gz":
            return self._dump(request)
        assert parts.path == "/httpapi"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        aid = query.pop("aid")
        assert query == {"request": "anime", "client": "testclient", "clientver": "2", "protover": "1"}
        assert aid not in self.asked, "the same anime again within a day"
        self.asked.append(aid)
        if self.banned:
            return Response(request.url, body=b'<error code="500">banned</error>')
        status, body = self.answers.get(aid, (200, gzip.compress(self.anime(int(aid)))))
        return Response(request.url, status=status, body=body)

    def _dump(self, request: Request) -> Response:
        self.dumps += 1
        if "dump" in self.answers:
            return Response(request.url, status=self.answers["dump"][0], body=self.answers["dump"][1])
        stamp = format_datetime(self.modified, usegmt=True).encode()
        if request.headers.get("If-Modified-Since") == stamp:
            return Response(request.url, status=304)
        return Response(request.url, body=gzip.compress(dump(self.titles), mtime=0), headers={"Last-Modified": stamp})

    def anime(self, aid: int) -> bytes:
        if aid not in self.titles:
            return b"<error>Anime not found</error>"
        title = f'<title type="main" xml:lang="x-jat">{self.titles[aid]}</title>'
        more = f"<episodes>{EPISODE.format(aid)}</episodes><characters>{CHARACTER.format(aid)}</characters>"
        return f'\ufeff<anime id="{aid}"><type>OVA</type><titles>{title}</titles>{more}</anime>'.encode()


def dump(titles: dict[int, str]) -> bytes:
    entry = '<anime aid="{}"><title type="main" xml:lang="x-jat">{}</title></anime>'
    return f"<animetitles>{''.join(entry.format(*pair) for pair in titles.items())}</animetitles>".encode()


def crawl(
    upstream: FakeAnidb,
    run: RecordingRun,
    *,
    settings: dict[str, Any] | None = None,
    base_url: str = CARD.base_url,
    kill_after: int = 1_000_000,
    **arguments: str,
) -> list[Request]:
    """One run: its requests in their order. It dies when so many items and checkpoints are stored."""
    spider = AnidbSpider(**arguments)
    spider.run, spider.base_url = run, base_url
    engine = SimpleNamespace(scheduler=SimpleNamespace(resumed=False))
    spider.crawler = SimpleNamespace(engine=engine)  # type: ignore[assignment]
    spider.own = CLIENT if settings is None else settings
    return asyncio.run(_crawl(spider, upstream, run, kill_after))


async def _crawl(spider: AnidbSpider, upstream: FakeAnidb, run: RecordingRun, kill_after: int) -> list[Request]:
    made: list[Request] = []
    pending, stored = [spider.start()], 0
    while pending:
        outcome = pending.pop()
        async for yielded in outcome:
            if isinstance(yielded, Request):
                made.append(yielded)
                pending.append(_outcome(spider, yielded, _answer(upstream, yielded)))
            elif stored < kill_after:
                run.take(yielded)
                stored += 1
            else:
                return made
    return made


def _answer(upstream: FakeAnidb, request: Request) -> Response | None:
    """``None``: the limits have no room for the request, and it is not sent."""
    upstream.quota -= 1
    if upstream.quota >= 0:
        return upstream(request)
    request.meta["unfinished"] = True
    return None


async def _outcome(spider: AnidbSpider, request: Request, response: Response | None) -> AsyncIterator[Any]:
    verdict = spider.judge(response) if response else OVER
    if response and verdict.action is Action.ACCEPT:
        response.request = request
        found = request.callback(response, **request.cb_kwargs)  # type: ignore[misc]
    else:
        failure = Failure(GivenUp(verdict, 1, response))
        failure.request = request  # type: ignore[attr-defined]
        found = request.errback(failure)  # type: ignore[misc]
    if hasattr(found, "__aiter__"):
        async for yielded in found:
            yield yielded
    else:
        for yielded in found:
            yield yielded
