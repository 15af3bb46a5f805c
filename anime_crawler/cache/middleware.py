"""`HttpCacheMiddleware` uses answers again as RFC 9111 allows. Processes that want the same answer fetch it once.

It builds on Scrapy's middleware with rules and storages of its own: Scrapy's know neither ``Vary`` nor other processes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.httpcache import HttpCacheMiddleware as ScrapyHttpCache
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from anime_crawler.base_spiders import Action, SourceSpider
from anime_crawler.cache import policy
from anime_crawler.cache.entry import BadEntry, Entry, Key, key_of
from anime_crawler.cache.storage import LEASE_S, CacheError, CacheStorage, open_storage
from anime_crawler.download.robots import ROBOTS
from anime_crawler.rate_limit.upstream import Upstream

logger = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = 0.05  # the pause between two looks for an answer that another request fetches
AWAY_S = 60.0  # a storage that failed is not used for this long
REPLAY_S = 10 * policy.LONGEST_S  # with Scrapy's HTTPCACHE_ENABLED answers are kept for good


@dataclass
class Fetch:
    """A `Fetch` is a request under way to the upstream, with the key under which its answer will be kept."""

    request: Request
    key: Key
    owner: str
    """The owner's name in the lease; empty if the fetch holds no lease."""
    stale: Entry | None = None
    conditions: tuple[str, ...] = ()


