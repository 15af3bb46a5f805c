"""Crawls whose progress is in the frontier only, in a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from scrapy import Request

from anime_crawler.base_spiders import SourceSpider
from tests.download.crawl import Plan, main

STORED = "stored.txt"


class StorePipeline:
    """Stands for the catalogue: an item has passed when its line is written."""

    @classmethod
    def from_crawler(cls, crawler):
        pipeline = cls()
        pipeline.path = Path(crawler.spidercls.plan.directory, STORED)
        return pipeline

    async def process_item(self, item):
        await asyncio.sleep(0)
        if item["name"].endswith("broken"):
            raise ValueError("this item breaks its pipeline")
        with self.path.open("a") as file:
            file.write(f"{item['name']}\n")
        return item


class WebSpider(SourceSpider):
    """``/fan/N`` leads to N pages, ``/chain/N`` and ``/again/N`` to N-1 further links, one after the
    other; those of the latter are not filtered, and the first process dies when ``/again/10`` has named the next one.
    """

    name = "web"
    plan: Plan

    async def start(self):
        self.outcomes = []
        if not self.crawler.engine.scheduler.resumed:
            for path in self.plan.paths:
                yield self.request(path) if path.startswith("/") else {"name": path}

    def request(self, path: str, **meta) -> Request:
        callback = self.parse_again if path.startswith("/again/") else self.parse_page
        return Request(self.plan.base_url + path, callback, errback=self.gave_up, meta={"path": path, **meta})

    def parse_page(self, response):
        path = response.meta["path"]
        _, kind, number, *_ = [*path.split("/"), "0"]
        self.outcomes.append((path, "ok", 1))
        if number == "raises":
            raise ValueError("this callback is wrong")
        if kind == "fan":
            yield from (self.request(f"/ok/{n}") for n in range(int(number)))
        if kind == "chain" and int(number) > 1:
            yield self.request(f"/chain/{int(number) - 1}")
        if number == "parent":
            yield self.request("/silence/derived", derived=True)
            yield self.request("/silence/durable")
        if number == "tuple":
            yield self.request("/ok/never", pair=(1, 2))
            yield self.request("/ok/nor_this", pair=(1, 2))
        if number == "catalogue_fails":
            self.crawler.job.failed = True
        yield {"name": path}

    async def parse_again(self, response):
        """Meta and address as in `parse_page`."""
        path, number = response.meta["path"], int(response.meta["path"].rpartition("/")[2])
        asked = self.requests_sent()
        if number > 1:
            yield self.request(f"/again/{number - 1}").replace(dont_filter=True)
        died = Path(self.plan.directory, "died")
        if number == 10 and not died.exists():
            while self.requests_sent() == asked:  # until the next one is pending, and asked for
                await asyncio.sleep(0.01)
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"name": path}

    def requests_sent(self) -> int:
        return self.crawler.stats.get_value("downloader/request_count", 0)

    def gave_up(self, failure):
        failure.request.meta["unfinished"] = True
        self.outcomes.append((failure.request.meta["path"], failure.value.verdict.kind, failure.value.attempts))


if __name__ == "__main__":
    plan = Plan(**json.loads(sys.argv[1]))
    plan.scrapy = {"ITEM_PIPELINES": {StorePipeline: 100}, **plan.scrapy}
    main(plan, WebSpider)
