"""The same small spider on scrapy-redis' scheduler or on ours: what leases and acks cost.

python -m tests.benchmarks.distributed.trivial_spider stock|leases REDIS_URL SERVER_URL REQUESTS

Each page leads to ten more; nothing is parsed or stored. Prints the requests in a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.http import Response
from scrapy.settings import Settings

from anime_crawler import settings as project
from anime_crawler.commands.crawl import run_in_reactor
from anime_crawler.config import Config
from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.run.shared_run import membership_of, use_redis
from tests.benchmarks.distributed.stock_spider import STOCK

FAN = 10  # pages that a page leads to
SAME = {"LOG_LEVEL": "WARNING", "CONCURRENT_ITEMS": 2, "STATS_DUMP": False, "TELNETCONSOLE_ENABLED": False}
"""Of both. Scrapy starts as many tasks for each response as CONCURRENT_ITEMS says, however small it is."""
LEASES = (
    *("SCHEDULER_QUEUE_CLASS", "SCHEDULER_QUEUE_KEY", "SCHEDULER_PERSIST", "DUPEFILTER_CLASS"),
    *("REDIS_PARAMS", "WORKER_LEASE_S"),
)
LINEAGE = {"anime_crawler.frontier.scheduler.LineageMiddleware": 950}


class TrivialSpider(Spider):
    """Page n leads to pages 10n+1 to 10n+10."""

    name = "trivial"
    seconds = 0.0

    async def start(self) -> AsyncIterator[Request]:
        self.began = time.monotonic()
        yield self.request(0)

    def request(self, number: int) -> Request:
        return Request(f"{self.base_url}/ok/{number}", self.parse, cb_kwargs={"number": number})

    def parse(self, response: Response, number: int) -> Iterator[Request]:
        yield from map(self.request, range(FAN * number + 1, min(FAN * number + FAN + 1, self.count)))
        self.seconds = time.monotonic() - self.began


def stock(url: str) -> Settings:
    """scrapy-redis as it comes."""
    return Settings({**SAME, **STOCK, "REDIS_URL": url})


def leases(config: Config) -> Settings:
    """Ours."""
    own = {name: getattr(project, name) for name in LEASES}
    settings = Settings({**SAME, **own, "SPIDER_MIDDLEWARES": LINEAGE})
    use_redis(settings, config)
    return settings


async def crawl(settings: Settings, arguments: dict[str, Any], session: WorkerSession | None = None) -> TrivialSpider:
    """The spider when it has ended."""
    crawler = Crawler(TrivialSpider, settings)
    crawler.job = SimpleNamespace(session=session, run_key="1", failed=False, stopping=False)  # type: ignore[attr-defined]
    await crawler.crawl_async(**arguments)
    assert isinstance(crawler.spider, TrivialSpider)
    return crawler.spider


def main() -> None:
    """See the module."""
    which, url, base_url, count = sys.argv[1:]
    config = Config.load({"REDIS_URL": url})
    settings = stock(url) if which == "stock" else leases(config)
    arguments = {"base_url": base_url, "count": int(count)}

    async def run() -> int:
        if which == "stock":
            spider = await crawl(settings, arguments)
        else:
            membership = membership_of(config, settings, TrivialSpider.name)
            async with WorkerSession(membership, "1", dict, end, is_stopping=bool, patience_s=60) as session:
                spider = await crawl(settings, arguments, session)
        print(spider.count / spider.seconds)
        return 0

    run_in_reactor(AsyncCrawlerProcess(settings), run)


def end(message: str, exit_code: int) -> None:
    """Of the worker: the benchmark is over."""
    sys.exit(f"{message}, {exit_code}")


if __name__ == "__main__":
    main()
