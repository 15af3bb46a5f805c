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
"""Seconds after the last renewal for which `LeaseKeeper` trusts its leases. A busy database answers by then."""

RENEW_S = 15.0
"""Seconds between two renewals; within `HELD_S` three may fail."""


class LeasesLostError(DeliveryStoppedError):
    """`LeaseKeeper` raises this if other importers may have leased this one's titles.

    That is so after this process was paused, or could not reach its database, for too long.
    """


class LeaseKeeper:
    """`LeaseKeeper` acquires, renews and releases the leases of one delivery.

    Args:
        longest_post_s: longest time that a POST takes. Leases last for so much longer than they are trusted, so that a
            POST that leaves at the last moment has ended before another importer can lease its title.
    """

    def __init__(self, catalogue: Catalogue, longest_post_s: float) -> None:
        self._catalogue = catalogue
        self._longest_post_s = longest_post_s
        self._deadline_s = HELD_S + longest_post_s
        self._clock = SystemClock()
        self._trusted_until = 0.0
        self.are_shared = False
        """Whether other importers may deliver from the same catalogue."""

    async def begin(self) -> None:
        """Begin without leases: those that this process had before it was paused are released."""
        self.are_shared = await self._catalogue.read(title_leases.are_shared)
        self._trusted_until = self._clock.steady() + HELD_S
        await self.end()

    async def end(self) -> None:
        """Release all leases."""
        if self.are_shared:
            await self._catalogue.write(title_leases.release_all, durable=False)

    async def keep(self) -> None:
        """Renew the leases every `RENEW_S`, until this task is cancelled."""
        while True:
            await asyncio.sleep(RENEW_S)
            self.check()
            asked_at = self._clock.steady()
            await self._catalogue.write(partial(title_leases.renew, seconds=self._deadline_s), durable=False)
            self._trusted_until = asked_at + HELD_S

    def check(self) -> None:
        """Return while POSTs may be sent, and noted as sent, on these leases.

        Raises:
            LeasesLostError: if the last renewal is longer ago than `HELD_S`.
            CatalogueAwayError: if the session that owned the leases has ended.
        """
        self._catalogue.check()
        if self.are_shared and self._clock.steady() > self._trusted_until:
            raise LeasesLostError("paused for too long; others may have taken over")

    def guarded(self, fn: Callable[[Connection], T], title_ids: Iterable[str]) -> Callable[[Connection], T]:
        """Wrap `fn`, which writes in a transaction, so that it runs only while this session holds the titles' leases.

        The leases must last for as long as a POST may take that leaves once `fn` is committed. An importer takes over a
        lease in a write transaction, and these come one after the other. So `fn` is done while the leases hold.
        """
        ids = frozenset(title_ids)

        def checked(conn: Connection) -> T:
            self.check()
            if not title_leases.are_held(conn, ids, self._longest_post_s):
                raise LeasesLostError("no longer the one that may deliver these titles; others may have taken over")
            return fn(conn)

        return checked

    async def acquire(self, title_ids: Sequence[str]) -> list[str] | None:
        """Acquire leases of the titles and the right to send anime.

        Returns:
            The titles that were acquired. ``None``: another importer holds the right to send anime.
        """
        if not self.are_shared:
            return list(title_ids)
        acquire = partial(title_leases.acquire, title_ids=title_ids, seconds=self._deadline_s)
        return await self._catalogue.write(acquire, durable=False)

    async def release(self, *title_ids: str) -> None:
        """Release the leases of these titles."""
        if self.are_shared:
            await self._catalogue.write(partial(title_leases.release, title_ids=title_ids), durable=False)

    async def count_others(self) -> int:
        """The number of leases that other importers hold. Those of ended sessions are made to run out soon."""
        if not self.are_shared:
            return 0
        count = await self._catalogue.read(title_leases.count_others)
        if count:
            await self._catalogue.write(title_leases.expire_dead, durable=False)
        return count
