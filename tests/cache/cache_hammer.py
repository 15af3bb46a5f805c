"""Many gets and puts of a few keys, from a process of its own; prints how many values were wrong.

python -m tests.cache.cache_hammer FILE-OR-URL GETS
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import zlib

from scrapy import Request

from anime_crawler.cache.entry import Entry, key_of
from anime_crawler.cache.redis_storage import RedisStorage
from anime_crawler.cache.sqlite_storage import SqliteStorage
from anime_crawler.cache.storage import CacheStorage

KEYS = [key_of("hammer", Request(f"http://localhost/{n}")) for n in range(20)]


def value() -> bytes:
    """An entry whose status tells whether its body is the one that it was stored with."""
    body = random.randbytes(random.randrange(1, 20_000))
    return Entry(time.time(), status=zlib.crc32(body), body=body).pack()


def is_torn(packed: bytes) -> bool:
    entry = Entry.unpack(packed)
    return zlib.crc32(entry.body) != entry.status


async def hammer(storage: CacheStorage, gets: int) -> int:
    torn = 0
    for _ in range(gets):
        key = random.choice(KEYS)
        found = await storage.get(key)
        torn += found is not None and is_torn(found)
        if found is None or random.random() < 0.2:
            await storage.put(key, value(), 60)
    await storage.close()
    return torn


if __name__ == "__main__":
    place = sys.argv[1]
    print(asyncio.run(hammer(RedisStorage(place) if "://" in place else SqliteStorage(place), int(sys.argv[2]))))
