"""The download handler of ``-a render=browser``: the page is fetched as ever, and then shown in Chromium.

Chromium asks nobody for anything. So status, headers, limits, size, errors and blocks are the same as without it; it
is no way round any of them, and its only use is to run the scripts that put a page's text in place.
"""

from __future__ import annotations

import asyncio
from typing import cast

from playwright.async_api import Error as PlaywrightError
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import HtmlResponse, Response, TextResponse
from scrapy_playwright.handler import ScrapyPlaywrightDownloadHandler

from anime_crawler.base_spiders import Action, GivenUp
from anime_crawler.download.browser.page import Visit
from anime_crawler.download.handler import BodyTooLarge, NotShown, SecretDownloadHandler
from anime_crawler.download.robots import ROBOTS
from anime_crawler.rate_limit.upstream import PART, POLL_S

FATAL_EXIT_CODE = 2  # a Chromium that does not start is a matter of configuration


class BrowserDownloadHandler(SecretDownloadHandler):
    """Gives pages as they are once their scripts have run; everything else as it came."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawler = crawler
        self._browser = ScrapyPlaywrightDownloadHandler(crawler)
        self._context_options = crawler.settings.getdict("PLAYWRIGHT_CONTEXT_OPTIONS")

    async def close(self) -> None:
        await self._browser.close()
        await super().close()

    async def download_request(self, request: Request) -> Response:
        """Raises: NotShown, GivenUp for a part that did not come, and what plain requests raise."""
        response = await super().download_request(request)
        if not self._is_to_be_shown(request, response):
            return response
        if self._upstream.is_stopping():
            raise self._upstream.stopped(request)
        shown = await self._unless_stopped(request, asyncio.ensure_future(self._shown(request, response)))
        if len(shown.body) > self._upstream.card.max_body_bytes:
            raise BodyTooLarge(f"the page has {len(shown.body)} bytes once its scripts have run")
        return shown

    def _is_to_be_shown(self, request: Request, response: Response) -> bool:
        """A page that is whole, for the browser would mend one that is cut, and that no judge rejects, as a block."""
        if PART in request.meta or ROBOTS in request.meta:
            return False
        if response.status != 200 or not isinstance(response, HtmlResponse):
            return False
        is_whole = b"</html" in response.body[-1000:].lower()
        return is_whole and self._upstream.judge(request, response).action is not Action.GIVE_UP

    async def _shown(self, request: Request, response: Response) -> Response:
        visit = Visit(response, self._part)
        showing = asyncio.ensure_future(self._browser.download_request(visit.request(self._context_options)))
        try:
            shown = await self._until_shown(showing, visit)
        except PlaywrightError as error:
            raise self._failed(request, error) from error
        except GivenUp as error:  # of a part
            request.meta["unfinished"] = error.verdict.kind in ("stopped", "resting")
            raise
        finally:
            showing.cancel()
            await visit.close()
        return response.replace(body=shown.body, encoding=cast("TextResponse", shown).encoding)

    async def _until_shown(self, showing: asyncio.Future[Response], visit: Visit) -> Response:
        """`DOWNLOAD_TIMEOUT` is meant for each step of a page, not for the limits that its parts wait for."""
        patience_s = self._crawler.settings.getfloat("DOWNLOAD_TIMEOUT")
        while not (await asyncio.wait({showing}, timeout=POLL_S))[0] and not visit.error:
            if visit.is_stuck(patience_s):
                raise NotShown(f"its scripts did not end within {patience_s:g} s")
        if visit.error:
            raise visit.error
        return showing.result()

    def _failed(self, request: Request, error: PlaywrightError) -> Exception:
        if self._upstream.is_stopping():
            return self._upstream.stopped(request)
        if "BrowserType.launch" in error.message:
            message = f"Chromium cannot be started; see CHROMIUM_PATH. {error.message.splitlines()[0]}"
            return self._upstream.fatal(request, message, FATAL_EXIT_CODE)
        return NotShown(error.message.splitlines()[0])

    async def _part(self, request: Request) -> Response:
        """A page's part, asked for through the same middlewares as every request.

        Raises:
            GivenUp: it is not to be had.
        """
        # Not by engine.download_async, which Scrapy forbids to handlers: the page itself holds a place there.
        middlewares = self._crawler.engine.downloader.middleware
        while True:
            answer = await middlewares.download_async(self.download_request, request)
            if isinstance(answer, Response):
                return answer
            request = answer
