"""Several workers share one crawl in Redis, and end as one careful worker does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.sandbox.process import running_sandbox
from tests.e2e.support import Project, until

NewProject = Callable[..., Project]
SHORT = ("-s", "WORKER_LEASE_S=2", "-L", "DEBUG")


@pytest.fixture
def workers(new_project: NewProject, redis_url: str, postgres_url: str, tmp_path: Path) -> list[Project]:
    """Two machines with one Redis, one PostgreSQL and one sandbox."""
    shared = {"REDIS_URL": redis_url, "DATABASE_URL": postgres_url}
    first = new_project("first", shared, titles=60)
    return [first, replace(first, directory=tmp_path / "second")]


def test_two_workers_crawl_each_page_once_and_store_what_one_does(
    workers: list[Project], new_project: NewProject
) -> None:
    """And the backend holds the same."""
    clean = new_project("clean", titles=60)
    assert clean.crawl().returncode == 0
    processes = [worker.start("crawl", "kodik", *SHORT) for worker in workers]
    assert [process.wait(100) for process in processes] == [0, 0], [worker.log()[-3000:] for worker in workers]
    assert workers[0].exports() == clean.exports()
    assert workers[0].dump() == clean.dump()
    assert workers[0].requests_to("kodik") == clean.requests_to("kodik")
    assert workers[0].requests_to("shikimori") == clean.requests_to("shikimori")
