"""Lists that lead astray, a token that is refused, titles that Shikimori cannot show or does not know."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.e2e.support import Project, kill_at_random

Exports = dict[str, bytes]
NewProject = Callable[..., Project]
CRAWL = ("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")


def finish(project: Project, clean: Exports) -> None:
    """The same command against upstreams that are well again ends where an undisturbed run does."""
    project.calm()
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert project.exports() == clean


@pytest.mark.parametrize("skip", [0, 1], ids=["at once", "on the second page"])
def test_a_refused_token_costs_two_requests_at_most_and_is_named(
    quick_project: Project, clean: Exports, skip: int
) -> None:
    """HTTP 500 with the text: exit 3, KODIK_API_TOKEN; with a good token the same command goes on and ends whole."""
    quick_project.fault("kodik", "token_refused", skip=skip)
    done = quick_project.crawl(MAX_RETRIES="3")
    assert done.returncode == 3, done.stderr
    assert quick_project.requests_to("kodik") <= skip + 2
    assert "KODIK_API_TOKEN" in done.stderr
    assert "token_refused" in done.stderr
    finish(quick_project, clean)
    assert quick_project.requests_to("kodik") == 2 - skip


def test_a_wrong_token_is_told_from_a_server_error_by_the_real_check(quick_project: Project, clean: Exports) -> None:
    """Not a switch of the sandbox but its own refusal; then the right token."""
    done = quick_project.crawl(KODIK_API_TOKEN="f" * 32)
    assert done.returncode == 3, done.stderr
    assert "KODIK_API_TOKEN" in done.stderr
    assert quick_project.requests_to("kodik") <= 2
    finish(quick_project, clean)


@pytest.mark.parametrize(
    ("fault", "kind", "word"),
    [
        ("repeated_cursor", "repeated_cursor", "leads back"),
        ("repeated_page", "repeated_page", "the same page"),
    ],
)
def test_a_list_that_leads_astray_stops_the_walk(
    quick_project: Project, clean: Exports, fault: str, kind: str, word: str
) -> None:
    """Exit 3, said; what was read is kept, and the next run ends like a clean one."""
    quick_project.fault("kodik", fault)
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    assert ("kodik", kind) in quick_project.problems()
    assert word in " ".join(done.stderr.split())
    assert quick_project.requests_to("kodik") <= 2
    assert quick_project.records("players")
    finish(quick_project, clean)


def test_nothing_is_sent_to_the_host_that_a_next_page_names(new_project: NewProject) -> None:
    """The other host listens, on this machine, and hears nothing."""
    trap, project = new_project("trap", titles=8), new_project("project", titles=60)
    project.environment = {"BACKEND_BASE_URL": ""}
    project.fault("kodik", "foreign_next", host=trap.sandbox.url.removeprefix("http://"))
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert trap.sandbox.get("/_sandbox/log") == []
    assert live_players(project) == oracle_players(project)
    assert " ".join(done.stderr.split()).count("only its cursor is used") == 1


def test_a_refused_cursor_is_replaced_by_a_look_from_the_newest_down(quick_project: Project, clean: Exports) -> None:
    """Every cursor is refused from the second request on; everything is found all the same, exit 0."""
    quick_project.fault("kodik", "cursor_refused", count=2)
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.requests_to("kodik") <= 5
    assert quick_project.exports() == clean


def test_a_stored_cursor_that_is_refused_one_day_loses_nothing_new(quick_project: Project) -> None:
    """The next incremental run falls back to the newest page, and has the new episode."""
    assert quick_project.crawl().returncode == 0
    quick_project.sandbox.post("/_sandbox/mutate", {"op": "new_episode"})
    quick_project.fault("kodik", "cursor_refused")
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.requests_to("kodik") <= 6
    assert live_players(quick_project) == oracle_players(quick_project)


def described(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of Shikimori's anime by id, without what comes with links."""
    left_out = ("external_ids", "relations")
    found = [row for row in rows if row["source"] == "shikimori"]
    return {row["source_id"]: {name: row[name] for name in row if name not in left_out} for row in found}


