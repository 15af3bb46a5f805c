"""AniDB end to end: titles once a day, details of what the catalogue points to until the day's quota ends, bans."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.catalogue.engine import connect, open_engine
from anime_crawler.catalogue.origin import note_origin, origin_of
from anime_crawler.catalogue.store.items import store_items
from anime_crawler.items import Anime, Titles, utc_now
from anime_crawler.sandbox.server.process import RunningSandbox
from tests.e2e.support import Project, until
from tests.sandboxes import running_sandbox

CRAWL = ("crawl", "anidb", "-s", "JOBDIR=var/jobs/anidb")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def anidb() -> Iterator[RunningSandbox]:
    with running_sandbox(titles=150, limits="off") as sandbox:
        yield sandbox


@pytest.fixture
def project(anidb: RunningSandbox, tmp_path: Path) -> Project:
    """A project without a backend; AniDB's world and memory are as they were in the beginning, and nobody is banned."""
    anidb.post("/_sandbox/reset", {"world": True})
    limit(anidb, "off")
    return Project(tmp_path / "project", anidb, {"BACKEND_BASE_URL": ""})


def limit(sandbox: RunningSandbox, limits: str) -> None:
    sandbox.post("/_sandbox/limits", {"service": "anidb", "limits": limits})


def known(project: Project) -> list[str]:
    """AniDB's ids of all that the sandbox's AniDB knows."""
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=anidb")
    return [row["source_id"] for row in rows]


def stored(project: Project) -> dict[str, dict[str, Any]]:
    """AniDB's anime in the catalogue, by id."""
    return {row["source_id"]: row for row in project.records("anime") if row["source"] == "anidb"}


def asked(project: Project) -> list[str]:
    """Ids whose details the sandbox was asked for, in order."""
    log = project.sandbox.get("/_sandbox/log?service=anidb")
    return [entry["summary"]["aid"] for entry in log if entry["path"] == "/httpapi"]


