"""Kitsu against the sandbox: every title once, then only what is new or living, within its limits."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Project
from tests.sandboxes import running_sandbox

TODAY = int(time.time()) // 86_400 * 86_400
"""The world's present: what the answers say of a day is then true of this one."""
ALONE = {"BACKEND_BASE_URL": ""}


def crawl(project: Project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return project.run("crawl", "kitsu", "-s", "JOBDIR=var/jobs/kitsu", *arguments, timeout=600, **env)


def assert_clean(done: subprocess.CompletedProcess[str], project: Project) -> None:
    """Exit 0, nothing set aside, no field that the schema does not know."""
    assert done.returncode == 0, done.stderr
    report = project.report()
    assert (report["dead_letters"], report["problems"]) == (0, [])
    assert not [group for group in report["counters"] if group.startswith("drift")]


def stored(project: Project) -> dict[str, dict[str, Any]]:
    """The anime of the catalogue by their ids; each is there once."""
    rows = project.records("anime")
    assert len({row["source_id"] for row in rows}) == len(rows)
    return {row["source_id"]: row for row in rows}


def known(project: Project) -> dict[str, str]:
    """What Kitsu shows: romaji title by id."""
    return {row["source_id"]: row["romaji"] for row in project.sandbox.get("/_sandbox/oracle?what=known&source=kitsu")}


def titles_of(project: Project) -> dict[str, str]:
    return {number: row["title_romaji"] for number, row in stored(project).items()}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has walked a Kitsu of 150 titles once, without limits."""
    with running_sandbox(titles=150, limits="off", now=TODAY) as sandbox:
        project = Project(tmp_path_factory.mktemp("kitsu"), sandbox, ALONE)
        assert_clean(crawl(project, "-a", "mode=full"), project)
        yield project


def test_the_first_walk_finds_every_title_once(walked: Project) -> None:
    """20 rows a page, each page beginning with the last row of the one before."""
    expected = known(walked)
    assert titles_of(walked) == expected
    assert walked.requests_to("kitsu") == -(-(len(expected) - 1) // 19)


def test_the_next_walk_asks_for_what_is_new_or_living_and_finds_just_that(walked: Project) -> None:
    """After three new titles, one end and one new name: the list's end, the living, and those that are no more."""
    before, living = stored(walked), [row for row in stored(walked).values() if row["status"] == "ongoing"]
    running = [row["external_ids"]["mal"] for row in living if "mal" in row["external_ids"]][:2]
    ended, renamed = running
    for _ in range(3):
        walked.sandbox.post("/_sandbox/mutate", {"op": "new_title"})
    walked.sandbox.post("/_sandbox/mutate", {"op": "status", "shikimori_id": ended, "status": "released"})
    walked.sandbox.post("/_sandbox/mutate", {"op": "rename", "shikimori_id": renamed})
    walked.calm()
    assert_clean(crawl(walked), walked)
    assert walked.requests_to("kitsu") == 3
    after = stored(walked)
    assert titles_of(walked) == known(walked)
    changed = {row["external_ids"]["mal"] for number, row in after.items() if before.get(number, row) != row}
    assert changed == {ended, renamed}
    assert len(after) > len(before)


def test_a_walk_within_the_limits_breaks_none(tmp_path: Path) -> None:
    """One request a second, as the card says."""
    with running_sandbox(titles=40, now=TODAY) as sandbox:
        project = Project(tmp_path, sandbox, ALONE)
        assert_clean(crawl(project, KITSU_LIMITS="1/s"), project)
        assert sandbox.get("/_sandbox/stats")["violations"] == 0
        assert len(stored(project)) == len(known(project))


@pytest.mark.slow
def test_episodes_characters_and_names_are_found_for_single_titles(walked: Project, tmp_path: Path) -> None:
    """What nobody knows is absent, said, and exit 1; the others are there."""
    project = Project(tmp_path, walked.sandbox, ALONE)
    (first, name), *_ = known(walked).items()
    done = crawl(project, "-a", f"ids={first},999999", "-a", "episodes=1", "-a", "characters=1")
    assert (done.returncode, project.problems()) == (1, {("kitsu", "id_not_found")}), done.stderr
    assert list(stored(project)) == [first]
    assert project.report()["counters"]["anime"] == {"new": 1, "absent": 1}
    done = crawl(project, "-a", f"titles={name.upper()};No Such Name")
    assert (done.returncode, project.problems()) == (1, {("kitsu", "title_not_found")}), done.stderr
    assert first in stored(project)


@pytest.mark.slow
def test_3000_titles_are_found_once_each(tmp_path: Path) -> None:
    """Then the same command again asks for a few pages and changes nothing."""
    with running_sandbox(titles=3_000, limits="off", now=TODAY) as sandbox:
        project = Project(tmp_path, sandbox, ALONE)
        assert_clean(crawl(project, "-a", "mode=full"), project)
        assert titles_of(project) == known(project)
        first = project.requests_to("kitsu")
        project.calm()
        assert_clean(crawl(project), project)
        assert project.requests_to("kitsu") <= 0.15 * first
        assert titles_of(project) == known(project)
