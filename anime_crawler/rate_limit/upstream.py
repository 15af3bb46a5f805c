"""`Upstream` gives the middlewares of one crawler the verdicts, limits, pauses and counters of its upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from anime_crawler.base_spiders import ACCEPT, OUT_OF_QUOTA, Action, GivenUp, SourceSpider, Verdict
from anime_crawler.config import Config
from anime_crawler.rate_limit.limiter import Limiter, LimiterError, Wait
from anime_crawler.rate_limit.limits import budget_of, limits_of
from anime_crawler.rate_limit.sandbox_header import SANDBOX_HEADER

T = TypeVar("T")

POLL_S = 0.1  # a wait notices a stop of the run within this time
DEADLINE_S = 90.0  # one request may fail for so long, over all its attempts; waits for limits do not count
PART = "part_of_page"
"""This key of a request's meta marks a part of a page that a browser shows: ``script``, ``xhr`` or ``fetch``."""


class ForeignHost(Exception):  # noqa: N818  the name says what is wrong
    """The request is for another host than the one that the settings name. It is not sent."""


class Upstream:
    """`Upstream` holds the name, the limits and the state of the upstream that one crawler asks."""

    def __init__(self, crawler: Crawler) -> None:
        job: Any = crawler.job  # type: ignore[attr-defined]
        self._crawler = crawler
        self._job = job
        self._limiter: Limiter = job.limiter
        self.config: Config = job.config
        self.card = crawler.spidercls.card  # type: ignore[attr-defined]
        self.name: str = self.card.name
        self._limits = limits_of(job.config, self.card)
        # One attempt gets the whole time that HTTP_TIMEOUT_SECONDS allows it.
        self.deadline_s = max(DEADLINE_S, job.config.http_timeout_seconds)

    @property
    def base_url(self) -> str:
        """The upstream's base address, from the settings or else from the card."""
        return cast("SourceSpider", self._crawler.spider).base_url

    @property
    def budget(self) -> str:
        """The name of the upstream's budget.

        Further hosts on a card (AniDB's API) belong to the same owner, who counts their requests together.
        """
        return budget_of(self.name, self.base_url, self.card.base_url)

    def check_address(self, request: Request) -> None:
        """Check that the request goes to the configured address.

        Raises:
            ForeignHost: if scheme, host or port are not the configured ones.
        """
        others = self.card.other_urls if self.base_url == self.card.base_url else ()
        if origin(request.url) not in map(origin, (self.base_url, *others)):
            raise ForeignHost(f"{request.url} is not on {self.base_url}; it was not requested")

    def judge(self, request: Request, response: Response) -> Verdict:
        """The spider's verdict on a response. A part of a page is accepted if it came: the spider knows pages only."""
        if PART in request.meta and response.status == 200:
            return ACCEPT
        return cast("SourceSpider", self._crawler.spider).judge(response)

    def note_origin(self, response: Response) -> None:
        """Mark the spider once the sandbox has answered it, because the items that it then stores are invented."""
        if SANDBOX_HEADER in response.headers:
            cast("SourceSpider", self._crawler.spider).is_of_sandbox = True

    def is_stopping(self) -> bool:
        """Whether the run or this spider is about to end."""
        slot = self._crawler.engine._slot
        return bool(self._job.stopping or slot is None or slot.closing is not None)

    def stopped(self, request: Request) -> GivenUp:
        """The error for a request that was under way when the run ended. The request stays pending."""
        request.meta["unfinished"] = True
        verdict = Verdict(Action.GIVE_UP, "stopped", "the run was stopped; the request stays for the next one")
        return GivenUp(verdict, attempt_of(request) - 1)

    def resting(self, request: Request, wait: Wait) -> GivenUp:
        """The error for a request that would have to wait too long. The request stays pending."""
        request.meta["unfinished"] = True
        until = datetime.fromtimestamp(time.time() + wait.seconds).strftime("%Y-%m-%d %H:%M")
        message = f"{self.card.title} rests until {until}: {wait.reason}; run the same command after that"
        kind = OUT_OF_QUOTA if wait.cause == "limit" else "resting"
        return GivenUp(Verdict(Action.GIVE_UP, kind, message), attempt_of(request) - 1)

    def fatal(self, request: Request, message: str, exit_code: int) -> GivenUp:
        """End the run because a person must act, and return the error for the request, which stays pending."""
        self._job.fatal(message, exit_code)
        return self.stopped(request)

    async def pause(self, request: Request, seconds: float, reason: str, told_s: float | None = None) -> None:
        """Wait for `seconds`, and show the reason and the end of the wait in the progress display.

        Args:
            told_s: seconds that the whole wait will take, if that is longer than this pause.

        Raises:
            GivenUp: if the run is being stopped.
        """
        end = time.monotonic() + seconds
        until = datetime.fromtimestamp(time.time() + (told_s or seconds)).strftime("%H:%M:%S")
        while (left := end - time.monotonic()) > 0:
            if self.is_stopping():
                self._job.report.waiting.pop(self.name, None)
                raise self.stopped(request)
            self._job.report.waiting[self.name] = f"{reason}, until {until}"
            await asyncio.sleep(min(left, POLL_S))
        self._job.report.waiting.pop(self.name, None)

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to a counter of the run report."""
        self._job.report.count(self.name, name, n)

    def problem(self, kind: str, message: str) -> None:
        """Add a problem to the run report, for a person to read."""
        self._job.report.problem(self.name, kind, message)

    def has_problems(self) -> bool:
        """Whether the run report holds a problem of this upstream."""
        return any(problem["service"] == self.name for problem in self._job.report.problems)

    def acquire(self, request: Request, place: str) -> Wait | None:
        """See `Limiter.acquire`."""
        return self._safely(request, lambda: self._limiter.acquire(self.budget, self._limits, place))

    def note_late(self, request: Request, ago_s: float, by_s: float) -> None:
        """See `Limiter.late`."""
        self._safely(request, lambda: self._limiter.late(self.budget, self._limits, ago_s, by_s))

    def rest(self, request: Request, seconds: float, why: str) -> None:
        """Let no process ask the upstream for so many seconds."""
        self._safely(request, lambda: self._limiter.penalize(self.budget, seconds, why))

    def note_health(self, request: Request, is_trouble: bool) -> None:
        """Tell the breaker whether the upstream failed."""
        tell = self._limiter.record_failure if is_trouble else self._limiter.record_success
        self._safely(request, lambda: tell(self.budget))

    def _safely(self, request: Request, call: Callable[[], T]) -> T:
        """The call's result. If the limiter cannot be used the run ends, because no limit would hold without it."""
        try:
            return call()
        except LimiterError as error:
            raise self.fatal(request, str(error), error.exit_code) from error


def origin(url: str) -> tuple[str, str | None, int | None, bool]:
    """Scheme, host, port, and whether a user name stands before the host: these identify the server of an address."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, "@" in parts.netloc


def attempt_of(request: Request) -> int:
    """The number of the request's attempt; 1 is the first."""
    return int(request.meta.get("attempt", 1))