class HttpCacheMiddleware(ScrapyHttpCache):
    """This downloader middleware works with ``ENABLE_HTTP_CACHE``.

    With Scrapy's own ``HTTPCACHE_ENABLED``, for development, it keeps every accepted answer and uses it again whatever
    the server says. It never keeps a failure: each further attempt would get the failure again, even after the upstream
    has recovered.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._upstream = Upstream(crawler)
        self._is_replay = crawler.settings.getbool("HTTPCACHE_ENABLED")
        if not (self._upstream.config.enable_http_cache or self._is_replay):
            raise NotConfigured
        self._ttl_s = policy.cache_ttl_of(self._upstream.config, self._upstream.card)
        # A page as Chromium has shown it differs from the page as it came, so it has another key.
        self._form = "browser" if cast("SourceSpider", crawler.spider).is_rendered else ""
        self._storage: CacheStorage | None = None
        self._away_until = 0.0
        self._has_warned = False
        self._fetches: dict[int, Fetch] = {}
        """The fetches by the request's id. They are not in its meta, because the frontier would store them with it."""
        self._renewal: asyncio.Task[None] | None = None
        self._unread: set[Key] = set()
        self.fresh_until = math.inf
        """Unix time until which all answers of this run are fresh; 0 if one of them was not kept."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        cache = cls(crawler)
        crawler.signals.connect(cache._close, signal=signals.spider_closed)
        return cache

    async def process_request(self, request: Request) -> Response | None:  # type: ignore[override]
        """The kept answer if it is fresh. A stale one lets the request go on with the question "changed since?"."""
        if ROBOTS in request.meta or not policy.may_be_cached(request) or self._upstream.is_stopping():
            return None
        return await self._unless_away(self._kept(request))

    def forget(self, request: Request) -> None:
        """Keep no answer to this request: a part of it could not be read. The next request asks the upstream."""
        self._unread.add(key_of(self._upstream.name, request))
        self.fresh_until = 0.0

    async def process_response(self, request: Request, response: Response) -> Response:  # type: ignore[override]
        if "cached" in response.flags or ROBOTS in request.meta:
            return response
        fetch, fresh_until = self._fetches.get(id(request)), None
        try:
            if fetch and response.status == 304 and fetch.stale:
                response = self._revalidated(request, response, fetch.stale)
            if fetch and self._is_kept(request, response):
                fresh_until = await self._unless_away(self._store(request, self._entry_of(request, response)))
            if not 300 <= response.status < 400:  # a redirect does not count as an answer; its target does
                self._note_fresh(fresh_until)
            return response
        finally:
            await self._end(request)

    async def process_exception(self, request: Request, exception: Exception) -> None:  # type: ignore[override]
        """End the fetch. A stale answer does not replace the error, because it would hide that the upstream is down."""
        self._note_fresh(None)
        await self._end(request)

    def _note_fresh(self, until: float | None) -> None:
        self.fresh_until = min(self.fresh_until, until or 0.0)

    async def _kept(self, request: Request) -> Response | None:
        key, owner = self._key(request), uuid.uuid4().hex
        leased = False
        try:
            while not self._upstream.is_stopping():
                # The storage is read once more after the lease was acquired: its last owner may have stored the answer.
                entry = await self._read(request, key)
                if entry and (response := self._fresh(request, entry)):
                    self._upstream.count("cached")
                    self._upstream.note_origin(response)
                    self._note_fresh(self._fresh_until(entry, time.time()))
                    return response
                if leased or not self._is_shared(request, entry):
                    self._begin(request, Fetch(request, key, owner if leased else "", entry))
                    leased = False
                    return None
                leased = await self._open().acquire(key, owner)
                if not leased:
                    await asyncio.sleep(POLL_S)
            return None
        finally:
            if leased:
                await self._open().release(key, owner)

    def _is_shared(self, request: Request, entry: Entry | None) -> bool:
        """Whether other requests are likely to take the answer; if not, waiting for a lease would only delay them."""
        is_reused = bool(entry) or self._ttl_s is not None
        return self._is_replay or (is_reused and policy.takes_kept(request, self.crawler.spider))

    def _key(self, request: Request, vary: Sequence[str] = ()) -> Key:
        return key_of(self._upstream.name, request, vary, self._form)

    async def _read(self, request: Request, key: Key) -> Entry | None:
        entry = await self._unpacked(key)
        if entry and entry.vary:
            entry = await self._unpacked(self._key(request, entry.vary))
        return entry

    async def _unpacked(self, key: Key) -> Entry | None:
        value = await self._open().get(key)
        try:
            return Entry.unpack(value) if value else None
        except BadEntry:
            return None

    def _fresh(self, request: Request, entry: Entry) -> Response | None:
        """The entry's answer if it is fresh and the spider accepts it; its judgement may have changed since."""
        now, spider = time.time(), self.crawler.spider
        is_wanted = policy.takes_kept(request, spider) and policy.is_young(request, spider, entry.age_at(now))
        if not self._is_replay and not (is_wanted and self._fresh_until(entry, now) > now):
            return None
        response = entry.response(request, "cached")
        if not self._is_accepted(request, response):
            return None
        request.meta["kept_at"] = entry.stored_at
        return response

    def _fresh_until(self, entry: Entry, now: float) -> float:
        """Unix time until which the entry is fresh."""
        return now + policy.lifetime_s(entry.headers, self._ttl_s, entry.stored_at) - entry.age_at(now)

    def _is_kept(self, request: Request, response: Response) -> bool:
        storable = self._is_replay or policy.is_storable(request, response, self._ttl_s)
        return storable and self._is_accepted(request, response)

    def _is_accepted(self, request: Request, response: Response) -> bool:
        return self._upstream.judge(request, response).action is Action.ACCEPT

    def _entry_of(self, request: Request, response: Response) -> Entry:
        now = time.time()
        delay_s = time.monotonic() - request.meta.get("sent_at", time.monotonic())
        age_s = policy.initial_age_s(response.headers, now, delay_s)
        return Entry(now, age_s, status=response.status, headers=response.headers, body=response.body)

    def _revalidated(self, request: Request, news: Response, stale: Entry) -> Response:
        """The kept answer, which the upstream has just confirmed with status 304.

        The flag is not "cached": a confirmed answer counts as a sign that the upstream works.
        """
        response = stale.response(request, "revalidated")
        response.headers = policy.freshened(stale.headers, news.headers)
        self._upstream.count("revalidated")
        return response

    async def _store(self, request: Request, entry: Entry) -> float:
        """Store the entry, and return the Unix time until which it is fresh.

        An entry that is stale from the start is kept only if it has a validator, to ask whether it has changed.
        """
        fresh_until = self._fresh_until(entry, entry.stored_at)
        keep_s = fresh_until - entry.stored_at
        if policy.conditions(request, entry.headers):
            keep_s = max(keep_s, 0.0) + policy.STALE_KEPT_S
        if self._is_replay:
            keep_s = REPLAY_S
        if keep_s <= 0:
            return fresh_until
        storage, vary = self._open(), policy.vary_of(entry.headers)
        if vary:
            # The latest answer names the headers. If the server begins to vary by others, older answers are not found.
            await storage.put(self._key(request), Entry(entry.stored_at, vary=vary).pack(), keep_s)
        await storage.put(self._key(request, vary), entry.pack(), keep_s)
        return fresh_until

    def _begin(self, request: Request, fetch: Fetch) -> None:
        request.meta.pop("kept_at", None)  # an earlier attempt may have taken a kept answer
        if fetch.stale:
            conditions = policy.conditions(request, fetch.stale.headers)
            fetch.conditions = tuple(conditions)
            request.headers.update(conditions)
        self._fetches[id(request)] = fetch
        if fetch.owner and self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew())

    async def _end(self, request: Request) -> None:
        """End the fetch and release its lease; a further attempt asks for a new one."""
        if fetch := self._fetches.pop(id(request), None):
            for name in fetch.conditions:
                request.headers.pop(name, None)
            if fetch.owner:
                await self._unless_away(self._release(fetch))

    async def _release(self, fetch: Fetch) -> None:
        await self._open().release(fetch.key, fetch.owner)

    async def _renew(self) -> None:
        """Renew the leases of requests that wait for their turn, however long that takes."""
        while True:
            await asyncio.sleep(LEASE_S / 3)
            for fetch in [fetch for fetch in self._fetches.values() if fetch.owner]:
                await self._unless_away(self._acquire_again(fetch))

    async def _acquire_again(self, fetch: Fetch) -> None:
        await self._open().acquire(fetch.key, fetch.owner)

    async def _drop_unread(self) -> None:
        for key in self._unread:
            await self._open().drop(key)

    def _open(self) -> CacheStorage:
        if self._storage is None:
            self._storage = open_storage(self._upstream.config, self.crawler.settings["HTTP_CACHE_FILE"])
        return self._storage

    async def _unless_away(self, call: Coroutine[Any, Any, T]) -> T | None:
        """The call's result, or ``None`` while the storage cannot be used and the crawl goes on without a cache."""
        if time.monotonic() < self._away_until:
            call.close()
            return None
        try:
            return await call
        except CacheError as error:
            self._away_until = time.monotonic() + AWAY_S
            if not self._has_warned:
                self._has_warned = True
                logger.warning("going on without the HTTP cache: %s", error)
            return None

    async def _close(self) -> None:
        if self._renewal:
            self._renewal.cancel()
        for fetch in [fetch for fetch in self._fetches.values() if fetch.owner]:
            await self._unless_away(self._release(fetch))
        await self._unless_away(self._drop_unread())
        if self._storage:
            await self._storage.close()
