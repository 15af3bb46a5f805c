"""`LeaseKeeper` holds this importer's leases of titles, while other importers hold others; see `title_leases`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from anime_crawler.backend.outcomes import DeliveryStoppedError
from anime_crawler.catalogue import title_leases
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.rate_limit.clock import SystemClock

T = TypeVar("T")

HELD_S = 60.0
"""Seconds after the last renewal for which we trust our leases: a busy database answers by then."""

RENEW_S = 15.0
"""Seconds between two renewals: three may fail."""


class LeasesLostError(DeliveryStoppedError):
    """This process was paused, or away from its database, for so long that others may have its titles."""


class LeaseKeeper:
    """The leases of one delivery.

    Args:
        longest_post_s: a POST that leaves at the last moment is over before somebody else has its title.
    """

    def __init__(self, catalogue: Catalogue, longest_post_s: float) -> None:
        self._catalogue = catalogue
        self._longest_post_s = longest_post_s
        self._deadline_s = HELD_S + longest_post_s
        self._clock = SystemClock()
        self._trusted_until = 0.0
        self.are_shared = False
        """Whether there may be other importers."""

    async def begin(self) -> None:
        """Forget what this process had before it was paused."""
        self.are_shared = await self._catalogue.read(title_leases.are_shared)
        self._trusted_until = self._clock.steady() + HELD_S
        await self.end()

    async def end(self) -> None:
        """Let others have everything."""
        if self.are_shared:
            await self._catalogue.write(title_leases.release_all, durable=False)

    async def keep(self) -> None:
        """Renew the leases for as long as this runs."""
        while True:
            await asyncio.sleep(RENEW_S)
            self.check()
            asked_at = self._clock.steady()
            await self._catalogue.write(partial(title_leases.renew, seconds=self._deadline_s), durable=False)
            self._trusted_until = asked_at + HELD_S

    def check(self) -> None:
        """Raise when nothing may be sent, or noted as sent, on these leases any more.

        Raises:
            LeasesLostError: this process was away for too long.
            CatalogueAwayError: the session that owned them has ended.
        """
        self._catalogue.check()
        if self.are_shared and self._clock.steady() > self._trusted_until:
            raise LeasesLostError("paused for too long; others may have taken over")

    def guarded(self, fn: Callable[[Connection], T], title_ids: Iterable[str]) -> Callable[[Connection], T]:
        """`fn`, for a write transaction, after a look whether these titles are still ours, and for as long as a POST
        may take that leaves once `fn` is committed. Only writers take leases over, and they come one after the other:
        what `fn` does is done while its titles are ours."""
        ids = frozenset(title_ids)

        def checked(conn: Connection) -> T:
            self.check()
            if not title_leases.are_held(conn, ids, self._longest_post_s):
                raise LeasesLostError("no longer the one that may deliver these titles; others may have taken over")
            return fn(conn)

        return checked

    async def acquire(self, title_ids: Sequence[str]) -> list[str] | None:
        """Those of the titles that are ours now, and the right to send their anime; ``None``: another one has it."""
        if not self.are_shared:
            return list(title_ids)
        acquire = partial(title_leases.acquire, title_ids=title_ids, seconds=self._deadline_s)
        return await self._catalogue.write(acquire, durable=False)

    async def release(self, *title_ids: str) -> None:
        """Let others have these."""
        if self.are_shared:
            await self._catalogue.write(partial(title_leases.release, title_ids=title_ids), durable=False)

    async def count_others(self) -> int:
        """How many leases others have; those of the dead will be free soon."""
        if not self.are_shared:
            return 0
        count = await self._catalogue.read(title_leases.count_others)
        if count:
            await self._catalogue.write(title_leases.expire_dead, durable=False)
        return count
