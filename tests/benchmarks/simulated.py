"""Requests under the enforced limits, on a clock that does not wait: the budgets' own code says when each may go."""

from __future__ import annotations

from anime_crawler.rate_limit.clock import SystemClock
from anime_crawler.rate_limit.limits import Limits, parse_limits
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from anime_crawler.sandbox.server.limits import LIMITERS

LATENCY_S = 0.3  # an answer of a real upstream, generously


def violations(times: list[float], limits: Limits) -> int:
    """How many requests came while a window was full, counted by sliding every window over all of them."""
    broken = 0
    for window in limits.windows:
        for i in range(window.count, len(times)):
            broken += times[i] - times[i - window.count] < window.seconds
    return broken


class SimulatedClock(SystemClock):
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def wall(self) -> float:
        return self.now

    def steady(self) -> float:
        return self.now

    def boot(self) -> str:
        return "one"


class SimulatedUpstream:
    """An upstream that is asked as often as its limits allow.

    Args:
        name: of the source; `limits`: of its card.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.clock = SimulatedClock()
        self.sent: list[float] = []
        """When each request left."""
        self._limiter = SqliteLimiter(":memory:", clock=self.clock)

    def ask(self, count: int, parallel: int = 1) -> float:
        """Send `count` requests, at most `parallel` in flight; gives the seconds until the last answer."""
        began, in_flight = self.clock.now, list[float]()
        for _ in range(count):
            if len(in_flight) == parallel:
                self.clock.now = max(self.clock.now, in_flight.pop(0))
            while wait := self._limiter.acquire(self.name, self.limits):
                self.clock.now += wait.seconds
            self.sent.append(self.clock.now)
            in_flight.append(self.clock.now + LATENCY_S)
        self.clock.now = max(in_flight, default=began)
        return self.clock.now - began

    def violations(self) -> int:
        """Requests that broke the card's limits, or those that the sandbox's upstream enforces."""
        windows = LIMITERS[self.name](True).windows
        verdicts = ([any(window.arrive(at, at)) for window in windows] for at in self.sent)
        return sum(map(any, verdicts)) + violations(self.sent, self.limits)


def full_import_minutes(pages: int, batches: int) -> tuple[float, int]:
    """(minutes, violations) of the whole import: Kodik's pages one by one, the metadata batches beside them."""
    kodik = SimulatedUpstream("kodik", parse_limits("2/s,30/min"))
    shikimori = SimulatedUpstream("shikimori", parse_limits("5/s,90/min"))
    seconds = max(kodik.ask(pages), shikimori.ask(batches, parallel=2) + 60)
    return seconds / 60, kodik.violations() + shikimori.violations()
