"""`RedisStorage` keeps the caches in Redis, for processes of several machines. It touches no other keys.

The keys of the HTTP cache are ``anime_crawler:http_cache:<source>:entry:<digest>`` and ``…:lease:<digest>``; those of
the result cache are ``anime_crawler:result_cache:<source>:entry:<digest>``. Each key has its TTL. The ``maxmemory`` of
Redis limits the memory that they take.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions

from anime_crawler.cache.entry import STORED_AT, Key, stored_at
from anime_crawler.cache.storage import LEASE_S, CacheError, SourceStats
from anime_crawler.rate_limit.redis_client import async_redis_client
from anime_crawler.redis_words import refusal

PREFIX = "anime_crawler:"  # the key's family follows, HTTP or RESULT; both end in "_cache"
AT_A_TIME = 500  # keys in one round trip

# Both scripts compare the owner, because a lease that expired may belong to another owner by now.
ACQUIRE = """
    local owner = redis.call('get', KEYS[1])
    if owner and owner ~= ARGV[1] then return 0 end
    redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1
"""
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class RedisStorage:
    """The `CacheStorage` for several machines, with one connection pool. It connects at the first call."""

    def __init__(self, url: str) -> None:
        self._redis: Any = async_redis_client(url)

    async def get(self, key: Key) -> bytes | None:
        with _explained():
            value: bytes | None = await self._redis.get(_name(key, "entry"))
            return value

    async def put(self, key: Key, value: bytes, keep_s: float) -> None:
        with _explained():
            await self._redis.set(_name(key, "entry"), value, px=max(1, int(keep_s * 1000)))

    async def drop(self, key: Key) -> None:
        with _explained():
            await self._redis.unlink(_name(key, "entry"))

    async def acquire(self, key: Key, owner: str) -> bool:
        with _explained():
            return bool(await self._redis.eval(ACQUIRE, 1, _name(key, "lease"), owner, int(LEASE_S * 1000)))

    async def release(self, key: Key, owner: str) -> None:
        with _explained():
            await self._redis.eval(RELEASE, 1, _name(key, "lease"), owner)

    async def stats(self) -> list[SourceStats]:
        found: dict[tuple[str, str], SourceStats] = {}
        with _explained():
            async for names in self._batches("*"):
                for name, size, head, ttl_ms in await self._looked_at(names):
                    if len(head) == STORED_AT.size and ttl_ms > 0:  # else it expired in between
                        _add(found, name, size, stored_at(head), ttl_ms / 1000)
        return [found[place] for place in sorted(found)]

    async def clear(self, source: str | None) -> int:
        """Remove the entries, and leave the leases, which belong to fetches under way."""
        count = 0
        with _explained():
            async for names in self._batches("*" if source is None else source):
                count += await self._redis.unlink(*names)
        return count

    async def close(self) -> None:
        await self._redis.aclose()

    async def _batches(self, source: str) -> AsyncIterator[list[bytes]]:
        """Names of the entries, each once. SCAN finds them, so that Redis serves other clients in between."""
        seen: set[bytes] = set()
        batch: list[bytes] = []
        async for name in self._redis.scan_iter(match=f"{PREFIX}*_cache:{source}:entry:*", count=AT_A_TIME):
            if name not in seen:
                seen.add(name)
                batch.append(name)
            if len(batch) >= AT_A_TIME:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _looked_at(self, names: list[bytes]) -> list[tuple[bytes, int, bytes, int]]:
        """Name, size in bytes, first bytes and milliseconds until the end of each entry."""
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.strlen(name).getrange(name, 0, STORED_AT.size - 1).pttl(name)
        answers = await pipeline.execute()
        return [(name, *answers[3 * i : 3 * i + 3]) for i, name in enumerate(names)]


def _name(key: Key, kind: str) -> str:
    return f"{PREFIX}{key.family}:{key.source}:{kind}:{key.digest}"


def _add(found: dict[tuple[str, str], SourceStats], name: bytes, size: int, at: float, ttl_s: float) -> None:
    now, (family, source, *_) = time.time(), name.decode().removeprefix(PREFIX).split(":")
    stats = found.setdefault((source, family), SourceStats(family, source, 0, 0, now, 0.0, ttl_s, ttl_s))
    stats.entries += 1
    stats.bytes += size
    stats.oldest, stats.newest = min(stats.oldest, at), max(stats.newest, at)
    stats.shortest_ttl_s, stats.longest_ttl_s = min(stats.shortest_ttl_s, ttl_s), max(stats.longest_ttl_s, ttl_s)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of Redis into `CacheError`. No message holds the address, which may contain a password."""
    try:
        yield
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        said = refusal(error, "REDIS_CACHE_URL") or f"Redis of REDIS_CACHE_URL cannot be used: {error}"
        raise CacheError(said) from error
