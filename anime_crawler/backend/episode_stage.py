"""`EpisodeStage` sends the episode lists of a title one after the other.

It halves a refused list until the bad entry is alone.
"""

from __future__ import annotations

from functools import partial

from anime_crawler.backend.outcomes import FINAL, NEEDS_PARENT, SPLITS, STOPS, SUSPECT_AT_ONCE, ImportKind, Outcome
from anime_crawler.backend.payloads import EpisodeEntry, Refused, digest, episode_key
from anime_crawler.backend.queue import DeliveryQueue, QueuedTitle
from anime_crawler.backend.receipts import Receipts
from anime_crawler.backend.schemas import episodes_body
from anime_crawler.backend.sender import Reply, Sender
from anime_crawler.backend.suspects import Suspects
from anime_crawler.catalogue import outbox

LISTS_TO_HALVE = SPLITS | {Outcome.MULTIPLE_ROWS}


class EpisodeStage:
    """`EpisodeStage` delivers episodes. All workers of one delivery share it."""

    def __init__(self, sender: Sender, queue: DeliveryQueue, receipts: Receipts, suspects: Suspects) -> None:
        self._suspects = suspects
        self._sender = sender
        self._queue = queue
        self._receipts = receipts
        self._parent_tried: set[str] = set()

    async def deliver(self, title: QueuedTitle) -> bool:
        """Send the title's lists, and return whether all are settled.

        Returns:
            False: the title is put off or waits for a judgement, or the delivery is being stopped.
        """
        while title.chunks and not title.forget:
            if not await self._deliver_chunk(title):
                return False
        return True

    async def _deliver_chunk(self, title: QueuedTitle) -> bool:
        """Send the first list, and return whether it is settled or was halved."""
        chunk = title.chunks[0]
        reply = await self._send(title)
        if reply.outcome in LISTS_TO_HALVE and len(chunk) > 1:
            _halve(title)
            return True
        if reply.outcome is Outcome.DELIVERED:
            title.has_progressed = True
            await self._receipts.episodes_delivered(title.title_id, chunk, reply.trace_id)
            await self._suspects.accepted(ImportKind.EPISODES, reply.left_at)
        elif not await self._settled_otherwise(title, reply):
            return False
        title.chunks.popleft()
        title.attempts = 0
        return True

    async def _send(self, title: QueuedTitle) -> Reply:
        body = episodes_body(title.title_id, (entry.body for entry in title.chunks[0]))
        async with self._sender as sender:
            trace_id = sender.new_trace_id()
            return await sender.send(ImportKind.EPISODES, title.title_id, body, title.attempts, trace_id, digest(body))

    async def _settled_otherwise(self, title: QueuedTitle, reply: Reply) -> bool:
        """Deal with a list that was not delivered.

        Returns:
            False: the list may be sent again.
        """
        title.attempts += 1
        if reply.outcome in STOPS:
            return False
        if reply.outcome in NEEDS_PARENT and title.title_id not in self._parent_tried:
            self._parent_tried.add(title.title_id)
            lost = reply.outcome is Outcome.PARENT_MISSING
            if lost and title.state.delivered_anime is not None:
                self._receipts.lost(f"anime {title.title_id}")
            title.forget.append(partial(outbox.forget_anime, title_id=title.title_id, with_children=lost))
        elif reply.outcome in FINAL | NEEDS_PARENT:
            await self._give_up(title, reply)
        elif reply.outcome not in SUSPECT_AT_ONCE and self._sender.may_repeat(reply.outcome, title.attempts):
            self._queue.put_off(title, reply.delay_s)
            return False
        elif await self._suspects.must_judge(reply.outcome):
            self._suspects.add(ImportKind.EPISODES, title, reply, partial(self._judged, title, reply))
            return False
        elif reply.outcome is Outcome.NOT_STORED:
            await self._give_up(title, reply)
        else:
            title.has_failed = True
            title.lost.update(entry.number for entry in title.chunks[0])
        return True

    async def _judged(self, title: QueuedTitle, reply: Reply, is_at_fault: bool) -> None:
        """Go on with a title that had a list refused for an unknown reason, once `Suspects` has judged the list."""
        title.attempts = 0
        if is_at_fault and len(title.chunks[0]) > 1:
            _halve(title)
        elif is_at_fault:
            await self._give_up(title, reply)
            title.chunks.popleft()
        else:
            title.has_failed = True
            title.lost.update(entry.number for entry in title.chunks.popleft())
        self._queue.add(title)

    async def _give_up(self, title: QueuedTitle, reply: Reply) -> None:
        entries = title.chunks[0]
        title.lost.update(entry.number for entry in entries)
        await self._receipts.set_aside(title.title_id, [_refused(title.title_id, entry, reply) for entry in entries])


def _halve(title: QueuedTitle) -> None:
    chunk = title.chunks[0]
    middle = len(chunk) // 2
    title.chunks[0] = chunk[middle:]
    title.chunks.appendleft(chunk[:middle])


def _refused(title_id: str, entry: EpisodeEntry, reply: Reply) -> Refused:
    key = episode_key(title_id, entry.number)
    reason = f"{reply.outcome}: {reply.reason}"
    if reply.outcome is Outcome.MULTIPLE_ROWS:
        reason += f". Delete all but one of the backend's episodes with the source id {key}, then replay this"
    return Refused("episode", key, reason, entry.body.decode(), entry.checksum)
