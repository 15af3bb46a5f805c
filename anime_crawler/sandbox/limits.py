"""Upstream limits, enforced: real 429s, and a count of every request that broke a rule."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from anime_crawler.sandbox.wire import Reply, cloudflare_reply

TOLERANCE_S = 0.05
"""Requests sent a full window apart may arrive this much closer together."""


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

    def clear(self) -> None:
        """Start the counts anew; requests already made still fill the windows."""
        self.refused = self.violations = 0
        for window in self.windows:
            window.peak = 0

    def figures(self) -> dict[str, object]:
        """For the statistics."""
        peaks = {f"{w.seconds}s": w.peak for w in self.windows}
        return {"refused_by_limits": self.refused, "violations": self.violations, "peaks": peaks}


class ShuttingOut(Limiter):
    """A site behind Cloudflare: who comes too early sees its challenge instead of a 429."""

    def _refusal(self, now: float) -> Reply:
        return cloudflare_reply(403)


def kodik_limits(enforced: bool) -> Limiter:
    """30 a minute: what its most careful client keeps to; Kodik publishes no number."""
    return Limiter([Window(30, 60, by_clock=False)], enforced, names_wait=True)


def shikimori_limits(enforced: bool) -> Limiter:
    """5 a second and 90 a minute, in windows of the clock; never says how long to wait."""
    return Limiter([Window(5, 1, by_clock=True), Window(90, 60, by_clock=True)], enforced, names_wait=False)


def anisearch_limits(enforced: bool) -> Limiter:
    """One in 3 s: its most careful reader waits 2 to 3 s, and one a second was shut out; AniSearch states nothing."""
    return ShuttingOut([Window(1, 3, by_clock=False)], enforced, names_wait=False)


def anime_planet_limits(enforced: bool) -> Limiter:
    """One in 5 s, 12 a minute: what a crawler of 2026 keeps to; Anime-Planet states nothing."""
    return ShuttingOut([Window(1, 5, by_clock=False), Window(12, 60, by_clock=False)], enforced, names_wait=False)


LIMITERS: dict[str, Callable[[bool], Limiter]] = {
    "kodik": kodik_limits,
    "shikimori": shikimori_limits,
    "anisearch": anisearch_limits,
    "anime_planet": anime_planet_limits,
}
"""The simulated upstreams, by the name of their source."""
