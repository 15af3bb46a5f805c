"""`CircuitBreaker` says when a POST may leave: not while the backend is away or has asked for a pause, and not after
the delivery has ended.
After `FAILURES_TO_OPEN` failures in a row the breaker is open: one POST at a time probes the backend, at growing
intervals, until one gets an answer. While the crawl runs, the probes go on. After the crawl, the breaker ends the
delivery when no probe got an answer for `PATIENCE` or `PATIENCE_REFUSED`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from anime_crawler.backend.outcomes import UNCOUNTED, DeliveryStoppedError, MisdirectedError, Outcome
from anime_crawler.config import Config
from anime_crawler.run.report import RunReport

FAILURES_TO_OPEN = 5
"""Failures in a row that open the breaker. A worker that the backend recycles drops at most the POSTs in flight, which
are four at the default CONCURRENCY."""

POLL_S = 0.1
"""Seconds after which a waiting POST looks again whether the run is being stopped."""

PATIENCE = 1.5
"""Longest time without an answer, as a multiple of BACKOFF_MAX_SECONDS: 90 s by default."""

PATIENCE_REFUSED = 0.25
"""Longest time in which all connections are refused, as a multiple of BACKOFF_MAX_SECONDS: 15 s by default. A restart
takes less, so after that no backend is there."""

LONGEST_PAUSE_S = 600
"""Longest Retry-After, in seconds, that a run waits for. A longer one ends the delivery; the rate limiter keeps it for
the next run, for a day at most."""


class CircuitBreaker:
    """`CircuitBreaker` holds the state of the backend as this process sees it.

    Args:
        more_may_come: whether the crawl still runs; as long as it does, a backend that is away is waited for.
        stopping: whether the run is being stopped.
    """

    def __init__(
        self, config: Config, report: RunReport, more_may_come: Callable[[], bool], stopping: Callable[[], bool]
    ) -> None:
        self._config = config
        self._report = report
        self._more_may_come = more_may_come
        self._stopping = stopping
        self._failures = 0
        self._since = 0.0  # when the failures in a row began, or when the crawl ended if that was later
        self._probe_at = 0.0
        self._is_probing = False
        self._culprits: set[str] = set()
        self._paused_until = 0.0
        self._pauses = 0
        self.last = Outcome.DELIVERED
        """Outcome of the latest POST that failed."""
        self.stopped: DeliveryStoppedError | None = None

    @property
    def is_open(self) -> bool:
        """Whether the backend is thought to be away."""
        return self._failures >= FAILURES_TO_OPEN

    @property
    def may_send_now(self) -> bool:
        """Whether a POST could leave now without waiting."""
        return not self.is_open and time.monotonic() >= self._paused_until

    @property
    def blames_many(self) -> bool:
        """Whether the breaker is open because of several titles, or an outcome that says nothing of the record."""
        return self.is_open and (len(self._culprits) > 1 or self.last in UNCOUNTED)

    def has_been_open_for(self, share: float) -> bool:
        """Whether the breaker is open, and the failures have lasted for this share of the longest time."""
        return self.is_open and time.monotonic() - self._since > share * self._patience_s()

    def check(self) -> None:
        """Return while POSTs may still be sent in this run.

        Raises:
            DeliveryStoppedError: if the delivery has ended or the run is being stopped.
        """
        if self.stopped is None and self._stopping():
            self.stopped = DeliveryStoppedError("interrupted")
        if self.stopped is not None:
            raise self.stopped

    def stop(self, kind: str, reason: str, setting: str | None) -> None:
        """End the delivery for a reason that the report tells; after the first call, further ones change nothing."""
        if self.stopped is None:
            self._report.problem("backend", kind, reason, setting)
            self.stopped = DeliveryStoppedError(f"{kind}: {reason}", setting)

    def misdirect(self, reason: str) -> None:
        """End the delivery, because the catalogue is not for this backend.

        Raises:
            MisdirectedError: always.
        """
        self.stopped = MisdirectedError(reason, "BACKEND_BASE_URL")
        raise self.stopped

    async def acquire(self, *, may_probe: bool = True) -> bool:
        """Wait until one POST may leave; the caller then calls `record_success`, `record_failure` or `pause`.

        Args:
            may_probe: whether this POST may be the one that probes a backend that is thought to be away.

        Returns:
            True when the POST may leave. False: the breaker is open and the POST may not probe.

        Raises:
            DeliveryStoppedError: if no POST may leave any more in this run.
        """
        self.check()
        while True:
            if self.is_open and not may_probe:
                return False
            if self._begin_post(time.monotonic()):
                break
            await asyncio.sleep(POLL_S)
            self.check()
            self._check_patience()
        self._report.waiting.pop("backend", None)
        return True

    def record_success(self) -> None:
        """Note that the backend answered, whatever it said of the record. The breaker closes."""
        self._failures = self._pauses = 0
        self._culprits.clear()
        self._is_probing = False

    def record_failure(self, outcome: Outcome, key: str) -> None:
        """Note that a POST got no answer, or one that says that the backend does not work.

        Args:
            key: id of the title whose record was sent.
        """
        now = time.monotonic()
        self._culprits.add(key)
        if self._failures == 0:
            self._since = now
        if outcome is Outcome.UNKNOWN_ERROR:  # a 500 says more of the title than of the backend, so titles are counted
            self._failures = max(self._failures, len(self._culprits))
        else:
            self._failures += 1
        self.last = outcome
        self._is_probing = False
        if self.is_open:
            self._probe_at = now + self._doubled_s(self._failures - FAILURES_TO_OPEN)  # one probe needs no jitter
            self._report.waiting["backend"] = f"{outcome}: trying again now and then"
            self._check_patience()

    def pause(self, seconds: float | None) -> float:
        """Pause all POSTs, because the backend or a proxy has asked for it.

        Args:
            seconds: the pause that was asked for; ``None``: none was stated, and the pause doubles each time.

        Returns:
            The seconds that the pause takes.
        """
        self._is_probing = False
        now = time.monotonic()
        if now >= self._paused_until:  # else this POST left before the pause began
            self._pauses += 1
        wait_s = self.backoff_s(self._pauses - 1) if seconds is None else seconds
        if self._pauses > FAILURES_TO_OPEN and not self._more_may_come():
            self.stop("slow_down", f"the backend asks to wait for {wait_s:.0f} s", "BACKEND_LIMITS")
        self.hold(wait_s)
        return wait_s

    def hold(self, seconds: float) -> None:
        """Let no POST leave for so many seconds; more than `LONGEST_PAUSE_S` end the delivery."""
        if seconds > LONGEST_PAUSE_S:
            self.stop("slow_down", f"the backend asks to wait for {seconds:.0f} s", "BACKEND_LIMITS")
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._report.waiting["backend"] = f"asked to slow down, {seconds:.0f} s"

    def backoff_s(self, failures: int) -> float:
        """Seconds before the next attempt after so many failures: they double, and jitter takes away up to a half."""
        return self._doubled_s(failures) * random.uniform(0.5, 1)  # noqa: S311  jitter, not a secret

    def _doubled_s(self, failures: int) -> float:
        doubled: float = self._config.backoff_base_seconds * 2.0 ** min(failures, 30)
        return min(self._config.backoff_max_seconds, doubled)

    def _begin_post(self, now: float) -> bool:
        if now < self._paused_until:
            return False
        if not self.is_open:
            return True
        if self._is_probing or now < self._probe_at:
            return False
        self._is_probing = True
        return True

    def _check_patience(self) -> None:
        if not self.is_open:
            return
        now = time.monotonic()
        if self._more_may_come():
            self._since = now
        elif now - self._since > self._patience_s():
            what = "the backend stayed away" if self.blames_many else f"every POST of {min(self._culprits)} failed"
            self.stop(self.last, f"{what}; `scrapy deliver` sends the rest", "BACKEND_BASE_URL")

    def _patience_s(self) -> float:
        share = PATIENCE_REFUSED if self.last is Outcome.UNREACHABLE else PATIENCE
        return share * self._config.backoff_max_seconds
