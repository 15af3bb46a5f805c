"""`RobotsTxtMiddleware` obeys robots.txt as RFC 9309 says: a robots.txt that cannot be read forbids everything."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares import robotstxt
from scrapy.robotstxt import RobotParser

from anime_crawler.base_spiders import OUT_OF_QUOTA, Action, GivenUp, Verdict
from anime_crawler.rate_limit.upstream import attempt_of

ROBOTS = "dont_obey_robotstxt"
"""Scrapy marks its own request for robots.txt with this key in the request's meta."""


class RobotsTxtMiddleware(robotstxt.RobotsTxtMiddleware):
    """This middleware differs from Scrapy's, which drops forbidden requests in silence and takes a failure as a permit.

    The spider judges the answer for robots.txt too, because a block in front of a site answers every path.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._unread: dict[str, Exception] = {}

    async def robot_parser(self, request: Request) -> RobotParser | None:
        """The parser of the host's robots.txt; ``None`` if the host has no robots.txt.

        Raises:
            GivenUp: if robots.txt could not be read, or if the run is being stopped.
        """
        netloc = urlsplit(request.url).netloc
        await super().robot_parser(request)
        if error := self._unread.get(netloc):
            raise _unread(request, error)
        # The awaited result is not used: if several requests wait for one Deferred, only the first gets the parser.
        return cast("RobotParser | None", self._parsers[netloc])

    def process_request_2(self, rp: RobotParser | None, request: Request) -> None:
        """Check the request against robots.txt.

        Raises:
            GivenUp: if robots.txt forbids the request.
        """
        if rp is not None and not rp.allowed(request.url, self._default_useragent):
            parts = urlsplit(request.url)
            message = f"robots.txt of {parts.hostname} forbids {parts.path}; it is not asked for"
            raise GivenUp(Verdict(Action.GIVE_UP, "robots_forbid", message), attempt_of(request) - 1)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        if not (isinstance(exc, GivenUp) and exc.verdict.kind.startswith("status_4")):  # 4xx: no robots.txt
            self._unread[netloc] = exc
        super()._robots_error(exc, netloc)


def _unread(request: Request, error: Exception) -> GivenUp:
    if isinstance(error, GivenUp) and error.verdict.kind in ("stopped", "resting", OUT_OF_QUOTA):
        request.meta["unfinished"] = True
        return GivenUp(error.verdict, attempt_of(request) - 1)
    host = urlsplit(request.url).hostname
    why = error.verdict.message if isinstance(error, GivenUp) else type(error).__name__
    message = f"robots.txt of {host} could not be read ({why}); without it nothing is asked there"
    return GivenUp(Verdict(Action.GIVE_UP, "robots_unread", message), attempt_of(request) - 1)
