"""Scrapy's scheduler on a frontier: lease, then ack.

A request is acked when the engine removes it: its callback has ended, every item it yielded has passed the pipelines
(so is stored), and every request it yielded is pending. Scrapy has no public signal for that moment; the hook is the
engine slot's private `remove_request`, guarded at start.
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
"""In a request's meta: the lease that it is done under, or, where it is new, that of the request it comes of."""


class FrontierScheduler(BaseScheduler):
    """``SCHEDULER``. Keeps requests in ``JOBDIR``, else in memory.

    What `meta` says: ``derived`` requests, with the anime ids that they ask for, can be had again from the catalogue
    and live in memory only; ``unfinished`` ones, when the engine removes them, stay pending for the next process of
    the run.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._job: Any = crawler.job  # type: ignore[attr-defined]
        self._derived: Store = SqliteStore()
        self._held: dict[int, tuple[Store, Lease, Request]] = {}
        # One more than are downloaded at once: the next page is fetched while this one is stored. A kill costs what is
        # leased, so there is no queue of fetched pages that wait for a slow disk.
        self._most_held = crawler.settings.getint("CONCURRENT_REQUESTS") + 1
        self._failed = False
        self.resumed = False
        """Whether requests of an interrupted run were pending at open: the spider then starts none of its own."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    def open(self, spider: Spider) -> None:
        """Raises: FrontierError, JobDirHeld."""
        self._spider = spider
        self._durable = self._durable_store()
        self._hook_removal()
        # Of one run and one address: requests for an address that was wrong would be refused for ever after a fix.
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
        """By what the store takes a request once in a run, or, with `dont_filter`, once of each that it comes of.

        Without the latter a process that dies after the next page of a list is pending, and before this one is acked,
        would leave two walks through the rest of the list.
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
            self._held[id(request)] = (store, lease, request)  # the request too, so that its id is not used again
            return request
        return None

    def _unreadable(self, store: Store, lease: Lease, error: FrontierError) -> None:
        """A job directory is ours alone: what is wrong in it is damage."""
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
            elif not self._job.stopping:  # else it is pending again when this process has left
                store.keep(lease)
        except FrontierError as error:
            self._fail(error)

    def _tell_unfinished(self) -> None:
        """A run is not over while one of its requests is not done, whatever kept it from that."""
        left = self._durable.unfinished() + self._derived.unfinished()
        if left and not self._job.stopping:
            self._job.unfinished(self._spider.name, left)

    def _keep(self, response: Any) -> None:
        """Not everything that this response gave is stored: its request is pending for the next process of the run."""
        if getattr(response, "request", None) is not None:
            response.request.meta["unfinished"] = True
        else:  # the spider gave it at its start
            self._job.unfinished(self._spider.name, 1)

    async def _item_failed(self, item: Any, response: Any, failure: Failure) -> None:
        await self._set_aside(item, response, failure.value)

    async def _set_aside(self, item: Any, response: Any, error: BaseException | None) -> None:
        """A pipeline failed on an item: the run keeps it with its reason, or else its request is not done."""
        set_aside = getattr(self._job, "set_aside", None)
        if set_aside is None or not await set_aside(item, self._spider, error):
            self._keep(response)

    async def _item_dropped(self, item: Any, response: Any, exception: DropItem) -> None:
        """Count a record that a pipeline dropped. A pipeline must drop nothing else: what is no item of ours is a bug,
        and a `Checkpoint`, an `Absent` or a `Rejected` must be stored.
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
    """Spider middleware: a request that a callback gives knows which one it comes of. Those of errbacks do not."""

    def get_processed_request(self, request: Request, response: Response | None) -> Request:
        if response is not None and LEASE in response.meta:
            request.meta[LEASE] = response.meta[LEASE]
        return request
