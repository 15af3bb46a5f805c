"""`RedisStore` keeps the frontier in Redis. Each worker is an owner and has leases of its own."""

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
"""The keys of a frontier begin with this and the spider's name."""
LONG = 600
"""A request of so many bytes or more is compressed, and takes less than a kilobyte with its order and fingerprint. A
GraphQL batch of 1,700 bytes takes 850 bytes. A page of a list with the state of its walk has 500 bytes. Most requests
are short and stay readable."""
ZLIB = b"x"  # compressed data begins with this byte, and JSON never does
MOST = 2**20
"""A request may have so many bytes once it is decompressed: the content of Redis is not trusted."""


class RedisStore:
    """A `Store` under the keys that begin with `key`; `scripts.py` lists them with their content.

    Every method that changes something raises `LeaseLost` once Redis no longer counts this worker among the living.
    """

    def __init__(self, client: Any, key: str, membership: Membership) -> None:
        self._membership = membership
        self._scripts = Scripts(client, membership.key, key)

    def open(self, generation: str) -> int:
        return int(self._call(redis_scripts.OPEN, generation))

    def elect(self) -> Literal["start", "wait", "done"]:
        """Elect the worker that makes the first requests.

        Returns:
            ``start``: this worker makes them. ``wait``: another worker is about to. ``done``: they have been made.
        """
        answer: Literal["start", "wait", "done"] = self._call(redis_scripts.ELECT).decode()
        return answer

    def started(self) -> None:
        """Note that the first requests have been made."""
        self._call(redis_scripts.STARTED)

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        return bool(self._call(redis_scripts.PUSH, fingerprint or b"", slot, -priority, packed(data)))

    def pop(self, active: Mapping[str, int], done: Collection[Lease] = ()) -> Lease | None:
        """Lease a request as `Store.pop` does, and ack the leases of `done` in the same step."""
        slots = (word for item in active.items() for word in item)
        found = self._call(redis_scripts.POP, len(done), *(lease.id for lease in done), *slots)
        return Lease(found[0].decode(), unpacked(found[1])) if found else None

    def ack(self, lease: Lease) -> None:
        self._call(redis_scripts.ACK, lease.id)

    def keep(self, lease: Lease) -> None:
        self._call(redis_scripts.KEEP, lease.id)

    def refuse(self, lease: Lease) -> None:
        """Set aside leased data that is not a request: a person can look at it, and `pop` never gives it again."""
        self._call(redis_scripts.REFUSE, lease.id)

    def reclaim(self, held: Collection[Lease]) -> None:
        """Make requests pending that dead workers have leased, or that this worker has leased without knowing it.

        Args:
            held: the leases that this worker knows of.
        """
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
        """Remove all fingerprints unless a request is pending, leased or kept."""
        self._call(redis_scripts.CLEAR_IF_DONE)

    def close(self) -> None:
        with suppress(LeaseLost):  # a worker whose leases are lost has nothing to return
            self.reclaim([])

    def _counts(self) -> tuple[int, int, int, int]:
        """The numbers of requests that are pending, leased here, leased elsewhere and kept."""
        pending, here, elsewhere, kept = self._call(redis_scripts.COUNT)
        return pending, here, elsewhere, kept

    def _call(self, script: str, *arguments: Any) -> Any:
        return self._scripts.call(script, self._membership.me, *arguments)


def packed(data: bytes) -> bytes:
    """The request as Redis keeps it: as JSON, or as compressed JSON if it is long."""
    return zlib.compress(data) if len(data) >= LONG else data


def unpacked(data: bytes) -> bytes:
    """The bytes that `packed` was given. Other bytes are left as they are, or cut at `MOST`: they are not a request."""
    if not data.startswith(ZLIB):
        return data
    try:
        return zlib.decompressobj().decompress(data, MOST)
    except zlib.error:
        return data
