"""Fixtures start the backends to which these tests talk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reference_backend.support import Client, running


@pytest.fixture(scope="session")
def shared_backend() -> Iterator[Client]:
    """One backend in memory for all tests of this folder."""
    with running() as client:
        yield client


@pytest.fixture
def backend(shared_backend: Client) -> Client:
    """An empty backend without faults."""
    shared_backend.send("DELETE", "/_reference/faults")
    shared_backend.send("DELETE", "/_reference/rows")
    shared_backend.send("POST", "/_reference/reset")
    return shared_backend


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'backend.db'}"
    new_url: Callable[[], str] = request.getfixturevalue("new_postgres_url")
    return new_url()
