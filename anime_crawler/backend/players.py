"""Players: the only POST that may not be repeated blindly, because two at once leave a player broken for ever.

Its intent (``sending``) is committed before it leaves. While the outcome of an earlier POST of the same player is
unknown, the next one waits until the backend cannot be at work on it any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from anime_crawler.backend.books import Books
from anime_crawler.backend.errors import FINAL, IN_DOUBT, NEEDS_PARENT, STOPS, Outcome
from anime_crawler.backend.ledger import Ledger
from anime_crawler.backend.payloads import PlayerPost, Refused, digest, player_key
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.validation import PLAYER_SOURCE_NAME
from anime_crawler.backend.work import PlayerWork, TitleWork, WorkQueue
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.sql import iso

GRACE_S = 3.0
"""Seconds after the intent of a dead process before its player is sent again: that POST is over by then."""

LONGEST_DOUBT_S = 120.0
"""An intent that lies further ahead than any timeout puts it comes from a clock that has been set back."""

SETTLES = FINAL | NEEDS_PARENT
"""Outcomes after which the same POST is not sent again in this pass."""


class PlayerFailures:
    """What to do with players that were not, or perhaps not, stored. Shared by all workers of one delivery."""

    def __init__(self, sender: Sender, queue: WorkQueue, books: Books, ledger: Ledger) -> None:
        self._sender = sender
        self._queue = queue
        self._books = books
        self._ledger = ledger
        self._parent_tried: set[str] = set()

    async def settled(self, player: PlayerWork, intent: SentPlayer, reply: Reply) -> bool:
        """Deal with the failure; False: the player will be sent again, or the delivery is being stopped."""
        player.attempts += 1
        await self._note(player, intent, reply)
        if reply.outcome in STOPS:
            return False
        if reply.outcome not in SETTLES and self._sender.may_repeat(reply.outcome, player.attempts):
            self._queue.put_off(player, reply.delay_s)
            return False
        await self._give_up(player.title, player.post, reply)
        return True

    async def _note(self, player: PlayerWork, intent: SentPlayer, reply: Reply) -> None:
        """Keep the intent while it is in doubt, for as long as that has to be."""
        if reply.outcome not in IN_DOUBT:
            await self._books.withdraw(intent, player.post.before)
        elif reply.outcome is Outcome.TIMEOUT:
            repeat_at = datetime.now(UTC) + timedelta(seconds=reply.delay_s)
            await self._ledger.write([intent._replace(sent_at=iso(repeat_at - timedelta(seconds=GRACE_S)))])

    async def _give_up(self, work: TitleWork, post: PlayerPost, reply: Reply) -> None:
        key = player_key(work.title_id, post.number, post.url)
        if reply.outcome in NEEDS_PARENT and key not in self._parent_tried:
            self._parent_tried.add(key)
            lost = reply.outcome is Outcome.PARENT_MISSING
            work.forget.append(
                partial(outbox.forget_episode, title_id=work.title_id, number=post.number, with_children=lost)
            )
        elif reply.outcome in SETTLES or reply.outcome is Outcome.NOT_STORED:
            await self._books.set_aside(work.title_id, [_refused(work.title_id, post, reply)])
        else:
            work.has_failed = True


def seconds_in_doubt(before: SentPlayer | None) -> float:
    """How long an earlier POST of the player may still be under way; 0 or less: it is not."""
    if before is None or before.state != "sending":
        return 0.0
    age_s = (datetime.now(UTC) - datetime.fromisoformat(before.sent_at)).total_seconds()
    return min(GRACE_S - age_s, LONGEST_DOUBT_S)


def _refused(title_id: str, post: PlayerPost, reply: Reply) -> Refused:
    reason = f"{reply.outcome}: {reply.reason}"
    if reply.outcome is Outcome.MULTIPLE_ROWS:
        reason += (
            f". Delete all but one of the backend's video sources of episode {title_id}:{post.number} with url "
            f"{post.url} and source {PLAYER_SOURCE_NAME}, then replay this"
        )
    key = player_key(title_id, post.number, post.url)
    return Refused("player", key, reason, post.body.decode(), digest(post.body))
