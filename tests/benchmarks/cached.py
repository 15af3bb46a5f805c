"""What the caches save: seconds of a request, requests of several processes, seconds of a lookup made before."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from anime_crawler.cache.entry import RESULT, Key
from anime_crawler.cache.result_entry import pack_items, unpack_items
from anime_crawler.cache.sqlite_storage import SqliteStorage
from anime_crawler.sandbox.server.process import running_sandbox
from anime_crawler.sources import cards
from tests.catalogue.support import anime, character, episode
from tests.download.crawl import FAST, Plan, result_of, start
from tests.download.upstream_server import running_server
from tests.e2e.support import Project
from tests.services import start_redis, stop_redis

REPEATS = 200


def cache_seconds(storage: str) -> tuple[float, float]:
    """Medians of (miss, hit), from a request's making to its callback: scheduler, middlewares and all."""
    with tempfile.TemporaryDirectory() as directory, running_server() as server:
        state = Path(directory, "redis.json")
        config = {**FAST, "enable_http_cache": True, "http_cache_storage": storage}
        if storage == "redis":
            config["redis_cache_url"] = start_redis(state).url()
        try:
            misses = [f"/delay/0.3/{n}" for n in range(5)]
            paths = [*misses, *(misses * (REPEATS // 5))]
            plan = Plan(server.url, paths, directory, one_by_one=True, method="GET", config=config)
            seconds = result_of(start(plan)).latencies
        finally:
            stop_redis(state)
        assert len(server.arrivals) == len(misses)
        return statistics.median(seconds[:5]), statistics.median(seconds[5:])


def fetches_of_three_processes(titles: int) -> int:
    """Requests that an upstream sees of three processes that want the same titles at once."""
    with tempfile.TemporaryDirectory() as directory, running_server() as server:
        paths = [f"/delay/0.3/{n}" for n in range(titles)]
        plan = Plan(server.url, paths, directory, method="GET", config={**FAST, "enable_http_cache": True})
        for process in [start(plan) for _ in range(3)]:
            assert len(result_of(process).outcomes) == titles
        return len(server.arrivals)


def first_lookup_seconds(source: str) -> float:
    """Of an anime with its characters, within the card's limits at 300 ms latency, from the first request."""
    with tempfile.TemporaryDirectory() as directory, running_sandbox(titles=20) as sandbox:
        limits = {cards()[source].limits_setting: cards()[source].limits}
        project = Project(Path(directory), sandbox, {"BACKEND_BASE_URL": "", **limits})
        project.fault(source, "slow_start", delay_s=0.3)
        known = project.sandbox.get(f"/_sandbox/oracle?what=known&source={source}")
        project.run("crawl", source, "-a", f"ids={known[0]['source_id']}", "-a", "characters=1").check_returncode()
        assert len(project.records("anime")) == 1
        return float(project.report()["walk_s"][source])


def result_seconds() -> float:
    """Median of opening the cache and reading a lookup's result: an anime, 100 episodes, 50 characters."""
    items = [anime(), *map(episode, range(1, 101)), *(character(str(n)) for n in range(50))]
    key = Key("jikan", "a lookup", RESULT)

    async def read(path: Path) -> float:
        began = time.perf_counter()
        storage = SqliteStorage(path)
        value = await storage.get(key)
        assert value and len(unpack_items(value)) == len(items)
        await storage.close()
        return time.perf_counter() - began

    async def measure(path: Path) -> float:
        storage = SqliteStorage(path)
        await storage.put(key, pack_items(items, time.time()), 86_400)
        await storage.close()
        return statistics.median([await read(path) for _ in range(REPEATS)])

    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(measure(Path(directory, "cache.sqlite")))
