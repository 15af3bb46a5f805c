"""A run that several workers share (REDIS_URL): how a process joins it, delivers in turn, and leaves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

import orjson
from scrapy.settings import BaseSettings

from anime_crawler.catalogue.backends import address_of
from anime_crawler.catalogue.lock import LockHeld, delivery_lock
from anime_crawler.config import Config
from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.frontier.store import FrontierError
from anime_crawler.run.job import Job

TURN_POLL_S = 0.5  # pause between two looks whether the other worker has delivered


def redis_of(config: Config, settings: BaseSettings) -> Any:
    """A client for REDIS_URL as scrapy-redis' settings want it; nothing is sent yet."""
    from scrapy_redis import connection  # here: takes 0.05 s, and one machine needs no Redis

    return connection.get_redis(url=config.redis_url, **settings.getdict("REDIS_PARAMS"))


def membership_of(config: Config, settings: BaseSettings, spider: str) -> Membership:
    """The workers of a spider's crawl at REDIS_URL."""
    return Membership(redis_of(config, settings), spider, settings.getfloat("WORKER_LEASE_S"))


def use_redis(settings: BaseSettings, config: Config) -> None:
    """Let a crawler's scheduler be scrapy-redis'."""
    start = {"anime_crawler.frontier.redis.scheduler.StartMiddleware": 100}
    settings.set("REDIS_URL", config.redis_url, priority="cmdline")
    settings.set("SCHEDULER", "anime_crawler.frontier.redis.scheduler.SharedScheduler", priority="cmdline")
    settings.set("SPIDER_MIDDLEWARES", settings.getdict("SPIDER_MIDDLEWARES") | start, priority="cmdline")


def group_of(config: Config, spider: str, arguments: Mapping[str, str]) -> str | None:
    """`group_of` names the crawl of all workers with this Redis, spider and arguments; ``None`` without REDIS_URL."""
    if not config.redis_url:
        return None
    common = orjson.dumps([config.redis_url, spider, dict(arguments)], option=orjson.OPT_SORT_KEYS)
    return f"crawl-{blake2b(common, digest_size=4).hexdigest()}"


@asynccontextmanager
async def working(membership: Membership, job: Job, settings: BaseSettings) -> AsyncIterator[None]:
    """Be one of the run's workers.

    Raises:
        FrontierError: Redis cannot be used, or workers of another run are at it.
    """
    session = WorkerSession(
        membership,
        job.run_key,
        about=lambda: about(job),
        end=job.fatal,
        is_stopping=lambda: job.stopping,
        patience_s=settings.getfloat("WORKER_PATIENCE_S"),
        is_incomplete=lambda: job.upstream_failed,
    )
    async with session:
        job.session = session
        try:
            yield
        finally:
            if job.session:  # else it has left as it should
                leave(job)


def leave(job: Job) -> bool:
    """Leave the crawl. Whether this was the last worker: it speaks for all, and ends the run if nothing is missing."""
    assert job.session is not None
    session, job.session = job.session, None
    try:
        is_last, is_missing = session.leave(job.upstream_failed)
    except FrontierError as error:
        job.incomplete("run", f"{error}. Whether all is done is not known; the same command continues")
        return False
    if is_last and is_missing and not job.upstream_failed:
        job.incomplete("run", "another worker left something undone, or died at it; the same command continues")
    return is_last


def about(job: Job) -> dict[str, Any]:
    """The words of a worker about itself, for `scrapy workers`."""
    requests = {name: counts["requests"] for name, counts in job.report.counters.items() if "requests" in counts}
    return {
        "run": job.run_id,
        "started_at": int(time.time() - job.report.wall_s()),
        "running": sorted(job.running),
        "requests": requests,
        "per_minute": {name: round(count / max(job.report.wall_s(), 1) * 60, 1) for name, count in requests.items()},
        "waiting": dict(job.report.waiting),
    }


@asynccontextmanager
async def turn_to_deliver(config: Config, job: Job) -> AsyncIterator[bool]:
    """Wait until this worker may deliver: on SQLite one does at a time. False: the run ends first."""
    lock = delivery_lock(config.database_url, address_of(config.backend_base_url or ""))
    while not job.stopping:
        try:
            async with job.catalogue.holding(lock):
                yield True
                return
        except LockHeld:
            await asyncio.sleep(TURN_POLL_S)
    yield False
