"""`Visit` shows one page in Chromium: it gives the browser the answer that we have, and the parts that it may have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Route
from playwright.async_api import Request as PageRequest
from scrapy import Request
from scrapy.http import Response
from scrapy_playwright.page import PageMethod

from anime_crawler.base_spiders import GivenUp
from anime_crawler.download.handler import NotShown
from anime_crawler.rate_limit.upstream import PART, origin

KINDS = frozenset({"script", "xhr", "fetch"})
"""A page's text may depend on parts of these kinds, not on pictures, media, fonts, styles, pings, frames or sockets."""
MOST_PARTS = 30
"""One page gets at most so many parts, two thirds more than the larger pages of our sources name. A script that asks
without end stops here."""
QUIET_S = 0.5  # a page is ready when no part was under way for so long; Playwright uses the same time
POLL_S = 0.05
CLOUDFLARE = "/cdn-cgi/"
"""Cloudflare serves its checks of visitors below this path, on every host behind it. We solve no check, and the path
holds no text."""
HOP_BY_HOP = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection", "set-cookie"})
"""The browser does not get these headers: they do not hold for an unpacked body, and this crawler keeps no cookies."""


class Visit:
    """A `Visit` shows one page, answers what the page asks for meanwhile, and tells when the page is ready.

    Args:
        response: the page as the upstream sent it.
        fetch: asks for a part as any request is asked, within limits, robots.txt and cache.
    """

    def __init__(self, response: Response, fetch: Callable[[Request], Awaitable[Response]]) -> None:
        self._response = response
        self._fetch = fetch
        self._page: Page | None = None
        self._is_given = False
        self._parts = 0
        self._under_way = 0
        self._moved_at = time.monotonic()
        self.error: GivenUp | NotShown | None = None
        """The reason why the page cannot be shown: a part that it may need did not come, or it leads elsewhere."""

    def request(self, context_options: dict[str, Any]) -> Request:
        """`request` builds the request that scrapy-playwright opens."""
        meta = {
            "playwright": True,
            "playwright_context_kwargs": context_options,
            "playwright_page_init_callback": self._begin,
            "playwright_page_methods": [PageMethod(self._settle)],
        }
        return Request(self._response.url, meta=meta)

    def is_stuck(self, patience_s: float) -> bool:
        """Whether nothing has happened for so long, although the page waits for no part."""
        return self._page is not None and not self._under_way and time.monotonic() - self._moved_at > patience_s

    async def close(self) -> None:
        """Close the page in any state."""
        if self._page and not self._page.is_closed():
            with suppress(PlaywrightError):
                await self._page.close()

    async def _begin(self, page: Page, _request: Request) -> None:
        """Prepare the page. If Chromium died, scrapy-playwright starts another and calls this again."""
        self._page, self._moved_at, self._is_given = page, time.monotonic(), False
        page.on("popup", lambda popup: popup.close())
        await page.route("**", self._answer)

    async def _settle(self, _page: Page) -> None:
        while self._under_way or time.monotonic() - self._moved_at < QUIET_S:  # noqa: ASYNC110  two conditions
            await asyncio.sleep(POLL_S)

    async def _answer(self, route: Route, request: PageRequest) -> None:
        with suppress(PlaywrightError):  # the page was closed meanwhile
            if request.is_navigation_request():
                await self._navigate(route, request)
            elif self._may_have(request):
                await self._give_part(route, request)
            else:
                await route.abort()

    async def _navigate(self, route: Route, request: PageRequest) -> None:
        """Give the browser the page itself, once. A redirect by a script is not followed, as no other redirect is."""
        if not self._is_given:
            self._is_given = True
            await give(route, self._response)
            return
        await route.abort()
        if request.frame.parent_frame is None:
            self.error = self.error or NotShown(f"it leads to {request.url}")

    def _may_have(self, request: PageRequest) -> bool:
        """Whether the browser may have the part: a GET to the page's own origin, of a kind in `KINDS`."""
        is_own = origin(request.url) == origin(self._response.url) and CLOUDFLARE not in request.url
        is_wanted = request.method == "GET" and request.resource_type in KINDS
        return is_own and is_wanted and self._parts < MOST_PARTS and self.error is None

    async def _give_part(self, route: Route, request: PageRequest) -> None:
        self._parts += 1
        self._under_way += 1
        try:
            await give(route, await self._fetch(part_request(request)))
        except GivenUp as error:
            if not is_absent(error):
                self.error = self.error or error
            await route.abort()
        finally:
            self._under_way -= 1
            self._moved_at = time.monotonic()


def part_request(request: PageRequest) -> Request:
    """Our request for the part. Of the browser's headers it keeps those by which servers choose an answer."""
    kept: dict[str, str] = {
        name: request.headers[name] for name in ("accept", "x-requested-with") if name in request.headers
    }
    return Request(request.url, headers=kept, meta={PART: request.resource_type}, dont_filter=True)


def is_absent(error: GivenUp) -> bool:
    """Whether the part does not exist or is forbidden, so that the page does without it, as in any browser."""
    status = error.response.status if error.response else 0
    return error.verdict.kind == "robots_forbid" or status in (404, 410) or 300 <= status < 400


async def give(route: Route, response: Response) -> None:
    """Answer the browser with the response that we received."""
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in response.headers.items()
    }
    kept = {name: value for name, value in headers.items() if name not in HOP_BY_HOP}
    await route.fulfill(status=response.status, headers=kept, body=response.body)


def refuse(_request: PageRequest) -> bool:
    """Tell scrapy-playwright to abort a request. It asks this only if a request ever comes past `Visit`."""
    return True
