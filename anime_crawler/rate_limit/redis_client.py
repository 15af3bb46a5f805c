"""How every part of the project reaches Redis: with timeouts, and without repeating a call behind our back."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

TIMEOUT_S = 2.0  # for each call; a local Redis answers within a millisecond
OPTIONS: dict[str, Any] = {
    "socket_timeout": TIMEOUT_S,
    "socket_connect_timeout": TIMEOUT_S,
    "client_name": "anime_crawler",
    "retry": None,  # no further attempts
}


def redis_client(url: str) -> Redis:
    """A client with one connection pool; nothing is sent before the first call, and each call is tried once."""
    client: Redis = Redis.from_url(url, **OPTIONS)
    return client


def async_redis_client(url: str) -> AsyncRedis:
    """The same for coroutines."""
    client: AsyncRedis = AsyncRedis.from_url(url, **OPTIONS)
    return client
