"""AniDB end to end: titles once a day, details of what the catalogue points to until the day's quota ends, bans."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.store import store_items
from anime_crawler.items import Anime, Titles, utc_now
from tests.e2e.support import Project, until

NewProject = Callable[..., Project]
CRAWL = ("crawl", "anidb", "-s", "JOBDIR=var/jobs/anidb")
DAY = timedelta(days=1)


def known(project: Project) -> list[str]:
    """AniDB's ids of all that the sandbox's AniDB knows."""
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=anidb")
    return [row["source_id"] for row in rows]


def stored(project: Project) -> list[dict[str, Any]]:
    return [row for row in project.records("anime") if row["source"] == "anidb"]


def asked(project: Project) -> list[str]:
    """Ids whose details the sandbox was asked for, in order."""
    log = project.sandbox.get("/_sandbox/log?service=anidb")
    return [entry["summary"]["aid"] for entry in log if entry["path"] == "/httpapi"]


def statuses(project: Project) -> dict[str, int]:
    found: dict[str, int] = project.sandbox.get("/_sandbox/stats")["anidb"]["statuses"]
    return found


def a_day_passes(project: Project) -> None:
    """In the catalogue, which remembers when AniDB was asked, in the budgets, and in the sandbox."""
    path = project.directory / "var" / "anime.db"
    with sqlite3.connect(path) as conn:
        (text,) = conn.execute("SELECT state FROM checkpoint WHERE spider = 'anidb'").fetchone()
        state = json.loads(text)
        state["dump_at"] = earlier(state["dump_at"])
        state["asked"] = {aid: earlier(at) for aid, at in state["asked"].items()}
        text = json.dumps(state, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        conn.execute("UPDATE checkpoint SET state = ? WHERE spider = 'anidb'", (text,))
    conn.close()
    project.forget_waiting()
    now = project.sandbox.get("/_sandbox/")["now"]
    project.sandbox.post("/_sandbox/time", {"now": now + 86_400})


def earlier(moment: str) -> str:
    return (datetime.fromisoformat(moment) - DAY).isoformat()


def point_to(project: Project, aids: list[str], database: str = "var/anime.db") -> None:
    """Store anime of another source that name these ids of AniDB's, as that source's crawl would."""
    named = [
        Anime(
            source="kitsu",
            source_id=aid,
            fetched_at=utc_now(),
            titles=Titles(romaji=f"Title {aid}"),
            external_ids={"kitsu": aid, "anidb": aid},
        )
        for aid in aids
    ]
    with connect(f"sqlite:///{project.directory / database}", writes=True) as conn:
        store_items(conn, 1, named, identity_source="shikimori", source_priority=["shikimori"])


def assert_clean(project: Project, done: subprocess.CompletedProcess[str]) -> None:
    """Exit 0, nothing set aside, no drift, no violation, nothing refused."""
    assert done.returncode == 0, done.stderr[-3000:]
    report = project.report()
    assert report["dead_letters"] == 0
    assert [name for name in report["counters"] if name.startswith("drift")] == []
    assert project.sandbox.get("/_sandbox/stats")["violations"] == 0
    assert set(statuses(project)) <= {"200", "304"}


@pytest.mark.parametrize("titles", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_full_run_finds_every_title_once_and_the_next_day_what_is_new_or_changed(
    new_project: NewProject, titles: int
) -> None:
    """One request; none within the day; one the next day, which gives exactly the new title and the renamed one."""
    project = new_project(titles=titles)
    assert_clean(project, project.run(*CRAWL, "-a", "mode=full"))
    assert sorted(row["source_id"] for row in stored(project)) == sorted(known(project))
    assert_clean(project, project.run(*CRAWL))
    assert project.requests_to("anidb") == 1

    before = {row["source_id"]: row for row in stored(project)}
    a_day_passes(project)
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=anidb")
    project.sandbox.post("/_sandbox/mutate", {"op": "rename", "shikimori_id": rows[5]["title_id"]})
    while len(known(project)) == len(rows):  # not every new title is known to AniDB
        project.sandbox.post("/_sandbox/mutate", {"op": "new_title"})
    assert_clean(project, project.run(*CRAWL))
    assert project.requests_to("anidb") == 2
    after = {row["source_id"]: row for row in stored(project)}
    changed = {aid for aid in after if after[aid] != before.get(aid)}
    assert changed == {rows[5]["source_id"]} | (set(known(project)) - set(before))
    counters = project.report()["counters"]["anime"]
    assert (counters.get("new"), counters.get("changed"), counters.get("unchanged")) == (1, 1, None)


@pytest.mark.parametrize(("titles", "kills"), [(40, 1), pytest.param(300, 12, marks=pytest.mark.slow)])
def test_kills_change_nothing_and_make_nobody_ask_twice(new_project: NewProject, titles: int, kills: int) -> None:
    """Killed among the details: the same exports as a clean run, one dump, and no anime asked for again."""
    clean, killed = new_project("clean", titles=titles), new_project("killed", titles=titles)
    for project in (clean, killed):
        assert project.run("deadletters", "list").returncode in (0, 2)
        project.sandbox.post("/_sandbox/reset", {"world": True})
    assert clean.run(*CRAWL, ANIDB_CLIENT="").returncode == 0
    assert killed.run(*CRAWL, ANIDB_CLIENT="").returncode == 0
    for project in (clean, killed):
        point_to(project, known(project))
    arguments = (*CRAWL, "-a", "episodes=1", "-a", "characters=1")
    assert_clean(clean, clean.run(*arguments))
    for kill in range(1, kills + 1):
        process = killed.start(*arguments)
        until(lambda wanted=kill * titles // (2 * kills): len(asked(killed)) >= wanted)  # type: ignore[misc]
        process.kill()
        process.wait()
    assert_clean(killed, killed.run(*arguments))
    assert killed.exports() == clean.exports()
    assert sorted(set(asked(killed))) == sorted(asked(clean)) == sorted(known(clean))
    assert len(asked(killed)) - len(known(killed)) <= kills  # an answer that died with the process
