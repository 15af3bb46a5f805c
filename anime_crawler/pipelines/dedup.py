"""Second stage: the same record again, word for word, goes no further."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Self

from scrapy.crawler import Crawler

from anime_crawler.base_spiders import Settled
from anime_crawler.items import Item
from anime_crawler.run.report import RunReport

REMEMBERED = 50_000
"""Keys kept: 500 pages of 100 releases. Repeats come close together (an anime with each of its translations); the
catalogue finds the others. About 15 MB."""


class DedupPipeline:
    """Drops an item when the last one of its kind and key in this run had the same content."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._versions: OrderedDict[tuple[str, ...], str] = OrderedDict()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.job.report)  # type: ignore[attr-defined]

    def process_item(self, item: Any) -> Any:
        if isinstance(item, Item) and self._is_repeated(item):
            self._report.count(type(item).__name__.lower(), "duplicate")
            raise Settled("the same again")
        return item

    def _is_repeated(self, item: Item) -> bool:
        # The source's own time is no content, but decides which of two versions is newer: a later one must pass.
        # Not getattr: where there is none, a model takes ten times as long to say so.
        version = f"{item.checksum()} {item.__dict__.get('source_updated_at')}"
        key = (type(item).__name__, *item.key)
        known = self._versions.pop(key, None)
        self._versions[key] = version
        if len(self._versions) > REMEMBERED:
            self._versions.popitem(last=False)
        return known == version
