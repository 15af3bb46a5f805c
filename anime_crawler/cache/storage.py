"""`CacheStorage` keeps the values of the caches; `open_storage` opens the form that the settings choose.

`SqliteStorage` serves the processes of one machine, and `RedisStorage` those of several machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from anime_crawler.cache.entry import Key
from anime_crawler.config import Config

LEASE_S = 15.0  # a dead process delays others for no longer; a living one renews its leases every third of this


class CacheError(Exception):
    """The storage cannot be used at the moment. The crawl goes on without it."""


@dataclass
class SourceStats:
    """`SourceStats` counts what the cache holds of one source in one family."""

    family: str
    source: str
    entries: int
    bytes: int
    oldest: float
    newest: float
    """`oldest` and `newest` are the Unix times at which the oldest and the newest entry were stored."""
    shortest_ttl_s: float
    longest_ttl_s: float
    """`shortest_ttl_s` and `longest_ttl_s` are the seconds until the first and the last entry expire."""


class CacheStorage(Protocol):
    """The interface of every form of the storage: values by key, each for a time, and leases.

    A call either takes effect as a whole or changes nothing.

    Raises:
        CacheError: any method may raise it.
    """

    async def get(self, key: Key) -> bytes | None: ...

    async def put(self, key: Key, value: bytes, keep_s: float) -> None: ...

    async def drop(self, key: Key) -> None: ...

    async def acquire(self, key: Key, owner: str) -> bool:
        """Lease the key to the owner for `LEASE_S`, or renew the owner's lease; False if another owner has it."""
        ...

    async def release(self, key: Key, owner: str) -> None: ...

    async def stats(self) -> list[SourceStats]: ...

    async def clear(self, source: str | None) -> int:
        """Remove all entries, or all of one source, and return their number."""
        ...

    async def close(self) -> None: ...


def open_storage(config: Config, path: str) -> CacheStorage:
    """Open the storage in Redis, or in the SQLite file at `path`.

    Raises:
        CacheError: if the file cannot be used.
    """
    # Both are imported here because they import this module, and because the Redis library takes 0.05 s to import.
    if config.http_cache_storage == "sqlite":
        from anime_crawler.cache.sqlite_storage import SqliteStorage

        return SqliteStorage(path)
    from anime_crawler.cache.redis_storage import RedisStorage

    return RedisStorage(config.redis_cache_url)