def test_a_title_with_a_link_that_shikimori_cannot_show_costs_links_only(
    quick_project: Project, clean: Exports
) -> None:
    """It fails its whole batch; every title is described as in a clean run, links and relations apart."""
    quick_project.sandbox.post("/_sandbox/poison", {"count": 1})
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert described(quick_project.records("anime")) == described(map(json.loads, clean["anime"].splitlines()))


def test_a_title_that_shikimori_cannot_show_at_all_is_set_aside_alone(quick_project: Project, clean: Exports) -> None:
    """Exit 1 with one dead letter; the others of its batch are as in a clean run, and it has Kodik's description."""
    (poisoned,) = quick_project.sandbox.post("/_sandbox/poison", {"count": 1, "field": "id"})
    done = quick_project.crawl()
    assert done.returncode == 1, done.stderr
    expected = described(map(json.loads, clean["anime"].splitlines()))
    del expected[poisoned]
    assert described(quick_project.records("anime")).keys() == expected.keys()
    assert poisoned in {row["source_id"] for row in quick_project.records("anime")}
    listed = quick_project.run("deadletters", "list").stdout
    assert f"parse  shikimori anime {poisoned}" in listed
    assert "1 dead letters" in listed


def test_titles_unknown_at_shikimori_are_imported_from_kodik_and_no_failure(new_project: NewProject) -> None:
    """Shikimori knows none: exit 0, and the backend has every title with its players."""
    project = new_project(titles=8)
    project.fault("shikimori", "body", body='{"data":{"animes":[]}}')
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    expected = project.sandbox.get("/_sandbox/oracle?what=players")
    dumped = project.dump()
    assert {row["source_id"] for row in dumped["anime"]} >= {str(row["title_id"]) for row in expected}
    assert len({row["url"] for row in dumped["videos"]}) == len({row["url"] for row in expected})


@pytest.mark.slow
def test_kills_while_the_list_moves_lose_nothing(quick_project: Project) -> None:
    """Materials change before each page while the job is killed again and again; in the end all is the oracle's."""
    quick_project.sandbox.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 2})
    chance = random.Random(3)
    assert kill_at_random(quick_project, CRAWL, 5, chance, 1.0, keep_jobdir=True)
    assert quick_project.crawl().returncode == 0
    quick_project.sandbox.post("/_sandbox/mutate", {"op": "mutate_while_walking", "per_request": 0})
    assert quick_project.crawl().returncode == 0
    assert live_players(quick_project) >= oracle_players(quick_project)


def live_players(project: Project) -> set[tuple[str, int, str]]:
    """(title, number, address) of what the catalogue would deliver."""
    rows = project.records("players")
    return {(row["title_id"], row["number"], row["url"]) for row in rows if row["title_id"] and not row["gone"]}


def oracle_players(project: Project) -> set[tuple[str, int, str]]:
    """The same as the sandbox's world has it now."""
    rows = project.sandbox.get("/_sandbox/oracle?what=players")
    return {(row["title_id"], row["number"], row["url"]) for row in rows}


def test_a_walk_whose_progress_is_refused_is_incomplete_and_the_next_run_heals_it(quick_project: Project) -> None:
    """As when another process has moved it: said, counted, exit 3, nothing marked gone; then it comes to its end."""
    assert quick_project.crawl().returncode == 0
    db = sqlite3.connect(quick_project.directory / "var/anime.db", isolation_level=None)
    ghost = "SELECT count(*) FROM release WHERE source_id = 'ghost' AND gone_at IS NOT NULL"
    db.execute("UPDATE release SET source_id = 'ghost' WHERE id = (SELECT min(id) FROM release)")
    db.execute("CREATE TRIGGER moved BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(IGNORE); END")
    refused = quick_project.crawl("-a", "mode=full")
    assert refused.returncode == 3, refused.stderr
    assert ("kodik", "checkpoint_refused") in quick_project.problems()
    assert quick_project.report()["counters"]["checkpoint"]["refused"] == 2
    assert db.execute(ghost).fetchone() == (0,)
    db.execute("DROP TRIGGER moved")
    healed = quick_project.crawl("-a", "mode=full")
    assert healed.returncode == 0, healed.stderr
    assert db.execute(ghost).fetchone() == (1,)
    db.close()
