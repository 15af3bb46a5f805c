"""`WorkerSession` gives this worker's signs of life, and says what the worker may do while Redis does not answer.

    working ──Redis does not answer──▶ away ──it answers──▶ working
       │                                 └──for too long──▶ the run ends here, exit code 3
       └──others took over──▶ lost: nothing in flight is stored or acked, and the run ends here, exit code 3

A lost worker does not go on, because its spiders and pipelines remember items as seen that were never stored.
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

# Linux's CLOCK_MONOTONIC stands still while the machine sleeps, so a lease would seem to last longer than it does.
STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
SIGNS_PER_LEASE = 4  # three signs of life may fail before other workers take over
RETRY_S = 1.0  # the longest time between two tries to reach a Redis that is away
POLL_S = 0.1  # a coroutine that waits looks so often whether it may go on


LOST = (
    "this worker was silent for too long, or Redis has lost the crawl: others may have taken over what it was at. The "
    "same command continues"
)


class RecoveryListener(Protocol):
    """A `RecoveryListener` does a worker's work for one spider; `WorkerSession` calls it after each sign of life."""

    def recover(self) -> None:
        """Make the calls that were buffered while Redis was away, then give back the leases that nobody holds."""


class WorkerSession:
    """A worker's session in a crawl: as a context manager, it joins at the start and gives signs of life until its end.

    Args:
        run: the run's key, which no other run has.
        about: returns what `scrapy workers` shows of this worker, as plain JSON values.
        end: ends the run in this process, with a message and an exit code.
        is_stopping: returns whether the run is ending already.
        patience_s: seconds for which Redis may be away before the run ends.
        is_incomplete: returns whether this worker's upstream did not give all that it was asked for.
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
        """Join the crawl and begin to give signs of life.

        Raises:
            FrontierError: if the crawl cannot be joined.
        """
        self._valid_until = steady() + self.membership.lease_s
        self.membership.join(self._run, self._told())
        self._task = asyncio.ensure_future(self._live())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()

    @property
    def is_working(self) -> bool:
        """Whether this worker may lease requests: Redis answers, and no leases are lost."""
        return self._away_since is None and not self._is_lost

    @property
    def is_lost(self) -> bool:
        """Whether other workers have taken over the requests that are in flight here."""
        return self._is_lost

    def lease_valid(self) -> bool:
        """Whether it is certain that no other worker has taken over this worker's leases."""
        return not self._is_lost and steady() < self._valid_until

    async def may_store(self) -> bool:
        """Whether this worker still has its leases, so that items in flight may be stored.

        The call waits for Redis while that is not certain. After the answer "no", the worker acks no request in flight.
        """
        while not self._is_lost and not self.lease_valid():
            self._is_lost = self._is_stopping()
            await asyncio.sleep(POLL_S)
        return not self._is_lost

    async def ready(self) -> bool:
        """Wait until this worker may lease requests; False if the run ends first."""
        while not self.is_working and not self._is_stopping():  # noqa: ASYNC110  no event tells of a stop
            await asyncio.sleep(POLL_S)
        return self.is_working

    def record_outage(self, error: FrontierAway) -> None:
        """Note that Redis did not answer, and end the run once that has lasted for `patience_s`."""
        if self._away_since is None:
            self._away_since = steady()
            logger.warning("%s. Waiting for it", error)
        elif steady() - self._away_since > self._patience_s:
            self._end(f"{error}. The same command continues when it is back", error.exit_code)

    def record_loss(self) -> None:
        """Note that other workers have taken over this worker's leases, or may have, and end the run."""
        self._is_lost = True
        self._end(LOST, LeaseLost.exit_code)

    def leave(self, is_incomplete: bool) -> tuple[bool, bool]:
        """End the session; the result is that of `Membership.leave`.

        Raises:
            FrontierError: if Redis does not tell whether this is the last worker.
        """
        self._task.cancel()
        return self.membership.leave(is_incomplete)

    def report_incomplete(self) -> None:
        """Tell the other workers at once that something is missing; if Redis is away, the next sign of life does."""
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
        else:  # in a thread, because the call may last seconds; no other call to Redis is made while it is away
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
    """Seconds on a clock that is never set and that goes on while the process is stopped or its machine sleeps."""
    return time.clock_gettime(STEADY)
