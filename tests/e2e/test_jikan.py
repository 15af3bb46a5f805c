"""Jikan against the sandbox: everything once, the changes in six requests, whatever dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.e2e.support import Project
from tests.e2e.walked import changed, found, killed_walk, known, mutate, new_title, states, walk

NewProject = Callable[..., Project]
FULL = ("-a", "mode=full")
ALONE = {"BACKEND_BASE_URL": ""}


def relations(project: Project) -> dict[str, str]:
    """Of each anime, by its id."""
    return {row["source_id"]: json.dumps([row["relations"], row["external_ids"]]) for row in project.records("anime")}


def test_everything_is_found_once_then_the_changes_in_six_requests_and_relations_stay(new_project: NewProject) -> None:
    """150 titles in 6 pages. Then a new title, one renamed, one that ended: a page of each of five lists tells of them;
    that of what ended is read until a page is older than two weeks.
    """
    project = new_project(titles=150, now=int(time.time()), environment=ALONE)
    walk(project, "jikan", "-a", f"ids={','.join(known(project, 'jikan')[:12])}")
    told = relations(project)
    assert any("sequel" in text for text in told.values())
    project.calm()
    walk(project, "jikan", *FULL)
    assert found(project) == known(project, "jikan")
    assert project.requests_to("jikan") == -(-len(found(project)) // 25)
    assert told.items() <= relations(project).items()
    project.calm()
    before = states(project)
    running = [row["source_id"] for row in project.records("anime") if row["status"] == "ongoing"]
    mutate(project, "rename", running[0], name="Atarashii Na")
    mutate(project, "status", running[1], status="released")
    expected = {running[0], running[1], new_title(project, "jikan")}
    walk(project, "jikan")
    assert changed(before, states(project)) == expected
    assert found(project) == known(project, "jikan")
    assert project.requests_to("jikan") <= 6


def test_a_walk_that_is_killed_ends_as_if_it_had_not_been(new_project: NewProject) -> None:
    """After the fourth commit to the catalogue, and before the third ack: the same export, byte for byte."""
    clean = new_project("clean", titles=150, environment=ALONE)
    walk(clean, "jikan", *FULL)
    killed = Project(clean.directory.parent / "killed", clean.sandbox, ALONE)
    killed_walk(killed, "jikan", "catalogue commit after", 6, *FULL)
    killed_walk(killed, "jikan", "ack before", 2, *FULL)
    walk(killed, "jikan", *FULL)
    assert killed.exports() == clean.exports()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_3000_titles_are_found_once(new_project: NewProject) -> None:
    """25 a request, no more."""
    project = new_project(titles=3000, environment=ALONE)
    walk(project, "jikan", *FULL)
    assert found(project) == known(project, "jikan")
    assert project.requests_to("jikan") == -(-len(known(project, "jikan")) // 25)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_limits_hold(new_project: NewProject) -> None:
    """64 requests, more than a minute's: none is refused."""
    project = new_project(titles=80, limits="enforced", environment={**ALONE, "JIKAN_LIMITS": "3/s,60/min"})
    walk(project, "jikan", "-a", f"ids={','.join(known(project, 'jikan')[:64])}")
    stats = project.sandbox.get("/_sandbox/stats")
    assert (stats["violations"], stats["jikan"]["requests"]) == (0, 64)
