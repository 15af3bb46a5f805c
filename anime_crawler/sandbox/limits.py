"""Upstream limits, enforced: real 429s, and a count of every request that broke a rule."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from anime_crawler.politeness.limits import Limits
from anime_crawler.sandbox.wire import Reply

TOLERANCE_S = 0.05
"""Requests sent a full window apart may arrive this much closer together."""


BAN_S = 86_400
"""Bans last from 6 hours to two days."""


@dataclass
class Window:
    """At most `count` requests in `seconds`.

    Attributes:
        by_clock: counted in windows of the clock (second, minute), as rack-attack does; else in any stretch of time.
    """

    count: int
    seconds: int
    by_clock: bool
    arrivals: deque[float] = field(default_factory=deque)
    """Of the last `seconds`, monotonic."""
    peak: int = 0
    """Most requests seen in any stretch of `seconds`."""
    _clock: tuple[int, int] = (0, 0)
    """Which clock window, how many requests in it."""

    def arrive(self, now: float, wall: float) -> tuple[bool, bool]:
        """Count one request: (must it be refused, does it break the rule in any stretch of time)."""
        while self.arrivals and self.arrivals[0] <= now - self.seconds + TOLERANCE_S:
            self.arrivals.popleft()
        self.arrivals.append(now)
        self.peak = max(self.peak, len(self.arrivals))
        number = int(wall // self.seconds)
        self._clock = (number, self._clock[1] + 1 if number == self._clock[0] else 1)
        broken = len(self.arrivals) > self.count
        return (self._clock[1] > self.count if self.by_clock else broken), broken

    def wait_s(self, now: float) -> int:
        """Whole seconds until the oldest counted request is out of the window."""
        return max(1, round(self.arrivals[0] + self.seconds - now + 0.5))


class Limiter:
    """The windows of one service. `enforced` False: everything passes, nothing is a violation."""

    def __init__(self, windows: list[Window], enforced: bool, names_wait: bool) -> None:
        self.windows = windows
        self.enforced = enforced
        self.names_wait = names_wait
        self.refused = 0
        self.violations = 0

    def check(self) -> Reply | None:
        """The 429 for a request that comes too early; ``None`` when it may pass."""
        now, wall = time.monotonic(), time.time()
        verdicts = [window.arrive(now, wall) for window in self.windows]
        if not self.enforced:
            return None
        self.violations += any(refused or broken for refused, broken in verdicts)
        if not any(refused for refused, _ in verdicts):
            return None
        self.refused += 1
        return self._refusal(now)

    def _refusal(self, now: float) -> Reply:
        if not self.names_wait:
            return Reply(429, b"Retry later\n", "text/plain")
        wait = max(window.wait_s(now) for window in self.windows if len(window.arrivals) > window.count)
        return Reply(429, b'{"error":"Too many requests"}', headers={"retry-after": str(wait)})

    def replace(self, limits: Limits) -> None:
        """Enforce these from now on, in place of the service's own."""
        self.enforced = True
        self.windows = [Window(window.count, int(window.seconds), by_clock=False) for window in limits.windows]

    def clear(self) -> None:
        """Start the counts anew; requests already made still fill the windows."""
        self.refused = self.violations = 0
        for window in self.windows:
            window.peak = 0

    def figures(self) -> dict[str, object]:
        """For the statistics."""
        peaks = {f"{w.seconds}s": w.peak for w in self.windows}
        return {"refused_by_limits": self.refused, "violations": self.violations, "peaks": peaks}


def kodik_limits(enforced: bool) -> Limiter:
    """30 a minute: what its most careful client keeps to; Kodik publishes no number."""
    return Limiter([Window(30, 60, by_clock=False)], enforced, names_wait=True)


def shikimori_limits(enforced: bool) -> Limiter:
    """5 a second and 90 a minute, in windows of the clock; never says how long to wait."""
    return Limiter([Window(5, 1, by_clock=True), Window(90, 60, by_clock=True)], enforced, names_wait=False)


class BanningLimiter(Limiter):
    """Who breaks a rule is banned for a day; each request meanwhile is a breach too, and begins the day anew."""

    banned_until = float("-inf")
    """Monotonic."""

    def check(self) -> Reply | None:
        now, is_broken = time.monotonic(), super().check() is not None
        if not self.enforced or (not is_broken and now >= self.banned_until):
            return None
        if not is_broken:
            self.refused += 1
            self.violations += 1
        self.banned_until = now + BAN_S
        return Reply(200, b'<error code="500">banned</error>', "text/xml")

    def replace(self, limits: Limits) -> None:
        super().replace(limits)
        self.banned_until = float("-inf")


def anidb_limits(enforced: bool) -> Limiter:
    """One in two seconds, one in four sustained, 250 a day: what its users have found out, none of it published."""
    windows = [Window(1, 2, by_clock=False), Window(15, 60, by_clock=False), Window(250, 86_400, by_clock=False)]
    return BanningLimiter(windows, enforced, names_wait=False)


LIMITERS: dict[str, Callable[[bool], Limiter]] = {
    "kodik": kodik_limits,
    "shikimori": shikimori_limits,
    "anidb": anidb_limits,
}
"""The simulated upstreams, by the name of their source."""
