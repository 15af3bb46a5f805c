"""Third stage: an item has passed when the transaction that holds it is committed; then its request may be acked."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from scrapy.crawler import Crawler
from sqlalchemy import Connection

from anime_crawler.base_spiders import Settled, SourceCard, SourceSpider
from anime_crawler.catalogue.origin import Origin, note_origin
from anime_crawler.catalogue.store.items import Storable, store_items
from anime_crawler.catalogue.writer import CatalogueError
from anime_crawler.failure import Failure, log_failure
from anime_crawler.items import Absent, Checkpoint, Listed, Rejected

if TYPE_CHECKING:  # the job knows the pipelines, not they the job
    from anime_crawler.run.job import Job

logger = logging.getLogger(__name__)

BATCH_SIZE = 1_000
"""Most items of one transaction: five pages that waited for a slow disk. Bounds the writer's memory."""


class CataloguePipeline:
    """Gathers what is yielded while the last batch is being written, and stores it as the next one, in order."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._job: Job = crawler.job  # type: ignore[attr-defined]
        self._identity_source: str = crawler.settings["IDENTITY_SOURCE"]
        self._source_priority = crawler.settings.getlist("SOURCE_PRIORITY")
        card: SourceCard = crawler.spidercls.card  # type: ignore[attr-defined]
        self._source, self._usual = card.name, {card.name: card.usual}
        self._waiting: list[tuple[Storable, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_item(self, item: Any) -> Any:
        if not await self._stored(item):
            # Quietly: the job has said once why, and acks nothing of it.
            raise Settled("not stored: the catalogue failed, or other workers took over")
        if isinstance(item, Checkpoint | Absent | Listed | Rejected):
            if isinstance(item, Rejected):
                log_failure(logger, _failure(item))
            if isinstance(item, Absent):
                self._tell_absent(item)
            raise Settled("stored; not data")
        return item

    def _tell_absent(self, item: Absent) -> None:
        """Say of an id that was asked for by name that the source does not know it, nor what it has become."""
        spider = self._crawler.spider
        if isinstance(spider, SourceSpider) and "ids" in spider.args and item.renamed_to is None:
            message = f"{spider.card.title} has no anime with the id {item.source_id}, or not any more"
            spider.run.missing("id_not_found", message)

    async def _stored(self, item: Storable) -> bool:
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, stored))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await stored

    async def _write(self) -> None:
        while self._waiting:
            await self._page_is_complete()
            batch, self._waiting = self._waiting[:BATCH_SIZE], self._waiting[BATCH_SIZE:]
            is_stored = await self._store([item for item, _ in batch])
            for _, stored in batch:
                if not stored.done():
                    stored.set_result(is_stored)
        self._writer = None

    async def _page_is_complete(self) -> None:
        """The items of a page arrive within a few turns of the loop; they belong in one transaction."""
        size = 0
        while size != len(self._waiting):
            size = len(self._waiting)
            await asyncio.sleep(0)

    async def _store(self, items: Sequence[Storable]) -> bool:
        """Whether these items are committed. Whatever fails here ends the run: none of their requests is acked."""
        try:
            if self._job.failed or not await self._job.may_store():
                return False
            counts = await self._job.catalogue.write(self._storing(items))
            self._count(items, counts)
        except CatalogueError as error:
            self._job.fail_catalogue(error)
            return False
        except Exception as error:  # a fault of ours: as fatal, but with its traceback
            logger.exception("items could not be stored")
            self._job.fail_catalogue(CatalogueError(f"items could not be stored: {error!r}"))
            return False
        return True

    def _storing(self, items: Sequence[Storable]) -> Callable[[Connection], Counter[tuple[str, str]]]:
        """The function that stores these items on a connection."""
        config = self._job.config
        spider = getattr(self._crawler, "spider", None)
        return partial(
            _store_with_origin,
            origin="sandbox" if getattr(spider, "is_of_sandbox", False) else "real",
            run_id=self._job.run_id,
            items=items,
            identity_source=self._identity_source,
            source_priority=self._source_priority,
            listing_is_full=self._job.full_listing,
            refresh_ongoing_hours=config.refresh_ongoing_hours,
            refresh_released_days=config.refresh_released_days,
            usual=self._usual,
        )

    def _count(self, items: Sequence[Storable], counts: Counter[tuple[str, str]]) -> None:
        """Tell the job what became of a committed batch."""
        for source in {item.source for item in items if isinstance(item, Checkpoint)}:
            self._job.note_checkpoints(source, counts["checkpoint", "refused"])
        for (kind, outcome), count in counts.items():
            self._job.report.count(kind, outcome, count)
            if outcome == "not_believed":
                self._job.not_believed(self._source, kind, count)


def _store_with_origin(conn: Connection, *, origin: Origin, **batch: Any) -> Counter[tuple[str, str]]:
    note_origin(conn, origin)
    return store_items(conn, **batch)


def _failure(item: Rejected) -> Failure:
    return Failure(service=item.source, kind=f"{item.kind}_set_aside", key=item.source_id, reason=item.reason)
