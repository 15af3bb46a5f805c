"""Upstream limits, enforced: real 429s, and a count of every request that broke a rule."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from anime_crawler.sandbox.wire import Reply, json_reply

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

    def headers(self) -> dict[str, str]:
        """What every answer says of the limits."""
        return {}

    def clear(self) -> None:
        """Start the counts anew; requests already made still fill the windows."""
        self.refused = self.violations = 0
        for window in self.windows:
            window.peak = 0

    def figures(self) -> dict[str, object]:
        """For the statistics."""
        peaks = {f"{w.seconds}s": w.peak for w in self.windows}
        return {"refused_by_limits": self.refused, "violations": self.violations, "peaks": peaks}


class JikanLimiter(Limiter):
    """Its refusal says nothing of how long to wait, and has its status as text."""

    def _refusal(self, now: float) -> Reply:
        message = "You are being rate-limited. Please follow Rate Limiting guidelines: https://docs.api.jikan.moe/"
        return json_reply({"status": "429", "type": "RateLimitException", "message": message, "error": None}, 429)


class AnilistLimiter(Limiter):
    """Says on every answer what is left; who goes over it is locked out for a minute."""

    locked_until = 0.0
    """Monotonic."""

    def check(self) -> Reply | None:
        now = time.monotonic()
        if self.enforced and now < self.locked_until:
            self.refused += 1
            self.violations += 1
            return self._refusal(now)
        refusal = super().check()
        if refusal:
            self.locked_until = now + 60
            return self._refusal(now)
        return None

    def _refusal(self, now: float) -> Reply:
        wait = max(1, round(self.locked_until - now))
        headers = {"retry-after": str(wait), "x-ratelimit-reset": str(round(time.time()) + wait)}
        body = {"data": None, "errors": [{"message": "Too Many Requests.", "status": 429}]}
        return Reply(429, orjson.dumps(body), headers={**self.headers(), **headers, "x-ratelimit-remaining": "0"})

    def headers(self) -> dict[str, str]:
        minute = self.windows[0]
        left = max(0, minute.count - len(minute.arrivals)) if self.enforced else minute.count
        return {"x-ratelimit-limit": str(minute.count), "x-ratelimit-remaining": str(left)}


def kodik_limits(enforced: bool) -> Limiter:
    """30 a minute: what its most careful client keeps to; Kodik publishes no number."""
    return Limiter([Window(30, 60, by_clock=False)], enforced, names_wait=True)


def shikimori_limits(enforced: bool) -> Limiter:
    """5 a second and 90 a minute, in windows of the clock; never says how long to wait."""
    return Limiter([Window(5, 1, by_clock=True), Window(90, 60, by_clock=True)], enforced, names_wait=False)


def jikan_limits(enforced: bool) -> Limiter:
    """3 a second and 60 a minute, as documented."""
    return JikanLimiter([Window(3, 1, by_clock=False), Window(60, 60, by_clock=False)], enforced, names_wait=False)


def anilist_limits(enforced: bool) -> Limiter:
    """30 a minute, as since 2024; and a limit for bursts whose size nobody publishes: 5 a second is our guess."""
    return AnilistLimiter([Window(30, 60, by_clock=False), Window(5, 1, by_clock=False)], enforced, names_wait=True)


LIMITERS: dict[str, Callable[[bool], Limiter]] = {
    "kodik": kodik_limits,
    "shikimori": shikimori_limits,
    "jikan": jikan_limits,
    "anilist": anilist_limits,
}
"""The simulated upstreams, by the name of their source."""
