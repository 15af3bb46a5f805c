"""A worker that finds 100,000 requests pending: how soon it asks, and what it takes in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from redis import Redis

from anime_crawler.frontier.redis.membership import PREFIX as CRAWL
from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.store import PREFIX, RedisStore, unpacked
from tests.benchmarks.distributed.kills import SOURCE, WALK
from tests.e2e.support import Project, until

PENDING = 100_000
WORK_S = 20  # for so long it is let work before its memory is read


@dataclass(frozen=True)
class Start:
    """Of one worker."""

    since_exec_s: float
    """To its first request, from the making of its process."""
    since_joined_s: float
    """The same, from when it was one of the workers: imports and migrations are over."""
    peak_mb: float
    """The most memory that it has had."""

    def __str__(self) -> str:
        return f"{self.since_exec_s:.1f} s, {self.since_joined_s:.1f} s of it after joining"


def first_requests(project: Project) -> tuple[Start, Start]:
    """Of a worker that finds nothing, and is killed; and of the next one, which finds 100,000 requests.

    `project` is the only user of its Redis.
    """
    with Redis.from_url(project.environment["REDIS_URL"]) as server:
        project.fault(SOURCE, "slow_start", delay_s=5, skip=1)
        empty = started(project, server, lambda: project.requests_to(SOURCE) == 2)
        server.delete(f"{CRAWL}{SOURCE}:alive")  # as if its lease had run out
        fill(server)
        project.calm()
        done = time.monotonic() + WORK_S
        full = started(replace(project, directory=project.directory / "next"), server, lambda: time.monotonic() > done)
    return empty, full


def started(project: Project, server: Redis, is_over: Callable[[], bool]) -> Start:
    """Start a worker, let it work, and kill it."""
    began, process = time.time(), project.start(*WALK)
    until(lambda: server.zcard(f"{CRAWL}{SOURCE}:alive") > 0, 120)
    joined = time.time()
    until(lambda: project.requests_to(SOURCE) > 0, 120)
    until(is_over, 120)
    asked = project.sandbox.get(f"/_sandbox/log?service={SOURCE}")[0]["wall"]
    memory = peak_mb(process.pid)
    process.kill()
    process.wait()
    return Start(asked - began, max(0.0, asked - joined), memory)


def fill(server: Redis) -> None:
    """Make 100,000 requests pending, in the run that is there, each like those that are."""
    membership = Membership(server, SOURCE, lease_s=600)
    run = server.get(f"{CRAWL}{SOURCE}:run").decode()
    membership.join(run, {})
    store = RedisStore(server, f"{PREFIX}{SOURCE}", membership)
    store.open(server.get(f"{PREFIX}{SOURCE}:run").decode())
    like, slot = model(server)
    for number in range(1, PENDING + 1 - store.pending()):
        url = like["url"].replace("/anime/", f"/anime/{number}0000", 1)  # nobody knows them: answered by 404
        data = orjson.dumps(like | {"url": url, "cb_kwargs": {"mal_id": number}})
        store.push(number.to_bytes(20), slot, 1, data)
    store.started()
    membership.leave(is_incomplete=False)


def model(server: Redis) -> tuple[dict[str, object], str]:
    """A request for the characters of a title, and its slot."""
    (slot,) = server.smembers(f"{PREFIX}{SOURCE}:slots")
    found = (orjson.loads(unpacked(data)) for data in server.hvals(f"{PREFIX}{SOURCE}:requests"))
    return next(request for request in found if request["url"].endswith("/characters")), slot.decode()


def peak_mb(pid: int) -> float:
    """The most memory that the process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
