"""Each of CONCURRENCY workers takes a title and sends its episodes, or takes a player of any title and sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anime_crawler.backend.answer import Kind
from anime_crawler.backend.doubt import Doubts
from anime_crawler.backend.episode_stage import EpisodeStage
from anime_crawler.backend.lease_keeper import LeasesLostError
from anime_crawler.backend.outcomes import DeliveryStoppedError, Outcome
from anime_crawler.backend.player_stage import PlayerFailures
from anime_crawler.backend.queue import DeliveryQueue, QueuedPlayer, QueuedTitle
from anime_crawler.backend.receipts import PlayerReceipts, Receipts, now
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.suspects import Suspects
from anime_crawler.catalogue.outbox import SentPlayer


async def settle(title: QueuedTitle, finish: Callable[[QueuedTitle], Awaitable[None]]) -> None:
    """`settle` notes that one part of the title is done in this pass, and finishes the title after its last part."""
    title.open -= 1
    if title.open == 0:
        await finish(title)


@dataclass(frozen=True)
class Workshop:
    """The `Workshop` holds everything that all workers of one delivery share."""

    sender: Sender
    queue: DeliveryQueue
    receipts: Receipts
    player_receipts: PlayerReceipts
    episodes: EpisodeStage
    failures: PlayerFailures
    doubts: Doubts
    suspects: Suspects
    finish: Callable[[QueuedTitle], Awaitable[None]]
    """The workers call it once for each title, when none of its POSTs is under way any more."""

    async def settle(self, title: QueuedTitle) -> None:
        """Note that one part of the title is done in this pass."""
        await settle(title, self.finish)

    async def deliver_title(self, title: QueuedTitle) -> None:
        """Send the title's episodes, then give out its players to all workers."""
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
        """When no other work is left, judge the suspects, then find out whether the players in doubt may be sent."""
        if self.suspects:
            await self.suspects.decide(self.queue.more_may_come)
        if self.doubts and self.queue.is_quiet and not await self.doubts.ask():
            for player in self.doubts.take_all():
                player.title.has_failed = True
                await self.settle(player.title)


class Worker:
    """A worker holds the receipt of its last player, and commits it together with the intent of its next one."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._receipt: SentPlayer | None = None
        self._delivered: QueuedTitle | None = None

    async def run(self) -> None:
        """Work until the delivery is stopped or the task cancelled."""
        try:
            while True:
                await self._step()
        except LeasesLostError:
            self._receipt = None  # the title is another one's now, and what it knows of the player is newer
        except DeliveryStoppedError:
            return
        finally:
            if self._receipt:
                self._shop.player_receipts.write([self._receipt])

    async def _step(self) -> None:
        """Do the next thing there is to do, or wait for it a little."""
        queue, doubts = self._shop.queue, self._shop.doubts
        unit = queue.take()
        if unit is None and doubts:
            unit = doubts.take()
        if isinstance(unit, QueuedPlayer):
            await self._deliver(unit)
            return
        await self._commit()
        if unit is not None:
            await self._shop.deliver_title(unit)
        else:
            if (doubts or self._shop.suspects) and queue.is_quiet:
                await self._shop.deal_with_parked()
            await queue.wait()
            self._shop.sender.breaker.check()

    async def _deliver(self, player: QueuedPlayer) -> None:
        if player.title.forget:  # the title begins anew
            await self._shop.settle(player.title)
            return
        if not self._shop.sender.breaker.may_send_now:
            await self._commit()  # it may take long
        sender = self._shop.sender
        if not await sender.enter(may_probe=not player.in_doubt):
            self._shop.doubts.put_back(player)
            return
        try:
            intent = _intent(player, sender.new_trace_id())
            await self._commit(intent)
            post = player.post
            reply = await sender.send(
                Kind.PLAYER, post.url, post.body, player.attempts, intent.trace_id, title_id=intent.title_id
            )
        finally:
            sender.leave()
        if reply.outcome is Outcome.DELIVERED:
            self._accepted(player, intent, reply)
            if self._shop.suspects:
                await self._shop.suspects.accepted(Kind.PLAYER, reply.left_at)
        elif await self._shop.failures.settled(player, intent, reply):
            await self._shop.settle(player.title)

    def _accepted(self, player: QueuedPlayer, intent: SentPlayer, reply: Reply) -> None:
        doubts = self._shop.doubts
        self._shop.receipts.report.count("backend", "players")
        player.title.has_progressed = True
        self._receipt, self._delivered = intent._replace(state="done"), player.title
        doubts.last_delivered = intent
        if doubts:
            doubts.proved(reply.left_at)

    async def _commit(self, *intents: SentPlayer) -> None:
        """Commit the receipt that is held, if any, with the intents."""
        receipt, self._receipt = self._receipt, None
        rows = (receipt, *intents) if receipt else intents
        if rows:
            await self._shop.player_receipts.write(rows)
        delivered, self._delivered = self._delivered, None
        if delivered:
            await self._shop.settle(delivered)


def _intent(player: QueuedPlayer, trace_id: str) -> SentPlayer:
    post = player.post
    return SentPlayer(player.title.title_id, post.number, post.url, post.priority, "sending", now(), trace_id)
