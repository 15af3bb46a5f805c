"""Upstream limits, enforced: real 429s, and a count of every request that broke a rule."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from anime_crawler.rate_limit.limits import Limits
from anime_crawler.sandbox.server.wire import Reply, cloudflare_reply, json_reply

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

    @property
    def in_clock_window(self) -> int:
        """Requests in the present window of the clock, the last one among them."""
        return self._clock[1]

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


class KitsuLimiter(Limiter):
    """Says 429 as JSON:API does, but with a number where a text is usual, and never how long to wait."""

    def _refusal(self, now: float) -> Reply:
        return Reply(429, b'{"errors":[{"status":429,"title":"Rate Limit Exceeded"}]}', "application/vnd.api+json")


class AnimeScheduleLimiter(Limiter):
    """Says in every answer how many requests are left until when."""

    def headers(self) -> dict[str, str]:
        (window,) = self.windows
        left = window.count - window.in_clock_window if self.enforced else window.count
        reset = (int(time.time()) // window.seconds + 1) * window.seconds
        names = {"limit": window.count, "remaining": max(0, left), "reset": reset}
        return {f"x-ratelimit-{name}": str(value) for name, value in names.items()}

    def _refusal(self, now: float) -> Reply:
        return Reply(429, b"Too Many Requests", "text/plain")


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


def jikan_limits(enforced: bool) -> Limiter:
    """3 a second and 60 a minute, as documented."""
    return JikanLimiter([Window(3, 1, by_clock=False), Window(60, 60, by_clock=False)], enforced, names_wait=False)


def anilist_limits(enforced: bool) -> Limiter:
    """30 a minute, as since 2024; and a limit for bursts whose size nobody publishes: 5 a second is our guess."""
    return AnilistLimiter([Window(30, 60, by_clock=False), Window(5, 1, by_clock=False)], enforced, names_wait=True)


def kitsu_limits(enforced: bool) -> Limiter:
    """60 a minute: Kitsu states nothing for reading; its public clients keep to one request in 1 to 1.5 s."""
    return KitsuLimiter([Window(60, 60, by_clock=False)], enforced, names_wait=False)


def animeschedule_limits(enforced: bool) -> Limiter:
    """120 a minute, as its documentation says; the reset of its headers is the end of a minute of the clock."""
    return AnimeScheduleLimiter([Window(120, 60, by_clock=True)], enforced, names_wait=False)


def anisearch_limits(enforced: bool) -> Limiter:
    """One in 3 s: its most careful reader waits 2 to 3 s, and one a second was shut out; AniSearch states nothing."""
    return ShuttingOut([Window(1, 3, by_clock=False)], enforced, names_wait=False)


def anime_planet_limits(enforced: bool) -> Limiter:
    """One in 5 s, 12 a minute: what a crawler of 2026 keeps to; Anime-Planet states nothing."""
    return ShuttingOut([Window(1, 5, by_clock=False), Window(12, 60, by_clock=False)], enforced, names_wait=False)


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
    "jikan": jikan_limits,
    "anilist": anilist_limits,
    "kitsu": kitsu_limits,
    "animeschedule": animeschedule_limits,
    "anisearch": anisearch_limits,
    "anime_planet": anime_planet_limits,
    "anidb": anidb_limits,
}
"""The simulated upstreams, by the name of their source."""
