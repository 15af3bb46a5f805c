"""What every form of the cache's storage shares: the interface, its error, and the choice of SQLite or Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from anime_crawler.cache.entry import Key
from anime_crawler.config import Config

LEASE_S = 15.0  # a dead process holds others up for no longer; a living one renews its leases every third of this


class CacheError(Exception):
    """The storage cannot be used just now; one goes on without it."""


@dataclass
class SourceStats:
    """`SourceStats` counts what the cache holds of one source in one family."""

    family: str
    source: str
    entries: int
    bytes: int
    oldest: float
    newest: float
    """Unix times of storing."""
    shortest_ttl_s: float
    longest_ttl_s: float
    """Seconds until the first and the last entry are forgotten."""


class CacheStorage(Protocol):
    """Values by key, each for a time, and leases. Every call is whole or does nothing.

    Raises:
        CacheError: from every method.
    """

    async def get(self, key: Key) -> bytes | None: ...

    async def put(self, key: Key, value: bytes, keep_s: float) -> None: ...

    async def drop(self, key: Key) -> None: ...

    async def acquire(self, key: Key, owner: str) -> bool:
        """Whether the lease is the owner's now, for `LEASE_S`; one that it holds is renewed."""
        ...

    async def release(self, key: Key, owner: str) -> None: ...

    async def stats(self) -> list[SourceStats]: ...

    async def clear(self, source: str | None) -> int:
        """Forget all, or all of one source; how many entries there were."""
        ...

    async def close(self) -> None: ...


def open_storage(config: Config, path: str) -> CacheStorage:
    """Redis, or the SQLite file at `path`.

    Raises:
        CacheError: the file cannot be used.
    """
    # Both are imported here because they import this module, and because the Redis library takes 0.05 s to import.
    if config.http_cache_storage == "sqlite":
        from anime_crawler.cache.sqlite_storage import SqliteStorage

        return SqliteStorage(path)
    from anime_crawler.cache.redis_storage import RedisStorage

    return RedisStorage(config.redis_cache_url)
