"""Jikan against the sandbox: everything once, the changes in six requests, whatever dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Project
from tests.e2e.walk import add_title, changed, found, killed_walk, known, mutate, states, walk
from tests.sandboxes import running_sandbox

NewProject = Callable[..., Project]
FULL = ("-a", "mode=full")
ALONE = {"BACKEND_BASE_URL": ""}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has listed everything of 150 titles."""
    with running_sandbox(titles=150, limits="off", now=int(time.time())) as sandbox:
        project = Project(tmp_path_factory.mktemp("walked"), sandbox, ALONE)
        walk(project, "jikan", *FULL)
        yield project


def test_everything_is_found_once_25_a_request(walked: Project) -> None:
    """All that it knows of 150 titles, and no more."""
    assert found(walked) == sorted(known(walked, "jikan"))
    assert walked.requests_to("jikan") == -(-len(found(walked)) // 25)


def test_a_walk_that_is_killed_ends_as_if_it_had_not_been(walked: Project, tmp_path: Path) -> None:
    """After a commit in its middle: the same export, byte for byte."""
    killed = Project(tmp_path, walked.sandbox, ALONE)
    killed_walk(killed, "jikan", "catalogue commit after", 6, *FULL)
    walk(killed, "jikan", *FULL)
    assert killed.exports() == walked.exports()


def test_changes_are_found_in_six_requests_and_relations_stay(walked: Project) -> None:
    """A new title, one renamed, one that ended: a page of each of five lists tells of them, and that of what ended is
    read until a page is older than two weeks. What only a single title's answer had is still there.
    """
    running = [row["source_id"] for row in walked.records("anime") if row["status"] == "ongoing"]
    walk(walked, "jikan", "-a", f"ids={','.join(running)}")
    before, told = states(walked), external_ids(walked)
    assert any("anidb" in told[number] for number in running)
    walked.calm()
    mutate(walked, "rename", running[0], name="Atarashii Na")
    mutate(walked, "status", running[1], status="released")
    expected = {running[0], running[1], add_title(walked, "jikan")}
    walk(walked, "jikan")
    assert changed(before, states(walked)) == expected
    assert walked.requests_to("jikan") <= 6
    assert told.items() <= external_ids(walked).items()


def external_ids(project: Project) -> dict[str, str]:
    """Of each anime, by its id."""
    return {row["source_id"]: str(row["external_ids"]) for row in project.records("anime")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_3000_titles_are_found_once(new_project: NewProject) -> None:
    """25 a request, no more."""
    project = new_project(titles=3000, environment=ALONE)
    walk(project, "jikan", *FULL)
    assert found(project) == sorted(known(project, "jikan"))
    assert project.requests_to("jikan") == -(-len(found(project)) // 25)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_limits_hold(new_project: NewProject) -> None:
    """64 requests, more than a minute's: none is refused."""
    project = new_project(titles=80, limits="enforced", environment={**ALONE, "JIKAN_LIMITS": "3/s,60/min"})
    walk(project, "jikan", "-a", f"ids={','.join(sorted(known(project, 'jikan'))[:64])}")
    stats = project.sandbox.get("/_sandbox/stats")
    assert (stats["violations"], stats["jikan"]["requests"]) == (0, 64)
