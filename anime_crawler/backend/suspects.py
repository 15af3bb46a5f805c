"""`Suspects` decides whether a record or the backend is at fault when a refusal does not tell which of them is.

When the backend accepts other records of the same kind, the refused record is at fault: it becomes a dead letter, and
all others are delivered. So when records of `TITLES_TO_COMPARE` titles in a row were refused, the anime stage draws
titles from all over the queue (`Suspects.seek_others`), because only the first ones of the queue may be at fault. When
records of `TITLES_TO_STOP` drawn titles are refused too, or no title is left to draw, and no record of their kind was
accepted, then the backend is at fault: the delivery ends, and no record is set aside. Every later delivery ends in the
same way, until the backend accepts a record of that kind.

There is one exception. When no title is left to draw, the answers were 4xx or 3xx, and the backend accepts a record of
that kind that it has already, the refused records are at fault. The backend then still takes what is written as our
records are. A 500 does not count as such an answer: a backend with a full disk, or with a new column, can change rows
that it has but add none.

While the circuit breaker is open, the probe is a player that the backend has already, if there is one
(`Suspects.must_judge`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anime_crawler.backend.circuit_breaker import CircuitBreaker
from anime_crawler.backend.outcomes import (
    REFUSED_BY_BACKEND,
    STOP_SETTINGS,
    SUSPECT,
    SUSPECT_AT_ONCE,
    ImportKind,
    Outcome,
)
from anime_crawler.backend.queue import DeliveryQueue, QueuedTitle
from anime_crawler.backend.sender import Reply
from anime_crawler.run.report import RunReport

TITLES_TO_COMPARE = 5
"""Titles in a row with a refused record after which others are drawn. As many failures in a row open the circuit
breaker."""

TITLES_TO_STOP = 20
"""Drawn titles with a refused record that end the delivery. If the backend accepts a quarter of all titles, it accepts
at least one of these in 299 of 300 deliveries."""

ANSWERED = frozenset({Outcome.UNKNOWN_ERROR, Outcome.UNAVAILABLE, Outcome.NOT_OUR_BACKEND})
"""Outcomes with an answer that may open the circuit breaker. Other records may get another answer."""

JUDGED_BY_ACCEPTED = frozenset({Outcome.WRONG_SERVICE, Outcome.REDIRECT, Outcome.UNKNOWN_ERROR})
"""Outcomes for which the record is at fault if the backend has accepted another record in the same run."""

COUNTERS = {ImportKind.ANIME: "anime", ImportKind.EPISODES: "episodes", ImportKind.PLAYER: "players"}
"""Kind of import -> name of the run report's count of accepted POSTs."""


@dataclass(eq=False, slots=True)
class _Suspect:
    kind: ImportKind
    title: QueuedTitle
    reply: Reply
    known_at: float
    """Monotonic time of the refusal. A POST of the kind that left later and is accepted proves it at fault."""
    settle: Callable[[bool], Awaitable[None]]
    """`Suspects` calls it once, with whether the record is at fault."""


