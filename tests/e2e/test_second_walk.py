"""A second full walk that is killed: what it lists is there still, whichever process of the run has read its page."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.support import Project
from tests.e2e.walk import killed_walk, walk

FULL = ("-a", "mode=full")


@pytest.mark.parametrize(
    ("source", "commits"), [("kodik", 5), ("jikan", 4), ("anilist", 12), ("kitsu", 4), ("animeschedule", 4)]
)
def test_a_second_full_walk_that_is_killed_and_resumed_marks_nothing_gone(
    new_project: Callable[..., Project], source: str, commits: int
) -> None:
    """Nothing has changed at the source, so the resumed process stores pages of which every row is as it was."""
    settings = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}
    project = new_project(environment=settings, titles=60, now=int(time.time()))
    walk(project, source, *FULL)
    before = [(row["source_id"], row["gone_at"]) for row in project.records("anime")]
    killed_walk(project, source, "catalogue commit after", commits, *FULL)
    walk(project, source, *FULL)
    assert [(row["source_id"], row["gone_at"]) for row in project.records("anime")] == before
