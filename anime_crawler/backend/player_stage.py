"""The workers of a delivery, `DeliveryWorker`, send players, and episodes by way of `EpisodeStage`.

A player's POST is the only one that may not be repeated at any time: the backend stores a player twice when it works
on two POSTs of it at once, and then answers every later one with a 500. So the player's intent (state ``sending``) is
committed before its POST leaves. While the outcome of a POST is unknown, the player waits as `doubt` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from anime_crawler.backend.doubt import Doubts
from anime_crawler.backend.episode_stage import EpisodeStage
from anime_crawler.backend.lease_keeper import LeasesLostError
from anime_crawler.backend.outcomes import (
    FINAL,
    IN_DOUBT,
    NEEDS_PARENT,
    STOPS,
    SUSPECT_AT_ONCE,
    DeliveryStoppedError,
    ImportKind,
    Outcome,
)
from anime_crawler.backend.payloads import PlayerPost, Refused, digest, player_key
from anime_crawler.backend.queue import DeliveryQueue, QueuedPlayer, QueuedTitle
from anime_crawler.backend.receipts import PlayerReceipts, Receipts, now
from anime_crawler.backend.schemas import PLAYER_SOURCE_NAME
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.suspects import Suspects
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer

SETTLES = FINAL | NEEDS_PARENT
"""Outcomes after which the same POST is not sent again in the same pass."""


class PlayerFailures:
    """`PlayerFailures` decides about players that were not, or perhaps not, stored. All workers share it."""

    def __init__(
        self,
        sender: Sender,
        queue: DeliveryQueue,
        receipts: Receipts,
        doubts: Doubts,
        suspects: Suspects,
        settle: Callable[[QueuedTitle], Awaitable[None]],
    ) -> None:
        self._sender = sender
        self._queue = queue
        self._receipts = receipts
        self._doubts = doubts
        self._suspects = suspects
        self._settle = settle
        self._parent_tried: set[str] = set()

    async def settled(self, player: QueuedPlayer, intent: SentPlayer, reply: Reply) -> bool:
        """Deal with the failure, and return whether the player is settled for this pass.

        Returns:
            False: the player will be sent again or judged later, or the delivery is stopped.
        """
        player.attempts += 1
        is_in_doubt = reply.outcome in IN_DOUBT
        if is_in_doubt:
            player.before = intent  # the intent stays in the catalogue until the answer to another POST settles it
        else:
            await self._receipts.withdraw(intent, player.before)
        if reply.outcome in STOPS:
            return False
        is_repeated = reply.outcome not in SETTLES | SUSPECT_AT_ONCE
        if is_repeated and self._sender.may_repeat(reply.outcome, player.attempts):
            if is_in_doubt:
                self._doubts.add(player, reply)
            else:
                self._queue.put_off(player, reply.delay_s)
            return False
        if await self._suspects.must_judge(reply.outcome):
            self._suspects.add(ImportKind.PLAYER, player.title, reply, partial(self._judged, player, reply))
            return False
        await self._give_up(player.title, player.post, reply)
        return True

    async def _judged(self, player: QueuedPlayer, reply: Reply, is_at_fault: bool) -> None:
        if is_at_fault:
            await self._receipts.set_aside(player.title.title_id, [_refused(player.title.title_id, player.post, reply)])
        else:
            player.title.has_failed = True
        await self._settle(player.title)

    async def _give_up(self, title: QueuedTitle, post: PlayerPost, reply: Reply) -> None:
        key = player_key(title.title_id, post.number, post.url)
        if reply.outcome in NEEDS_PARENT and key not in self._parent_tried:
            self._parent_tried.add(key)
            lost = reply.outcome is Outcome.PARENT_MISSING
            if lost and post.number in title.state.delivered_episodes:
                self._receipts.lost(f"episode {post.number} of anime {title.title_id}")
            title.forget.append(
                partial(outbox.forget_episode, title_id=title.title_id, number=post.number, with_children=lost)
            )
        elif reply.outcome in SETTLES or reply.outcome is Outcome.NOT_STORED:
            await self._receipts.set_aside(title.title_id, [_refused(title.title_id, post, reply)])
        else:
            title.has_failed = True


def _refused(title_id: str, post: PlayerPost, reply: Reply) -> Refused:
    reason = f"{reply.outcome}: {reply.reason}"
    if reply.outcome is Outcome.MULTIPLE_ROWS:
        reason += (
            f". Delete all but one of the backend's video sources of episode {title_id}:{post.number} with url "
            f"{post.url} and source {PLAYER_SOURCE_NAME}, then replay this"
        )
    key = player_key(title_id, post.number, post.url)
    return Refused("player", key, reason, post.body.decode(), digest(post.body))


async def settle(title: QueuedTitle, finish: Callable[[QueuedTitle], Awaitable[None]]) -> None:
    """Note that one part of the title is done in this pass, and call `finish` after its last part."""
    title.open -= 1
    if title.open == 0:
        await finish(title)


@dataclass(frozen=True)
class WorkerContext:
    """The `WorkerContext` holds everything that all workers of one delivery share."""

    sender: Sender
    queue: DeliveryQueue
    receipts: Receipts
    player_receipts: PlayerReceipts
    episodes: EpisodeStage
    failures: PlayerFailures
    doubts: Doubts
    suspects: Suspects
    finish: Callable[[QueuedTitle], Awaitable[None]]
    """The workers call `finish` once for each title, when none of its POSTs is under way any more."""

    async def settle(self, title: QueuedTitle) -> None:
        """Note that one part of the title is done in this pass."""
        await settle(title, self.finish)

    async def deliver_title(self, title: QueuedTitle) -> None:
        """Send the title's episodes, then put its players into the queue for all workers."""
        if not await self.episodes.deliver(title):
            return
        for post in () if title.forget else title.posts.players:
            if post.number not in title.lost:
                title.open += 1
                self._give_out(QueuedPlayer(title, post))
        await self.settle(title)

    def _give_out(self, player: QueuedPlayer) -> None:
        if player.before and player.before.state == "sending":
            self.doubts.add_intent(player, player.before)
        else:
            self.queue.add_player(player)

    async def deal_with_parked(self) -> None:
        """Judge the suspects, then find out whether the players in doubt may be sent.

        Workers call it when nothing else is left to send.
        """
        if self.suspects:
            await self.suspects.decide(self.queue.more_may_come)
        if self.doubts and self.queue.is_quiet and not await self.doubts.ask():
            for player in self.doubts.take_all():
                player.title.has_failed = True
                await self.settle(player.title)


