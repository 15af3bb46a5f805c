"""When a POST may leave: not while the backend is away, asked for a pause, or delivery has ended.

After FAILURES_TO_OPEN failures in a row the breaker is open: one POST at a time tries, at growing intervals, until one
gets an answer. While the crawl runs this goes on for ever; afterwards patience ends.
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
"""A recycling worker drops at most the posts in flight; five in a row are more than that at CONCURRENCY 4."""

POLL_S = 0.1
"""How soon a waiting POST sees that the run is being stopped."""

PATIENCE = 1.5
"""Deadline without an answer, in longest pauses (BACKOFF_MAX_SECONDS): 90 s by default."""

PATIENCE_REFUSED = 0.25
"""The same while connections are refused outright: 15 s by default. A restart is over by then; else nobody is there."""


LONGEST_PAUSE_S = 600
"""A longer Retry-After is better waited for by the next run; the budgets keep it for that one, for a day at most."""


class CircuitBreaker:
    """State of the backend as this process sees it."""

    def __init__(
        self, config: Config, report: RunReport, more_may_come: Callable[[], bool], stopping: Callable[[], bool]
    ) -> None:
        self._config = config
        self._report = report
        self._more_may_come = more_may_come
        self._stopping = stopping
        self._failures = 0
        self._since = 0.0  # when the trouble began, or the crawl ended if that was later
        self._probe_at = 0.0
        self._is_probing = False
        self._culprits: set[str] = set()
        self._paused_until = 0.0
        self._pauses = 0
        self.last = Outcome.DELIVERED
        """How the POST ended that failed last."""
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
        """Whether the backend is thought to be away, and not just unable to take one record."""
        return self.is_open and (len(self._culprits) > 1 or self.last in UNCOUNTED)

    def has_been_open_for(self, share: float) -> bool:
        """Whether the backend has been away for this share of the time it is given."""
        return self.is_open and time.monotonic() - self._since > share * self._patience_s()

    def check(self) -> None:
        """Raises DeliveryStoppedError when nothing may be sent any more."""
        if self.stopped is None and self._stopping():
            self.stopped = DeliveryStoppedError("interrupted")
        if self.stopped is not None:
            raise self.stopped

    def stop(self, kind: str, reason: str, setting: str | None) -> None:
        """End the delivery for a reason that a person must know; the first one stays."""
        if self.stopped is None:
            self._report.problem("backend", kind, reason, setting)
            self.stopped = DeliveryStoppedError(f"{kind}: {reason}", setting)

    def misdirect(self, reason: str) -> None:
        """End the delivery: nothing of the catalogue is for this backend.

        Raises:
            MisdirectedError: always.
        """
        self.stopped = MisdirectedError(reason, "BACKEND_BASE_URL")
        raise self.stopped

    async def enter(self, *, may_probe: bool = True) -> bool:
        """Return when one POST may leave; `record_success`, `record_failure` or `pause` must follow.

        Args:
            may_probe: whether this POST may be the one that tries whether a backend is back.

        Returns:
            False: it may not, and the backend is thought to be away.

        Raises:
            DeliveryStoppedError: none may, in this run.
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
        """The backend answered, whatever it said of the record."""
        self._failures = self._pauses = 0
        self._culprits.clear()
        self._is_probing = False

    def record_failure(self, outcome: Outcome, key: str) -> None:
        """No answer, or one that says that the backend is not well.

        Args:
            key: of the title whose record was sent.
        """
        now = time.monotonic()
        self._culprits.add(key)
        if self._failures == 0:
            self._since = now
        if outcome is Outcome.UNKNOWN_ERROR:  # an answer: it says more of the title than of the backend
            self._failures = max(self._failures, len(self._culprits))
        else:
            self._failures += 1
        self.last = outcome
        self._is_probing = False
        if self.is_open:
            self._probe_at = now + self._doubled_s(self._failures - FAILURES_TO_OPEN)  # one tries: no jitter needed
            self._report.waiting["backend"] = f"{outcome}: trying again now and then"
            self._check_patience()

    def pause(self, seconds: float | None) -> float:
        """The backend, or a proxy, asked for a pause of everything.

        Args:
            seconds: as it said; ``None``: it did not say how long.

        Returns:
            Seconds that it takes.
        """
        self._is_probing = False
        now = time.monotonic()
        if now >= self._paused_until:  # else the others of a burst say the same
            self._pauses += 1
        wait_s = self.backoff_s(self._pauses - 1) if seconds is None else seconds
        if self._pauses > FAILURES_TO_OPEN and not self._more_may_come():
            self.stop("slow_down", f"the backend asks to wait for {wait_s:.0f} s", "BACKEND_LIMITS")
        self.hold(wait_s)
        return wait_s

    def hold(self, seconds: float) -> None:
        """Let no POST leave for so long; where a run does not wait for that, it ends the delivery."""
        if seconds > LONGEST_PAUSE_S:
            self.stop("slow_down", f"the backend asks to wait for {seconds:.0f} s", "BACKEND_LIMITS")
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._report.waiting["backend"] = f"asked to slow down, {seconds:.0f} s"

    def backoff_s(self, failures: int) -> float:
        """Seconds before the next attempt after this many failures: doubling, with jitter, at least half of it."""
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
