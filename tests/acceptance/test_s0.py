"""What the audit of the old parser demands, where no other test shows it. Each test names the row of the checklist."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anime_crawler.backend.payloads import player_priorities
from anime_crawler.catalogue.outbox import LivePlayer
from anime_crawler.run.heartbeat import HEARTBEAT
from tests.e2e.support import Project, until

NewProject = Callable[..., Project]


def test_answers_can_be_kept_and_parsed_again(new_project: NewProject) -> None:
    """S0-21, T3: with HTTPCACHE_ENABLED a second full walk asks Kodik nothing, and the cache holds no token."""
    project = new_project(titles=12, environment={"BACKEND_BASE_URL": ""})
    keep = ("-s", "HTTPCACHE_ENABLED=1", "-s", "HTTPCACHE_DIR=cache")
    assert project.crawl("-a", "mode=full", *keep).returncode == 0
    first, before = project.exports(), project.requests_to("kodik")
    (project.directory / "var" / "anime.db").unlink()
    assert project.crawl("-a", "mode=full", *keep).returncode == 0
    assert project.requests_to("kodik") == before
    assert project.exports() == first
    kept = [path.read_bytes() for path in project.directory.rglob("*") if path.is_file()]
    assert not [1 for content in kept if project.sandbox.kodik_token.encode() in content]


def test_the_same_link_twice_is_one_player_whoever_comes_first() -> None:
    """S0-23: the same (episode, translation, link) is one player; two links of one translation are two."""
    team = ("610", "AniDUB", "voice")
    one, other = "https://a.example/1", "https://a.example/2"
    players = [LivePlayer(1, url, *team, release) for url, release in ((one, "a"), (one, "b"), (other, "c"))]
    wanted = player_priorities(players, ["voice"])
    assert wanted.keys() == {(1, one), (1, other)}
    assert wanted[1, one] > wanted[1, other] > 0
    assert player_priorities(players[::-1], ["voice"]) == wanted


def test_adult_titles_can_be_left_out(new_project: NewProject) -> None:
    """S0-32: `--no-adult` leaves out what any source marks, with its episodes and players, and nothing else."""
    project = new_project(titles=60, environment={"BACKEND_BASE_URL": ""})
    assert project.crawl().returncode == 0
    adult = {row["title_id"] for row in project.records("anime") if row["is_adult"]}
    assert adult - {None}
    for kind in ("anime", "episodes", "players", "unmatched"):
        done = project.run("export", "--kind", kind, "--no-adult", "-o", "-")
        assert done.returncode == 0, done.stderr
        left = done.stdout.encode().splitlines()
        whole = project.export(kind).splitlines()
        assert set(left) <= set(whole)
        if kind in ("episodes", "players"):
            all_ids, left_ids = ({_title(line) for line in lines} for lines in (whole, left))
            assert all_ids - left_ids == adult & all_ids - {None}


def _title(line: bytes) -> str | None:
    title_id: str | None = json.loads(line)["title_id"]
    return title_id


@pytest.mark.parametrize("next_run", ["tests.backend.hasty", pytest.param("scrapy", marks=pytest.mark.slow)])
def test_a_kill_between_two_players_sends_at_most_those_in_flight_again(new_project: NewProject, next_run: str) -> None:
    """S0-35, S0-36: kill -9 in the middle of the delivery; at most CONCURRENCY (4) POSTs of each kind came twice."""
    project = new_project(titles=20)
    process = project.start("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")
    until(lambda: _posts(project)["video"] >= 40)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = project.start("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik", module=next_run)
    assert again.wait(120) == 0, project.log()[-3000:]
    dumped = project.dump()
    assert len(dumped["videos"]) <= _posts(project)["video"] <= len(dumped["videos"]) + 4
    assert len(dumped["anime"]) <= _posts(project)["anime"] <= len(dumped["anime"]) + 4


def _posts(project: Project) -> dict[str, int]:
    posts: dict[str, int] = project.sandbox.get("/backend/_reference/stats")["posts"]
    return {"anime": 0, "video": 0, **posts}


def test_a_backend_that_was_down_gets_everything_later(new_project: NewProject) -> None:
    """S0-51, S0-37: exit 4 with the catalogue complete; `deliver` is 4 until the backend is there, then 0."""
    project = new_project(titles=8)
    down = {"BACKEND_BASE_URL": "http://127.0.0.1:9", "BACKOFF_MAX_SECONDS": "0.5"}
    assert project.crawl(**down).returncode == 4
    assert project.run("deliver", **down).returncode == 4
    assert _posts(project)["video"] == 0
    assert project.run("deliver").returncode == 0
    oracle = {(p["source_episode_id"], p["url"]) for p in project.sandbox.get("/_sandbox/oracle?what=players")}
    assert {(v["source_episode_id"], v["url"]) for v in project.dump()["videos"]} == oracle
    project.sandbox.post("/backend/_reference/reset")
    assert project.crawl().returncode == 0
    assert not any(_posts(project).values())


def test_a_stalled_loop_is_unhealthy(project: Path, scrapy: Callable[..., object]) -> None:
    """S0-53: exit 0 without a run and with a fresh heartbeat, 1 when the last one is old."""
    assert scrapy("health").returncode == 0  # type: ignore[attr-defined]
    beat = project / HEARTBEAT
    beat.parent.mkdir()
    beat.touch()
    assert scrapy("health").returncode == 0  # type: ignore[attr-defined]
    os.utime(beat, (time.time() - 60, time.time() - 60))
    stuck = scrapy("health")
    assert stuck.returncode == 1  # type: ignore[attr-defined]
    assert "stuck" in stuck.stdout  # type: ignore[attr-defined]
    beat.write_text("1000")  # the loop turns, but nothing was counted for so long
    assert scrapy("health").returncode == 1  # type: ignore[attr-defined]


def test_the_heart_beats_while_the_loop_turns_and_stops_with_it(tmp_path: Path, monkeypatch: object) -> None:
    """S0-53: the sign of life is there inside the block and gone after it."""
    from anime_crawler.run.heartbeat import Heartbeat
    from anime_crawler.run.report import RunReport

    monkeypatch.chdir(tmp_path)  # type: ignore[attr-defined]

    async def block() -> bool:
        with Heartbeat(RunReport()):
            await asyncio.sleep(0.05)
            return HEARTBEAT.exists()

    assert asyncio.run(block())
    assert not HEARTBEAT.exists()


def test_a_run_that_counts_nothing_and_waits_for_nothing_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """S0-53: the idle time grows until something is counted; a limit that is waited for is no standstill."""
    from anime_crawler.run import heartbeat
    from anime_crawler.run.report import RunReport

    now = [0.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    report = RunReport()
    heart = heartbeat.Heartbeat(report)
    idle = []
    for seconds, change in ((0, None), (600, None), (600, "count"), (600, None), (600, "wait"), (600, None)):
        now[0] += seconds
        if change == "count":
            report.count("kodik", "requests")
        report.waiting.update({"kodik": "its limit"} if change == "wait" else {})
        idle.append(heart._idle_s())
    assert idle == [0, 600, 0, 600, 0, 0]
