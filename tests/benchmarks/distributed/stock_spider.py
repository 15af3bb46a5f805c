"""The baseline: Jikan's lists and the characters of each title by scrapy-redis' own spider, scheduler and pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import orjson
from scrapy import Request
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response
from scrapy_redis.spiders import RedisSpider

STOCK = {
    "SCHEDULER": "scrapy_redis.scheduler.Scheduler",
    "DUPEFILTER_CLASS": "scrapy_redis.dupefilter.RFPDupeFilter",
    "SCHEDULER_PERSIST": True,
}
"""What its documentation says to set."""


class StockSpider(RedisSpider):
    """``stock``: begins with what lies in ``stock:start_urls``."""

    name = "stock"

    def parse(self, response: Response) -> Iterator[Any]:
        page = orjson.loads(response.body)
        for title in page["data"]:
            number = title["mal_id"]
            yield {"anime": str(number)}
            url = response.urljoin(f"anime/{number}/characters")
            yield Request(url, self.parse_characters, priority=1, cb_kwargs={"number": str(number)})
        if page["pagination"]["has_next_page"]:
            first, _, number = response.url.rpartition("=")
            yield Request(f"{first}={int(number) + 1}", self.parse)

    def parse_characters(self, response: Response, number: str) -> Iterator[Any]:
        yield {"cast": number, "names": [row["character"]["name"] for row in orjson.loads(response.body)["data"]]}


def main() -> None:
    """``python -m tests.benchmarks.distributed.stock_spider REDIS_URL SECONDS_BETWEEN_REQUESTS``."""
    settings = {
        **STOCK,
        "REDIS_URL": sys.argv[1],
        "DOWNLOAD_DELAY": float(sys.argv[2]),
        "CONCURRENT_REQUESTS": 1,  # as ours at Jikan
        "ITEM_PIPELINES": {"scrapy_redis.pipelines.RedisPipeline": 300},
        "LOG_LEVEL": "ERROR",
    }
    process = AsyncCrawlerProcess(settings)
    process.crawl(StockSpider)
    process.start()


if __name__ == "__main__":
    main()
