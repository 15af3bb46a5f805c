"""A full import under the enforced limits, on a clock that does not wait."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from anime_crawler.politeness.budget import Budgets
from anime_crawler.politeness.clock import SystemClock
from anime_crawler.politeness.limits import Limits, parse_limits

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


def upstream_seconds(name: str, limits: Limits, count: int, parallel: int) -> tuple[float, int]:
    """(seconds until the last answer, violations) for `count` requests, at most `parallel` in flight."""
    clock = SimulatedClock()
    began, sent, in_flight = clock.now, [], []
    with TemporaryDirectory() as directory:
        budgets = Budgets(Path(directory) / "budgets.sqlite", clock=clock)
        for _ in range(count):
            if len(in_flight) == parallel:
                clock.now = max(clock.now, in_flight.pop(0))
            while wait := budgets.reserve(name, limits):
                clock.now += wait.seconds
            sent.append(clock.now)
            in_flight.append(clock.now + LATENCY_S)
    return max(in_flight) - began, violations(sent, limits)


def full_import_minutes(pages: int, batches: int) -> tuple[float, int]:
    """(minutes, violations) of the whole import: Kodik's pages one by one, the metadata batches beside them."""
    kodik_s, kodik_broken = upstream_seconds("kodik", parse_limits("2/s,30/min"), pages, parallel=1)
    shikimori_s, shikimori_broken = upstream_seconds("shikimori", parse_limits("5/s,90/min"), batches, parallel=2)
    return max(kodik_s, shikimori_s + 60) / 60, kodik_broken + shikimori_broken
