"""AnimeSchedule against the sandbox: the whole list once, then the timetables of four weeks and what they tell."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.support import Project, until
from tests.sandboxes import running_sandbox

TODAY = int(time.time()) // 86_400 * 86_400
"""The world's present, so that the weeks around it are those around now."""
ALONE = {"BACKEND_BASE_URL": ""}
CRAWL = ("crawl", "animeschedule", "-s", "JOBDIR=var/jobs/animeschedule")


def crawl(project: Project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return project.run(*CRAWL, *arguments, timeout=600, **env)


def assert_clean(done: subprocess.CompletedProcess[str], project: Project) -> None:
    """Exit 0, nothing set aside, no field that the schema does not know."""
    assert done.returncode == 0, done.stderr
    report = project.report()
    assert (report["dead_letters"], report["problems"]) == (0, [])
    assert not [group for group in report["counters"] if group.startswith("drift")]


def routes(project: Project) -> set[str]:
    """The anime of the catalogue; each is there once."""
    found = [row["source_id"] for row in project.records("anime")]
    assert len(set(found)) == len(found)
    return set(found)


def known(project: Project) -> set[str]:
    rows = project.sandbox.get("/_sandbox/oracle?what=known&source=animeschedule")
    return {row["source_id"] for row in rows}


def timetable_rows(project: Project) -> list[dict[str, Any]]:
    """The rows of the week before, this one and the next two, each in the timetable of its kind."""
    headers = {"Authorization": f"Bearer {project.sandbox.environment['ANIMESCHEDULE_TOKEN']}"}
    today, found = datetime.fromtimestamp(TODAY, UTC).date(), []
    for week in (today + timedelta(weeks=n) for n in (-1, 0, 1, 2)):
        for kind in ("raw", "sub", "dub"):
            found += [row for row in timetable(project, week, kind, headers) if row["airType"] == kind]
    return found


def timetable(project: Project, week: date, kind: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    params: dict[str, Any] = {"year": week.isocalendar().year, "week": week.isocalendar().week, "tz": "UTC"}
    url = f"{project.sandbox.url}/animeschedule/timetables/{kind}"
    answer = requests.get(url, params, headers=headers, timeout=10)
    return list(answer.json()) if answer.ok else []


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has walked a list of 300 titles once."""
    with running_sandbox(titles=300, limits="off", now=TODAY) as sandbox:
        project = Project(tmp_path_factory.mktemp("animeschedule"), sandbox, ALONE)
        assert_clean(crawl(project), project)
        yield project


def test_the_first_walk_finds_every_title_once(walked: Project) -> None:
    """18 rows a page; the end is computed, so that no page behind it is asked for."""
    expected = known(walked)
    assert routes(walked) == expected
    assert walked.requests_to("animeschedule") == -(-len(expected) // 18)


def test_a_kill_in_the_middle_of_the_list_changes_nothing(walked: Project, tmp_path: Path) -> None:
    """The same command goes on with the page that was under way, and ends where an undisturbed run does."""
    project = Project(tmp_path, walked.sandbox, ALONE)
    project.calm()
    project.fault("animeschedule", "silence", skip=5)
    process = project.start(*CRAWL)
    until(lambda: project.requests_to("animeschedule") == 6)
    process.kill()
    process.wait()
    project.calm()
    assert_clean(crawl(project), project)
    assert project.exports() == walked.exports()
    left = -(-len(known(project)) // 18) - 5
    assert project.requests_to("animeschedule") in (left, left + 1)  # the page before may not have been stored yet


def test_the_next_run_reads_twelve_timetables_and_asks_for_what_has_news(walked: Project) -> None:
    """A series ends; it and those that are delayed or begin are asked for, and every airing is there."""
    before = {row["source_id"]: row for row in walked.records("anime")}
    rows = timetable_rows(walked)
    running = next(row["route"] for row in rows if row["status"] == "Ongoing" and row["airType"] == "raw")
    ending = {"op": "status", "shikimori_id": running.rpartition("-")[2], "status": "released"}
    walked.sandbox.post("/_sandbox/mutate", ending)
    rows = timetable_rows(walked)
    news = {r["route"] for r in rows if r["airType"] == "raw" and (r["status"] != "Ongoing" or r["episodeNumber"] == 1)}
    walked.calm()
    assert_clean(crawl(walked), walked)
    assert running in news
    assert walked.requests_to("animeschedule") == 12 + len(news)
    after = {row["source_id"]: row for row in walked.records("anime")}
    assert {route for route, row in after.items() if before[route] != row} == {running}
    assert after[running]["status"] == "released"
    expected = {
        (row["route"], row["airType"], number)
        for row in rows
        if row["airingStatus"] != "delayed-air" or not row["delayedUntil"].startswith("0001")
        for number in range(row.get("subtractedEpisodeNumber", row["episodeNumber"]), row["episodeNumber"] + 1)
    }
    assert {(row["anime_id"], row["kind"], row["number"]) for row in walked.records("airings")} == expected


def test_a_search_without_hits_is_no_failure(walked: Project, tmp_path: Path) -> None:
    """The server fails where it has found nothing; it is asked once more and then believed."""
    project = Project(tmp_path, walked.sandbox, ALONE)
    project.calm()
    row = project.sandbox.get("/_sandbox/oracle?what=known&source=animeschedule")[0]
    done = crawl(project, "-a", f"titles={row['romaji']};No Such Name")
    assert done.returncode == 1, done.stderr
    assert project.problems() == {("animeschedule", "title_not_found")}
    assert row["source_id"] in routes(project)
    assert project.requests_to("animeschedule") == 3


def test_a_refused_token_is_named(walked: Project, tmp_path: Path) -> None:
    """Exit 3 after one request, and the setting to look at."""
    project = Project(tmp_path, walked.sandbox, ALONE)
    project.calm()
    done = crawl(project, ANIMESCHEDULE_TOKEN="a-token-that-was-withdrawn")
    assert done.returncode == 3, done.stderr
    assert "ANIMESCHEDULE_TOKEN" in done.stderr
    assert project.requests_to("animeschedule") == 1


@pytest.mark.slow
def test_3000_titles_are_found_once_each_and_a_walk_within_the_limits_breaks_none(tmp_path: Path) -> None:
    """100 pages at two a second: within the 120 a minute that its headers speak of."""
    with running_sandbox(titles=3_000, now=TODAY) as sandbox:
        project = Project(tmp_path, sandbox, ALONE)
        assert_clean(crawl(project, "-a", "mode=full", ANIMESCHEDULE_LIMITS="2/s,120/min"), project)
        assert routes(project) == known(project)
        assert sandbox.get("/_sandbox/stats")["violations"] == 0
