"""`AnimeStage` sends anime one at a time, in the order in which the catalogue first saw them.

The backend makes the address of an anime from its title, and numbers equal ones in the order of arrival. Two POSTs at
once would lose races. One at a time, the addresses are the same however often a run is killed.

After the backend has refused several titles in a row for an unknown reason, `AnimeStage` draws titles from all over
the queue and sends them earlier; see `suspects`. Where anime are refused, kills do not change which titles it draws.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from anime_crawler.backend.circuit_breaker import POLL_S
from anime_crawler.backend.outcomes import (
    FINAL,
    NEEDS_PARENT,
    STOPS,
    SUSPECT,
    SUSPECT_AT_ONCE,
    UNCOUNTED,
    ImportKind,
    Outcome,
)
from anime_crawler.backend.payloads import AnimePost, Refused, digest, posts_for
from anime_crawler.backend.queue import DeliveryQueue, QueuedTitle
from anime_crawler.backend.receipts import Receipts, now
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.suspects import ANSWERED, Suspects
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import TitleState
from anime_crawler.catalogue.title_leases import ANIME_LEASE
from anime_crawler.config import Config
from anime_crawler.run.report import Progress

TITLES_PER_QUERY = 200
ALL = 10**9
"""A limit that no query reaches: no catalogue has so many titles."""
TITLES_PER_LOAD = 8
"""Titles that are loaded at once: few, so that what is sent is fresh and memory stays small; several, because one load
takes eight statements."""

ROUNDS = 3
"""Passes in which a title may fail without any part of it being delivered. Then it is left to the next run."""

HOLD = 2
"""How many times as many attempts an anime has as other records have. Only then may the next anime overtake it."""

HOLD_PATIENCE = 1 / 3
"""Share of the circuit breaker's patience after which the next anime is tried in any case: this one alone may be at
fault."""


class AnimeStage:
    """`AnimeStage` finds the titles to deliver, sends their anime, and hands the titles to the workers."""

    def __init__(
        self,
        sender: Sender,
        queue: DeliveryQueue,
        receipts: Receipts,
        config: Config,
        source_priority: Sequence[str],
        suspects: Suspects,
    ) -> None:
        self._sender = sender
        self._suspects = suspects
        self._leases = sender.leases
        self._queue = queue
        self._receipts = receipts
        self._config = config
        self._source_priority = source_priority
        self._again: deque[str] = deque()
        self._failures: dict[str, tuple[int, float]] = {}  # title -> rounds failed, not before (monotonic)
        self._waits_for_others = False
        self._delivered: set[str] = set()  # each title once, though it may be delivered again whenever it changes
        self.progress = Progress(0, None)
        self.wake = asyncio.Event()
        """Set when the last title under way is finished, so that there may be titles to take up, or none any more."""

    async def run_pass(self, ready_only: bool) -> int:
        """Take up every title that can be taken up now, and return their number.

        Args:
            ready_only: leave the titles that wait for the identity source's answer, and all after them.
        """
        self._queue.is_fed = True
        try:
            return await self._run_pass(ready_only)
        finally:
            self._queue.is_fed = False

    async def _run_pass(self, ready_only: bool) -> int:
        taken = after_seq = 0
        self._waits_for_others = await self._leases.count_others() > 0
        pending = await self._receipts.catalogue.read(outbox.pending_titles)
        # A title that failed here may have been delivered by another importer since
        self._failures = {title_id: failure for title_id, failure in self._failures.items() if title_id in pending}
        self.progress.total = len(self._delivered | pending)
        while True:
            while self._suspects.seek_others and (drawn := await self._draw(ready_only)):
                taken += await self._take_up(drawn, are_drawn=True)
                if self._waits_for_others:
                    return taken
            batch = await self._titles(after_seq, ready_only, TITLES_PER_QUERY)
            free = deque(title_id for title_id, _ in batch if self._is_free(title_id))
            taken += await self._take_up(free)
            if self._waits_for_others:
                return taken
            if free:  # titles are to be drawn first; then the same batch is read again
                continue
            if len(batch) < TITLES_PER_QUERY:
                return taken
            after_seq = batch[-1][1]

    @property
    def is_idle(self) -> bool:
        """Whether no title is under way, at this importer or at one that may die, and none is to be tried again."""
        may_return = any(rounds < ROUNDS for rounds, _ in self._failures.values())
        return not (self._queue.titles or self._again or may_return or self._waits_for_others)

    async def finish(self, title: QueuedTitle) -> None:
        """Finish a title none of whose POSTs is under way: it is delivered, begins anew, or is tried again later."""
        title_id = title.title_id
        if title.forget:
            await self._receipts.forget(title_id, title.forget)
            await self._leases.release(title_id)
            self._again.append(title_id)
        elif title.has_failed:
            await self._leases.release(title_id)
            self._failures[title_id] = self._failed_once_more(title)
        else:
            await self._receipts.finished(title_id, title.state.version, title.posts.obsolete)
            self._failures.pop(title_id, None)
            self._delivered.add(title_id)
            self.progress.done = len(self._delivered)
        del self._queue.titles[title_id]
        if not self._queue.titles:
            self.wake.set()

    def _failed_once_more(self, title: QueuedTitle) -> tuple[int, float]:
        """The rounds that the title has failed, and the monotonic time at which it may be tried again."""
        breaker = self._sender.breaker
        rounds = self._failures.get(title.title_id, (0, 0.0))[0]
        pause_s = breaker.backoff_s(rounds)
        if title.is_tried_out:
            rounds = ROUNDS
        elif not (breaker.blames_many or title.has_progressed):  # else the title is not at fault
            rounds += 1
        return rounds, time.monotonic() + pause_s

    async def _titles(self, after_seq: int, ready_only: bool, limit: int) -> list[tuple[str, int]]:
        return await self._receipts.catalogue.read(
            lambda conn: outbox.titles_to_deliver(conn, limit, after_seq, ready_only=ready_only)
        )

    async def _draw(self, ready_only: bool) -> deque[str]:
        """Draw some of all titles that can be taken up now, in an order that has nothing to do with the queue's.

        The order is that of a digest of day and title id. It stays the same for a day, so that a kill changes nothing.
        The next day has another, so that titles that stay refused are not drawn first for ever.
        """
        free = [title_id for title_id, _ in await self._titles(0, ready_only, ALL) if self._is_free(title_id)]
        day = now()[:10]
        return deque(sorted(free, key=lambda title_id: digest(f"{day} {title_id}".encode()))[:TITLES_PER_LOAD])

    async def _take_up(self, free: deque[str], *, are_drawn: bool = False) -> int:
        """Take up titles, removing them from `free`, and return their number.

        Args:
            are_drawn: whether `free` was drawn. Drawn titles are taken up only while `Suspects.seek_others` is true,
                the next ones of the queue only while it is false.
        """
        taken = 0
        while free or self._again:
            while self._queue.is_full:
                await self._sender.rest(POLL_S / 10)
            source = self._again or free
            some = [source[i] for i in range(min(len(source), TITLES_PER_LOAD))]
            ours = await self._leases.acquire([title_id for title_id in some if title_id not in self._queue.titles])
            if ours is None:
                # Another importer sends anime. It may die and leave earlier titles, so the next pass looks again.
                self._waits_for_others = True
                return taken
            for _ in some:
                source.popleft()
            states = deque(await self._load(ours))
            while states:
                await self._start(states.popleft(), is_drawn=are_drawn)
                taken += 1
                if self._suspects.seek_others is not are_drawn:
                    break
            left = [state.title_id for state in states]
            source.extendleft(reversed(left))
            await self._leases.release(ANIME_LEASE, *left)
            if self._suspects.seek_others is not are_drawn:
                return taken
        return taken

    async def _load(self, title_ids: list[str]) -> list[TitleState]:
        return await self._receipts.catalogue.read(lambda conn: outbox.load_titles(conn, title_ids))

    def _is_free(self, title_id: str) -> bool:
        if title_id in self._queue.titles:
            return False
        rounds, not_before = self._failures.get(title_id, (0, 0.0))
        return rounds < ROUNDS and time.monotonic() >= not_before

    async def _start(self, state: TitleState, *, is_drawn: bool) -> None:
        title = QueuedTitle(state, posts_for(state, self._config, self._source_priority), is_drawn=is_drawn)
        self._queue.titles[state.title_id] = title
        for genre in title.posts.unknown_genres:
            self._receipts.report.count("unknown genres", genre)
        await self._receipts.set_aside(state.title_id, title.posts.refused)
        if title.posts.anime and not await self._deliver_anime(title, title.posts.anime):
            if not title.parked:
                await self.finish(title)
        elif title.posts.episodes or title.posts.players:
            self._queue.add(title)
        else:
            await self.finish(title)

    async def _deliver_anime(self, title: QueuedTitle, post: AnimePost) -> bool:
        """Send the anime until it is accepted or given up; whether its episodes and players may follow."""
        while True:
            reply = await self._send(title, post)
            if reply.outcome is Outcome.DELIVERED:
                title.has_progressed = True
                # The suspects come first: after a kill in between, other titles would be drawn than without the kill
                await self._suspects.accepted(ImportKind.ANIME, reply.left_at)
                await self._receipts.anime_delivered(title.title_id, post, reply.trace_id)
                return True
            title.attempts += 1
            if not await self._is_repeated(title, reply):
                return await self._give_up(title, post, reply)
            await self._sender.rest(reply.delay_s)

    async def _send(self, title: QueuedTitle, post: AnimePost) -> Reply:
        async with self._sender as sender:
            trace_id = sender.new_trace_id()
            return await sender.send(
                ImportKind.ANIME, title.title_id, post.body, title.attempts, trace_id, post.checksum
            )

    async def _is_repeated(self, title: QueuedTitle, reply: Reply) -> bool:
        """Whether the anime is sent again before any other anime."""
        if reply.outcome in STOPS:
            self._sender.breaker.check()
        if reply.outcome in NEEDS_PARENT:  # an anime has no parent: it is sent once more, then never
            return title.attempts == 1
        if reply.outcome in FINAL | SUSPECT_AT_ONCE:
            return False
        if reply.outcome is Outcome.UNKNOWN_ERROR:
            return self._sender.may_repeat(reply.outcome, title.attempts)
        breaker = self._sender.breaker
        is_due = breaker.is_open and reply.outcome in SUSPECT and title.attempts > self._config.max_retries
        if is_due and await self._suspects.is_backend_there():  # the failures until now say nothing of this anime
            return True
        if breaker.is_open and reply.outcome in ANSWERED and title.is_drawn:  # other titles may be accepted
            return False
        if reply.outcome not in UNCOUNTED - ANSWERED and breaker.has_been_open_for(HOLD_PATIENCE):
            return False
        return self._sender.may_repeat(reply.outcome, title.attempts // HOLD)

    async def _give_up(self, title: QueuedTitle, post: AnimePost, reply: Reply) -> bool:
        if await self._suspects.must_judge(reply.outcome):
            self._suspects.add(ImportKind.ANIME, title, reply, partial(self._judged, title, post, reply))
        elif reply.outcome in FINAL | NEEDS_PARENT | {Outcome.NOT_STORED}:
            await self._set_aside(title, post, reply)
        else:
            title.has_failed = True
        return False

    async def _judged(self, title: QueuedTitle, post: AnimePost, reply: Reply, is_at_fault: bool) -> None:
        if is_at_fault:
            await self._set_aside(title, post, reply)
        else:
            title.has_failed = True
        await self.finish(title)

    async def _set_aside(self, title: QueuedTitle, post: AnimePost, reply: Reply) -> None:
        reason = f"{reply.outcome}: {reply.reason}"
        refused = Refused("anime", title.title_id, reason, post.body.decode(), post.checksum)
        await self._receipts.set_aside(title.title_id, [refused])
