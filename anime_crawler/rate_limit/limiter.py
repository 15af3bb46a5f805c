"""`Limiter` decides which request may leave, and when; `open_limiter` opens the form that the settings choose.

`SqliteLimiter` serves the processes of one machine, and `RedisLimiter` those of several machines. Both count with the
constants and functions of this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from anime_crawler.config import Config, ConfigError
from anime_crawler.rate_limit.limits import Limits, Window

LIMITER_FILE = Path("var/politeness.sqlite")
"""Every process that works in this directory counts its requests in this file; with REDIS_URL they are in Redis."""
LONGEST_WAIT_S = 3600.0  # a run waits for an hour's window; a day's quota ends it, and it can be resumed
BREAKER_THRESHOLD = 5  # failures in a row that open the breaker; a restart of one of the upstream's workers gives fewer
FIRST_REST_S = 30.0  # long enough for a restart of the upstream
LONGEST_REST_S = 300.0  # the rest doubles up to this: 5 requests and 4 probes in the first ten minutes of an outage
CLOCKS_APART_S = 0.001  # the caller's clock and the storage's may differ by this over the length of one request
ASK_AGAIN_S = 1.0  # a request that waits asks so often, because it moves up when those ahead of it give up or die


class LimiterError(ConfigError):
    """The budgets cannot be opened, read or written. No request is sent then, because no limit would hold."""

    exit_code = 2
    """The configuration names a file that cannot be written."""


@dataclass(frozen=True)
class Wait:
    """A `Wait` says why a request may not be sent yet."""

    seconds: float
    """Seconds after which the caller may ask again. It may have to wait again, because others may be faster."""
    cause: Literal["limit", "penalty", "breaker", "outage"]
    reason: str
    """The reason in words for people, such as ``limit 30/min``."""
    place: str = ""
    """The request's place in the queue, if the limiter has one. The caller asks again with it every `ASK_AGAIN_S`, or
    loses it."""

    @property
    def pause_s(self) -> float:
        """Seconds until the caller should ask again."""
        return min(self.seconds, ASK_AGAIN_S) if self.place else self.seconds


class Limiter(Protocol):
    """The limiter decides, for all processes that share it, which request may be sent and when. Every call is atomic.

    An upstream is a name that `budget_of` gives. A request is remembered for as long as the longest window that any of
    these processes has for the upstream, on the card or in a setting. So a process with short windows, or with none,
    removes nothing from the count of the others.

    Raises:
        LimiterError: any method may raise it.
    """

    def acquire(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        """Ask whether a request may be sent now.

        A turn is never reserved ahead, so a process that dies while it waits uses up nothing.

        Args:
            place: the `place` of the `Wait` that the last call for this request returned.

        Returns:
            ``None`` if the request may be sent now; it is counted. Otherwise a `Wait`, and nothing is counted.
        """
        ...

    def late(self, upstream: str, limits: Limits, ago_s: float, by_s: float) -> None:
        """Count the request that left `ago_s` seconds ago as if it had left `by_s` later: it may have arrived late."""
        ...

    def penalize(self, upstream: str, seconds: float, why: str) -> None:
        """Let no process ask the upstream for so many seconds. A penalty that ends later stays in force."""
        ...

    def record_failure(self, upstream: str) -> None:
        """Count one more failure of the upstream. The breaker opens at the fifth in a row (`BREAKER_THRESHOLD`)."""
        ...

    def record_success(self, upstream: str) -> None:
        """Note that the upstream answered as it should, which closes the breaker."""
        ...

    def used(self, upstream: str, limits: Limits) -> dict[str, int]:
        """Number of requests sent in each window that ends now: ``{"5/s": 0, "90/min": 12}``."""
        ...

    def resting(self, upstream: str) -> Wait | None:
        """The penalty or ban that is in force now, if there is one."""
        ...

    def exhausted(self, upstream: str, limits: Limits) -> Wait | None:
        """The wait for a window that is full for longer than a run waits, such as a day's quota, if there is one."""
        ...

    def close(self) -> None: ...


def open_limiter(config: Config, path: Path) -> Limiter:
    """Open the limiter in Redis if REDIS_URL is set, or else in the SQLite file at `path`.

    Raises:
        LimiterError: if the Redis or the file cannot be used.
    """
    # Both are imported here because they import this module, and because the Redis library takes 0.05 s to import.
    if config.redis_url:
        from anime_crawler.rate_limit.redis_limiter import RedisLimiter

        return RedisLimiter(config.redis_url)
    from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter

    return SqliteLimiter(path)


def remembered_s(limits: Limits) -> float:
    """Seconds for which these limits need a request remembered: their longest window or the card's; 0 without one."""
    return _stretched(max([limits.card_window_s, *(window.seconds for window in limits.windows)]))


def stretched_s(window: Window) -> float:
    """Seconds after which the limiter counts a window as free again: its length and 4 % more, at most half a second.

    Requests may arrive closer together than they were sent. `Limiter.late` makes up for long delays. The 4 % make up
    for delays that are too short to be told, 30 ms in the crawler, and leave 95 % of every window to be used.
    """
    return _stretched(window.seconds)


def _stretched(seconds: float) -> float:
    return seconds + min(0.04 * seconds, 0.5)
