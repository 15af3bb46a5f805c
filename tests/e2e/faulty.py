"""Components of a user's own, each with a fault; `scrapy crawl -s …` puts them beside the project's."""

from __future__ import annotations

from typing import Any

from scrapy import signals
from scrapy.exceptions import DropItem

from anime_crawler.extensions.feed import PydanticJsonLinesExporter
from anime_crawler.items import Checkpoint, Release


class Fifth:
    """Counts releases; true for the fifth."""

    def __init__(self) -> None:
        self.count = 0

    def is_it(self, item: Any) -> bool:
        self.count += isinstance(item, Release)
        return isinstance(item, Release) and self.count == 5


class FailingPipeline:
    """Fails on the fifth release."""

    def __init__(self) -> None:
        self.fifth = Fifth()

    def process_item(self, item: Any) -> Any:
        if self.fifth.is_it(item):
            raise RuntimeError("a fault in a pipeline")
        return item


class ReadOnlyCatalogue:
    """Fails on the fifth release, and lets SQLite take its catalogue for read-only from then on."""

    def __init__(self, job: Any) -> None:
        self.fifth = Fifth()
        self._job = job

    @classmethod
    def from_crawler(cls, crawler: Any) -> ReadOnlyCatalogue:
        return cls(crawler.job)

    async def process_item(self, item: Any) -> Any:
        if self.fifth.is_it(item):
            await self._job.catalogue.read(lambda conn: conn.exec_driver_sql("PRAGMA query_only = 1"))
            raise RuntimeError("a fault in a pipeline")
        return item


class FailingOnCheckpoints:
    """Fails on where the walk stands."""

    def process_item(self, item: Any) -> Any:
        if isinstance(item, Checkpoint):
            raise RuntimeError("a fault in a pipeline")
        return item


class DroppingCheckpoints:
    """Drops where the walk stands, as a filter does that knows nothing of it."""

    def process_item(self, item: Any) -> Any:
        if isinstance(item, Checkpoint):
            raise DropItem("it has no title")
        return item


class DroppingPipeline:
    """Drops the fifth release on purpose."""

    def __init__(self) -> None:
        self.fifth = Fifth()

    def process_item(self, item: Any) -> Any:
        if self.fifth.is_it(item):
            raise DropItem("it is not wanted")
        return item


class FailingMiddleware:
    """A downloader middleware with a bug."""

    def process_response(self, request: Any, response: Any) -> Any:
        raise KeyError("no such key")


class FailingExtension:
    """Fails where nobody waits for it."""

    @classmethod
    def from_crawler(cls, crawler: Any) -> FailingExtension:
        extension = cls()
        crawler.signals.connect(extension.scraped, signals.item_scraped)
        return extension

    def scraped(self, item: Any) -> None:
        raise RuntimeError("a fault in an extension")


class _FailingJob:
    """Makes a method of the job fail at its second call."""

    method: str

    @classmethod
    def from_crawler(cls, crawler: Any) -> _FailingJob:
        calls, real = iter((True, False)), getattr(crawler.job, cls.method)

        def fail_the_second(*args: Any) -> Any:
            if next(calls, False):
                return real(*args)
            raise OSError("no file descriptors are left")

        setattr(crawler.job, cls.method, fail_the_second)
        return cls()


class FailingBeforeStoring(_FailingJob):
    """Fails before the transaction of a batch."""

    method = "may_store"


class FailingAfterStoring(_FailingJob):
    """Fails after a batch with a checkpoint is committed."""

    method = "note_checkpoints"


class FailingExporter(PydanticJsonLinesExporter):
    """Cannot write a release."""

    def export_item(self, item: Any) -> None:
        if isinstance(item, Release):
            raise TypeError("a fault in an exporter")
        super().export_item(item)
