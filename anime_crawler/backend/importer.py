"""`Importer` sends the backend what the catalogue holds and the backend does not: anime, then episodes, then players.

AnimeStage ── anime, one at a time ──▶ DeliveryQueue ──▶ CONCURRENCY workers ── episodes, players ──▶ backend
  ▲                                                         │ intents, receipts
  └─────────────────────── catalogue ◀──────────────────────┘
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from anime_crawler.backend.anime_stage import TITLES_PER_LOAD, TITLES_PER_QUERY, AnimeStage
from anime_crawler.backend.circuit_breaker import POLL_S, CircuitBreaker
from anime_crawler.backend.doubt import Doubts
from anime_crawler.backend.episode_stage import EpisodeStage
from anime_crawler.backend.lease_keeper import LeaseKeeper, LeasesLostError
from anime_crawler.backend.outcomes import DeliveryStoppedError, MisdirectedError, NoAnswerError
from anime_crawler.backend.payloads import posts_for
from anime_crawler.backend.player_stage import DeliveryWorker, PlayerFailures, WorkerContext, settle
from anime_crawler.backend.queue import EPISODES_PER_POST, DeliveryQueue
from anime_crawler.backend.receipts import PlayerReceipts, Receipts
from anime_crawler.backend.sender import MISDIRECTED, Sender
from anime_crawler.backend.suspects import Suspects
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.backends import address_of, use_backend
from anime_crawler.catalogue.origin import origin_of
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.config import Config
from anime_crawler.rate_limit.limiter import Limiter
from anime_crawler.rate_limit.limits import budget_of
from anime_crawler.run.report import RunReport

if TYPE_CHECKING:
    from anime_crawler.backend.client import BackendClient

logger = logging.getLogger(__name__)

STOP_GRACE_S = 1.5
"""Seconds for POSTs in flight to end when the run is stopped. A player whose POST is cut off then is in doubt, and is
sent again later."""


@dataclass(frozen=True, slots=True)
class PlannedPosts:
    """`PlannedPosts` says how many POSTs a delivery would send."""

    anime: int = 0
    episodes: int = 0
    players: int = 0
    refused: int = 0
    """Number of records that our own validation refuses; they would become dead letters."""

    def __str__(self) -> str:
        return f"{self.anime} anime, {self.episodes} episode lists, {self.players} players; {self.refused} refused"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """A `DeliveryResult` says what one delivery did, and what is left."""

    anime: int
    episodes: int
    """Number of accepted lists."""
    players: int
    retries: int
    failed: int
    """Number of records that became dead letters."""
    pending: int
    """Number of titles that are not, or not fully, delivered."""
    reason: str | None = None
    """Why the delivery ended early; ``None``: it did not."""
    setting: str | None = None
    """The setting to change so that the next delivery does not end early; ``None``: no setting helps."""
    has_lost: bool = False
    """Whether the backend lacked something that it had accepted in an earlier run."""

    def __str__(self) -> str:
        sent = f"{self.anime} anime, {self.episodes} episode lists, {self.players} players delivered"
        left = f"{self.failed} refused, {self.pending} titles pending, {self.retries} retries"
        return f"{sent}; {left}" + (f"; stopped: {self.reason}" if self.reason else "")


class Importer:
    """`Importer` delivers what the catalogue holds and the backend does not.

    Args:
        source_priority: sources in order; of each field the value of the first source that knows it is delivered.
        limiter: where POSTs are counted when BACKEND_LIMITS or RATE_LIMIT_RPS state a limit.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        config: Config,
        run_id: int,
        report: RunReport,
        source_priority: Sequence[str],
        limiter: Limiter,
    ) -> None:
        self._catalogue = catalogue
        self._config = config
        self._report = report
        self._run_id = run_id
        self._source_priority = source_priority
        self._limiter = limiter

    async def run(
        self,
        more_may_come: Callable[[], bool],
        ready_only: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> DeliveryResult:
        """Deliver until all is delivered and the catalogue no longer grows, or until the delivery is stopped.

        Args:
            more_may_come: whether the catalogue still grows; as long as it does, a backend that is away is waited for.
            ready_only: whether titles wait for the identity source's answer; no title overtakes one that waits.
            stopping: whether to end now, within 2 s.

        Raises:
            CatalogueError: if a receipt could not be written; no POST was sent after that.
            MisdirectedError: if the catalogue's titles are not for this backend; no POST was sent.
        """
        while True:
            stopped = await self._run_once(more_may_come, ready_only, stopping)
            if isinstance(stopped, MisdirectedError):
                raise stopped
            if not isinstance(stopped, LeasesLostError):
                return await self._result(stopped)
            logger.warning("the delivery begins anew: this process was %s", stopped.reason)

    async def _use_backend(self) -> None:
        """Let the catalogue hold the receipts of the backend that BACKEND_BASE_URL names, and put away any others."""
        address = address_of(self._config.backend_base_url or "")
        before = await self._catalogue.write(partial(use_backend, address=address))
        if before is not None:
            logger.warning("BACKEND_BASE_URL names %s, no longer %s: another backend, which gets all", address, before)

    async def _run_once(
        self, more_may_come: Callable[[], bool], ready_only: Callable[[], bool], stopping: Callable[[], bool]
    ) -> DeliveryStoppedError | None:
        """Deliver once, and return why the delivery was stopped; ``None``: it was not."""
        config = self._config
        breaker = CircuitBreaker(config, self._report, more_may_come, stopping)
        # The backend may have asked an earlier process for a pause
        if penalty := self._limiter.resting(budget_of("backend", config.backend_base_url or "")):
            breaker.pause(penalty.seconds)
        async with self._client() as client:
            leases = LeaseKeeper(self._catalogue, max(client.timeouts_s.values()))
            await leases.begin()
            sender = Sender(client, breaker, config, self._report, self._limiter, leases, self._catalogue)
            try:
                await sender.check_backend()
                await self._use_backend()
                await self._deliver(sender, more_may_come, ready_only)
                leases.check()
            except DeliveryStoppedError as error:
                return error
            finally:
                await leases.end()
        return breaker.stopped

    async def plan(self) -> PlannedPosts:
        """Count what `run` would send now if every POST succeeded.

        Raises:
            MisdirectedError: if `run` would refuse to send the catalogue's titles to this backend.
            DeliveryStoppedError: if the backend does not say whether it is the sandbox's.
        """
        await self._refuse_another_backend()
        await self._use_backend()
        anime = episodes = players = refused = after_seq = 0
        while batch := await self._catalogue.read(
            lambda conn: outbox.titles_to_deliver(conn, TITLES_PER_QUERY, after_seq, ready_only=False)  # noqa: B023
        ):
            after_seq = batch[-1][1]
            for start in range(0, len(batch), TITLES_PER_LOAD):
                ids = [title_id for title_id, _ in batch[start : start + TITLES_PER_LOAD]]
                for state in await self._catalogue.read(lambda conn: outbox.load_titles(conn, ids)):  # noqa: B023
                    posts = posts_for(state, self._config, self._source_priority)
                    anime += posts.anime is not None
                    episodes += -(-len(posts.episodes) // EPISODES_PER_POST)
                    players += len(posts.players)
                    refused += len(posts.refused)
        return PlannedPosts(anime, episodes, players, refused)

    async def _refuse_another_backend(self) -> None:
        """Do once what `Sender` does before its first POST. For a catalogue of real titles the backend is not asked."""
        if await self._catalogue.read(origin_of) != "sandbox":
            return
        async with self._client() as client:
            try:
                is_sandbox = await client.is_sandbox()
            except NoAnswerError as error:
                why = (
                    f"the backend does not say whether it is the sandbox's, and invented titles go to no other: {error}"
                )
                raise DeliveryStoppedError(why, "BACKEND_BASE_URL") from error
        if not is_sandbox:
            raise MisdirectedError(MISDIRECTED, "BACKEND_BASE_URL")

    def _client(self) -> BackendClient:
        from anime_crawler.backend.client import BackendClient  # here: aiohttp takes 0.1 s to import

        config = self._config
        assert config.backend_base_url and config.internal_token  # Config has checked it
        token = config.internal_token.get_secret_value()
        return BackendClient(config.backend_base_url, token, config.concurrency, config.http_timeout_seconds)

    async def _deliver(self, sender: Sender, more_may_come: Callable[[], bool], ready_only: Callable[[], bool]) -> None:
        queue = DeliveryQueue(most_titles=2 * self._config.concurrency + TITLES_PER_LOAD)
        leases = sender.leases
        player_receipts = PlayerReceipts(self._catalogue, leases)
        receipts = Receipts(self._catalogue, self._run_id, self._report, leases)
        doubts = Doubts(sender, queue, self._catalogue, self._config, self._source_priority, self._report)
        suspects = Suspects(sender.breaker, queue, self._report, doubts.accepts_known)
        anime_stage = AnimeStage(sender, queue, receipts, self._config, self._source_priority, suspects)
        self._report.progress["backend"] = anime_stage.progress
        episodes = EpisodeStage(sender, queue, receipts, suspects)
        failures = PlayerFailures(sender, queue, receipts, doubts, suspects, partial(settle, finish=anime_stage.finish))
        context = WorkerContext(
            sender, queue, receipts, player_receipts, episodes, failures, doubts, suspects, anime_stage.finish
        )
        tasks = {asyncio.ensure_future(DeliveryWorker(context).run()) for _ in range(self._config.concurrency)}
        tasks.add(asyncio.ensure_future(self._feed_queue(anime_stage, queue, more_may_come, ready_only)))
        if leases.are_shared:
            tasks.add(asyncio.ensure_future(leases.keep()))
        try:
            await _until_one_ends(tasks, sender.breaker)
        finally:
            await _end(tasks, STOP_GRACE_S if sender.breaker.stopped else 0)
            await player_receipts.close()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def _feed_queue(
        self,
        anime_stage: AnimeStage,
        queue: DeliveryQueue,
        more_may_come: Callable[[], bool],
        ready_only: Callable[[], bool],
    ) -> None:
        """Run pass after pass over the titles, until all are delivered and the catalogue no longer grows."""
        try:
            while True:
                more = queue.more_may_come = more_may_come()
                taken = await anime_stage.run_pass(ready_only() and more)
                if not taken and not more and anime_stage.is_idle:
                    return
                if not taken:
                    await _wait_for_titles(anime_stage)
        except DeliveryStoppedError:
            return

    async def _result(self, stopped: DeliveryStoppedError | None) -> DeliveryResult:
        counts = self._report.counters["backend"]
        self._report.waiting.pop("backend", None)
        pending = await self._catalogue.read(outbox.count_pending)
        if pending and (in_doubt := await self._catalogue.read(outbox.count_in_doubt)):
            what = f"{in_doubt} players may have been stored or not; the next run sends them again, after other POSTs"
            self._report.problem("backend", "in_doubt", what)
        names = ("anime", "episodes", "players", "retries", "failed")
        return DeliveryResult(
            **{name: counts.get(name, 0) for name in names},
            pending=pending,
            reason=stopped.reason if stopped else None,
            setting=stopped.setting if stopped else None,
            has_lost=counts.get("lost", 0) > 0,
        )


async def _wait_for_titles(anime_stage: AnimeStage) -> None:
    """Wait until all titles are finished, but at most 0.2 s, because the crawl may have stored something new."""
    anime_stage.wake.clear()
    try:
        async with asyncio.timeout(2 * POLL_S):
            await anime_stage.wake.wait()
    except TimeoutError:
        pass


async def _until_one_ends(tasks: set[asyncio.Task[None]], breaker: CircuitBreaker) -> None:
    """Wait until a task ends or the delivery is stopped.

    The task of the anime stage ends when all is delivered; any task ends with an error or when the delivery is stopped.
    """
    while True:
        ended, _ = await asyncio.wait(tasks, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        if ended:
            return
        try:
            breaker.check()
        except DeliveryStoppedError:
            return


async def _end(tasks: set[asyncio.Task[None]], grace_s: float) -> None:
    await asyncio.wait(tasks, timeout=grace_s)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
