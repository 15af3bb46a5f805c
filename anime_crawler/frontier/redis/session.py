"""This process as one of a crawl's workers: its signs of life, and what it may do while Redis does not answer.

    working ──Redis does not answer──▶ away ──it answers──▶ working
       │                                 └──for too long──▶ the run ends here, exit code 3
       └──others took over──▶ lost: nothing in flight is stored or acked, and the run ends here, exit code 3

A worker that was lost does not go on: spiders and pipelines remember what they have seen, also what was not stored.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Self

from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.store import FrontierAway, FrontierError, LeaseLost

logger = logging.getLogger(__name__)

# Linux's CLOCK_MONOTONIC stands still while the machine sleeps, and then a lease would seem to last for ever.
STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
SIGNS_PER_LEASE = 4  # three may fail before others take over
RETRY_S = 1.0  # most seconds between two looks for a Redis that is away
POLL_S = 0.1  # how often those who wait look whether they may go on


LOST = (
    "this worker was silent for too long, or Redis has lost the crawl: others may have taken over what it was at. The "
    "same command continues"
)


class Post(Protocol):
    """A `Post` does a worker's work for one spider."""

    def recover(self) -> None:
        """Redis answers: do what was put off, and give back what nobody holds any more."""


class WorkerSession:
    """Give signs of life from entering to leaving the context.

    Args:
        run: what tells the run from any other.
        about: what the worker tells of itself, plain JSON values.
        end: ends the run in this process: message and exit code.
        is_stopping: whether it is ending already.
        patience_s: how long Redis may be away before the run ends.
        is_troubled: whether this worker's upstream did not give all that it was asked for.
    """

    def __init__(
        self,
        membership: Membership,
        run: str,
        about: Callable[[], dict[str, Any]],
        end: Callable[[str, int], None],
        is_stopping: Callable[[], bool],
        patience_s: float,
        is_troubled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.membership = membership
        self.posts: list[Post] = []
        self._run = run
        self._about = about
        self._end = end
        self._is_stopping = is_stopping
        self._patience_s = patience_s
        self._is_troubled = is_troubled
        self._away_since: float | None = None
        self._is_lost = False
        self._valid_until = 0.0

    async def __aenter__(self) -> Self:
        """Raises: FrontierError."""
        self._valid_until = steady() + self.membership.lease_s
        self.membership.join(self._run, self._told())
        self._task = asyncio.ensure_future(self._live())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()

    @property
    def is_working(self) -> bool:
        """Whether requests may be leased."""
        return self._away_since is None and not self._is_lost

    @property
    def is_lost(self) -> bool:
        """Whether others have taken over what is in flight here."""
        return self._is_lost

    def lease_valid(self) -> bool:
        """Whether nobody can have taken over what this worker has leased."""
        return not self._is_lost and steady() < self._valid_until

    async def may_store(self) -> bool:
        """Whether what is in flight is still this worker's; waits for Redis to say so where that is not certain.

        Once the answer is no, nothing in flight is acked either.
        """
        while not self._is_lost and not self.lease_valid():
            self._is_lost = self._is_stopping()
            await asyncio.sleep(POLL_S)
        return not self._is_lost

    async def ready(self) -> bool:
        """Wait until requests may be leased. False: the run ends first."""
        while not self.is_working and not self._is_stopping():  # noqa: ASYNC110  as all who wait for a stop
            await asyncio.sleep(POLL_S)
        return self.is_working

    def stay_away(self, error: FrontierAway) -> None:
        """Redis did not answer."""
        if self._away_since is None:
            self._away_since = steady()
            logger.warning("%s. Waiting for it", error)
        elif steady() - self._away_since > self._patience_s:
            self._end(f"{error}. The same command continues when it is back", error.exit_code)

    def lose(self) -> None:
        """Others have taken over, or may have."""
        self._is_lost = True
        self._end(LOST, LeaseLost.exit_code)

    def leave(self, is_troubled: bool) -> tuple[bool, bool]:
        """See `Membership.leave`. Raises: FrontierError, where nobody knows whether this is the last."""
        self._task.cancel()
        return self.membership.leave(is_troubled)

    def tell_trouble(self) -> None:
        """Let the others know at once that something is missing; where Redis does not answer, the next sign tells."""
        with suppress(FrontierError):
            self.membership.renew(self._told(), is_troubled=True)

    async def _live(self) -> None:
        while True:
            pause_s = self.membership.lease_s / SIGNS_PER_LEASE
            await asyncio.sleep(pause_s if self.is_working else min(pause_s, RETRY_S))
            try:
                await self._give_sign()
            except LeaseLost:
                self.lose()
                return
            except FrontierAway as error:
                self.stay_away(error)
            except FrontierError as error:
                self._end(str(error), error.exit_code)
                return

    async def _give_sign(self) -> None:
        asked = steady()
        if self._away_since is None:
            self.membership.renew(self._told(), self._is_troubled())
        else:  # the call may last seconds; nobody else speaks with Redis then
            await asyncio.to_thread(self.membership.renew, self._told(), self._is_troubled())
        self._valid_until = asked + self.membership.lease_s
        for post in self.posts:
            post.recover()
        if self._away_since is not None:
            logger.info("Redis is back after %.0f s", steady() - self._away_since)
            self._away_since = None

    def _told(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid(), **self._about()}


def steady() -> float:
    """Seconds on a clock that nobody sets and that goes on while the process or its machine is stopped."""
    return time.clock_gettime(STEADY)
