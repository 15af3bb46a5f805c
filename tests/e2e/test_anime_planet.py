"""Anime-Planet against the sandbox: everything once, then only what is new, and titles that Cloudflare hides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Project
from tests.e2e.walk import Walked, add_title, asked, begin, crawl, finish, found, kill_at, known, mutate, walked
from tests.sandboxes import running_sandbox

SOURCE = "anime_planet"
LISTING = "/anime/all"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Any]:
    with running_sandbox(titles=150, limits="off") as running:
        yield running


@pytest.fixture(scope="module")
def clean(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    return walked(SOURCE, sandbox, tmp_path_factory.mktemp("clean"))


@pytest.fixture
def project(clean: Walked, sandbox: Any, tmp_path: Path) -> Project:
    return begin(sandbox, tmp_path / "project", MAX_RETRIES="2")


def pages_of(ids: set[str]) -> Counter[str]:
    return Counter(f"/anime/{own}" for own in ids)


def test_a_full_walk_finds_every_title_once(clean: Walked, project: Project) -> None:
    """Exactly what the site has: each page asked for once, of the listing the newest, and all by title twice."""
    ids = known(project, SOURCE)
    rows = [json.loads(line) for line in clean.exports["anime"].splitlines()]
    assert sorted(row["source_id"] for row in rows) == sorted(ids)
    assert clean.asked == pages_of(ids) + Counter({LISTING: 1 + 2 * -(-len(ids) // 35)})
    titles = [title for row in rows for title in row["alternative_titles"]]
    assert any("@" in title for title in titles)
    assert not any("protected" in title for title in titles)


def test_an_incremental_walk_asks_for_what_is_new_and_nothing_else(clean: Walked, project: Project) -> None:
    """Two new titles: one page of the listing, and theirs."""
    new = {add_title(project, SOURCE), add_title(project, SOURCE)}
    before = set(found(clean.project))
    done = crawl(clean.project, SOURCE)
    assert done.returncode == 0, done.stderr
    assert asked(project, SOURCE) == pages_of(new) + Counter({LISTING: 1})
    assert set(found(clean.project)) - before == new


@pytest.mark.slow
def test_a_kill_in_the_middle_of_the_walk_changes_nothing(clean: Walked, project: Project) -> None:
    """The exports of a clean run, few pages asked for again."""
    kill_at(project, SOURCE, 70)
    done = crawl(project, SOURCE, "-a", "mode=full")
    assert done.returncode == 0, done.stderr
    assert project.exports() == clean.exports
    assert asked(project, SOURCE).total() - clean.asked.total() <= 2  # one under way, one stored


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("keep_jobdir", [True, False], ids=["job directory kept", "job directory lost"])
def test_twenty_kills_change_nothing(clean: Walked, project: Project, keep_jobdir: bool) -> None:
    """From the first page of the listing to the last title."""
    for kill in range(20):
        kill_at(project, SOURCE, 1 + 6 * kill)
        if not keep_jobdir:
            project.wipe_jobdir()
    finish(project, SOURCE, clean, "-a", "mode=full")


def test_a_renamed_title_is_found_at_its_old_slug_and_a_removed_one_is_not(project: Project) -> None:
    """The old slug redirects: the title comes under its new one. A slug that nobody has ends at a search: exit 1."""
    old = sorted(known(project, SOURCE))[0]
    number = old.rpartition("-")[2]
    mutate(project, "rename", number, name="Nanashi")
    done = crawl(project, SOURCE, "-a", f"ids={old},never-was-1")
    assert done.returncode == 1, done.stderr
    assert found(project) == [f"nanashi-{number}"]
    (problem,) = project.report()["problems"]
    assert problem["kind"] == "id_not_found"
    assert "never-was-1" in problem["message"]


@pytest.mark.slow
def test_who_is_shut_out_rests_and_does_not_ask_early(clean: Walked, project: Project) -> None:
    """Exit 3 at the first challenge; the next run asks nothing and says until when; after that it goes on.

    The site asks for an hour: a run sleeps through the ten minutes that the card says of other blocks.
    """
    project.fault(SOURCE, "cloudflare", skip=60, retry_after=3600)
    assert crawl(project, SOURCE).returncode == 3
    assert {(SOURCE, "blocked")} <= project.problems() <= {(SOURCE, "blocked"), (SOURCE, "resting")}
    project.calm()
    again = crawl(project, SOURCE)
    assert again.returncode == 3
    assert "rests until" in again.stderr
    assert project.requests_to(SOURCE) == 0
    finish(project, SOURCE, clean)


@pytest.mark.slow
def test_robots_txt_is_obeyed_before_any_page(project: Project) -> None:
    """All is forbidden: exit 3 with a plain sentence, and not one page is asked for."""
    project.fault("robots", "body", body="User-agent: *\nDisallow: /\n")
    done = crawl(project, SOURCE)
    assert done.returncode == 3, done.stderr
    assert "forbids /anime_planet/anime/all" in done.stderr
    assert project.requests_to(SOURCE) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_walk_of_3000_titles_finds_every_title_once(tmp_path: Path) -> None:
    """In a world of twenty times as many."""
    with running_sandbox(titles=3000, limits="off") as sandbox:
        project = begin(sandbox, tmp_path)
        done = crawl(project, SOURCE, "-a", "mode=full")
        assert done.returncode == 0, done.stderr
        ids = known(project, SOURCE)
        assert found(project) == sorted(ids)
        assert asked(project, SOURCE) - Counter({LISTING: 200}) == pages_of(ids)


@pytest.mark.slow
def test_the_limit_on_the_card_breaks_no_rule_of_the_site(tmp_path: Path) -> None:
    """robots.txt and three pages, one in five seconds: no violation."""
    with running_sandbox(titles=20) as sandbox:
        project = begin(sandbox, tmp_path, ANIME_PLANET_LIMITS="1/5s")
        ids = sorted(known(project, SOURCE))[:3]
        done = crawl(project, SOURCE, "-a", f"ids={','.join(ids)}")
        assert done.returncode == 0, done.stderr
        assert found(project) == ids
        assert sandbox.get("/_sandbox/stats")["violations"] == 0
