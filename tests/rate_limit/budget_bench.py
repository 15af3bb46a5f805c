"""Both forms of the budgets on a clock that tests move: the file's by its `SystemClock`, Redis' by a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from anime_crawler.rate_limit import redis_scripts as budget_scripts
from anime_crawler.rate_limit.clock import SystemClock
from anime_crawler.rate_limit.limiter import Limiter
from anime_crawler.rate_limit.limits import Limits
from anime_crawler.rate_limit.redis_limiter import RedisLimiter
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter


class FakeClock(SystemClock):
    """Time that passes only when the test says so; the wall clock can be set."""

    def __init__(self) -> None:
        self.uptime, self.offset, self.starts = 1000.0, 1_800_000_000.0, 1

    def wall(self) -> float:
        return self.offset + self.uptime

    def steady(self) -> float:
        return self.uptime

    def boot(self) -> str:
        return f"boot {self.starts}"

    def pass_(self, seconds: float) -> None:
        self.uptime += seconds

    def set_wall(self, seconds: float) -> None:
        """Forward or, when negative, back."""
        self.offset += seconds

    def restart_machine(self, off_s: float) -> None:
        self.offset += self.uptime + off_s
        self.uptime, self.starts = 5.0, self.starts + 1


@dataclass
class Bench:
    """Where budgets are kept, and the clock."""

    clock: FakeClock
    opened: list[Limiter] = field(default_factory=list)

    def open(self) -> Limiter:
        """The budgets as one more process has them."""
        self.opened.append(self._open())
        return self.opened[-1]

    def close(self) -> None:
        for limiter in self.opened:
            limiter.close()

    def _open(self) -> Limiter:
        raise NotImplementedError


@dataclass
class FileBench(Bench):
    """A file."""

    path: Path = Path()

    def _open(self) -> Limiter:
        return SqliteLimiter(self.path, self.clock)


@dataclass
class RedisBench(Bench):
    """A Redis whose TIME is a key."""

    url: str = ""

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.url)
        self.open()  # a client that has seen the time before a test changes it, as every process has

    def _open(self) -> Limiter:
        return FakeTimeLimiter(self.url, self.clock, self.client)

    def close(self) -> None:
        super().close()
        self.client.close()


class FakeTimeLimiter(RedisLimiter):
    """Tells Redis the time before each script."""

    def __init__(self, url: str, clock: FakeClock, client: Any) -> None:
        self._fake, self._client, self._told = clock, client, 0
        super().__init__(url, clock)

    def _run(self, script: str, upstream: str, *arguments: Any) -> list[Any]:
        micros = round(self._fake.wall() * 1e6)
        if micros != self._told:
            self._client.pipeline().delete("clock").rpush("clock", *divmod(micros, 10**6)).execute()
            self._told = micros
        faked = script.replace(budget_scripts.CLOCK, "redis.call('LRANGE', 'clock', 0, 1)")
        assert faked != script
        return super()._run(faked, upstream, *arguments)


def send(limiter: Limiter, clock: FakeClock, limits: Limits, count: int, upstream: str = "a") -> list[float]:
    """Uptimes at which the requests were let through, each as soon as possible."""
    times: list[float] = []
    place = ""
    while len(times) < count:
        wait = limiter.acquire(upstream, limits, place)
        if wait is None:
            times.append(clock.uptime)
            place = ""
        else:
            place = wait.place
            clock.pass_(wait.seconds)
    return times
