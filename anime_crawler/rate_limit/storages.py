"""The storage of the budgets that the settings choose."""

from __future__ import annotations

from pathlib import Path

from anime_crawler.config import Config
from anime_crawler.rate_limit.sqlite_limiter import Budgets, BudgetStorage

BUDGETS = Path("var/politeness.sqlite")
"""Requests sent, shared by every process that works in this directory; with REDIS_URL they are in Redis."""


def open_budgets(config: Config, path: Path) -> BudgetStorage:
    """Redis where REDIS_URL is set, else the SQLite file at `path`.

    Raises:
        BudgetError: it cannot be used.
    """
    if not config.redis_url:
        return Budgets(path)
    from anime_crawler.rate_limit.redis_limiter import RedisBudgets  # here: the library takes 0.05 s to import

    return RedisBudgets(config.redis_url)
