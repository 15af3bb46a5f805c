"""Requests a second of one worker on scrapy-redis' scheduler and on ours, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys

from redis import Redis

from tests.benchmarks.distributed.servers import Servers
from tests.download.upstream_server import running_server
from tests.guard import ROOT, clean_environment

REQUESTS = 3_000
ROUNDS = 5


def rates(servers: Servers) -> tuple[float, float]:
    """Medians of (scrapy-redis', ours)."""
    found: dict[str, list[float]] = {"stock": [], "leases": []}
    with running_server() as server:
        for _ in range(ROUNDS):
            for which, measured in found.items():
                measured.append(_rate(which, servers.redis.url(), server.url))
    return statistics.median(found["stock"]), statistics.median(found["leases"])


def _rate(which: str, url: str, base_url: str) -> float:
    with Redis.from_url(url) as client:
        client.flushall()
    command = [sys.executable, "-m", "tests.benchmarks.distributed.trivial_spider", which, url, base_url, str(REQUESTS)]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    return float(done.stdout)
