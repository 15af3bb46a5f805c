"""The result cache gives the items of a lookup again, without a request and without reading an answer anew.

A lookup asks for named anime (``-a ids=``, ``-a titles=``). Its result is kept as long as all answers that it was made
of are fresh. It is not kept if anything went wrong.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self, TypeVar, cast

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from anime_crawler.base_spiders import SourceSpider
from anime_crawler.cache.entry import BadEntry
from anime_crawler.cache.middleware import HttpCacheMiddleware
from anime_crawler.cache.policy import cache_ttl_of
from anime_crawler.cache.result_entry import KINDS, pack_items, result_key, unpack_items
from anime_crawler.cache.storage import CacheError, CacheStorage, open_storage
from anime_crawler.items import Item, Rejected
from anime_crawler.rate_limit.upstream import Upstream

logger = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = 0.005  # adds little to a lookup that takes a quarter of a second
MOST_ITEMS = 20_000  # items are held until the run ends, about 40 MB; a lookup that gives more is not kept


class KeptAnswersMiddleware(BaseSpiderMiddleware):
    """This spider middleware notes in each item of a kept answer when the answer was received.

    So the item replaces nothing that is newer. The middleware also removes an answer from the cache if a part of it
    could not be read, so that the next lookup gets another answer.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        if not are_kept(crawler):
            raise NotConfigured
        crawler.signals.connect(self._forget, signals.spider_error)

    # Scrapy calls this asynchronous form only, whatever the callback is.
    async def process_spider_output_async(  # type: ignore[override]
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        async for yielded in super().process_spider_output_async(response, result):
            yield yielded
        if response.meta.get("unfinished"):
            self._forget(response)

    def get_processed_item(self, item: Any, response: Response | None) -> Any:
        if response is None:
            return item
        if isinstance(item, Rejected):
            self._forget(response)
        kept_at = response.meta.get("kept_at")
        if kept_at is None or not isinstance(item, Item):
            return item
        return item.model_copy(update={"fetched_at": datetime.fromtimestamp(kept_at, UTC)})

    def _forget(self, response: Response | None) -> None:
        cache = self.crawler.get_downloader_middleware(HttpCacheMiddleware)
        if cache and response is not None and response.request is not None:
            cache.forget(response.request)


class ResultCacheMiddleware:
    """This spider middleware gives a kept result again, for lookups of sources whose answers are kept for a time."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._spider = cast("SourceSpider", crawler.spider)
        self._upstream = Upstream(crawler)
        # A run that continues an interrupted one gives only a part of the result, and so does one of several workers.
        is_alone = getattr(crawler.job, "session", None) is None  # type: ignore[attr-defined]
        if not (are_kept(crawler) and self._spider.is_lookup and self._spider.run.is_new and is_alone):
            raise NotConfigured
        self._items: list[Item] = []
        self._is_whole = True
        """Whether `_items` holds every item that the run gave."""
        # Signals are used because Scrapy shows middlewares neither the items of errbacks nor what becomes of an item.
        crawler.signals.connect(self._take, signals.item_scraped)
        for failure in (signals.item_dropped, signals.item_error, signals.spider_error):
            crawler.signals.connect(self._spoil, failure)
        crawler.signals.connect(self._close, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        kept = await self._with_storage(self._kept)
        if not kept:
            async for yielded in start:
                yield yielded
            return
        self._spoil()
        self._upstream.count("results cached")
        logger.info("%d items of the same lookup are given again; nothing is asked", len(kept))
        for item in kept:
            yield item
        # Scrapy checks whether the run is done after the start, after each answer, and every 5 s. Here no answer comes,
        # so the start lasts until all items have passed the pipelines.
        while (slot := self.crawler.engine.scraper.slot) and not slot.is_idle():  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(POLL_S)

    def _take(self, item: Any) -> None:
        if type(item).__name__ not in KINDS or len(self._items) >= MOST_ITEMS:
            self._spoil()
        if self._is_whole:
            self._items.append(item)

    def _spoil(self) -> None:
        self._is_whole = False
        self._items.clear()

    async def _close(self, reason: str) -> None:
        cache = self.crawler.get_downloader_middleware(HttpCacheMiddleware)
        keep_s = cache.fresh_until - time.time() if cache and cache.fresh_until < math.inf else 0
        if self._items and keep_s > 0 and reason == "finished" and not self._upstream.has_problems():
            await self._with_storage(partial(self._keep, keep_s=keep_s))

    async def _kept(self, storage: CacheStorage) -> list[Item]:
        for is_of_sandbox in (False, True):
            if value := await storage.get(result_key(self._spider, is_of_sandbox=is_of_sandbox)):
                self._spider.is_of_sandbox = is_of_sandbox
                return unpack_items(value)
        return []

    async def _keep(self, storage: CacheStorage, keep_s: float) -> None:
        key = result_key(self._spider, is_of_sandbox=self._spider.is_of_sandbox)
        await storage.put(key, pack_items(self._items, time.time()), keep_s)

    async def _with_storage(self, use: Callable[[CacheStorage], Awaitable[T]]) -> T | None:
        """The result of `use` on the storage; ``None`` if the storage, or the value in it, cannot be used."""
        try:
            storage = open_storage(self._upstream.config, self.crawler.settings["HTTP_CACHE_FILE"])
            try:
                return await use(storage)
            finally:
                await storage.close()
        except (CacheError, BadEntry):
            return None


def are_kept(crawler: Crawler) -> bool:
    """Whether answers of the crawler's source are kept for a time; with HTTPCACHE_ENABLED they are kept for good."""
    upstream = Upstream(crawler)
    is_on = upstream.config.enable_http_cache and not crawler.settings.getbool("HTTPCACHE_ENABLED")
    return is_on and cache_ttl_of(upstream.config, upstream.card) is not None
