"""The storage of the budgets that the settings choose."""

from __future__ import annotations

from pathlib import Path

from anime_crawler.config import Config
from anime_crawler.politeness.budget import Budgets, BudgetStorage
from anime_crawler.politeness.budget_redis import RedisBudgets


def open_budgets(config: Config, path: Path) -> BudgetStorage:
    """Redis where REDIS_URL is set, else the SQLite file at `path`.

    Raises:
        BudgetError: it cannot be used.
    """
    return RedisBudgets(config.redis_url) if config.redis_url else Budgets(path)
