"""The baseline: Scrapy with its own settings; fetches the same pages, parses them with orjson, stores nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from scrapy import FormRequest, Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response

FORM = {
    "types": "anime,anime-serial",
    "limit": "100",
    "with_episodes": "true",
    "with_material_data": "true",
    "sort": "updated_at",
    "order": "asc",
}


class BareSpider(Spider):
    """Follows the cursor to the end."""

    name = "bare"
    pages = 0

    def request(self, cursor: str | None = None) -> FormRequest:
        form = {**FORM, "token": self.token, **({"next": cursor} if cursor else {})}
        return FormRequest(f"{self.base_url}/list", formdata=form, dont_filter=True)

    async def start(self) -> AsyncIterator[Any]:
        self.began = time.monotonic()
        yield self.request()

    def parse(self, response: Response) -> Iterator[Any]:
        page = orjson.loads(response.body)
        self.pages += 1
        if page["next_page"]:
            yield self.request(parse_qs(urlsplit(page["next_page"]).query)["next"][0])
        else:
            print(json.dumps({"pages": self.pages, "seconds": time.monotonic() - self.began}))


def main() -> None:
    """``python -m tests.benchmarks.bare_spider BASE_URL TOKEN``: prints pages and seconds as JSON."""
    process = AsyncCrawlerProcess({"LOG_LEVEL": "INFO"})
    process.crawl(BareSpider, base_url=sys.argv[1], token=sys.argv[2])
    process.start()


if __name__ == "__main__":
    main()
