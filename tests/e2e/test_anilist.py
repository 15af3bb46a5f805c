"""AniList against the sandbox: everything once, the changes in two requests, whatever dies."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.support import Project
from tests.e2e.walked import changed, found, killed_walk, known, mutate, new_title, states, walk

NewProject = Callable[..., Project]
FULL = ("-a", "mode=full")
ALLOWED = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}
SLICES = 34
"""Lists of a whole walk: one of each year since 2000, those before, and what may have no date."""


def test_everything_is_found_once_then_the_changes_in_two_requests(new_project: NewProject) -> None:
    """150 titles. Then a new title, one renamed, one that ended: a page of changes, and one of airings."""
    project = new_project(titles=150, now=int(time.time()), environment=ALLOWED)
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=anilist")
    walk(project, "anilist", *FULL)
    assert found(project) == known(project, "anilist")
    assert project.requests_to("anilist") <= SLICES + len(rows) // 50
    project.calm()
    before = states(project)
    mutate(project, "rename", rows[3]["title_id"], name="Atarashii Na")
    mutate(project, "status", rows[5]["title_id"], status="anons")
    expected = {rows[3]["source_id"], rows[5]["source_id"], new_title(project, "anilist")}
    walk(project, "anilist")
    assert changed(before, states(project)) == expected
    assert found(project) == known(project, "anilist")
    assert project.requests_to("anilist") == 2


def test_a_walk_that_is_killed_ends_as_if_it_had_not_been(new_project: NewProject) -> None:
    """After the twelfth commit to the catalogue, and before an ack: the same export, byte for byte."""
    clean = new_project("clean", titles=150, environment=ALLOWED)
    walk(clean, "anilist", *FULL)
    killed = Project(clean.directory.parent / "killed", clean.sandbox, ALLOWED)
    killed_walk(killed, "anilist", "catalogue commit after", 12, *FULL)
    killed_walk(killed, "anilist", "ack before", 10, *FULL)
    walk(killed, "anilist", *FULL)
    assert killed.exports() == clean.exports()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_3000_titles_are_found_once(new_project: NewProject) -> None:
    """50 a request; each list has one page that is not full."""
    project = new_project(titles=3000, environment=ALLOWED)
    walk(project, "anilist", *FULL)
    assert found(project) == known(project, "anilist")
    assert project.requests_to("anilist") <= SLICES + len(known(project, "anilist")) // 50


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_limits_hold(new_project: NewProject) -> None:
    """More requests than a minute allows: none is refused, and there is no rest beside the limit's."""
    environment = {**ALLOWED, "ANILIST_LIMITS": "1/s,27/min"}
    project = new_project(titles=150, limits="enforced", environment=environment)
    walk(project, "anilist", *FULL)
    stats = project.sandbox.get("/_sandbox/stats")
    assert stats["violations"] == 0
    assert stats["anilist"]["requests"] > 30
    assert found(project) == known(project, "anilist")
