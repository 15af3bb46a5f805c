"""Every test of the tables runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalogue.support import Tables, opened


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty catalogue."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/anime.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def tables(url: str) -> Iterator[Tables]:
    """An empty catalogue, open."""
    with opened(url) as tables:
        yield tables
