"""`BrowserDownloadHandler`, for ``-a render=browser``, fetches a page as always and then shows it in Chromium.

Chromium itself sends no request. So status, headers, limits, size, errors and blocks are the same as without it, and it
circumvents none of them. It only runs the scripts that put a page's text in place.
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

FATAL_EXIT_CODE = 2  # the configuration names a Chromium that does not start


class BrowserDownloadHandler(SecretDownloadHandler):
    """The handler returns a page as it is after its scripts have run, and any other answer as it came."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._crawler = crawler
        self._browser = ScrapyPlaywrightDownloadHandler(crawler)
        self._context_options = crawler.settings.getdict("PLAYWRIGHT_CONTEXT_OPTIONS")

    async def close(self) -> None:
        await self._browser.close()
        await super().close()

    async def download_request(self, request: Request) -> Response:
        """The page as Chromium shows it, or the answer as it came.

        Raises:
            NotShown: if Chromium could not show the page.
            GivenUp: if a part of the page did not come.
            Exception: any error of `SecretDownloadHandler.download_request`.
        """
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
        """Whether Chromium is to show the response: a whole page that the spider does not reject (as a block).

        A page that is cut off is not shown, because the browser would complete it.
        """
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
        except GivenUp as error:  # a part of the page was given up
            request.meta["unfinished"] = error.verdict.kind in ("stopped", "resting")
            raise
        finally:
            showing.cancel()
            await visit.close()
        return response.replace(body=shown.body, encoding=cast("TextResponse", shown).encoding)

    async def _until_shown(self, showing: asyncio.Future[Response], visit: Visit) -> Response:
        """Wait until the page is shown. `DOWNLOAD_TIMEOUT` holds for each step, but not while a part is under way."""
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
        """The answer to a request for a part of the page. The request passes the same middlewares as every other.

        Raises:
            GivenUp: if the part did not come.
        """
        # A handler may not call engine.download_async, because the page itself already holds a place there.
        middlewares = self._crawler.engine.downloader.middleware
        while True:
            answer = await middlewares.download_async(self.download_request, request)
            if isinstance(answer, Response):
                return answer
            request = answer
