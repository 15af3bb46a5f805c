"""`FrontierScheduler` is Scrapy's scheduler on a frontier: it leases each request, and acks it when it is done.

The scheduler acks a request when the engine removes it. At that moment its callback has ended, every item that it
yielded has passed the pipelines and is stored, and every request that it yielded is pending. Scrapy has no public
signal for that moment. The scheduler hooks the engine slot's private `remove_request`, and checks at the start that it
exists.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Any, Self

import scrapy
from scrapy import Request, Spider, signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.http import Response
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware
from scrapy.utils.job import job_dir
from twisted.python.failure import Failure

from anime_crawler.base_spiders import Settled
from anime_crawler.frontier.codec import request_from_json, request_to_json
from anime_crawler.frontier.sqlite_store import SqliteStore
from anime_crawler.frontier.store import FrontierError, Lease, Store
from anime_crawler.items import Absent, Item

LEASE = "lease"
"""This key of a request's meta holds the id of the request's lease; in a new request, of its parent's lease."""


class FrontierScheduler(BaseScheduler):
    """The setting ``SCHEDULER`` names this class. It keeps requests in ``JOBDIR``, or in memory if that is not set.

    It reads two keys of a request's `meta`. A ``derived`` request lists the anime ids that it asks for; it can be made
    again from the catalogue, so it lives in memory only. An ``unfinished`` request stays pending for the next process
    of the run when the engine removes it.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._job: Any = crawler.job  # type: ignore[attr-defined]
        self._derived: Store = SqliteStore()
        self._held: dict[int, tuple[Store, Lease, Request]] = {}
        # One more than are downloaded at once, so that the next page is fetched while this one is stored. A kill costs
        # the leased requests, so no more fetched pages than that may wait for a slow disk.
        self._most_held = crawler.settings.getint("CONCURRENT_REQUESTS") + 1
        self._failed = False
        self.resumed = False
        """Whether requests of an interrupted run were pending when the store was opened; the spider then adds no start
        requests of its own."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def open(self, spider: Spider) -> None:
        """Open the stores and hook the engine's removal of requests.

        Raises:
            FrontierError: if the frontier cannot be used, or if Scrapy has no `remove_request`.
            JobDirHeld: if another process uses the job directory.
        """
        self._spider = spider
        self._durable = self._durable_store()
        self._hook_removal()
        # The address belongs to the generation: after a wrong base address is corrected, requests for the old one would
        # be refused for ever.
        generation = f"{self._job.run_key} {getattr(spider, 'base_url', '')}"
        self.resumed = self._durable.open(generation) > 0
        self._derived.open(generation)
        self._crawler.signals.connect(self._keep, signals.spider_error)
        self._crawler.signals.connect(self._item_failed, signals.item_error)
        self._crawler.signals.connect(self._item_dropped, signals.item_dropped)

    def _durable_store(self) -> Store:
        directory = job_dir(self._crawler.settings)
        return SqliteStore(Path(directory) if directory else None)

    def close(self, reason: str) -> None:
        try:
            if not self._failed:
                self._tell_unfinished()
                if reason == "finished" and not self._durable.unfinished():
                    self._durable.clear()
        finally:
            self._durable.close()
            self._derived.close()

    def has_pending_requests(self) -> bool:
        if self._failed:
            return False
        return self._durable.pending() + self._derived.pending() + self._durable.leased_elsewhere() > 0

    def enqueue_request(self, request: Request) -> bool:
        store = self._derived if self._is_derived(request) else self._durable
        fingerprint = self._fingerprint(request)
        slot = self._crawler.engine.downloader.get_slot_key(request)
        try:
            return store.push(fingerprint, slot, request.priority, request_to_json(request, self._spider))
        except FrontierError as error:
            self._fail(error)
            return False

    def _fingerprint(self, request: Request) -> bytes | None:
        """The fingerprint by which the store takes a request once in a run; with `dont_filter`, once for each parent.

        The parent's lease is part of the fingerprint with `dont_filter`. Otherwise a process that dies when the next
        page of a list is pending and this page is not yet acked would leave two walks through the rest of the list.
        """
        parent = request.meta.pop(LEASE, None)
        own: bytes = self._crawler.request_fingerprinter.fingerprint(request)
        if not request.dont_filter:
            return own
        return None if parent is None else sha1(f"{parent} ".encode() + own, usedforsecurity=False).digest()

    def _is_derived(self, request: Request) -> bool:
        return bool(request.meta.get("derived"))

    def next_request(self) -> Request | None:
        if self._failed or len(self._held) >= self._most_held:
            return None
        active = {name: len(slot.active) for name, slot in self._crawler.engine.downloader.slots.items()}
        try:
            return self._lease(self._durable, active) or self._lease(self._derived, active)
        except FrontierError as error:
            self._fail(error)
            return None

    def _lease(self, store: Store, active: dict[str, int]) -> Request | None:
        while lease := store.pop(active):
            try:
                request = request_from_json(lease.data, self._spider)
            except FrontierError as error:
                self._unreadable(store, lease, error)
                continue
            if store is self._durable:
                request.meta[LEASE] = lease.id
            # The request itself is held too, so that Python gives its id to no other object.
            self._held[id(request)] = (store, lease, request)
            return request
        return None

    def _unreadable(self, store: Store, lease: Lease, error: FrontierError) -> None:
        """Raise the error: only this project writes to a job directory, so an unreadable request in it is damage."""
        raise error

    def _hook_removal(self) -> None:
        slot: Any = getattr(self._crawler.engine, "_slot", None)
        if not callable(getattr(slot, "remove_request", None)):
            raise FrontierError(
                f"Scrapy {scrapy.__version__} has no engine._slot.remove_request, without which no request can be "
                f"acked; install the Scrapy of requirements.txt"
            )
        original = slot.remove_request

        def remove_request(request: Request) -> None:
            try:
                self._removed(request)
            finally:
                original(request)

        slot.remove_request = remove_request

    def _removed(self, request: Request) -> None:
        store, lease, _ = self._held.pop(id(request), (None, None, None))
        if store is None or lease is None or self._failed or self._job.failed:
            return
        try:
            if not request.meta.get("unfinished"):
                store.ack(lease)
            elif not self._job.stopping:  # when the run stops, the request becomes pending as this process leaves
                store.keep(lease)
        except FrontierError as error:
            self._fail(error)

    def _tell_unfinished(self) -> None:
        """Tell the job how many requests are not done: as long as there is one, the run is not over."""
        left = self._durable.unfinished() + self._derived.unfinished()
        if left and not self._job.stopping:
            self._job.unfinished(self._spider.name, left)

    def _keep(self, response: Any) -> None:
        """Keep the response's request for the next process of the run, because not all of its items were stored."""
        if getattr(response, "request", None) is not None:
            response.request.meta["unfinished"] = True
        else:  # the spider yielded the item at its start, without a request
            self._job.unfinished(self._spider.name, 1)

    async def _item_failed(self, item: Any, response: Any, failure: Failure) -> None:
        await self._set_aside(item, response, failure.value)

    async def _set_aside(self, item: Any, response: Any, error: BaseException | None) -> None:
        """Let the job keep an item that failed in a pipeline, with the reason. If it does not, the request is kept."""
        set_aside = getattr(self._job, "set_aside", None)
        if set_aside is None or not await set_aside(item, self._spider, error):
            self._keep(response)

    async def _item_dropped(self, item: Any, response: Any, exception: DropItem) -> None:
        """Count a record that a pipeline dropped.

        A pipeline must drop nothing but records: an object that is not an `Item` is a bug, and a `Checkpoint`, an
        `Absent` or a `Rejected` must be stored.
        """
        if isinstance(exception, Settled):
            return
        if not isinstance(item, Item) or isinstance(item, Absent):
            await self._set_aside(item, response, exception)
        else:
            self._job.report.count(type(item).__name__.lower(), "dropped")

    def _fail(self, error: FrontierError) -> None:
        """`_fail` ends the run. The scheduler acks no request from then on, so that all of them stay pending."""
        if self._failed:
            return
        self._failed = True
        self._job.fatal(str(error), error.exit_code)


class LineageMiddleware(BaseSpiderMiddleware):
    """This spider middleware writes the parent's lease into each request that a callback yields.

    Scrapy passes requests that an errback yields through no spider middleware, so they carry no parent.
    """

    def get_processed_request(self, request: Request, response: Response | None) -> Request:
        if response is not None and LEASE in response.meta:
            request.meta[LEASE] = response.meta[LEASE]
        return request
