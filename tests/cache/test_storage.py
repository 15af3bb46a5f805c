"""The storages of the HTTP cache, and the commands that look into them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from scrapy import Request

from anime_crawler.cache.entry import RESULT, Entry, Key, key_of
from anime_crawler.cache.redis_storage import RedisStorage
from anime_crawler.cache.sqlite_storage import SqliteStorage
from anime_crawler.cache.storage import CacheStorage
from tests import processes
from tests.guard import ROOT, clean_environment

A, B = Key("kodik", "a"), Key("shikimori", "b")
DAY_S = 86_400


def entry(body: bytes = b"body") -> bytes:
    return Entry(time.time(), status=200, body=body).pack()


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, project: Path) -> str:
    """A file or an address. The file is where the commands look for it in `project`."""
    return request.getfixturevalue("redis_url") if request.param == "redis" else str(project / "var/http_cache.sqlite")


def with_storage(place: str, use: Callable[[CacheStorage], Awaitable[Any]]) -> Any:
    async def call() -> Any:
        storage: CacheStorage = RedisStorage(place) if "://" in place else SqliteStorage(place)
        try:
            return await use(storage)
        finally:
            await storage.close()

    return asyncio.run(call())


def test_values_last_as_long_as_they_are_to(place: str) -> None:
    async def use(storage: CacheStorage) -> None:
        await storage.put(A, entry(b"one"), DAY_S)
        await storage.put(A, entry(b"two"), DAY_S)
        await storage.put(B, entry(), 0.05)
        await asyncio.sleep(0.1)
        assert Entry.unpack(await storage.get(A) or b"").body == b"two"
        assert await storage.get(B) is None
        assert await storage.get(Key("kodik", "b")) is None

    with_storage(place, use)


def test_a_lease_has_one_owner(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is released or its time is over; only the owner renews and releases it."""

    def last(seconds: float) -> None:
        for module in ("sqlite_storage", "redis_storage"):
            monkeypatch.setattr(f"anime_crawler.cache.{module}.LEASE_S", seconds)

    async def use(storage: CacheStorage) -> None:
        last(60)
        assert [await storage.acquire(A, owner) for owner in ("one", "two", "one")] == [True, False, True]
        await storage.release(A, "two")
        assert not await storage.acquire(A, "two")
        await storage.release(A, "one")
        last(0.1)
        assert await storage.acquire(A, "two")
        await asyncio.sleep(0.2)
        assert await storage.acquire(A, "one")

    with_storage(place, use)


def test_who_waited_for_the_file_does_not_take_a_lease_given_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is from before the wait. A lease from long after now was given before the clock was set back."""
    now = time.time()

    async def use(storage: CacheStorage) -> None:
        for at_s, owner, is_given in ((0.2, "quick", True), (0, "waited", False), (-60, "clock set back", True)):
            monkeypatch.setattr(time, "time", lambda at=now + at_s: at)
            assert await storage.acquire(A, owner) == is_given

    with_storage(str(tmp_path / "cache.sqlite"), use)


def test_eight_processes_tear_no_value(place: str) -> None:
    """8 × 1,000 gets, every fifth followed by a put of another value."""
    options = {"cwd": ROOT, "env": clean_environment(), "warnings": ["error"], "stdout": -1, "stderr": -1, "text": True}
    running = [processes.start("tests.cache.cache_hammer", place, 1000, **options) for _ in range(8)]
    ended = [process.communicate(timeout=120) for process in running]
    assert [stdout.strip() for stdout, _ in ended] == ["0"] * 8, ended


def test_the_file_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is larger than it may be, the oldest entries go."""
    monkeypatch.setattr("anime_crawler.cache.sqlite_storage.PRUNE_EVERY", 1)

    async def fill() -> None:
        storage = SqliteStorage(tmp_path / "cache.sqlite", most_bytes=10_000)
        for n in range(100):
            await storage.put(Key("kodik", str(n)), Entry(n).pack() + bytes(500), DAY_S)
        (stats,) = await storage.stats()
        assert 8_000 < stats.bytes <= 10_000
        assert stats.newest == 99
        assert await storage.get(Key("kodik", "0")) is None
        await storage.close()

    asyncio.run(fill())


