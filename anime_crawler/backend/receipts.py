"""`Receipts` and `PlayerReceipts` write what a delivery notes in the catalogue: receipts, intents, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

import orjson
from sqlalchemy import Connection

from anime_crawler.backend.lease_keeper import LeaseKeeper
from anime_crawler.backend.payloads import AnimePost, EpisodeEntry, Refused
from anime_crawler.catalogue import dead_letters, outbox, title_leases
from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.run.report import RunReport


def now() -> str:
    """The current time as the catalogue writes it."""
    return iso(datetime.now(UTC))


class Receipts:
    """`Receipts` writes to the catalogue for the stages of a delivery, and counts in the report.

    Each method has committed its rows when it returns.

    Raises:
        LeasesLostError: from every method that writes, if the title is no longer leased; nothing was written.
    """

    def __init__(self, catalogue: Catalogue, run_id: int, report: RunReport, ours: LeaseKeeper) -> None:
        self.catalogue = catalogue
        self._ours = ours
        self.report = report
        self._run_id = run_id

    async def anime_delivered(self, title_id: str, post: AnimePost, trace_id: str) -> None:
        """Write the receipt of an anime."""
        self.report.count("backend", "anime")
        await self._write(
            title_id,
            partial(outbox.record_anime, title_id=title_id, checksum=post.checksum, now=now(), trace_id=trace_id),
        )

    async def episodes_delivered(self, title_id: str, entries: Sequence[EpisodeEntry], trace_id: str) -> None:
        """Write the receipts of a list of episodes."""
        self.report.count("backend", "episodes")
        rows = [(entry.number, entry.checksum) for entry in entries]
        await self._write(
            title_id,
            partial(outbox.record_episodes, title_id=title_id, entries=rows, now=now(), trace_id=trace_id),
        )

    async def set_aside(self, title_id: str, refused: Sequence[Refused]) -> None:
        """Write records that cannot be delivered as dead letters, with the reason."""
        if not refused:
            return
        self.report.count("backend", "failed", len(refused))
        request = orjson.dumps({"title_id": title_id}).decode()
        letters = [
            dead_letters.Letter("deliver", "backend", r.kind, r.key, r.reason, r.raw, r.checksum, request=request)
            for r in refused
        ]
        await self._write(title_id, partial(dead_letters.put, run_id=self._run_id, letters=letters))

    async def finished(self, title_id: str, version: int, obsolete: Sequence[tuple[str, str, str]]) -> None:
        """Mark the title as delivered in this version, release its lease, and delete the `obsolete` dead letters."""
        await self._write(title_id, partial(_finish, title_id=title_id, version=version, obsolete=obsolete))

    async def withdraw(self, intent: outbox.SentPlayer, before: outbox.SentPlayer | None) -> None:
        """Undo the intent of a player whose POST certainly stored nothing."""
        await self._write(intent.title_id, partial(outbox.withdraw_player, intent=intent, before=before))

    async def forget(self, title_id: str, actions: Sequence[Callable[[Connection], None]]) -> None:
        """Run the functions that delete receipts of the title which turned out to be wrong."""
        await self._write(title_id, lambda conn: [action(conn) for action in actions])

    def lost(self, what: str) -> None:
        """Report as a problem, once, that the backend no longer has what it had accepted in an earlier run."""
        if not self.report.counters["backend"].get("lost"):
            why = f"the backend has lost {what}, and perhaps more: it was emptied or replaced by another"
            self.report.problem("backend", "lost", f"{why}. `scrapy deliver --refill` sends everything again")
        self.report.count("backend", "lost")

    async def _write(self, title_id: str, fn: Callable[[Connection], object]) -> None:
        # A receipt may be lost in a power cut: then the same POST is repeated, and changes nothing at the backend
        await self.catalogue.write(self._ours.guarded(fn, [title_id]), durable=False)


def _finish(conn: Connection, title_id: str, version: int, obsolete: Sequence[tuple[str, str, str]]) -> None:
    outbox.mark_delivered(conn, [(title_id, version)])
    title_leases.release(conn, [title_id])
    for kind, key, checksum in obsolete:
        outbox.clear_dead_letter(conn, kind, key, checksum)


class PlayerReceipts:
    """`PlayerReceipts` writes intents and receipts of players for all workers.

    A worker sends a POST only after its intent is committed. `PlayerReceipts` gathers the rows that come while a commit
    is under way and writes them with the next one, in one statement for all workers.
    """

    def __init__(self, catalogue: Catalogue, ours: LeaseKeeper) -> None:
        self._catalogue = catalogue
        self._ours = ours
        self._rows: list[outbox.SentPlayer] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def write(self, rows: Iterable[outbox.SentPlayer]) -> asyncio.Future[None]:
        """Write the rows with the next commit.

        Returns:
            A future that is done once the rows are committed. It raises `CatalogueError` if they could not be.
        """
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
                if done.cancelled():  # the worker was stopped; its rows are written nevertheless
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._writer = None

    async def _commit(self, rows: list[outbox.SentPlayer]) -> Exception | None:
        try:
            record = self._ours.guarded(partial(outbox.record_players, players=rows), (row.title_id for row in rows))
            await self._catalogue.write(record, durable=False)
        except Exception as error:  # whatever it is, the workers that wait for these rows have to get it
            return error
        return None
