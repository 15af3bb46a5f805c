"""`BufferedStore` stands between the scheduler and the store in Redis, so that nothing is lost while Redis is away."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.frontier.store import FrontierAway, Lease, LeaseLost

T = TypeVar("T")

ACK_S = 0.02  # an ack waits so long for the next `pop`, to be sent in the same call: this saves a third of all calls


class BufferedStore:
    """A `Store` that buffers additions and acks, in order, while Redis does not answer.

    If the process dies meanwhile, the buffered calls are lost but no work is: the leases of the parent requests run
    out, and another worker does those requests again.
    """

    def __init__(self, store: RedisStore, session: WorkerSession) -> None:
        self.inner = store
        self._session = session
        self._buffered: deque[Callable[[], object]] = deque()
        self._held: dict[int | str, Lease] = {}
        self._acked: list[Lease] = []
        """Leases whose ack has not been sent to Redis. If this process died now, their requests would be made again."""
        self._requests_per_id: Counter[str] = Counter()

    def open(self, generation: str) -> int:
        """Note the generation only, because Redis may be away. The caller calls `opened` until it returns True."""
        self._generation = generation
        return 0

    def opened(self) -> bool:
        """Try to open the store, and return whether it is open now.

        Raises:
            JobDirHeld: if workers of another run are alive.
            FrontierError: if this Redis cannot be used.
        """
        return self._call_or_default(lambda: self.inner.open(self._generation), None) is not None

    def elect(self) -> str:
        """Elect the starting worker as `RedisStore.elect` does; ``wait`` also while Redis does not answer."""
        return self._call_or_default(self.inner.elect, "wait")

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        return self._call_or_buffer(partial(self.inner.push, fingerprint, slot, priority, data))

    def pop(self, active: Mapping[str, int]) -> Lease | None:
        if not self._session.is_working or self._buffered:
            return None
        lease = self._call_or_default(lambda: self._acked_and_popped(active), None)
        if lease:
            self._held[lease.id] = lease
        return lease

    def _acked_and_popped(self, active: Mapping[str, int]) -> Lease | None:
        lease = self.inner.pop(active, self._acked)
        for acked in self._acked:
            self._held.pop(acked.id, None)
        self._acked.clear()
        return lease

    def ack(self, lease: Lease) -> None:
        """Note the ack. Redis receives it with the next `pop`, or after `ACK_S` if none comes before."""
        if not self._acked:
            asyncio.get_running_loop().call_later(ACK_S, self._tell)
        self._acked.append(lease)

    def _tell(self) -> None:
        """Send the noted acks to Redis, or buffer them."""
        acked, self._acked = self._acked, []
        for lease in acked:
            self._call_or_buffer(partial(self._done, self.inner.ack, lease))

    def keep(self, lease: Lease) -> None:
        self._call_or_buffer(lambda: self._done(self.inner.keep, lease))

    def refuse(self, lease: Lease) -> None:
        """See `RedisStore.refuse`."""
        self._call_or_buffer(lambda: self._done(self.inner.refuse, lease))

    def started(self) -> None:
        """See `RedisStore.started`."""
        self._call_or_buffer(self.inner.started)

    def pending(self) -> int:
        return self._call_or_default(self.inner.pending, 0)

    def leased_elsewhere(self) -> int:
        """As `Store.leased_elsewhere`; 1 while Redis does not answer, so that the crawl does not end on a guess."""
        unknown = 1
        if self._buffered or not self._session.is_working:
            return unknown
        return self._call_or_default(self.inner.leased_elsewhere, unknown)

    def unfinished(self) -> int:
        self._tell()
        return self._call_or_default(self.inner.unfinished, 1)

    def clear(self) -> None:
        self._tell()
        self._call_or_default(self.inner.clear_if_done, None)

    def close(self) -> None:
        self._tell()
        self._call_or_default(self.recover, None)
        self._call_or_default(self.inner.close, None)

    def lease_ids(self, ids: Collection[str]) -> list[str]:
        """See `RedisStore.lease_ids`."""
        nothing: list[str] = []
        return self._call_or_default(lambda: self.inner.lease_ids(ids), nothing) if ids else nothing

    def ids_leased_elsewhere(self) -> list[str] | None:
        """As `RedisStore.ids_leased_elsewhere`; ``None`` while Redis does not answer."""
        return self._call_or_default(self.inner.ids_leased_elsewhere, None)

    def add_request(self, ids: Collection[str]) -> None:
        """Note that one more request asks for these anime ids, which this worker has leased."""
        self._requests_per_id.update(ids)

    def finish_request(self, ids: Collection[str]) -> None:
        """Note that a request for these anime ids is done and stored; an id without requests is released."""
        self._requests_per_id.subtract(ids)
        done = [leased for leased in ids if self._requests_per_id[leased] <= 0]
        for leased in done:
            del self._requests_per_id[leased]
        self.release_ids(done)

    def release_ids(self, ids: Collection[str]) -> None:
        """See `RedisStore.release_ids`."""
        if ids:
            self._call_or_buffer(partial(self.inner.release_ids, list(ids)))

    def recover(self) -> None:
        """Make the buffered calls, then tell Redis which leases this worker holds.

        Raises:
            FrontierAway: if Redis does not answer; the remaining calls stay in the buffer.
            LeaseLost: if other workers have taken over this worker's leases.
        """
        while self._buffered:
            self._buffered[0]()
            self._buffered.popleft()
        self.inner.reclaim(list(self._held.values()))

    def _done(self, end: Callable[[Lease], None], lease: Lease) -> None:
        end(lease)
        self._held.pop(lease.id, None)

    def _call_or_buffer(self, call: Callable[[], object]) -> bool:
        """Make the call now, or buffer it until Redis answers.

        Returns:
            False if the call returned False, or if this worker has lost its leases and may not make it.
        """
        if self._session.is_lost:
            return False
        if not self._buffered and self._session.is_working:
            try:
                return call() is not False
            except LeaseLost:
                self._session.record_loss()
                return False
            except FrontierAway as error:
                self._session.record_outage(error)
        self._buffered.append(call)
        return True

    def _call_or_default(self, call: Callable[[], T], otherwise: T) -> T:
        """The call's result, or `otherwise` where Redis does not answer or other workers have taken over."""
        if self._session.is_working:
            try:
                return call()
            except LeaseLost:
                self._session.record_loss()
            except FrontierAway as error:
                self._session.record_outage(error)
        return otherwise
