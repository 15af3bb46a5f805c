"""AniList against the sandbox: everything once, the changes in two requests, whatever dies."""

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
ALLOWED = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}
SLICES = 34
"""Lists of a whole walk: one of each year since 2000, those before, and what may have no date."""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has listed everything of 150 titles."""
    with running_sandbox(titles=150, limits="off", now=int(time.time())) as sandbox:
        project = Project(tmp_path_factory.mktemp("walked"), sandbox, ALLOWED)
        walk(project, "anilist", *FULL)
        yield project


def test_everything_is_found_once_in_few_requests(walked: Project) -> None:
    """All that it knows of 150 titles, and no more; each list has one page that is not full."""
    assert found(walked) == sorted(known(walked, "anilist"))
    assert walked.requests_to("anilist") <= SLICES + len(found(walked)) // 50


def test_a_walk_that_is_killed_ends_as_if_it_had_not_been(walked: Project, tmp_path: Path) -> None:
    """After a commit in its middle: the same export, byte for byte."""
    killed = Project(tmp_path, walked.sandbox, ALLOWED)
    killed_walk(killed, "anilist", "catalogue commit after", 25, *FULL)
    walk(killed, "anilist", *FULL)
    assert killed.exports() == walked.exports()


def test_changes_are_found_in_two_requests(walked: Project) -> None:
    """A new title, one renamed, one put off: a page of changes, and one of airings."""
    rows = walked.sandbox.get("/_sandbox/oracle?what=known&source=anilist")
    before = states(walked)
    walked.calm()
    mutate(walked, "rename", rows[3]["title_id"], name="Atarashii Na")
    mutate(walked, "status", rows[5]["title_id"], status="anons")
    expected = {rows[3]["source_id"], rows[5]["source_id"], add_title(walked, "anilist")}
    walk(walked, "anilist")
    assert changed(before, states(walked)) == expected
    assert walked.requests_to("anilist") == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_3000_titles_are_found_once(new_project: NewProject) -> None:
    """50 a request; each list has one page that is not full."""
    project = new_project(titles=3000, environment=ALLOWED)
    walk(project, "anilist", *FULL)
    assert found(project) == sorted(known(project, "anilist"))
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
    assert found(project) == sorted(known(project, "anilist"))
