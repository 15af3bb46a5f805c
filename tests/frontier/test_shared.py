"""How a worker of a shared crawl begins and ends, at a real Redis that is away, held or out of rights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.settings import Settings
from scrapy.signalmanager import SignalManager

from anime_crawler import settings as project_settings
from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.scheduler import SharedScheduler
from anime_crawler.frontier.redis.session import WorkerSession
from tests.frontier.own_redis import OwnRedis


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


class Place:
    """One worker of a crawl with its scheduler, and as much of engine and job as that uses."""

    def __init__(self, own: OwnRedis, base_url: str = "https://one.example") -> None:
        self.ends: list[tuple[str, int]] = []
        self.left: list[tuple[str, int]] = []
        self.is_stopping = False
        membership = Membership(own.client(), "kodik", 2.0)
        self.session = WorkerSession(membership, "run", dict, self._end, lambda: self.is_stopping, 60)
        settings = Settings()
        settings.setmodule(project_settings)
        settings.set("REDIS_URL", own.url)
        nextcall = SimpleNamespace(schedule=lambda: None)
        self.slot = SimpleNamespace(remove_request=lambda request: None, nextcall=nextcall)
        downloader = SimpleNamespace(get_slot_key=lambda request: "host", slots={})
        job = SimpleNamespace(
            session=self.session,
            run_key="run",
            failed=False,
            stopping=False,
            fatal=self._end,
            unfinished=self._unfinished,
        )
        crawler: Any = SimpleNamespace(
            settings=settings,
            signals=SignalManager(),
            job=job,
            engine=SimpleNamespace(_slot=self.slot, downloader=downloader),
            request_fingerprinter=SimpleNamespace(fingerprint=lambda request: request.url.encode()),
        )
        spider: Any = Spider("kodik")
        spider.crawler, spider.base_url = crawler, base_url
        self.spider = spider
        self.scheduler = SharedScheduler.from_crawler(crawler)

    async def __aenter__(self) -> Place:
        await self.session.__aenter__()
        self.scheduler.open(self.spider)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.scheduler.close("shutdown")
        await self.session.__aexit__(*exc)

    def _end(self, message: str, exit_code: int) -> None:
        self.ends.append((message, exit_code))
        self.is_stopping = True

    def _unfinished(self, spider: str, count: int) -> None:
        self.left.append((spider, count))


def test_a_worker_whose_redis_is_away_at_its_start_waits_and_then_makes_the_first_requests(own: OwnRedis) -> None:
    """It guesses neither that others have made them nor that nobody has."""

    async def main() -> None:
        async with Place(own) as place:
            own.kill()
            starting = asyncio.ensure_future(place.scheduler.may_start())
            await asyncio.sleep(0.5)
            assert not starting.done()
            own.start()
            await starting
            assert (place.scheduler.resumed, place.ends) == (False, [])

    asyncio.run(main())


def test_a_run_that_ends_while_redis_is_away_makes_no_first_requests(own: OwnRedis) -> None:
    """They are the next process's."""

    async def main() -> None:
        async with Place(own) as place:
            own.kill()
            starting = asyncio.ensure_future(place.scheduler.may_start())
            await asyncio.sleep(0.5)
            place.is_stopping = True
            await starting
            assert place.scheduler.resumed
            own.start()

    asyncio.run(main())


def test_a_worker_for_another_address_is_refused_while_one_is_at_work(own: OwnRedis) -> None:
    """Exit code 5, before its first request; what the other has pending stays."""

    async def main() -> None:
        async with Place(own) as first, Place(own, "https://other.example") as second:
            await first.scheduler.may_start()
            assert first.scheduler.enqueue_request(Request("https://one.example/1", callback=first.spider.parse))
            await second.scheduler.may_start()
            assert (second.scheduler.resumed, [code for _, code in second.ends]) == (True, [5])
            assert (first.scheduler.queue.store.pending(), first.ends) == (1, [])

    asyncio.run(main())


def test_a_worker_tells_of_requests_that_it_alone_knows_when_it_leaves(own: OwnRedis) -> None:
    """Of the pending ones that others see too, the last one out is told."""

    async def main() -> Place:
        async with Place(own) as place:
            await place.scheduler.may_start()
            for number in (1, 2):
                meta = {"derived": [str(number)]}
                request = Request(f"https://one.example/{number}", callback=place.spider.parse, meta=meta)
                assert place.scheduler.enqueue_request(request)
            assert place.scheduler.enqueue_request(Request("https://one.example/3", callback=place.spider.parse))
        return place

    assert asyncio.run(main()).left == [("kodik", 2)]
