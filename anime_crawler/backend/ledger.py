"""Intents and receipts of players: written many at a time, each POST leaving only after its intent is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from anime_crawler.backend.lease_keeper import LeaseKeeper
from anime_crawler.catalogue.outbox import SentPlayer, record_players
from anime_crawler.catalogue.writer import Catalogue


class Ledger:
    """Gathers rows while a commit is under way and writes them with the next: one statement for all workers."""

    def __init__(self, catalogue: Catalogue, ours: LeaseKeeper) -> None:
        self._catalogue = catalogue
        self._ours = ours
        self._rows: list[SentPlayer] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def write(self, rows: Iterable[SentPlayer]) -> asyncio.Future[None]:
        """Done once the rows are committed; raises CatalogueError when they could not be."""
        self._rows.extend(rows)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._writer is None:
            self._writer = asyncio.ensure_future(self._write())
        return done

    async def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._waiting:
            rows, waiting = self._rows, self._waiting
            self._rows, self._waiting = [], []
            error = await self._commit(rows)
            for done in waiting:
                if done.cancelled():  # its worker was stopped; the rows are written all the same
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._writer = None

    async def _commit(self, rows: list[SentPlayer]) -> Exception | None:
        try:
            record = self._ours.guarded(partial(record_players, players=rows), (row.title_id for row in rows))
            await self._catalogue.write(record, durable=False)
        except Exception as error:  # whatever it is, it belongs to those who wait
            return error
        return None
