"""`PolitenessMiddleware` stands last before the downloader and holds each request until its upstream may be asked.

The limits, the penalties and the breaker of the upstream say when that is.
"""

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
"""If an answer takes so much longer than the quickest of the last 20, its request may have arrived late."""
LATEST_S = 0.25
"""A request is never counted as later than this. On a busy machine 0.1 s was seen, and a new connection takes three
round trips; longer delays are the upstream's own time."""


class PolitenessMiddleware:
    """`PolitenessMiddleware` reads and writes these keys of a request's meta.

    - ``attempt``: number of this attempt, from 1.
    - ``not_before``: Unix time before which this attempt is not made.
    - ``spent_s``: seconds for which the request has been failing.
    - ``sent_at``: time of this attempt in seconds of `time.monotonic`.
    - ``process``: the process that wrote the other keys.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._took_s: deque[float] = deque(maxlen=20)
        """Seconds that each of the last answers took, from the request's turn to the answer."""
        self._process = uuid.uuid4().hex
        """This name marks the requests of this process in a job directory, which may keep those of earlier ones."""

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
        if "cached" in response.flags:  # its headers on limits were true when it was stored, and are not now
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
        """Give a request all its attempts again if an earlier process tried it: it may succeed by now."""
        if request.meta.setdefault("process", self._process) != self._process:
            request.meta["process"] = self._process
            request.meta.pop("attempt", None)
            request.meta.pop("spent_s", None)

    async def _back_off(self, request: Request) -> None:
        """Pause until ``not_before``, for BACKOFF_MAX_SECONDS at most: the wall clock may have been set back since."""
        seconds = request.meta.get("not_before", 0) - time.time()
        longest = self._upstream.config.backoff_max_seconds
        await self._upstream.pause(request, min(seconds, longest), f"pause before attempt {attempt_of(request)}")

    def _note_arrival(self, request: Request) -> None:
        """Tell the limiter that a request may have arrived late, because an upstream counts requests as they arrive.

        The delay is the time by which the answer was slower than the quickest of the last 20. The first answer has
        nothing to be compared with, so its whole time counts as a delay, up to `LATEST_S`.
        """
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
        """Seconds for which the request may still wait for an upstream that fails.

        Raises:
            GivenUp: if no time is left.
        """
        left: float = self._upstream.deadline_s - request.meta.get("spent_s", 0.0)
        if left > 0:
            return left
        message = f"{self._upstream.card.title} has failed for {self._upstream.deadline_s:.0f} s; try again later"
        raise GivenUp(
            Verdict(Action.GIVE_UP, "upstream_down", message, is_upstream_trouble=True), attempt_of(request) - 1
        )
