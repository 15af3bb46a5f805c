"""`RetryMiddleware` decides what a response or a failed download means, and when the same request is sent again.

It replaces Scrapy's middleware, which repeats a request at once and forgets it when the process dies. For the frontier
a further attempt is a request of its own, which is pending before the failed one is acked.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from typing import Self

from scrapy import Request, exceptions
from scrapy.crawler import Crawler
from scrapy.http import Response

from anime_crawler.base_spiders import Action, GivenUp, Verdict
from anime_crawler.config import Config
from anime_crawler.download.handler import BodyTooLarge, BrokenEncoding, NotShown
from anime_crawler.failure import Failure, log_failure
from anime_crawler.rate_limit.headers import retry_after_s
from anime_crawler.rate_limit.rest import BLOCKS, rest_after
from anime_crawler.rate_limit.upstream import ForeignHost, Upstream, attempt_of

logger = logging.getLogger(__name__)

JITTER = 0.1  # the pause varies by this share both ways, so that clients which failed together do not return together


def _trouble(kind: str, message: str) -> Verdict:
    return Verdict(Action.RETRY, kind, message, is_upstream_trouble=True)


VERDICTS: dict[type[Exception], Verdict] = {
    exceptions.DownloadTimeoutError: _trouble("timeout", "no complete answer in time"),
    exceptions.DownloadConnectionRefusedError: _trouble("connection_refused", "the connection was refused"),
    exceptions.CannotResolveHostError: _trouble("unknown_host", "the host's name could not be resolved"),
    exceptions.DownloadFailedError: _trouble("connection_lost", "the connection broke"),
    exceptions.ResponseDataLossError: _trouble("truncated", "the answer broke off"),
    BrokenEncoding: _trouble("broken_encoding", "the compressed body could not be unpacked"),
    NotShown: Verdict(Action.RETRY, "not_shown", "Chromium could not show the page"),
    BodyTooLarge: Verdict(Action.GIVE_UP, "too_large", "the body is larger than the source card allows"),
    exceptions.DownloadCancelledError: Verdict(
        Action.GIVE_UP, "too_large", "the body is larger than the source card allows"
    ),
    ForeignHost: Verdict(Action.GIVE_UP, "foreign_host", "the request is not for the configured host"),
    exceptions.UnsupportedURLSchemeError: Verdict(Action.GIVE_UP, "bad_address", "the address cannot be requested"),
    exceptions.NotSupported: Verdict(Action.GIVE_UP, "bad_address", "the address cannot be requested"),
}
"""Each failure of a download has a verdict. An exception that is not listed is a bug and is raised on."""


class RetryMiddleware:
    """This downloader middleware asks the spider's `judge` for a verdict on each response."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(Upstream(crawler))

    def process_response(self, request: Request, response: Response) -> Response | Request:
        verdict = self._upstream.judge(request, response)
        if "cached" not in response.flags:  # a kept answer does not tell whether the upstream works now
            self._upstream.note_health(request, verdict.is_upstream_trouble)
        if verdict.action is Action.ACCEPT:
            return response
        return self._after_failure(request, verdict, response)

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        verdict = next((verdict for kind, verdict in VERDICTS.items() if isinstance(exception, kind)), None)
        if verdict is None:
            return None
        if isinstance(exception, NotShown):
            verdict = replace(verdict, message=f"{verdict.message}: {exception}")
        if verdict.is_upstream_trouble:
            self._upstream.note_health(request, is_trouble=True)
        return self._after_failure(request, verdict, None)

    def _after_failure(self, request: Request, verdict: Verdict, response: Response | None) -> Request:
        """The request to send again.

        Raises:
            GivenUp: if the request is not to be sent again.
        """
        attempt = attempt_of(request)
        self._log(request, verdict, attempt, response)
        spent_s = request.meta.get("spent_s", 0.0) + time.monotonic() - request.meta.get("sent_at", time.monotonic())
        left_s = self._upstream.deadline_s - spent_s
        pause_s = backoff_s(attempt, self._upstream.config)
        # The last attempt within the deadline comes earlier than the back-off says, but not without a pause.
        if left_s < pause_s:
            pause_s = left_s
        too_late = left_s <= self._upstream.config.backoff_base_seconds * (1 - JITTER)
        is_final = verdict.action is Action.GIVE_UP or attempt > self._upstream.config.max_retries or too_late
        if response is not None:
            self._penalize(request, verdict, response, pause_s, is_final=is_final)
        if is_final:
            raise GivenUp(verdict, attempt, response)
        return _next_attempt(request, attempt + 1, pause_s, spent_s + pause_s)

    def _penalize(
        self, request: Request, verdict: Verdict, response: Response, pause_s: float, *, is_final: bool
    ) -> None:
        """Let no process ask this upstream: as long as it says itself, or else as long as its block is known to last.

        A challenge may pass, so the card's time for blocks counts only once the request is given up.
        """
        judged = verdict if is_final or verdict.kind not in BLOCKS else replace(verdict, kind="")
        seconds, why = rest_after(judged, self._upstream.card, response.status, response.headers, time.time())
        if seconds:
            self._upstream.rest(request, seconds, why)
            asked_s = retry_after_s(response.headers, time.time()) or 0.0
            if asked_s > seconds:
                message = f"it asks for a pause of {asked_s:.0f} s; the crawler waits only {seconds:.0f} s"
                self._upstream.problem("absurd_pause", message)
        elif response.status == 429:
            self._upstream.rest(request, self._upstream.card.limit_rest_s or pause_s, "it asks us to slow down")

    def _log(self, request: Request, verdict: Verdict, attempt: int, response: Response | None) -> None:
        self._upstream.count(f"failed {verdict.kind}")
        failure = Failure(
            service=self._upstream.name,
            kind=verdict.kind,
            status=response.status if response else None,
            attempt=attempt,
            url=request.url,
            reason=verdict.message,
        )
        log_failure(logger, failure)


def backoff_s(attempt: int, config: Config) -> float:
    """Seconds between the attempt and the next: ``BACKOFF_BASE_SECONDS``, doubled with each attempt, ± `JITTER`.

    The result is never above ``BACKOFF_MAX_SECONDS``, and never below 0.9 times the base (or the maximum, if smaller).
    """
    jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret depends on it
    return min(config.backoff_base_seconds * 2.0 ** (attempt - 1) * jitter, config.backoff_max_seconds)


def _next_attempt(request: Request, attempt: int, pause_s: float, spent_s: float) -> Request:
    meta = {name: value for name, value in request.meta.items() if name not in ("unfinished", "sent_at")}
    meta |= {"attempt": attempt, "not_before": time.time() + pause_s, "spent_s": spent_s}
    return request.replace(meta=meta, dont_filter=True)
