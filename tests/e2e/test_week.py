"""A week in which the world moves and every source is asked once a day for news: little is asked, nothing is missed."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import pytest

from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.sandbox.server.limits import LIMITERS
from anime_crawler.sandbox.world.elsewhere import SHARES
from anime_crawler.sources import cards
from tests.benchmarks.simulated import SimulatedUpstream
from tests.e2e.support import Project
from tests.sandboxes import running_sandbox

SETTINGS = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}
EVERYTHING = {"shikimori": "incremental"}
"""The mode of the first run, where it is not full: Shikimori's first look for changes lists everything."""
DAY_S, HOUR_S = 86_400, 3_600
DAY = ("new_title", "new_title", *["new_episode"] * 5, "rename")
"""What happens in a day, beside a title that begins or ends. None that has ended goes on the air again: that looks as
if its source told last days no longer."""
NEXT = {"anons": "ongoing", "ongoing": "released"}
MOST = {
    "kodik": 2,  # a page of what changed, and the one behind it
    "shikimori": 2,  # the same
    "jikan": 7,  # a page of what is on the air, announced, new; what ended, by both its days, down to two weeks ago
    "anilist": 2,  # a page of what changed, and one of next week's airings
    "kitsu": 3,  # the end of the list, what is unfinished, and what was so a day ago
    "animeschedule": 15,  # three timetables of four weeks, and an anime or two that begin, end or are late
    "anisearch": 4,  # the index from its newest down to what is known, and each new anime
    "anime_planet": 3,  # the listing's first page, and each new anime
    "anidb": 3,  # the dump, and each new anime of which another source gives its id
}
"""Requests in a day of a world of 150 titles, of which 5 % are unfinished. A further source states its own number."""
WEEKLY = {"anisearch": 15, "anime_planet": 15, "anidb": 15}
"""More on the seventh day: each unfinished anime, of which there are some ten, is looked at again after a week."""
SEES_WHAT_AIRS = ("animeschedule",)
"""Its timetables tell of no other new titles; they come with the next mode=full."""


def run(project: Project, source: str, mode: str, day: int) -> int:
    """One run on that day, in which nothing goes wrong; gives how often it asked."""
    before = project.requests_to(source)
    words = ("crawl", source, "-a", f"mode={mode}", "-s", f"JOBDIR=var/jobs/{source}", "-s", "COMPANIONS={}")
    process = project.start(str(day), *words, module="tests.e2e.later")
    assert process.wait(120) == 0, project.log()[-3000:]
    report = project.report()
    assert (report["dead_letters"], report["problems"]) == (0, [])
    assert [group for group in report["counters"] if group.startswith("drift")] == []
    return project.requests_to(source) - before


def come_to(project: Project, now: int) -> None:
    """The world's present is `now`; in the hour before, some titles are new and some change, each minutes later."""
    project.sandbox.post("/_sandbox/time", {"now": now - HOUR_S})
    for op in DAY:
        project.sandbox.post("/_sandbox/mutate", {"op": op})
    status = ("anons", "ongoing")[now // DAY_S % 2]
    rows = project.sandbox.get("/_sandbox/oracle?what=anime")
    if title := next((row["title_id"] for row in rows if row["status"] == status), None):
        project.sandbox.post("/_sandbox/mutate", {"op": "status", "shikimori_id": title, "status": NEXT[status]})
    project.sandbox.post("/_sandbox/time", {"now": now})


def known(project: Project, source: str) -> dict[str, str]:
    """The source's ids of its titles, by the world's."""
    if source in SHARES:
        rows = project.sandbox.get(f"/_sandbox/oracle?what=known&source={source}")
        return {row["title_id"]: row["source_id"] for row in rows}
    rows = project.sandbox.get("/_sandbox/oracle?what=anime")
    return {row["title_id"]: row["title_id"] for row in rows if row["at_shikimori"] or source == "kodik"}


def found(project: Project, source: str) -> set[str]:
    """The source's anime in the catalogue."""
    return {row["source_id"] for row in project.records("anime") if row["source"] == source}


def differences(project: Project, source: str) -> tuple[set[str], set[str]]:
    """Ids that the source has and the catalogue has not, and the other way round."""
    have, there = set(known(project, source).values()), found(project, source)
    return have - there, there - have


def live_through(project: Project, sources: Collection[str], days: int) -> None:
    """Everything on the first day; then each day's news, within an hour of each source's limits."""
    begin = project.sandbox.get("/_sandbox/")["now"]
    upstreams = {source: SimulatedUpstream(source, parse_limits(cards()[source].limits)) for source in sources}
    for source, upstream in upstreams.items():
        upstream.ask(run(project, source, EVERYTHING.get(source, "full"), 0))
        missing, strange = differences(project, source)
        assert not missing
        assert not strange or source not in SHARES  # what the main job's oracle lists is what Kodik shows with an id
    for day in range(1, days + 1):
        before = {source: known(project, source) for source in sources}
        come_to(project, begin + day * DAY_S)
        for source, upstream in upstreams.items():
            count = run(project, source, "incremental", day)
            log = project.sandbox.get(f"/_sandbox/log?service={source}")[-count:]
            asked = "; ".join(f"{entry['path']} {entry['summary']}" for entry in log)
            assert count <= MOST[source] + (WEEKLY.get(source, 0) if day == 7 else 0), (day, asked)
            upstream.clock.now += DAY_S
            assert upstream.ask(count) < HOUR_S, (source, day)
            new = {own for title, own in known(project, source).items() if title not in before[source]}
            assert new <= found(project, source) or source in SEES_WHAT_AIRS, (source, day)
    assert {source: upstream.violations() for source, upstream in upstreams.items()} == dict.fromkeys(sources, 0)


@pytest.mark.parametrize(
    ("sources", "days"),
    [
        (("anilist", "kitsu"), 1),
        pytest.param(tuple(LIMITERS), 7, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
    ids=["two sources, a day", "all sources, a week"],
)
def test_daily_runs_ask_little_and_bring_what_is_new(tmp_path: Path, sources: tuple[str, ...], days: int) -> None:
    """Real runs without limits; their requests are then placed on a simulated clock by the budgets of the cards.

    No window of a card or of the sandbox is ever full, a day's news are there within an hour, and nothing is set aside.
    """
    with running_sandbox(titles=150, limits="off", now=int(time.time())) as sandbox:
        live_through(Project(tmp_path / "project", sandbox, SETTINGS), sources, days)