class Suspects:
    """`Suspects` holds the refused records of one delivery until it can judge them.

    All workers and the anime stage share it.

    Args:
        accepts_known: sends a record of the kind that the backend has already; whether the backend accepts it.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        queue: DeliveryQueue,
        report: RunReport,
        accepts_known: Callable[[ImportKind], Awaitable[bool]],
    ) -> None:
        self._breaker = breaker
        self._queue = queue
        self._report = report
        self._accepts_known = accepts_known
        self._suspects: list[_Suspect] = []
        self._asking = asyncio.Lock()
        self._judging = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._suspects)

    @property
    def seek_others(self) -> bool:
        """Whether titles are to be drawn from all over the queue, to compare them with those that were refused."""
        if self._breaker.is_open and self._breaker.last in ANSWERED:
            return True
        return any(len(self._titles(kind)) >= TITLES_TO_COMPARE for kind in ImportKind)

    async def must_judge(self, outcome: Outcome) -> bool:
        """Whether a record that has this outcome after all its attempts is to be judged.

        No record is judged while the backend is away. If the backend is back by now, the record is sent again first,
        because its failures meanwhile say nothing about it.
        """
        if outcome in SUSPECT and outcome not in SUSPECT_AT_ONCE and self._breaker.is_open:
            await self.is_backend_there()
            return False
        return outcome in SUSPECT

    async def is_backend_there(self) -> bool:
        """Whether the breaker is closed, or closes now because the backend accepts a player that it has already."""
        async with self._asking:
            return not self._breaker.is_open or await self._accepts_known(ImportKind.PLAYER)

    def add(
        self, kind: ImportKind, title: QueuedTitle, reply: Reply, settle: Callable[[bool], Awaitable[None]]
    ) -> None:
        """Hold a refused record of the title. It is not sent again before it is judged, and no worker waits for it."""
        title.parked += 1
        self._suspects.append(_Suspect(kind, title, reply, time.monotonic(), settle))
        if len(self._titles(kind, drawn_only=True)) >= TITLES_TO_STOP:
            self._stop(kind, reply)

    def _titles(self, kind: ImportKind, *, drawn_only: bool = False) -> set[str]:
        mine = (suspect.title for suspect in self._suspects if suspect.kind is kind)
        return {title.title_id for title in mine if title.is_drawn or not drawn_only}

    async def accepted(self, kind: ImportKind, left_at: float) -> None:
        """Note that a POST of this kind that left at `left_at` was accepted: records refused before are at fault."""
        await self._settle([s for s in self._suspects if s.kind is kind and s.known_at <= left_at], is_at_fault=True)

    async def decide(self, more_may_come: bool) -> None:
        """Judge the suspects by what this run has seen, because no other record is left to compare them with.

        Args:
            more_may_come: whether the catalogue still grows; then suspects that cannot be judged yet are kept.
        """
        accepted = self._report.counters["backend"]
        has_accepted = any(accepted.get(name, 0) for name in COUNTERS.values())
        many = {kind for kind in ImportKind if len(self._titles(kind)) >= TITLES_TO_COMPARE}
        for kind in (kind for kind in many if not accepted.get(COUNTERS[kind], 0)):
            async with self._judging:  # one worker asks for all
                if not more_may_come and not await self._judged_by_known(kind):
                    return
        is_well = None
        for suspect in list(self._suspects):
            outcome = suspect.reply.outcome
            if suspect.kind in many and not accepted.get(COUNTERS[suspect.kind], 0):
                continue
            if outcome in REFUSED_BY_BACKEND:
                is_at_fault = True
            elif not has_accepted and more_may_come:
                continue
            elif has_accepted and suspect.kind not in many and outcome in JUDGED_BY_ACCEPTED:
                is_at_fault = True
            else:  # the backend itself did not answer, or has accepted nothing in this run: it may be away
                is_well = await self._accepts_known(ImportKind.PLAYER) if is_well is None else is_well
                if not is_well and not has_accepted and outcome in STOP_SETTINGS:
                    self._stop(suspect.kind, suspect.reply)
                    return
                is_at_fault = is_well
            await self._settle([suspect], is_at_fault=is_at_fault)

    async def _judged_by_known(self, kind: ImportKind) -> bool:
        """Judge the suspects of a kind of which this run has accepted no record.

        Returns:
            True: there were none, or all were set aside. False: none was set aside and the delivery is stopped.
        """
        mine = [suspect for suspect in self._suspects if suspect.kind is kind]
        unclear = next((suspect for suspect in mine if suspect.reply.outcome not in SUSPECT_AT_ONCE), None)
        if not mine:
            return True
        if unclear or not await self._accepts_known(kind):
            self._stop(kind, (unclear or mine[0]).reply)
            return False
        await self._settle(mine, is_at_fault=True)
        return True

    async def _settle(self, suspects: list[_Suspect], *, is_at_fault: bool) -> None:
        for suspect in suspects:
            if suspect not in self._suspects:  # another worker has settled it
                continue
            self._suspects.remove(suspect)
            suspect.title.parked -= 1
            if not is_at_fault:
                suspect.title.is_tried_out = True
            await suspect.settle(is_at_fault)

    def _stop(self, kind: ImportKind, reply: Reply) -> None:
        setting, why = STOP_SETTINGS.get(reply.outcome, (None, "it refuses what it is sent, whatever the record"))
        self._breaker.stop(reply.outcome, f"{why} (import/{kind}: {reply.reason}); nothing was set aside", setting)
