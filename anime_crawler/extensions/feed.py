"""Feeds (``-O feed.jsonl``): lines that are exactly the model's JSON; a run ends where one cannot be written."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.exporters import CsvItemExporter, JsonItemExporter, JsonLinesItemExporter, XmlItemExporter
from scrapy.extensions.feedexport import FeedExporter as ScrapyFeedExporter

logger = logging.getLogger(__name__)

FATAL_EXIT_CODE = 2  # a feed that cannot be written is a matter of configuration


class FeedExporter(ScrapyFeedExporter):
    """Scrapy's says for each item that it could not be written, goes on, and ends as if all was well."""

    def item_scraped(self, item: Any, spider: Spider) -> None:
        try:
            super().item_scraped(item, spider)
        except Exception as error:
            if not isinstance(error, OSError):  # an exporter's bug; Scrapy would log it and go on
                logger.exception("the feed's exporter failed")
            self.crawler.job.fatal(feed_problem(str(error) or repr(error)), FATAL_EXIT_CODE)  # type: ignore[attr-defined]
            self._give_up()

    def _give_up(self) -> None:
        for slot in self.slots:
            with suppress(OSError):  # what its buffer holds cannot be written either
                if slot.file:
                    slot.file.close()
        self.slots = []


def end_if_feed_failed(crawler: Crawler) -> None:
    """End the run where a feed's last lines could not be written; Scrapy only counts that."""
    stats = crawler.stats.get_stats() if crawler.stats else {}
    if any(name.startswith("feedexport/failed_count/") for name in stats):
        crawler.job.fatal(feed_problem("its end is missing"), FATAL_EXIT_CODE)  # type: ignore[attr-defined]


def feed_problem(what: str) -> str:
    """One sentence for a person."""
    return (
        f"the feed cannot be written: {what}. Make room if the disk is full, or write it elsewhere; "
        "nothing is lost: `scrapy export` gives everything that is in the catalogue"
    )


def plain(item: Any) -> Any:
    """A model's published fields as JSON has them, its class and version first; other items as they are."""
    if not isinstance(item, BaseModel):
        return item
    version = getattr(item, "schema_version", None)
    return {"item": type(item).__name__, "schema_version": version, **item.model_dump(mode="json")}


class PydanticJsonLinesExporter(JsonLinesItemExporter):
    """One JSON object a line, UTF-8, ten times faster than the stock exporter, which other items go through."""

    def export_item(self, item: Any) -> None:
        if isinstance(item, BaseModel):
            self.file.write(self.encoder.encode(plain(item)).encode() + b"\n")
        else:
            super().export_item(item)


class PydanticJsonExporter(JsonItemExporter):
    """The same in one JSON array."""

    def export_item(self, item: Any) -> None:
        super().export_item(plain(item))


class PydanticCsvExporter(CsvItemExporter):
    """Rows with the columns of the first item; lists and objects as Python writes them."""

    def export_item(self, item: Any) -> None:
        super().export_item(plain(item))


class PydanticXmlExporter(XmlItemExporter):
    """One element for each item."""

    def export_item(self, item: Any) -> None:
        super().export_item(plain(item))
