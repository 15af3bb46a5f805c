"""Players: the only POST that may not be repeated blindly, because two at once leave a player broken for ever.

Its intent (``sending``) is committed before it leaves. While the outcome of an earlier POST of the same player is
unknown, the next one waits as `doubt` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from anime_crawler.backend.answer import Kind
from anime_crawler.backend.doubt import Doubts
from anime_crawler.backend.outcomes import (
    FINAL,
    IN_DOUBT,
    NEEDS_PARENT,
    STOPS,
    SUSPECT_AT_ONCE,
    Outcome,
)
from anime_crawler.backend.payloads import PlayerPost, Refused, digest, player_key
from anime_crawler.backend.queue import DeliveryQueue, QueuedPlayer, QueuedTitle
from anime_crawler.backend.receipts import Receipts
from anime_crawler.backend.schemas import PLAYER_SOURCE_NAME
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.suspects import Suspects
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer

SETTLES = FINAL | NEEDS_PARENT
"""Outcomes after which the same POST is not sent again in this pass."""


class PlayerFailures:
    """Workers share `PlayerFailures`, which decides about players that were not, or perhaps not, stored."""

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
        """Deal with the failure; False: the player will be sent again or judged later, or the delivery is stopped."""
        player.attempts += 1
        is_in_doubt = reply.outcome in IN_DOUBT
        if is_in_doubt:
            player.before = intent  # it stays in the catalogue until an answer to another POST settles it
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
        if await self._suspects.concern(reply.outcome):
            self._suspects.add(Kind.PLAYER, player.title, reply, partial(self._judged, player, reply))
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
