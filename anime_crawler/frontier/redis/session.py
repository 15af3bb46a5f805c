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


class RecoveryListener(Protocol):
    """A `RecoveryListener` does a worker's work for one spider; `WorkerSession` calls it after each sign of life."""

    def recover(self) -> None:
        """Make the calls that were buffered while Redis was away, then give back the leases that nobody holds."""


class WorkerSession:
    """Give signs of life from entering to leaving the context.

    Args:
        run: what tells the run from any other.
        about: what the worker tells of itself, plain JSON values.
        end: ends the run in this process: message and exit code.
        is_stopping: whether it is ending already.
        patience_s: how long Redis may be away before the run ends.
        is_incomplete: whether this worker's upstream did not give all that it was asked for.
    """

    def __init__(
        self,
        membership: Membership,
        run: str,
        about: Callable[[], dict[str, Any]],
        end: Callable[[str, int], None],
        is_stopping: Callable[[], bool],
        patience_s: float,
        is_incomplete: Callable[[], bool] = lambda: False,
    ) -> None:
        self.membership = membership
        self.listeners: list[RecoveryListener] = []
        self._run = run
        self._about = about
        self._end = end
        self._is_stopping = is_stopping
        self._patience_s = patience_s
        self._is_incomplete = is_incomplete
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

    def record_outage(self, error: FrontierAway) -> None:
        """Redis did not answer."""
        if self._away_since is None:
            self._away_since = steady()
            logger.warning("%s. Waiting for it", error)
        elif steady() - self._away_since > self._patience_s:
            self._end(f"{error}. The same command continues when it is back", error.exit_code)

    def record_loss(self) -> None:
        """Others have taken over, or may have."""
        self._is_lost = True
        self._end(LOST, LeaseLost.exit_code)

    def leave(self, is_incomplete: bool) -> tuple[bool, bool]:
        """See `Membership.leave`. Raises: FrontierError, where nobody knows whether this is the last."""
        self._task.cancel()
        return self.membership.leave(is_incomplete)

    def report_incomplete(self) -> None:
        """Let the others know at once that something is missing; where Redis does not answer, the next sign tells."""
        with suppress(FrontierError):
            self.membership.renew(self._told(), is_incomplete=True)

    async def _live(self) -> None:
        while True:
            pause_s = self.membership.lease_s / SIGNS_PER_LEASE
            await asyncio.sleep(pause_s if self.is_working else min(pause_s, RETRY_S))
            try:
                await self._give_sign()
            except LeaseLost:
                self.record_loss()
                return
            except FrontierAway as error:
                self.record_outage(error)
            except FrontierError as error:
                self._end(str(error), error.exit_code)
                return

    async def _give_sign(self) -> None:
        asked = steady()
        if self._away_since is None:
            self.membership.renew(self._told(), self._is_incomplete())
        else:  # the call may last seconds; nobody else speaks with Redis then
            await asyncio.to_thread(self.membership.renew, self._told(), self._is_incomplete())
        self._valid_until = asked + self.membership.lease_s
        for listener in self.listeners:
            listener.recover()
        if self._away_since is not None:
            logger.info("Redis is back after %.0f s", steady() - self._away_since)
            self._away_since = None

    def _told(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid(), **self._about()}


def steady() -> float:
    """Seconds on a clock that nobody sets and that goes on while the process or its machine is stopped."""
    return time.clock_gettime(STEADY)
