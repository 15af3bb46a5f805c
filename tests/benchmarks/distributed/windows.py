"""How well four workers use the windows of every source, and whether they ever go beyond one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from anime_crawler.rate_limit.limits import Limits, Window, parse_limits
from anime_crawler.sources import cards
from tests.benchmarks.distributed.servers import Servers
from tests.rate_limit.budget_bench import FakeClock, RedisBench, send
from tests.rate_limit.budget_hammer import for_seconds, start, turns_of

WORKERS = 4
SECONDS = 125.0  # two windows of a minute and a little
DAYS = 3  # simulated, for windows that are longer than the measurement


@dataclass(frozen=True)
class Used:
    """Of one source's windows."""

    source: str
    limits: Limits
    share: float
    """Seconds that whoever keeps exactly to the windows would take for as many turns, by those that were taken."""
    most: dict[Window, int]
    """Turns in the fullest stretch of a window's length."""

    @property
    def is_kept(self) -> bool:
        return all(most <= window.count for window, most in self.most.items())


def measured(servers: Servers) -> list[Used]:
    """Of all sources at once, by real processes."""
    limits = {name: card.limits for name, card in cards().items() if card.limits}
    groups = [start(servers.redis.url(database), text, WORKERS) for database, text in enumerate(limits.values())]
    with ThreadPoolExecutor(len(groups)) as threads:
        shares = list(threads.map(lambda group: turns_of(group, for_seconds(SECONDS)), groups))
    turns = [sorted(time for share in group for time in share) for group in shares]
    return [used(name, parse_limits(text), times) for (name, text), times in zip(limits.items(), turns, strict=True)]


def simulated(servers: Servers) -> list[Used]:
    """Of sources with windows that nobody waits for here: on a clock that does not wait, with a real Redis."""
    long = {name: limits for name, card in cards().items() if longest_s(limits := parse_limits(card.limits)) > SECONDS}
    return [used(name, limits, simulated_turns(servers, limits)) for name, limits in long.items()]


def longest_s(limits: Limits) -> float:
    """Length of the longest window."""
    return max((window.seconds for window in limits.windows), default=0)


def simulated_turns(servers: Servers, limits: Limits) -> list[float]:
    """Of four workers in turn."""
    clock = FakeClock()
    bench = RedisBench(clock, url=servers.redis.url(len(cards())))
    bench.client.flushdb()
    workers = [bench.open() for _ in range(WORKERS)]
    most = DAYS * max(window.count for window in limits.windows)
    times = [send(workers[number % WORKERS], clock, limits, 1)[0] for number in range(most + 1)]
    bench.close()
    return times


def used(source: str, limits: Limits, times: list[float]) -> Used:
    """What the times of the turns say."""
    *_, exact = (moment for moment, _ in zip(exactly(limits), times, strict=False))
    most = {window: most_in(times, window.seconds) for window in limits.windows}
    return Used(source, limits, exact / (times[-1] - times[0]), most)


def exactly(limits: Limits) -> Iterator[float]:
    """Seconds from the first turn to each, for whoever keeps exactly to the windows."""
    times: list[float] = []
    for number in count():
        full = [times[number - window.count] + window.seconds for window in limits.windows if number >= window.count]
        times.append(max([0.0, *times[-1:], *full]))
        yield times[-1]


def most_in(times: list[float], seconds: float) -> int:
    """The largest number of turns in any stretch shorter than this."""
    first = most = 0
    for number, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, number - first + 1)
    return most
