"""The download handler: secrets join a request when it leaves, for the configured host only, and leave its answer. So
does a proxy with its password: what is done to a request earlier would be kept in the frontier.

Scrapy's default handler rather than its experimental aiohttp one: one timeout cuts connecting, the first byte and
each later one, and with upstreams that allow some requests a second the other's speed cannot be used.
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

STOP_GRACE_S = 4.0  # for answers under way when the run is stopped, which is to take 10 s at most


class BodyTooLarge(Exception):  # noqa: N818  named for what it says
    """The unpacked body exceeds ``DOWNLOAD_MAXSIZE``; unpacking ended there."""


class BrokenEncoding(Exception):  # noqa: N818
    """The body is not in the encoding that its headers state."""


class NotShown(Exception):  # noqa: N818
    """Chromium could not show the page; see ``browser.py``."""


class SecretDownloadHandler(HTTP11DownloadHandler):
    """Sends a copy of the request with the card's secrets, unpacks the body, and ends early when the run is stopped.

    Secrets that the answer repeats (Kodik's ``next_page`` does) are taken out here, before anything could keep it.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._pool.retryAutomatically = False  # Twisted repeats a GET unseen, past every limit
        self._upstream = Upstream(crawler)
        self._compression = HttpCompressionMiddleware(crawler=crawler)
        self._redactor = Redactor(self._upstream.config)
        # Scrapy starts more than this when a slot's delay is 0, and on a busy machine now and then one.
        self._places = asyncio.Semaphore(crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"))

    async def download_request(self, request: Request) -> Response:
        """Raises: BodyTooLarge, BrokenEncoding, GivenUp when stopped, and Scrapy's download errors."""
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
        """Here, not in Scrapy's middleware, so that a failure is judged like any other failed download."""
        try:
            return cast("Response", self._compression.process_response(request, response))
        except IgnoreRequest as error:
            raise BodyTooLarge(str(error)) from error
        except (zlib.error, OSError, EOFError, ValueError) as error:
            raise BrokenEncoding(str(error)) from error


def is_below(url: str, base_url: str) -> bool:
    """Whether the address is on the base's origin and under its path; one with ``..`` in it is not."""
    path, base = unquote(urlsplit(url).path), unquote(urlsplit(base_url).path).rstrip("/")
    return origin(url) == origin(base_url) and ".." not in path.split("/") and f"{path}/".startswith(f"{base}/")


def _with_secret(request: Request, secret: Secret, config: Any) -> Request:
    value = config.value(secret.setting)
    if value is None:
        return request
    text = secret.prefix + value.get_secret_value()
    if secret.placement == "header":
        headers = request.headers.copy()
        headers[secret.name] = text
        return request.replace(headers=headers)
    field = urlencode({secret.name: text}, quote_via=quote).encode()
    return request.replace(body=b"&".join(filter(None, (request.body, field))))
