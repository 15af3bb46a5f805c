"""These functions make the clients by which the limiter and the caches reach Redis: with timeouts, without retries."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

TIMEOUT_S = 2.0  # the longest time for one call; a local Redis answers within a millisecond
OPTIONS: dict[str, Any] = {
    "socket_timeout": TIMEOUT_S,
    "socket_connect_timeout": TIMEOUT_S,
    "client_name": "anime_crawler",
    "retry": None,  # the library makes no further attempts: a script that ran twice would count a request twice
}


def redis_client(url: str) -> Redis:
    """A client with one connection pool. It connects at the first call, and tries each call once."""
    client: Redis = Redis.from_url(url, **OPTIONS)
    return client


def async_redis_client(url: str) -> AsyncRedis:
    """A client like that of `redis_client`, for coroutines."""
    client: AsyncRedis = AsyncRedis.from_url(url, **OPTIONS)
    return client
