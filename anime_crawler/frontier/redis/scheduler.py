"""`SharedScheduler` is scrapy-redis' scheduler with the leases of `FrontierScheduler`, for workers that share a Redis.

scrapy-redis reads the settings (``REDIS_URL``, ``REDIS_PARAMS``, ``SCHEDULER_QUEUE_KEY``, ``SCHEDULER_QUEUE_CLASS``,
…), connects, and builds the queue. This package decides what is leased, acked and seen. No pickle is written or read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Self

from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.dupefilters import BaseDupeFilter
from scrapy.utils.asyncio import create_looping_call
from scrapy_redis.queue import Base
from scrapy_redis.scheduler import Scheduler

from anime_crawler.frontier.redis.buffered_store import BufferedStore
from anime_crawler.frontier.redis.client import explained
from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.frontier.scheduler import FrontierScheduler
from anime_crawler.frontier.store import FrontierError, Lease, Store

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""An idle worker waits so long between two looks for requests that other workers have added; a look is two short
calls."""


class LeaseQueue(Base):  # type: ignore[misc]  # scrapy-redis has no types
    """The setting ``SCHEDULER_QUEUE_CLASS`` names this class. It keeps requests as JSON in a `RedisStore`."""

    def __init__(self, server: Any, spider: Spider, key: str, serializer: Any = None) -> None:
        super().__init__(server, spider, key, serializer=json)  # the default of scrapy-redis is pickle
        session: WorkerSession = spider.crawler.job.session  # type: ignore[attr-defined]
        self.store = BufferedStore(RedisStore(server, self.key, session.membership), session)

    def __len__(self) -> int:
        return self.store.pending()

    def clear(self) -> None:
        self.store.clear()


class SeenFilter(BaseDupeFilter):
    """The setting ``DUPEFILTER_CLASS`` names this class. It filters nothing: `RedisStore.push` notes fingerprints."""

    @classmethod
    def from_spider(cls, spider: Spider) -> Self:
        return cls()

    def clear(self) -> None:
        """Do nothing: the queue removes the fingerprints together with its requests."""


class SharedScheduler(FrontierScheduler, Scheduler):  # type: ignore[misc]
    """The setting ``SCHEDULER`` of a crawl that several workers share names this class.

    The crawler's job has the `WorkerSession`.
    """

    queue: LeaseQueue

    def __init__(self, **parts: Any) -> None:
        Scheduler.__init__(self, **parts)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        with explained():
            scheduler: Self = cls.from_settings(crawler.settings)
        FrontierScheduler.__init__(scheduler, crawler)
        return scheduler

    def open(self, spider: Spider) -> None:
        self._session: WorkerSession = self._job.session
        self._has_begun = False
        Scheduler.open(self, spider)
        FrontierScheduler.open(self, spider)
        self._session.listeners.append(self)
        slot: Any = self._crawler.engine._slot
        self._poll = create_looping_call(slot.nextcall.schedule)
        self._poll.start(POLL_S, now=False)

    def _durable_store(self) -> Store:
        return self.queue.store

    def close(self, reason: str) -> None:
        self._poll.stop()
        self._session.listeners.remove(self)
        FrontierScheduler.close(self, reason)

    async def may_start(self) -> None:
        """Wait until it is known which worker makes the crawl's first requests, and set `resumed` for the spider.

        A companion takes its requests from the catalogue, so the companion of each worker makes its own first requests.
        """
        try:
            is_starter = await self._is_elected() if await self._is_open() else False
        except FrontierError as error:
            self._fail(error)
            is_starter = False
        self.resumed = not is_starter

    async def _is_open(self) -> bool:
        """Wait until the store is open; False if the run ends first."""
        while await self._session.ready():
            if self.queue.store.opened():
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _is_elected(self) -> bool:
        if not self._is_main:
            return True
        answer = "wait"
        while answer == "wait" and await self._session.ready():
            answer = self.queue.store.elect()
            await asyncio.sleep(POLL_S if answer == "wait" else 0)
        return answer == "start"

    @property
    def _is_main(self) -> bool:
        return self._spider.name == self._session.membership.spider

    def _tell_unfinished(self) -> None:
        """Tell the job of unfinished requests that this process alone has. `Membership.leave` tells of the others."""
        if left := self._derived.unfinished():
            self._job.unfinished(self._spider.name, left)

    def begun(self) -> None:
        """Note that the spider has loaded its state, so that it may be given requests."""
        self._has_begun = True

    def started(self) -> None:
        """Note that the spider has made its first requests."""
        if self._is_main and not self.resumed:
            self.queue.store.started()

    def enqueue_request(self, request: Request) -> bool:
        if self._is_derived(request):
            self.queue.store.add_request(request.meta["derived"])
        return FrontierScheduler.enqueue_request(self, request)

    def _is_derived(self, request: Request) -> bool:
        """Only a request that lists its anime ids lives in memory: other workers see these ids leased in Redis."""
        return isinstance(request.meta.get("derived"), list)

    def next_request(self) -> Request | None:
        if not self._has_begun or not self._session.is_working:
            return None
        return FrontierScheduler.next_request(self)

    def recover(self) -> None:
        self.queue.store.recover()

    def _removed(self, request: Request) -> None:
        is_leased = id(request) in self._held
        FrontierScheduler._removed(self, request)
        if is_leased and self._is_derived(request):
            self.queue.store.finish_request(request.meta["derived"])

    def _unreadable(self, store: Store, lease: Lease, error: FrontierError) -> None:
        """Set the data aside and go on with the other requests: any client may have written it into this Redis."""
        self.queue.store.refuse(lease)  # the lease is one of Redis: derived requests in memory are never damaged
        self._job.refuse_request(self._spider.name, f"{self.queue.key}:refused, {lease.id}")


class StartMiddleware:
    """This spider middleware lets one of several workers make a crawl's first requests."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        scheduler: SharedScheduler = self._crawler.engine.scheduler  # type: ignore[assignment]
        await scheduler.may_start()
        async for first in start:
            scheduler.begun()
            yield first
        scheduler.begun()
        scheduler.started()
