"""One of CONCURRENCY workers: takes a title and sends its episodes, or takes a player of any title and sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anime_crawler.backend.answer import Kind
from anime_crawler.backend.books import Books, now
from anime_crawler.backend.claims import ClaimsLostError
from anime_crawler.backend.episodes import EpisodeDelivery
from anime_crawler.backend.errors import DeliveryStoppedError, Outcome
from anime_crawler.backend.ledger import Ledger
from anime_crawler.backend.players import PlayerFailures, seconds_in_doubt
from anime_crawler.backend.sender import Sender
from anime_crawler.backend.work import PlayerWork, TitleWork, WorkQueue
from anime_crawler.catalogue.outbox import SentPlayer


@dataclass(frozen=True)
class Workshop:
    """What all workers of one delivery share."""

    sender: Sender
    queue: WorkQueue
    books: Books
    ledger: Ledger
    episodes: EpisodeDelivery
    failures: PlayerFailures
    finish: Callable[[TitleWork], Awaitable[None]]
    """Called once for each title, when none of its POSTs is under way any more."""

    async def settle(self, work: TitleWork) -> None:
        """One part of the title needs nothing more in this pass."""
        work.open -= 1
        if work.open == 0:
            await self.finish(work)

    async def deliver_title(self, work: TitleWork) -> None:
        """Send its episodes, then give out its players to all workers."""
        if not await self.episodes.deliver(work):
            return
        for post in () if work.forget else work.posts.players:
            if post.number not in work.lost:
                work.open += 1
                self._give_out(PlayerWork(work, post))
        await self.settle(work)

    def _give_out(self, player: PlayerWork) -> None:
        wait_s = seconds_in_doubt(player.post.before)
        if wait_s > 0:
            self.queue.put_off(player, wait_s)
        else:
            self.queue.add_player(player)


class Worker:
    """Holds the receipt of its last player: it is committed together with the intent of its next."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._receipt: SentPlayer | None = None
        self._delivered: TitleWork | None = None

    async def work(self) -> None:
        """Work until the delivery is stopped or the task cancelled."""
        try:
            while True:
                await self._step()
        except ClaimsLostError:
            self._receipt = None  # the title is another one's now, and what it knows of the player is newer
        except DeliveryStoppedError:
            return
        finally:
            if self._receipt:
                self._shop.ledger.write([self._receipt])

    async def _step(self) -> None:
        """Do the next thing there is to do, or wait for it a little."""
        unit = self._shop.queue.take()
        if isinstance(unit, PlayerWork):
            await self._deliver(unit)
            return
        await self._commit()
        if unit is not None:
            await self._shop.deliver_title(unit)
        else:
            await self._shop.queue.wait()
            self._shop.sender.gate.check()

    async def _deliver(self, player: PlayerWork) -> None:
        if player.title.forget:  # the title begins anew
            await self._shop.settle(player.title)
            return
        if not self._shop.sender.gate.is_open:
            await self._commit()  # it may take long
        async with self._shop.sender as sender:
            intent = _intent(player, sender.new_trace_id())
            await self._commit(intent)
            reply = await sender.send(Kind.PLAYER, player.post.url, player.post.body, player.attempts, intent.trace_id)
        if reply.outcome is Outcome.DELIVERED:
            self._shop.books.report.count("backend", "players")
            player.title.has_progressed = True
            self._receipt, self._delivered = intent._replace(state="done"), player.title
        elif await self._shop.failures.settled(player, intent, reply):
            await self._shop.settle(player.title)

    async def _commit(self, *intents: SentPlayer) -> None:
        """Commit the receipt that is held, if any, with the intents."""
        receipt, self._receipt = self._receipt, None
        rows = (receipt, *intents) if receipt else intents
        if rows:
            await self._shop.ledger.write(rows)
        delivered, self._delivered = self._delivered, None
        if delivered:
            await self._shop.settle(delivered)


def _intent(player: PlayerWork, trace_id: str) -> SentPlayer:
    post = player.post
    return SentPlayer(player.title.title_id, post.number, post.url, post.priority, "sending", now(), trace_id)
