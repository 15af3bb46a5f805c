"""Scrapy's HTTP cache (``HTTPCACHE_ENABLED=1``, for development), keeping only answers that the spider accepts."""

from __future__ import annotations

from typing import cast

from scrapy import Request
from scrapy.downloadermiddlewares.httpcache import HttpCacheMiddleware as ScrapyHttpCache
from scrapy.http import Response

from anime_crawler.base_spiders import Action, SourceSpider


class HttpCacheMiddleware(ScrapyHttpCache):
    """A failure is never kept: it would come back at every further attempt, and long after the upstream is well."""

    # Without the argument that Scrapy deprecates, and warns of where it is given.
    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        if cast("SourceSpider", self.crawler.spider).judge(response).action is not Action.ACCEPT:
            return response
        kept: Request | Response = super().process_response(request, response)
        return kept
