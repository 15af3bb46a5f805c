"""`scrapy workers` as its users start it."""

from __future__ import annotations

import json

from redis import Redis

from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.rate_limit.redis_limiter import RedisLimiter

ABOUT = {
    "host": "here",
    "pid": 17,
    "run": 3,
    "started_at": 1_800_000_000,
    "running": ["kodik"],
    "requests": {"kodik": 5},
    "per_minute": {"kodik": 30.0},
    "waiting": {"kodik": "the limit 30/min"},
}


def test_workers_what_they_hold_and_what_is_pending_are_shown(scrapy, redis_url):
    """As tables and as JSON; requests by method and address."""
    with Redis.from_url(redis_url) as client:
        membership = Membership(client, "kodik", lease_s=600)
        membership.join("run", ABOUT)
        store = RedisStore(client, "anime_crawler:frontier:kodik", membership)
        store.open("run")
        for number in range(3):
            store.push(b"%d" % number, "a.test", 0, b'{"method": "POST", "url": "http://a.test/%d"}' % number)
        store.pop({})
    limiter = RedisLimiter(redis_url)
    assert limiter.acquire("kodik", parse_limits("2/s,30/min")) is None
    found = json.loads(scrapy("workers", "--json", REDIS_URL=redis_url).stdout)
    assert found["budgets"]["kodik"]["30/min"] == 1
    (worker,) = found["workers"]
    assert worker.items() >= {**ABOUT, "crawl": "kodik", "holds": ["POST http://a.test/0"]}.items()
    assert 500 < worker["lease_s"] <= 600
    frontier = found["frontiers"]["kodik"]
    assert (frontier["pending"], len(frontier["leases"]), frontier["seen"]) == ({"a.test": 2}, 1, 3)
    shown = scrapy("workers", REDIS_URL=redis_url, COLUMNS="200").stdout
    for text in ("POST http://a.test/0", "kodik 30/min (100% of all)", "2 for a.test", "1 of 30/min"):
        assert text in shown


def test_without_a_redis_it_says_what_is_missing(scrapy):
    """Exit codes 2 and 3, one message each."""
    unset = scrapy("workers")
    assert (unset.returncode, "REDIS_URL is required" in unset.stderr) == (2, True)
    away = scrapy("workers", REDIS_URL="redis://:geheim@127.0.0.1:1/0")
    assert (away.returncode, "cannot be used just now" in away.stderr, "geheim" in away.stderr) == (3, True, False)
