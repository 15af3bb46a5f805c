"""Log lines of a crawl: one for each failure, none for each item (they were a sixth of the run time)."""

from __future__ import annotations

from typing import Any

from scrapy.logformatter import LogFormatter


class QuietLogFormatter(LogFormatter):
    """Says nothing of items and of answers that were accepted; failures are logged as Scrapy does."""

    def scraped(self, item: Any, response: Any, spider: Any) -> Any:
        return None

    def dropped(self, item: Any, exception: BaseException, response: Any, spider: Any) -> Any:
        return None

    def crawled(self, request: Any, response: Any, spider: Any) -> Any:
        return super().crawled(request, response, spider) if response.status >= 400 else None
