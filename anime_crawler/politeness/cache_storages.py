"""The storage that the settings choose."""

from __future__ import annotations

from anime_crawler.config import Config
from anime_crawler.politeness.cache_redis import RedisStorage
from anime_crawler.politeness.cache_storage import CacheStorage, SqliteStorage


def open_storage(config: Config, path: str) -> CacheStorage:
    """Redis, or the SQLite file at `path`.

    Raises:
        CacheError: the file cannot be used.
    """
    return RedisStorage(config.redis_cache_url) if config.http_cache_storage == "redis" else SqliteStorage(path)
