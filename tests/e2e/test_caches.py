"""The caches in the command line's runs: lookups come out of them, news never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Project
from tests.sandboxes import running_sandbox

A_DAY = {"KODIK_CACHE_TTL_SECONDS": "86400", "SHIKIMORI_CACHE_TTL_SECONDS": "86400", "BACKEND_BASE_URL": ""}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Both upstreams' answers may be used for a day, by settings."""
    with running_sandbox(titles=20, limits="off") as sandbox:
        yield Project(tmp_path / "project", sandbox, A_DAY)


def test_a_lookup_made_before_asks_nothing_and_takes_no_news_back(project: Project) -> None:
    """Other ids are asked for. The main job finds what is new meanwhile, in as few requests as ever, and what is kept
    of the lookup does not replace it.
    """
    assert project.crawl().returncode == 0
    ids = sorted(record["source_id"] for record in project.records("anime"))[:3]
    first, again = (requests_of(project, ",".join(ids)) for _ in range(2))
    assert (first, again, requests_of(project, ids[0])) == (1, 0, 1)
    before = project.exports()
    project.sandbox.post("/_sandbox/mutate", {"op": "new_episode", "shikimori_id": int(ids[0])})
    project.sandbox.post("/_sandbox/reset", {})
    assert project.crawl().returncode == 0
    assert project.requests_to("kodik") <= 2
    assert project.requests_to("shikimori") == 1
    exports = project.exports()
    assert exports["players"] != before["players"]
    assert exports["anime"] != before["anime"]
    assert requests_of(project, ",".join(ids)) == 0
    assert project.exports() == exports
    stats = project.run("cache", "stats", "--source", "shikimori", COLUMNS="200").stdout
    assert {"http_cache", "result_cache"} <= set(stats.split())


def test_a_crawl_imports_no_library_of_what_it_is_not_told_to_use(project: Project) -> None:
    """Neither a backend nor Redis is set: together a fifth of a command's start."""
    said = project.run("crawl", "shikimori", "-a", "ids=1", PYTHONPROFILEIMPORTTIME="1").stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert {"scrapy", "sqlalchemy"} <= imported
    assert not imported & {"aiohttp", "redis", "scrapy_redis", "fastapi", "playwright"}


def requests_of(project: Project, ids: str) -> int:
    """Requests to Shikimori that a lookup makes; it ends as soon as all is stored."""
    before = project.requests_to("shikimori")
    process = project.start("crawl", "shikimori", "-a", f"ids={ids}", module="tests.e2e.no_heartbeat")
    assert process.wait(60) == 0, project.log()[-3000:]
    return project.requests_to("shikimori") - before
