"""The storage that the settings choose."""

from __future__ import annotations

from anime_crawler.cache.sqlite_storage import CacheStorage, SqliteStorage
from anime_crawler.config import Config


def open_storage(config: Config, path: str) -> CacheStorage:
    """Redis, or the SQLite file at `path`.

    Raises:
        CacheError: the file cannot be used.
    """
    if config.http_cache_storage == "sqlite":
        return SqliteStorage(path)
    from anime_crawler.cache.redis_storage import RedisStorage  # here: the library takes 0.05 s to import

    return RedisStorage(config.redis_cache_url)
