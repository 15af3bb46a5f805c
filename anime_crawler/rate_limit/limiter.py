"""What every form of the limiter shares: the interface, its error, its constants, and the choice of SQLite or Redis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from anime_crawler.config import Config, ConfigError
from anime_crawler.rate_limit.limits import Limits, Window

LIMITER_FILE = Path("var/politeness.sqlite")
"""Requests sent, shared by every process that works in this directory; with REDIS_URL they are in Redis."""
LONGEST_WAIT_S = 3600.0  # an hour's window is waited for; a day's quota ends the run, which can be resumed
BREAKER_THRESHOLD = 5  # failures in a row: fewer happen when one worker of the upstream restarts
FIRST_REST_S = 30.0  # long enough for a restart of the upstream
LONGEST_REST_S = 300.0  # with doubling: 5 requests and 4 probes in the first ten minutes of an outage
CLOCKS_APART_S = 0.001  # between the asker's clock and the storage's, over the length of one request
ASK_AGAIN_S = 1.0  # who stands in line moves up when those ahead give up or die


class LimiterError(ConfigError):
    """The budgets cannot be opened, read or written. Without them no limit would hold, so nothing is sent."""

    exit_code = 2
    """A file that cannot be written is a matter of configuration."""


@dataclass(frozen=True)
class Wait:
    """Why a request may not be sent yet."""

    seconds: float
    """After this time ask again; others may have been faster."""
    cause: Literal["limit", "penalty", "breaker", "outage"]
    reason: str
    """For people: ``limit 30/min``."""
    place: str = ""
    """Where those who wait stand in line: the place in it. Ask again with it every `ASK_AGAIN_S`, or lose it."""

    @property
    def pause_s(self) -> float:
        """Seconds until the next time of asking."""
        return min(self.seconds, ASK_AGAIN_S) if self.place else self.seconds


class Limiter(Protocol):
    """The budget storage decides who may send a request, and when, for all who share it. Every call is one step.

    An upstream is a name that `budget_of` gives. A request is remembered for as long as the longest window that
    anybody who shares the storage has for its upstream, on the card or in a setting: who has short windows, or none,
    takes nothing from the count of the others.

    Raises:
        LimiterError: from every method.
    """

    def acquire(self, upstream: str, limits: Limits, place: str = "") -> Wait | None:
        """``None``: send now, it is counted. Else nothing is counted, and how long to wait before asking again.

        Nothing is reserved ahead, so that a process that dies while waiting takes nothing with it.

        Args:
            place: of the `Wait` that the last time of asking gave.
        """
        ...

    def late(self, upstream: str, limits: Limits, ago_s: float, by_s: float) -> None:
        """The request that was let go `ago_s` ago may have arrived `by_s` late: windows count it from then."""
        ...

    def penalize(self, upstream: str, seconds: float, why: str) -> None:
        """Let nobody ask the upstream for this long; a longer penalty that holds already stays."""
        ...

    def record_failure(self, upstream: str) -> None:
        """The upstream failed us once more; the breaker opens at the fifth time in a row."""
        ...

    def record_success(self, upstream: str) -> None:
        """The upstream answered as it should: the breaker closes."""
        ...

    def used(self, upstream: str, limits: Limits) -> dict[str, int]:
        """Requests sent in each window that ends now, by window: ``{"5/s": 0, "90/min": 12}``."""
        ...

    def resting(self, upstream: str) -> Wait | None:
        """The penalty or ban that holds now, if any."""
        ...

    def exhausted(self, upstream: str, limits: Limits) -> Wait | None:
        """The window that has no room for longer than a run waits, a day's quota, if any."""
        ...

    def close(self) -> None: ...


def open_limiter(config: Config, path: Path) -> Limiter:
    """Redis where REDIS_URL is set, else the SQLite file at `path`.

    Raises:
        LimiterError: it cannot be used.
    """
    # Both are imported here because they import this module, and because the Redis library takes 0.05 s to import.
    if config.redis_url:
        from anime_crawler.rate_limit.redis_limiter import RedisLimiter

        return RedisLimiter(config.redis_url)
    from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter

    return SqliteLimiter(path)


def remembered_s(limits: Limits) -> float:
    """For how long a request is remembered for these limits: their longest window, or the card's; 0: not at all."""
    return _stretched(max([limits.card_window_s, *(window.seconds for window in limits.windows)]))


def stretched_s(window: Window) -> float:
    """Seconds after which a window is taken to have room again: 4 % more, half a second at most.

    Requests sent apart may arrive closer together. What `Limiter.late` tells of makes up for long delays; this
    is for those too short to be told, 30 ms in the crawler, and leaves 95 % of every window to be used.
    """
    return _stretched(window.seconds)


def _stretched(seconds: float) -> float:
    return seconds + min(0.04 * seconds, 0.5)