def a_day_passes(project: Project) -> None:
    """In the catalogue, which remembers when AniDB was asked, in the budgets, and in the sandbox."""
    with closing(sqlite3.connect(project.directory / "var" / "anime.db")) as conn, conn:
        (text,) = conn.execute("SELECT state FROM checkpoint WHERE spider = 'anidb'").fetchone()
        state = json.loads(text)
        state["dump_at"] = earlier(state["dump_at"])
        state["asked"] = {aid: earlier(at) for aid, at in state["asked"].items()}
        text = json.dumps(state, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        conn.execute("UPDATE checkpoint SET state = ? WHERE spider = 'anidb'", (text,))
    project.forget_waiting()
    now = project.sandbox.get("/_sandbox/")["now"]
    project.sandbox.post("/_sandbox/time", {"now": now + 86_400})


def earlier(moment: str) -> str:
    return (datetime.fromisoformat(moment) - DAY).isoformat()


def point_to(project: Project, aids: list[str], database: str = "anime.db") -> None:
    """Store anime of another source that name these ids of AniDB's, as that source's crawl would."""
    named = [
        Anime(
            source="kitsu", source_id=aid, fetched_at=utc_now(), titles=Titles(romaji=aid), external_ids={"anidb": aid}
        )
        for aid in aids
    ]
    url = f"sqlite:///{project.directory / 'var' / database}"
    open_engine(url).dispose()
    with connect(url, writes=True) as conn:
        if origin_of(conn) is None:
            note_origin(conn, "sandbox")
        store_items(conn, 1, named, identity_source="shikimori", source_priority=["shikimori"])


def assert_clean(project: Project, done: subprocess.CompletedProcess[str]) -> None:
    """Exit 0, nothing set aside, no drift, no violation, nothing refused."""
    assert done.returncode == 0, done.stderr[-3000:]
    report, stats = project.report(), project.sandbox.get("/_sandbox/stats")
    assert report["dead_letters"] == 0
    assert [name for name in report["counters"] if name.startswith("drift")] == []
    assert stats["anidb"]["violations"] == 0
    assert set(stats["anidb"]["statuses"]) <= {"200", "304"}


def full_walk(project: Project) -> None:
    """The first day and the next one."""
    assert_clean(project, project.run(*CRAWL, "-a", "mode=full"))
    before = stored(project)
    assert sorted(before) == sorted(known(project))
    assert len(project.records("anime")) == len(before)
    assert project.requests_to("anidb") == 1

    a_day_passes(project)
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=anidb")
    project.sandbox.post("/_sandbox/mutate", {"op": "rename", "shikimori_id": rows[5]["title_id"]})
    while len(known(project)) == len(rows):  # not every new title is known to AniDB
        project.sandbox.post("/_sandbox/mutate", {"op": "new_title"})
    assert_clean(project, project.run(*CRAWL))
    assert project.requests_to("anidb") == 2
    after = stored(project)
    changed = {aid for aid in after if after[aid] != before.get(aid)}
    assert changed == {rows[5]["source_id"]} | (set(known(project)) - set(before))
    counters = project.report()["counters"]["anime"]
    assert (counters.get("new"), counters.get("changed"), counters.get("unchanged")) == (1, 1, None)


def test_a_full_run_finds_every_title_once_and_the_next_day_what_is_new_or_changed(project: Project) -> None:
    """One request; the next day one more, which gives exactly the new title and the renamed one."""
    full_walk(project)


@pytest.mark.slow
def test_a_full_run_over_three_thousand_titles_is_the_same(new_project: Callable[..., Project]) -> None:
    """Still one request each."""
    full_walk(new_project(titles=3000, environment={"BACKEND_BASE_URL": ""}))


@pytest.mark.slow  # Kitsu and AniSearch are killed in the suite
@pytest.mark.parametrize("kills", [1, 12])
def test_kills_among_the_details_change_nothing_and_make_nobody_ask_twice(project: Project, kills: int) -> None:
    """The same exports as a clean run, one dump, and none asked for again but the one under way."""
    aids = known(project)[: 16 * kills]
    killed = Project(project.directory.parent / "killed", project.sandbox, project.environment)
    for one in (project, killed):
        point_to(one, aids)
    arguments = (*CRAWL, "-a", "episodes=1", "-a", "characters=1")
    assert_clean(project, project.run(*arguments))
    assert sorted(asked(project)) == sorted(aids)

    project.sandbox.post("/_sandbox/reset", {"world": True})
    for kill in range(1, kills + 1):
        process = killed.start(*arguments)
        until(lambda count=8 * kill: len(asked(killed)) >= count)  # type: ignore[misc]
        process.kill()
        process.wait()
    assert_clean(killed, killed.run(*arguments))
    assert killed.exports() == project.exports()
    assert set(asked(killed)) == set(aids)
    assert len(asked(killed)) <= len(aids) + kills


def spend_the_day(project: Project, theirs: str) -> None:
    """Two processes with two catalogues at once, six requests a day."""
    aids = known(project)
    point_to(project, aids[:10])
    point_to(project, aids[10:20], "other.db")
    limit(project.sandbox, theirs)
    other = project.start("crawl", "anidb", DATABASE_URL="sqlite:///var/other.db")
    done = project.run(*CRAWL)
    assert (done.returncode, other.wait(120)) == (0, 0), done.stderr[-3000:] + project.log()[-3000:]
    assert_clean(project, done)
    assert (project.requests_to("anidb"), len(set(asked(project)))) == (6, 5)
    assert "AniDB rests until" in done.stderr
    assert "anime are still wanted" in done.stderr


def test_two_processes_share_the_days_quota_and_are_done_for_today(project: Project) -> None:
    """Six requests in all, the dump once; both exit with 0 and say how many anime are left, and until when."""
    project.environment["ANIDB_LIMITS"] = "6/day"
    spend_the_day(project, "6/day")


@pytest.mark.slow
def test_the_quota_holds_over_restarts_beside_the_other_limits_and_the_next_day_goes_on(project: Project) -> None:
    """A restart on the same day asks nothing; the next day brings the other anime, none for the second time."""
    project.environment["ANIDB_LIMITS"] = "1/4s,6/day"
    theirs = "1/2s,15/min,6/day"
    spend_the_day(project, theirs)
    assert_clean(project, project.run(*CRAWL))
    assert project.requests_to("anidb") == 6
    a_day_passes(project)
    limit(project.sandbox, theirs)
    assert_clean(project, project.run(*CRAWL))
    assert project.requests_to("anidb") == 12
    assert len(asked(project)) == len(set(asked(project))) == 10


def test_a_ban_is_remembered_with_its_end_and_nobody_asks_before(project: Project) -> None:
    """Exit 3; the next run makes no request; status and diagnose say until when; the ban is not in the cache."""
    point_to(project, known(project)[:10])
    limit(project.sandbox, "3/day")
    done = project.run(*CRAWL)
    assert (done.returncode, project.problems()) == (3, {("anidb", "blocked")}), done.stderr[-3000:]
    assert (project.requests_to("anidb"), len(stored(project))) == (4, len(known(project)))
    with closing(sqlite3.connect(project.directory / "var" / "http_cache.sqlite")) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (3,)

    again = project.run(*CRAWL)
    assert (again.returncode, project.problems()) == (3, {("anidb", "resting")}), again.stderr[-3000:]
    with ThreadPoolExecutor() as pool:
        status, diagnosis = pool.map(lambda words: project.run(*words, "--json"), (("status",), ("diagnose", "anidb")))
    (resting,) = json.loads(status.stdout)["resting"]
    assert "AniDB has banned this address" in resting["why"]
    assert utc_now() + DAY - timedelta(minutes=5) < datetime.fromisoformat(resting["until"]) <= utc_now() + DAY
    (found,) = (f for f in json.loads(diagnosis.stdout)["services"] if f["service"] == "AniDB")
    assert "AniDB has banned this address" in found["what_happened"]
    assert (diagnosis.returncode, project.requests_to("anidb")) == (3, 4)
