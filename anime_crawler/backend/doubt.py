"""`Doubts` holds the players in doubt: their POST has left, and the backend may still be at work on it.

A kill, Ctrl-C, a time-out, a dropped connection and a gateway's 502, 503 or 504 are one case: the backend goes on with
a request whose client is gone. When it works on two POSTs of one new player at the same time, it stores the player
twice, and answers every later POST of it with a 500. So a player in doubt is sent again only when all of this is true:

1. Another player's POST that left after the doubt was known has got its 200: the table of players takes rows again.
2. `GRACE_S` have gone by since that answer.
3. The POST in doubt left at least `LEAST_AGE_S` ago, and as much time has gone by since its end as it took to end.

Players in doubt are sent last, and none of them ever probes a backend that is thought to be away. When nothing else is
left to send, `Doubts.ask` sends a record again that the backend has already, and waits for a longer grace after it.

The intent (state ``sending`` of delivered_player) keeps the doubt on disk, for the next process to begin with.

One case is not covered: a lock on a single row (of the player's episode, say) holds the POST in doubt alone, for longer
than all of these waits, while other players are accepted. The second POST is then stored beside the first one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from anime_crawler.backend.outcomes import NEEDS_PARENT, ImportKind, Outcome
from anime_crawler.backend.payloads import digest, player_body, posts_for
from anime_crawler.backend.queue import DeliveryQueue, QueuedPlayer
from anime_crawler.backend.schemas import episodes_body
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.config import Config
from anime_crawler.run.report import RunReport

logger = logging.getLogger(__name__)

GRACE_S = 5.0
"""Seconds after another player's 200 before a player in doubt is sent: requests that one lock has held end within
milliseconds of each other."""

LEAST_AGE_S = 30.0
"""Seconds since a POST in doubt left, at least, before it is sent again. A living process waits so long for an answer,
and a supervisor ends a stuck worker after so long (gunicorn's default)."""

REPEAT_GRACE_S = 30.0
"""Seconds after the 200 of a player that was sent again unchanged. Such a POST only reads, so it passes a lock that
stops only writers, as CREATE INDEX takes it."""

LONE_GRACE_S = 90.0
"""Seconds after the 200 of an episode that was sent again, when the backend has no player of ours yet. That 200 says
nothing about the table of players, so the grace is longer than the longest lock that was seen (75 s)."""


@dataclass(eq=False, slots=True)
class _Doubt:
    player: QueuedPlayer
    known_at: float
    """Monotonic time at which the doubt arose. A POST that left later can show that the backend works."""
    not_before: float
    """Monotonic time before which the player is not sent again, because its POST is too young."""
    ready_at: float = math.inf
    """Monotonic time from which the player may be sent; infinite: no POST has shown yet that the backend works."""

    @property
    def due_at(self) -> float:
        return max(self.ready_at, self.not_before)


class Doubts:
    """`Doubts` holds the players in doubt of one delivery. All its workers share it."""

    def __init__(
        self,
        sender: Sender,
        queue: DeliveryQueue,
        catalogue: Catalogue,
        config: Config,
        source_priority: Sequence[str],
        report: RunReport,
    ) -> None:
        self._sender = sender
        self._queue = queue
        self._catalogue = catalogue
        self._config = config
        self._source_priority = source_priority
        self._report = report
        self._doubts: list[_Doubt] = []
        self._is_asking = False
        self._asked = 0
        self._ask_at = 0.0
        self._said = ""
        self.last_delivered: SentPlayer | None = None
        """The player whose POST was accepted last, so that the backend certainly has it."""

    def __bool__(self) -> bool:
        return bool(self._doubts)

    def add(self, player: QueuedPlayer, reply: Reply) -> None:
        """Hold the player, because its POST has just ended in doubt."""
        now = time.monotonic()
        waited_s = now - reply.left_at
        self._add(player, now, now + max(LEAST_AGE_S - waited_s, waited_s))

    def add_intent(self, player: QueuedPlayer, intent: SentPlayer) -> None:
        """Hold a player that was in doubt when its title was loaded: another process, or an earlier one, sent it."""
        age_s = (datetime.now(UTC) - datetime.fromisoformat(intent.sent_at)).total_seconds()
        now = time.monotonic()
        self._add(player, now, now + min(max(LEAST_AGE_S - age_s, 0), LEAST_AGE_S))  # clocks may have been set

    def put_back(self, player: QueuedPlayer) -> None:
        """Hold a player again that `take` gave out, because the backend was found to be away."""
        self._add(player, time.monotonic(), 0)

    def _add(self, player: QueuedPlayer, now: float, not_before: float) -> None:
        player.in_doubt = True
        player.title.parked += 1
        self._doubts.append(_Doubt(player, now, not_before))

    def proved(self, left_at: float, grace_s: float | None = None) -> None:
        """Note that another player's POST that left at `left_at` was accepted.

        Args:
            grace_s: seconds before players in doubt are sent; ``None``: `GRACE_S`.
        """
        ready_at = time.monotonic() + (GRACE_S if grace_s is None else grace_s)
        for doubt in self._doubts:
            if doubt.known_at <= left_at:
                doubt.ready_at = min(doubt.ready_at, ready_at)

    def take(self) -> QueuedPlayer | None:
        """Give out a player whose title begins anew, or one that may be sent now because nothing else is left to do."""
        now = time.monotonic()
        may_send = self._queue.is_quiet and not self._sender.breaker.is_open
        for i, doubt in enumerate(self._doubts):
            if doubt.player.title.forget or (may_send and doubt.due_at <= now):
                del self._doubts[i]
                doubt.player.title.parked -= 1
                return doubt.player
        return None

    def take_all(self) -> list[QueuedPlayer]:
        """Give out all players, because no POST could show in this pass that the backend works."""
        players = [doubt.player for doubt in self._doubts]
        self._doubts.clear()
        for player in players:
            player.title.parked -= 1
        return players

    async def ask(self) -> bool:
        """Send a record that the backend has already, to see whether the backend works. One worker at a time asks.

        It is called when nothing but players in doubt is left to send.

        Returns:
            False when this failed in as many attempts as any record has.
        """
        # While the breaker is open, players that are ready wait for a probe, which none of them may be
        is_open = self._sender.breaker.is_open
        waiting = [] if is_open else [doubt for doubt in self._doubts if doubt.ready_at < math.inf]
        self._say(min((doubt.due_at for doubt in waiting), default=None))
        if waiting or self._is_asking or time.monotonic() < self._ask_at:
            return True
        self._is_asking = True
        try:
            return await self._ask()
        finally:
            self._is_asking = False

    async def _ask(self) -> bool:
        oldest = self._doubts[0]
        reply = await self._repeat_player()
        if reply and reply.outcome in (Outcome.DELIVERED, Outcome.MULTIPLE_ROWS):  # a doubled one was looked up, too
            self.proved(reply.left_at, REPEAT_GRACE_S)
        elif reply is None or reply.outcome in NEEDS_PARENT:
            reply = await self._repeat_episode(oldest)
            if reply.outcome is Outcome.DELIVERED:
                # Only the oldest: its own 200 will be better evidence for the others than this one.
                oldest.ready_at = min(oldest.ready_at, time.monotonic() + LONE_GRACE_S)
            elif reply.outcome is Outcome.PARENT_MISSING:  # without its parent, the POST in doubt stores nothing
                oldest.ready_at = time.monotonic() + GRACE_S
        if reply.outcome in (Outcome.DELIVERED, Outcome.MULTIPLE_ROWS, Outcome.PARENT_MISSING):
            self._asked = 0
            return True
        self._asked += 1
        self._ask_at = time.monotonic() + reply.delay_s
        return self._sender.may_repeat(reply.outcome, self._asked)

    async def accepts_known(self, kind: ImportKind) -> bool:
        """Whether the backend accepts a record of this kind that it has already; False, too, if it has none."""
        reply = await (self._repeat_player() if kind is ImportKind.PLAYER else self._repeat_title(kind))
        return reply is not None and reply.outcome is Outcome.DELIVERED

    async def _repeat_player(self) -> Reply | None:
        """Send a player again, unchanged, that the backend has; ``None``: it has no player of ours."""
        known = self.last_delivered or await self._catalogue.read(outbox.newest_delivered_player)
        if known is None:
            return None
        body = player_body(known)
        async with self._sender as sender:
            trace_id = sender.new_trace_id()
            return await sender.send(
                ImportKind.PLAYER, known.url, body, self._asked, trace_id, digest(body), known.title_id
            )

    async def _repeat_title(self, kind: ImportKind) -> Reply | None:
        """Send the anime or one episode again of a title that is fully delivered; ``None``: there is no such title."""
        state = await self._catalogue.read(outbox.newest_delivered_title)
        if state is None:
            return None
        posts = posts_for(
            replace(state, delivered_anime=None, delivered_episodes={}), self._config, self._source_priority
        )
        mine = [entry.body for entry in posts.episodes if entry.number in state.delivered_episodes]
        if kind is ImportKind.EPISODES:
            body = episodes_body(state.title_id, mine[:1]) if mine else None
        else:
            body = posts.anime.body if posts.anime else None
        return await self._repeat(kind, state.title_id, body) if body else None

    async def _repeat(self, kind: ImportKind, title_id: str, body: bytes) -> Reply:
        async with self._sender as sender:
            trace_id = sender.new_trace_id()
            return await sender.send(kind, title_id, body, self._asked, trace_id, digest(body))

    async def _repeat_episode(self, doubt: _Doubt) -> Reply:
        """Send the episode of the player in doubt again."""
        state = replace(doubt.player.title.state, delivered_episodes={}, dead={})
        entries = posts_for(state, self._config, self._source_priority).episodes
        mine = [entry.body for entry in entries if entry.number == doubt.player.post.number]
        return await self._repeat(ImportKind.EPISODES, state.title_id, episodes_body(state.title_id, mine))

    def _say(self, due_at: float | None) -> None:
        """Say in the report what the run waits for; the log has each stage once."""
        why = f"{len(self._doubts)} players may still be under way at the backend, which may have stored them or not"
        if due_at is None:
            stage, text = "proof", f"{why}; they are sent again after it has accepted something else"
        else:
            left_s = max(0, math.ceil(due_at - time.monotonic()))
            stage, text = "grace", f"{why}; it is well again, they are sent in {left_s} s"
        self._report.waiting["backend"] = text
        if stage != self._said:
            logger.warning(text)
            self._said = stage
