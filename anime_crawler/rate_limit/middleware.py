"""The last stage before the downloader: a request passes when its upstream's limits, penalties and breaker allow it."""

from __future__ import annotations

import time
import uuid
from collections import deque
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response

from anime_crawler.base_spiders import Action, GivenUp, Verdict
from anime_crawler.rate_limit.headers import rate_limit_reset_s
from anime_crawler.rate_limit.limiter import LONGEST_WAIT_S, Wait
from anime_crawler.rate_limit.rest import LONGEST_ASKED_S, LONGEST_SLEEP_S
from anime_crawler.rate_limit.upstream import Upstream, attempt_of

LATE_S = 0.03
"""An answer that takes so much longer than the quickest may be for a request that arrived late, …"""
LATEST_S = 0.25
"""… but not by more: on a busy machine 0.1 s was seen, a new connection takes three round trips. The rest is the
upstream's own time."""


class PolitenessMiddleware:
    """Request meta that it reads and writes: ``attempt`` (from 1), ``not_before`` (Unix time of the next attempt),
    ``spent_s`` (seconds that the request has been failing for), ``sent_at`` (steady time of this attempt),
    ``process`` (which process these are of).
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._took_s: deque[float] = deque(maxlen=20)
        """How long the last answers took: from the turn to the answer."""
        self._process = uuid.uuid4().hex
        """Tells this process from others in what a job directory keeps."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Upstream(crawler))

    async def process_request(self, request: Request) -> None:
        self._upstream.check_address(request)
        if self._upstream.is_stopping():
            raise self._upstream.stopped(request)
        self._forget_an_earlier_process(request)
        await self._back_off(request)
        await self._wait_for_turn(request)
        self._upstream.count("requests")
        if attempt_of(request) > 1:
            self._upstream.count("retries")

    def process_response(self, request: Request, response: Response) -> Response:
        if "cached" in response.flags:  # what it says of limits was true when it was stored
            return response
        self._note_arrival(request)
        if response.status == 429:
            self._upstream.count("429")
        card = self._upstream.card
        seconds = rate_limit_reset_s(
            response.headers, time.time(), reserve=card.limit_reserve, unsaid_s=card.limit_rest_s
        )
        if seconds:
            self._upstream.rest(request, min(seconds, LONGEST_ASKED_S), "X-RateLimit-Remaining is low")
        return response

    def _forget_an_earlier_process(self, request: Request) -> None:
        """A request that an earlier process has tried gets all its attempts again: it may be answered by now."""
        if request.meta.setdefault("process", self._process) != self._process:
            request.meta["process"] = self._process
            request.meta.pop("attempt", None)
            request.meta.pop("spent_s", None)

    async def _back_off(self, request: Request) -> None:
        """Not longer than the longest pause, should the clock have been set back since."""
        seconds = request.meta.get("not_before", 0) - time.time()
        longest = self._upstream.config.backoff_max_seconds
        await self._upstream.pause(request, min(seconds, longest), f"pause before attempt {attempt_of(request)}")

    def _note_arrival(self, request: Request) -> None:
        """Windows hold where requests arrive. How long an answer takes that is not late, the first one cannot tell."""
        took_s = time.monotonic() - request.meta["sent_at"]
        late_s = took_s - min(self._took_s, default=0)
        if late_s > LATE_S:
            self._upstream.note_late(request, took_s, min(late_s, LATEST_S))
        self._took_s.append(took_s)

    async def _wait_for_turn(self, request: Request) -> None:
        place = ""
        while wait := self._acquire(request, place):
            place, seconds = wait.place, wait.pause_s
            if wait.seconds > (LONGEST_SLEEP_S if wait.cause == "penalty" else LONGEST_WAIT_S):
                raise self._upstream.resting(request, wait)
            if wait.cause == "breaker":
                seconds = min(seconds, self._time_left(request))
            await self._upstream.pause(request, seconds, wait.reason, wait.seconds)
            if wait.cause == "breaker":
                request.meta["spent_s"] = request.meta.get("spent_s", 0.0) + seconds

    def _acquire(self, request: Request, place: str) -> Wait | None:
        request.meta["sent_at"] = time.monotonic()
        return self._upstream.acquire(request, place)

    def _time_left(self, request: Request) -> float:
        """Seconds the request may still wait for a sick upstream.

        Raises:
            GivenUp: none.
        """
        left: float = self._upstream.deadline_s - request.meta.get("spent_s", 0.0)
        if left > 0:
            return left
        message = f"{self._upstream.card.title} has failed for {self._upstream.deadline_s:.0f} s; try again later"
        raise GivenUp(
            Verdict(Action.GIVE_UP, "upstream_down", message, is_upstream_trouble=True), attempt_of(request) - 1
        )
