"""`SecretDownloadHandler` adds secrets to a request as it leaves, for the configured host only.

It also adds the proxy with its password, and it removes secrets from the answer. A secret that was added earlier would
be kept in the frontier. The handler builds on Scrapy's default one, not on its experimental aiohttp one: in the default
one a single timeout covers connecting, the first byte and each later byte. The other one is faster, but no upstream
allows more than some requests a second.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any, cast
from urllib.parse import quote, unquote, urlencode, urlsplit

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from anime_crawler.base_spiders import Secret
from anime_crawler.download.proxy import proxy_of
from anime_crawler.download.secrets import Redactor
from anime_crawler.rate_limit.upstream import POLL_S, Upstream, origin

STOP_GRACE_S = 4.0  # answers under way get so long when the run is stopped; the stop may take 10 s at most


class BodyTooLarge(Exception):  # noqa: N818  the name says what is wrong
    """The unpacked body exceeds ``DOWNLOAD_MAXSIZE``. Unpacking ended at that size."""


class BrokenEncoding(Exception):  # noqa: N818
    """The body is not in the encoding that its headers state."""


class NotShown(Exception):  # noqa: N818
    """Chromium could not show the page; `BrowserDownloadHandler` in ``browser/handler.py`` raises this."""


class SecretDownloadHandler(HTTP11DownloadHandler):
    """The handler sends a copy of the request with the card's secrets, and unpacks the body of the answer.

    It ends early when the run is stopped. It removes secrets that the answer repeats (as Kodik's ``next_page`` does)
    before any other part of the crawler can keep the answer.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._pool.retryAutomatically = False  # otherwise Twisted repeats a GET without counting it against any limit
        self._upstream = Upstream(crawler)
        self._compression = HttpCompressionMiddleware(crawler=crawler)
        self._redactor = Redactor(self._upstream.config)
        # Scrapy starts more downloads than this when a slot's delay is 0, and sometimes one more on a busy machine.
        self._places = asyncio.Semaphore(crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"))

    async def download_request(self, request: Request) -> Response:
        """The answer, unpacked and without secrets.

        Raises:
            BodyTooLarge: if the unpacked body is larger than ``DOWNLOAD_MAXSIZE``.
            BrokenEncoding: if the body cannot be unpacked.
            GivenUp: if the run is stopped meanwhile.
            Exception: Scrapy's download errors.
        """
        outgoing = self._outgoing(request)
        async with self._places:
            response = await self._unless_stopped(request, asyncio.ensure_future(super().download_request(outgoing)))
        self._upstream.count("bytes", len(response.body))
        self._upstream.note_origin(response)
        return self._redactor.response(self._unpacked(request, response))

    def _outgoing(self, request: Request) -> Request:
        left_s = max(1.0, self._upstream.deadline_s - request.meta.get("spent_s", 0.0))
        timeout_s = min(request.meta.get("download_timeout", left_s), left_s)
        proxy, headers = proxy_of(request.url), request.headers.copy()
        if proxy and proxy.authorization:
            headers["Proxy-Authorization"] = proxy.authorization
        meta = {**request.meta, "download_timeout": timeout_s, "proxy": proxy.url if proxy else None}
        outgoing: Request = request.replace(meta=meta, headers=headers)
        if is_below(request.url, self._upstream.base_url):
            for secret in self._upstream.card.secrets:
                outgoing = _with_secret(outgoing, secret, self._upstream.config)
        return outgoing

    async def _unless_stopped(self, request: Request, download: asyncio.Task[Response]) -> Response:
        stopping_since: float | None = None
        while not (await asyncio.wait({download}, timeout=POLL_S))[0]:
            if stopping_since is None and self._upstream.is_stopping():
                stopping_since = time.monotonic()
            if stopping_since is not None and time.monotonic() - stopping_since > STOP_GRACE_S:
                download.cancel()
                await asyncio.wait({download})
                raise self._upstream.stopped(request)
        return download.result()

    def _unpacked(self, request: Request, response: Response) -> Response:
        """The response with its body unpacked.

        The handler does this instead of Scrapy's middleware, so that a failure is judged like any failed download.
        """
        try:
            return cast("Response", self._compression.process_response(request, response))
        except IgnoreRequest as error:
            raise BodyTooLarge(str(error)) from error
        except (zlib.error, OSError, EOFError, ValueError) as error:
            raise BrokenEncoding(str(error)) from error


def is_below(url: str, base_url: str) -> bool:
    """Whether the address is on the base's origin and below its path; an address with ``..`` in its path is not."""
    path, base = unquote(urlsplit(url).path), unquote(urlsplit(base_url).path).rstrip("/")
    return origin(url) == origin(base_url) and ".." not in path.split("/") and f"{path}/".startswith(f"{base}/")


def _with_secret(request: Request, secret: Secret, config: Any) -> Request:
    value = config.value(secret.setting)
    assert value is not None, secret.setting  # the crawl command has refused to start without it
    text = secret.prefix + value.get_secret_value()
    if secret.placement == "header":
        headers = request.headers.copy()
        headers[secret.name] = text
        return request.replace(headers=headers)
    field = urlencode({secret.name: text}, quote_via=quote).encode()
    return request.replace(body=b"&".join(filter(None, (request.body, field))))