def test_a_key_is_the_same_in_every_process() -> None:
    """Whatever its hash seed."""
    code = (
        "from scrapy import Request; from anime_crawler.cache.entry import key_of;"
        "r = Request('http://localhost/a', method='POST', body=b'{}', headers={'Accept': 'text/html'});"
        "print(key_of('kodik', r).digest)"
    )
    digests = []
    for seed in ("1", "2"):
        env = clean_environment({"PYTHONHASHSEED": seed})
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        digests.append(done.stdout.strip())
    request = Request("http://localhost/a", method="POST", body=b"{}", headers={"Accept": "text/html"})
    assert digests == [key_of("kodik", request).digest] * 2


def environment(place: str) -> dict[str, str]:
    return {"HTTP_CACHE_STORAGE": "redis", "REDIS_CACHE_URL": place} if "://" in place else {}


def test_stats_and_clear(place: str, scrapy: Any) -> None:
    """Per source; `clear` of one leaves the others, and `clear` of all leaves what is not ours.

    Redis refuses KEYS, which would hold up everybody else.
    """

    async def use(storage: CacheStorage) -> None:
        for n in range(3):
            await storage.put(Key("kodik", str(n)), entry(), DAY_S)
        await storage.put(Key("kodik", "0", RESULT), entry(), DAY_S)
        await storage.put(B, entry(), 7 * DAY_S)

    with_storage(place, use)
    env = environment(place.replace("redis://", "redis://scanner:any@"))
    if env:
        with redis.Redis.from_url(place) as client:
            client.acl_setuser("scanner", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-keys"])
            client.set("somebody:else", "1")
            assert {round(client.ttl(name) / DAY_S) for name in client.scan_iter("anime_crawler:*kodik*")} == {1}
    stats = scrapy("cache", "stats", COLUMNS="200", **env).stdout
    rows = [[part.strip() for part in line.split("│")[1:4]] for line in stats.splitlines() if "kodik" in line]
    assert rows == [["kodik", "http_cache", "3"], ["kodik", "result_cache", "1"]]
    assert "24 h" in stats
    assert "7 days" in stats
    assert "shikimori" not in scrapy("cache", "stats", "--source", "kodik", **env).stdout
    assert "4 entries of kodik" in scrapy("cache", "clear", "--source", "kodik", **env).stdout
    assert "1 entries of all sources" in scrapy("cache", "clear", **env).stdout
    assert "is empty" in scrapy("cache", "stats", **env).stdout
    if env:
        with redis.Redis.from_url(place) as client:
            assert client.keys() == [b"somebody:else"]
            client.acl_deluser("scanner")


def test_stats_and_clear_of_more_than_one_look_at_redis(redis_url: str) -> None:
    """Thousands of entries are looked at some hundreds at a time; what is none of ours is neither counted nor lost."""

    async def use(storage: CacheStorage) -> None:
        for number in range(1200):
            await storage.put(Key("kodik", str(number)), entry(), DAY_S)
        with redis.Redis.from_url(redis_url) as client:
            client.set("anime_crawler:http_cache:kodik:entry:short", b"1", px=DAY_S * 1000)
            assert [(found.source, found.entries) for found in await storage.stats()] == [("kodik", 1200)]
            client.delete("anime_crawler:http_cache:kodik:entry:short")
        await storage.drop(Key("kodik", "0"))
        assert await storage.clear("kodik") == 1199
        assert await storage.stats() == []

    with_storage(redis_url, use)


def test_what_the_command_cannot_do_is_said(scrapy: Any) -> None:
    """Exit 2: an unknown source, with those that there are; a Redis that is away, without its password."""
    unknown = scrapy("cache", "clear", "--source", "nobody")
    assert unknown.returncode == 2
    assert "kodik" in unknown.stderr
    away = scrapy("cache", "stats", HTTP_CACHE_STORAGE="redis", REDIS_CACHE_URL="redis://:pass-word@127.0.0.1:1/0")
    assert away.returncode == 2
    assert "REDIS_CACHE_URL" in away.stderr
    assert "pass-word" not in away.stderr
