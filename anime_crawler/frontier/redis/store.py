"""The frontier's store in Redis: as many owners as there are workers, each with leases of its own."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Literal

from anime_crawler.frontier.redis import scripts as redis_scripts
from anime_crawler.frontier.redis.client import Scripts
from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.store import Lease, LeaseLost

PREFIX = "anime_crawler:frontier:"
"""How the keys of all frontiers begin, with the spider's name after it."""
LONG = 600
"""Bytes from which a request is compressed: with its order and fingerprint it then takes less than a kilobyte. A
GraphQL batch of 1,700 bytes takes 850, a page of a list with the state of its walk 500; most are short and readable."""
ZLIB = b"x"  # how it begins, and no JSON does
MOST = 2**20
"""Bytes that a compressed request may have: what lies in Redis is not trusted."""


class RedisStore:
    """A `Store` under the keys that begin with `key`; see `redis_scripts` for what they hold.

    Every method that changes something raises `LeaseLost` once Redis no longer counts this worker among the living.
    """

    def __init__(self, client: Any, key: str, membership: Membership) -> None:
        self._membership = membership
        self._scripts = Scripts(client, membership.key, key)

    def open(self, generation: str) -> int:
        return int(self._call(redis_scripts.OPEN, generation))

    def elect(self) -> Literal["start", "wait", "done"]:
        """Whether this worker makes the first requests, another one is about to, or they have been made."""
        answer: Literal["start", "wait", "done"] = self._call(redis_scripts.ELECT).decode()
        return answer

    def started(self) -> None:
        """The first requests have been made."""
        self._call(redis_scripts.STARTED)

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        return bool(self._call(redis_scripts.PUSH, fingerprint or b"", slot, -priority, packed(data)))

    def pop(self, active: Mapping[str, int], done: Collection[Lease] = ()) -> Lease | None:
        """See `Store.pop`; in the same step the leases of `done` are acked."""
        slots = (word for item in active.items() for word in item)
        found = self._call(redis_scripts.POP, len(done), *(lease.id for lease in done), *slots)
        return Lease(found[0].decode(), unpacked(found[1])) if found else None

    def ack(self, lease: Lease) -> None:
        self._call(redis_scripts.ACK, lease.id)

    def keep(self, lease: Lease) -> None:
        self._call(redis_scripts.KEEP, lease.id)

    def refuse(self, lease: Lease) -> None:
        """The lease holds no request: it is put where people can look at it, and never given again."""
        self._call(redis_scripts.REFUSE, lease.id)

    def reclaim(self, held: Collection[Lease]) -> None:
        """Leases of workers that are gone, and this worker's beside those it knows of, become pending."""
        self._call(redis_scripts.RECLAIM, *(lease.id for lease in held))

    def pending(self) -> int:
        return self._counts()[0]

    def leased_elsewhere(self) -> int:
        return self._counts()[2]

    def unfinished(self) -> int:
        return sum(self._counts())

    def lease_ids(self, ids: Collection[str]) -> list[str]:
        """Lease the anime ids among these that no other living worker has leased, and give them back to the caller."""
        return [found.decode() for found in self._call(redis_scripts.LEASE_IDS, *ids)]

    def release_ids(self, ids: Collection[str]) -> None:
        """End this worker's leases of these anime ids."""
        self._call(redis_scripts.RELEASE_IDS, *ids)

    def ids_leased_elsewhere(self) -> list[str]:
        """Anime ids that other living workers have leased."""
        return [found.decode() for found in self._call(redis_scripts.LEASED_IDS)]

    def clear(self) -> None:
        self._call(redis_scripts.CLEAR)

    def clear_if_done(self) -> None:
        """Forget everything unless something is pending, leased or kept."""
        self._call(redis_scripts.CLEAR_IF_DONE)

    def close(self) -> None:
        with suppress(LeaseLost):  # then nothing is leased to this worker
            self.reclaim([])

    def _counts(self) -> tuple[int, int, int, int]:
        """Pending, leased here, leased elsewhere, kept."""
        pending, here, elsewhere, kept = self._call(redis_scripts.COUNT)
        return pending, here, elsewhere, kept

    def _call(self, script: str, *arguments: Any) -> Any:
        return self._scripts.call(script, self._membership.me, *arguments)


def packed(data: bytes) -> bytes:
    """A request as Redis keeps it: JSON, or compressed JSON."""
    return zlib.compress(data) if len(data) >= LONG else data


def unpacked(data: bytes) -> bytes:
    """`unpacked` gives back what `packed` was given. Other bytes stay or are cut: they are no JSON, so no request."""
    if not data.startswith(ZLIB):
        return data
    try:
        return zlib.decompressobj().decompress(data, MOST)
    except zlib.error:
        return data
