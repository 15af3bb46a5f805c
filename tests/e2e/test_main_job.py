"""The main job against the sandbox over real HTTP: exact to the row, and in the fewest requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.support import Project

NewProject = Callable[..., Project]


def posts(project: Project) -> dict[str, int]:
    """Import POSTs that the backend has counted, by route."""
    routes: dict[str, int] = project.sandbox.get("/backend/_reference/stats")["posts"]
    return {route: count for route, count in routes.items() if count}


def requests_of(project: Project, service: str) -> int:
    """Requests that an upstream has counted."""
    count: int = project.sandbox.get("/_sandbox/stats")["requests"].get(service, 0)
    return count


def reset(project: Project) -> None:
    """Start counting anew."""
    project.sandbox.post("/_sandbox/reset", {})
    project.sandbox.post("/backend/_reference/reset", {})


def dump(project: Project) -> Any:
    """All rows of the sandbox's backend."""
    return project.sandbox.get("/backend/_reference/dump")


def players_in(dumped: Any) -> set[tuple[str, str]]:
    return {(video["source_episode_id"], video["url"]) for video in dumped["videos"]}


@pytest.mark.exec
def test_a_full_import_of_200_titles_holds_every_player_of_the_oracle_in_17_requests(new_project: NewProject) -> None:
    """At most 12 Kodik and 5 Shikimori requests; episodes and players in the backend are the oracle's."""
    project = new_project(titles=200)
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert requests_of(project, "kodik") <= 12
    assert requests_of(project, "shikimori") <= 5
    dumped = dump(project)
    expected = project.sandbox.get("/_sandbox/oracle?what=players")
    assert players_in(dumped) == {(row["source_episode_id"], row["url"]) for row in expected}
    stats = project.sandbox.get("/backend/_reference/stats")
    assert stats["same_key_in_flight"] == 0
    assert stats["rejected_children"] == 0


def test_a_run_that_changes_nothing_writes_nothing(new_project: NewProject) -> None:
    """At most 2 Kodik requests, 0 Shikimori, 0 POSTs; the dump stays the same to the byte."""
    project = new_project(titles=30)
    assert project.crawl().returncode == 0
    before = dump(project), project.exports()
    reset(project)
    assert project.crawl().returncode == 0
    assert requests_of(project, "kodik") <= 2
    assert requests_of(project, "shikimori") == 0
    assert posts(project) == {}
    assert (dump(project), project.exports()) == before


def test_one_new_episode_is_exactly_its_rows(new_project: NewProject) -> None:
    """At most 2 Kodik and 1 Shikimori requests, exactly 1 episodes POST and 1 video POST."""
    project = new_project(titles=30)
    assert project.crawl().returncode == 0
    project.sandbox.post("/_sandbox/mutate", {"op": "new_episode"})
    reset(project)
    assert project.crawl().returncode == 0
    assert requests_of(project, "kodik") <= 2
    assert requests_of(project, "shikimori") <= 1
    assert posts(project) == {"episodes": 1, "video": 1}


def test_a_list_that_changes_while_it_is_walked_loses_nothing(new_project: NewProject) -> None:
    """Materials updated between two pages are all in the catalogue at the end, as the oracle has them then."""
    project = new_project(titles=60)
    project.sandbox.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 3})
    assert project.crawl().returncode == 0
    project.sandbox.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 0})
    assert project.crawl().returncode == 0
    expected = project.sandbox.get("/_sandbox/oracle?what=players")
    live = {
        (r["title_id"], r["number"], r["url"])
        for r in map(json.loads, project.export("players").splitlines())
        if r["title_id"] and not r["gone"]
    }
    assert live >= {(row["title_id"], row["number"], row["url"]) for row in expected}


def test_a_dry_run_sends_nothing_and_its_plan_is_what_the_real_run_does(new_project: NewProject) -> None:
    """0 POSTs, an untouched catalogue, and the printed numbers are those of the next real run."""
    project = new_project(titles=20)
    dry = project.crawl("-s", "DRY_RUN=1")
    assert dry.returncode == 0, dry.stderr
    assert posts(project) == {}
    assert json.loads(project.run("status", "--json").stdout)["counts"]["titles"] == 0
    assert project.crawl().returncode == 0
    sent = posts(project)
    plan = f"{sent['anime']} anime, {sent['episodes']} episode lists, {sent['video']} players"
    assert plan in dry.stdout
