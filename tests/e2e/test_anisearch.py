"""AniSearch against the sandbox: everything once, then only what is new; its faults are in `test_source_faults`."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.items import utc_now
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.world import World
from tests.e2e.support import Project
from tests.e2e.walk import Walked, add_title, asked, begin, crawl, drift_in, finish, found, known, mutate, walked
from tests.sandboxes import running_sandbox

SOURCE = "anisearch"


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


def shift_looks(project: Project, days: int) -> None:
    """As if the last look at what was unfinished had been so much earlier."""
    with sqlite3.connect(project.directory / "var" / "anime.db") as db:
        (text,) = db.execute("SELECT state FROM checkpoint WHERE spider = ?", [SOURCE]).fetchone()
        day = (utc_now() - timedelta(days=days)).date().isoformat()
        # written as the catalogue writes it, which compares the text
        state = json.dumps(json.loads(text) | {"looked_at": day}, sort_keys=True, separators=(",", ":"))
        db.execute("UPDATE checkpoint SET state = ? WHERE spider = ?", [state, SOURCE])
    db.close()


def test_a_full_walk_finds_every_title_once(clean: Walked, project: Project) -> None:
    """Exactly what the site has: each page asked for once, no dead letter, no drift (see `walked`); the index twice."""
    ids = known(project, SOURCE)
    assert sorted(json.loads(line)["source_id"] for line in clean.exports["anime"].splitlines()) == sorted(ids)
    pages = {"/anime/index/page-1", "/anime/index/page-2"}
    assert clean.asked == Counter({f"/anime/{own}" for own in ids}) + Counter([*pages, *pages])


def test_an_incremental_walk_asks_for_what_is_new_or_was_unfinished_and_nothing_else(
    clean: Walked, project: Project
) -> None:
    """A new title and, after a week, one that has ended: their pages, the other unfinished ones, two of the index."""
    rows = {row["source_id"]: row for row in clean.project.records("anime")}
    unfinished = {own for own, row in rows.items() if row["status"] in ("ongoing", "announced", "paused")}
    ended = next(own for own in unfinished if rows[own]["status"] == "ongoing")
    new = add_title(project, SOURCE)
    mutate(project, "status", str(int(ended) - 10_000), status="released")
    shift_looks(clean.project, days=8)
    done = crawl(clean.project, SOURCE)
    assert done.returncode == 0, done.stderr
    pages = {"/anime/index/page-1", "/anime/index/page-2"}  # the second only shows that nothing older is new
    assert asked(project, SOURCE) == Counter({f"/anime/{own}" for own in {new, *unfinished}} | pages)
    after = {row["source_id"]: row for row in clean.project.records("anime")}
    assert after.keys() - rows.keys() == {new}
    assert {own for own in rows if after[own] != rows[own]} == {ended}


@pytest.mark.slow
def test_who_is_shut_out_rests_and_does_not_ask_early(clean: Walked, project: Project) -> None:
    """Exit 3 at the first such page; the next run asks nothing and says until when; after that it goes on."""
    project.fault(SOURCE, "cloudflare", skip=60)
    assert crawl(project, SOURCE).returncode == 3
    assert project.problems() == {(SOURCE, "blocked")}
    project.calm()
    again = crawl(project, SOURCE)
    assert again.returncode == 3
    assert "rests until" in again.stderr
    assert sum(project.sandbox.get("/_sandbox/stats")["requests"].values()) == 0
    finish(project, SOURCE, clean)
    assert project.requests_to(SOURCE) == clean.asked.total() - 60


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_site_that_breaks_down_in_the_middle_costs_at_most_one_dead_letter(clean: Walked, project: Project) -> None:
    """The first page that fails may be the only one to do so; then the breaker opens: exit 3 after 90 s."""
    project.fault(SOURCE, "status", status=503, skip=60)
    assert crawl(project, SOURCE, MAX_RETRIES="5").returncode == 3
    project.calm()
    project.forget_waiting()
    assert crawl(project, SOURCE).returncode == 1  # the dead letter
    (missing,) = known(project, SOURCE) - set(found(project))
    assert crawl(project, SOURCE, "-a", f"ids={missing}").returncode == 0
    assert project.exports() == clean.exports


@pytest.mark.slow
def test_an_oversized_page_is_a_dead_letter_and_the_walk_goes_on(clean: Walked, project: Project) -> None:
    """Exit 1: all but that one are there, and asked for by id it comes later."""
    project.fault(SOURCE, "oversized", mb=9, skip=5, count=1)
    done = crawl(project, SOURCE)
    assert done.returncode == 1, done.stderr
    assert project.report()["dead_letters"] == 1
    (missing,) = known(project, SOURCE) - set(found(project))
    assert crawl(project, SOURCE, "-a", f"ids={missing}").returncode == 0
    assert project.exports() == clean.exports


@pytest.mark.parametrize(
    ("kind", "options", "problem", "words"),
    [
        ("body", {"body": "User-agent: *\nDisallow: /\n"}, "robots_forbid", "forbids /anisearch/anime/index/page-1"),
        pytest.param("status", {"status": 500}, "robots_unread", "could not be read", marks=pytest.mark.slow),
    ],
    ids=["all is forbidden", "it cannot be read"],
)
def test_robots_txt_is_obeyed_before_any_page(
    project: Project, kind: str, options: dict[str, Any], problem: str, words: str
) -> None:
    """Exit 3 with a plain sentence, and not one page is asked for."""
    project.fault("robots", kind, **options)
    done = crawl(project, SOURCE)
    assert done.returncode == 3, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert project.problems() == {(SOURCE, problem)}
    assert project.requests_to(SOURCE) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_walk_of_3000_titles_finds_every_title_once(tmp_path: Path) -> None:
    """In a world of twenty times as many."""
    with running_sandbox(titles=3000, limits="off") as sandbox:
        project = begin(sandbox, tmp_path)
        done = crawl(project, SOURCE, "-a", "mode=full")
        assert done.returncode == 0, done.stderr
        assert found(project) == sorted(known(project, SOURCE))
        index = Counter({path: 2 for path in asked(project, SOURCE) if "/index/" in path})
        assert asked(project, SOURCE) - index == Counter({f"/anime/{own}" for own in known(project, SOURCE)})


@pytest.mark.slow
def test_characters_and_episodes_come_where_they_are_asked_for(tmp_path: Path) -> None:
    """Everybody with their role, each once; as many episodes as the pages have rows."""
    world = World(titles=20)
    titles = known_at(SOURCE, world).values()
    with running_sandbox(titles=20, limits="off") as sandbox:
        project = begin(sandbox, tmp_path)
        done = crawl(project, SOURCE, "-a", "characters=1", "-a", "episodes=1")
        assert done.returncode == 0, done.stderr
        assert not drift_in(project)
        roles = {str(role.number): "main" if role.main else "secondary" for t in titles for role in cast(t)}
        assert {row["source_id"]: row["role"] for row in project.records("characters")} == roles
        assert len(project.records("episode_info")) == sum(max(t.aired, t.episodes) for t in titles)


@pytest.mark.slow
def test_the_limit_on_the_card_breaks_no_rule_of_the_site(tmp_path: Path) -> None:
    """robots.txt and three pages, one in three seconds: no violation."""
    with running_sandbox(titles=20) as sandbox:
        project = begin(sandbox, tmp_path, ANISEARCH_LIMITS="1/3s")
        ids = sorted(known(project, SOURCE))[:3]
        done = crawl(project, SOURCE, "-a", f"ids={','.join(ids)}")
        assert done.returncode == 0, done.stderr
        assert found(project) == ids
        assert sandbox.get("/_sandbox/stats")["violations"] == 0