class DeliveryWorker:
    """A `DeliveryWorker` takes titles and players from the queue, one at a time, and sends them.

    There are CONCURRENCY of them. Each holds the receipt of its last player back, and commits it together with the
    intent of its next player, which saves a commit.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._receipt: SentPlayer | None = None
        self._delivered: QueuedTitle | None = None

    async def run(self) -> None:
        """Send what the queue has, until the delivery is stopped or the task is cancelled."""
        try:
            while True:
                await self._step()
        except LeasesLostError:
            self._receipt = None  # another importer has the title now, and knows something newer of the player
        except DeliveryStoppedError:
            return
        finally:
            if self._receipt:
                self._context.player_receipts.write([self._receipt])

    async def _step(self) -> None:
        """Send the next title or player of the queue, or wait a little for one."""
        queue, doubts = self._context.queue, self._context.doubts
        unit = queue.take()
        if unit is None and doubts:
            unit = doubts.take()
        if isinstance(unit, QueuedPlayer):
            await self._deliver(unit)
            return
        await self._commit()
        if unit is not None:
            await self._context.deliver_title(unit)
        else:
            if (doubts or self._context.suspects) and queue.is_quiet:
                await self._context.deal_with_parked()
            await queue.wait()
            self._context.sender.breaker.check()

    async def _deliver(self, player: QueuedPlayer) -> None:
        if player.title.forget:  # the title begins anew
            await self._context.settle(player.title)
            return
        if not self._context.sender.breaker.may_send_now:
            await self._commit()  # the wait for the breaker may be long
        sender = self._context.sender
        if not await sender.acquire(may_probe=not player.in_doubt):
            self._context.doubts.put_back(player)
            return
        try:
            intent = _intent(player, sender.new_trace_id())
            await self._commit(intent)
            post = player.post
            reply = await sender.send(
                ImportKind.PLAYER, post.url, post.body, player.attempts, intent.trace_id, title_id=intent.title_id
            )
        finally:
            sender.release()
        if reply.outcome is Outcome.DELIVERED:
            self._accepted(player, intent, reply)
            if self._context.suspects:
                await self._context.suspects.accepted(ImportKind.PLAYER, reply.left_at)
        elif await self._context.failures.settled(player, intent, reply):
            await self._context.settle(player.title)

    def _accepted(self, player: QueuedPlayer, intent: SentPlayer, reply: Reply) -> None:
        doubts = self._context.doubts
        self._context.receipts.report.count("backend", "players")
        player.title.has_progressed = True
        self._receipt, self._delivered = intent._replace(state="done"), player.title
        doubts.last_delivered = intent
        if doubts:
            doubts.proved(reply.left_at)

    async def _commit(self, *intents: SentPlayer) -> None:
        """Commit the intents together with the receipt that is held back, if there is one."""
        receipt, self._receipt = self._receipt, None
        rows = (receipt, *intents) if receipt else intents
        if rows:
            await self._context.player_receipts.write(rows)
        delivered, self._delivered = self._delivered, None
        if delivered:
            await self._context.settle(delivered)


def _intent(player: QueuedPlayer, trace_id: str) -> SentPlayer:
    post = player.post
    return SentPlayer(player.title.title_id, post.number, post.url, post.priority, "sending", now(), trace_id)
