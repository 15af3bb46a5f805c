"""Seconds that one request takes with an empty cache and with a warm one, in a real crawl."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.politeness.crawl import FAST, Plan, result_of, start
from tests.politeness.upstream_server import running_server
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
