"""Invented titles stay among themselves: not into a catalogue of real ones, not to a backend of somebody's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.origin import note_origin
from anime_crawler.catalogue.tables import backend
from tests.backend.support import TOKEN, running_backend
from tests.e2e.support import Project


@pytest.fixture
def project(sandbox: Any, tmp_path: Path) -> Project:
    """A project that crawls the sandbox and has no backend."""
    return Project(tmp_path / "project", sandbox, {"BACKEND_BASE_URL": "", "INTERNAL_TOKEN": TOKEN})


def status_of(project: Project) -> Any:
    return json.loads(project.run("status", "--json").stdout)


def backends_of(project: Project) -> list[Any]:
    """The backends of whose receipts the catalogue knows, and which one was delivered to last."""
    with connect(f"sqlite:///{project.directory}/var/anime.db", writes=False) as conn:
        return [tuple(row) for row in conn.execute(select(backend))]


def test_what_was_crawled_from_a_sandbox_is_marked_and_kept_apart(project):
    """By whoever points a source's address at one: delivery to another backend, and a real crawl, end with 2."""
    assert project.crawl().returncode == 0
    assert status_of(project)["origin"] == "sandbox"
    assert project.run("deliver", BACKEND_BASE_URL=project.sandbox.backend_url).returncode == 0
    before = backends_of(project)

    async def deliver_elsewhere() -> None:
        async with running_backend() as another:
            for words in (("deliver",), ("crawl", "kodik")):
                done = await asyncio.to_thread(project.run, *words, BACKEND_BASE_URL=another.url)
                assert done.returncode == 2, done.stderr
                said = " ".join(done.stderr.split())
                assert "this backend is not the sandbox's, so nothing is sent: set DATABASE_URL" in said
                assert "Traceback" not in said
                dry = await asyncio.to_thread(project.run, *words, "-s", "DRY_RUN=1", BACKEND_BASE_URL=another.url)
                assert (dry.returncode, dry.stdout) == (2, ""), dry.stderr
                assert "this backend is not the sandbox's, so nothing is sent" in " ".join(dry.stderr.split())
            assert another.posts == {}
            assert backends_of(project) == before  # its receipts did not become those of the one that was refused
        away = await asyncio.to_thread(project.run, "deliver", "-s", "DRY_RUN=1", BACKEND_BASE_URL=another.url)
        assert (away.returncode, away.stdout) == (4, "")
        assert away.stderr.count("\n") == 1

    asyncio.run(deliver_elsewhere())
    real = project.run("crawl", "shikimori", "-a", "ids=1", SHIKIMORI_BASE_URL="https://shikimori.io")
    assert real.returncode == 2
    assert "holds invented titles, and real titles are never added" in real.stderr
    plan = project.run("deliver", "-s", "DRY_RUN=1", BACKEND_BASE_URL=project.sandbox.backend_url)
    assert plan.returncode == 0, plan.stderr
    assert "\n0 anime, 0 episode lists, 0 players" in plan.stdout
    assert project.run("deliver", BACKEND_BASE_URL=project.sandbox.backend_url).returncode == 0


def test_invented_titles_are_not_added_to_real_ones(project):
    """Exit 2 at the first page, of which nothing is stored."""
    project.run("status")
    with connect(f"sqlite:///{project.directory}/var/anime.db", writes=True) as conn:
        note_origin(conn, "real")
    done = project.crawl()
    assert done.returncode == 2, done.stderr
    assert "holds real titles, and invented titles of the sandbox are never added" in done.stderr
    found = status_of(project)
    assert (found["origin"], found["counts"]["anime_records"], found["counts"]["releases"]) == ("real", 0, 0)


def test_a_lookup_that_is_given_again_out_of_the_cache_is_still_invented(project):
    """Into another catalogue, where nothing was asked for this time."""
    for name in ("one", "two"):
        database = {"DATABASE_URL": f"sqlite:///{name}.db"}
        done = project.run("crawl", "jikan", "-a", "ids=1", **database)
        assert done.returncode in (0, 1), done.stderr
        with connect(f"sqlite:///{project.directory}/{name}.db", writes=True) as conn:
            note_origin(conn, "sandbox")
