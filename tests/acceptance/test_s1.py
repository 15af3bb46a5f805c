"""What the parser service has to do, where no other test shows it. Each test names the row of the checklist."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.acceptance.support import cursors, failures_in
from tests.e2e.support import Project, until

NewProject = Callable[..., Project]


def test_max_pages_reads_so_many_pages_and_the_next_run_goes_on(new_project: NewProject) -> None:
    """S1-25, S0-01, S0-60: exactly 2 list requests; the next run goes on with page 3, no page is read twice."""
    project = new_project(titles=60, environment={"BACKEND_BASE_URL": ""})
    assert project.crawl("-a", "max_pages=2").returncode == 0
    assert len(cursors(project.sandbox.get("/_sandbox/log?service=kodik"))) == 2
    project.wipe_jobdir()
    assert project.crawl().returncode == 0
    asked = cursors(project.sandbox.get("/_sandbox/log?service=kodik"))
    assert asked[0] is None
    assert None not in asked[1:]
    assert len(set(asked)) == len(asked) == -(-project.sandbox.get("/_sandbox/")["materials"] // 100)


def test_a_full_walk_in_pieces_comes_to_its_end(new_project: NewProject) -> None:
    """S1-25, S1-27: mode=full with max_pages goes on with the full walk that is under way."""
    project = new_project(titles=30, environment={"BACKEND_BASE_URL": ""})
    pages = -(-project.sandbox.get("/_sandbox/")["materials"] // 100)
    assert pages > 1
    for _ in range(pages):
        assert project.crawl("-a", "mode=full", "-a", "max_pages=1").returncode == 0
    asked = cursors(project.sandbox.get("/_sandbox/log?service=kodik"))
    assert len(set(asked)) == len(asked) == pages
    assert project.crawl("-a", "mode=full", "-a", "max_pages=1").returncode == 0
    assert cursors(project.sandbox.get("/_sandbox/log?service=kodik"))[-1] is None


def test_a_killed_walk_does_not_read_again_what_is_stored(new_project: NewProject) -> None:
    """S0-01: killed while page 3 is silent; pages 1 and 2 are not asked for again, though there is no job directory."""
    project = new_project(titles=60, environment={"BACKEND_BASE_URL": ""})
    project.fault("kodik", "silence", count=1, skip=2)
    process = project.start("crawl", "kodik")
    until(lambda: project.requests_to("kodik") == 3)
    asked = cursors(project.sandbox.get("/_sandbox/log?service=kodik"))
    with closing(sqlite3.connect(project.directory / "var" / "anime.db")) as db:
        progress = "SELECT group_concat(state) FROM checkpoint"
        until(lambda: '"seen":200' in str(db.execute(progress).fetchone()[0]))  # pages 1 and 2 are stored
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert project.crawl().returncode == 0
    again = cursors(project.sandbox.get("/_sandbox/log?service=kodik"))[3:]
    assert again
    assert not set(asked[:2]) & set(again)


def test_a_full_run_notices_what_is_gone_and_an_incremental_one_does_not(new_project: NewProject) -> None:
    """S1-27, S0-54: mode=incremental posts nothing for a removed material; mode=full demotes its links."""
    project = new_project(titles=12)
    assert project.crawl().returncode == 0
    gone = project.sandbox.post("/_sandbox/mutate", {"op": "remove_material"})["material"]
    project.sandbox.post("/backend/_reference/reset")
    assert project.crawl("-a", "mode=incremental").returncode == 0
    assert not any(project.sandbox.get("/backend/_reference/stats")["posts"].values())
    assert project.crawl("-a", "mode=full").returncode == 0
    players = project.records("players")
    left = {(row["title_id"], row["number"], row["url"]) for row in players if not row["gone"]}
    links = {(row["title_id"], row["number"], row["url"]) for row in players if row["release_id"] == gone}
    demoted = {
        (*video["source_episode_id"].split(":"), video["url"])
        for video in project.dump()["videos"]
        if video["priority"] == -1000
    }
    assert {(title_id, str(number), url) for title_id, number, url in links - left} == demoted
    available = {e["source_episode_id"]: e["is_available"] for e in project.dump()["episodes"]}
    alive = {f"{title_id}:{number}" for title_id, number, _ in left}
    assert {key for key, is_available in available.items() if is_available} == alive & set(available)


@pytest.mark.parametrize("op", ["change_link", "change_host"])
def test_a_link_that_changes_is_posted_anew_and_its_old_one_demoted(new_project: NewProject, op: str) -> None:
    """S1-14, S0-40: as many new links as demotions, no other POST but those."""
    project = new_project(titles=12)
    assert project.crawl().returncode == 0
    before = {(video["source_episode_id"], video["url"]) for video in project.dump()["videos"]}
    project.sandbox.post("/_sandbox/mutate", {"op": op})
    project.sandbox.post("/backend/_reference/reset")
    assert project.crawl().returncode == 0
    videos = project.dump()["videos"]
    new = [video for video in videos if (video["source_episode_id"], video["url"]) not in before]
    demoted = [video for video in videos if video["priority"] == -1000]
    assert [v["source_episode_id"] for v in new] == [v["source_episode_id"] for v in demoted]
    posts = project.sandbox.get("/backend/_reference/stats")["posts"]
    assert {name: count for name, count in posts.items() if count} in ({"video": 2 * len(new)}, {})


def test_shikimori_alone_takes_ids_and_what_changed(new_project: NewProject) -> None:
    """S1-32: ids=… asks once for those; mode=incremental then stores only what is new to it; both exit 0."""
    project = new_project(titles=12)
    project.environment["BACKEND_BASE_URL"] = ""
    ids = sorted({row["title_id"] for row in project.sandbox.get("/_sandbox/oracle?what=players")})[:3]
    assert project.run("crawl", "shikimori", "-a", f"ids={','.join(ids)}").returncode == 0
    assert project.requests_to("shikimori") == 1
    known = {row["title_id"] for row in project.records("anime")}
    assert known == {*ids}
    assert project.run("crawl", "shikimori", "-a", "mode=incremental").returncode == 0
    assert len(project.records("anime")) > len(known)
    assert project.run("crawl", "shikimori", "-a", "ids=none-such").returncode == 2


def test_single_titles_can_be_asked_for(new_project: NewProject) -> None:
    """S1-32: shikimori_ids=… reads those two titles, and the walk's checkpoint stays where it was."""
    project = new_project(titles=12)
    wanted = sorted({row["title_id"] for row in project.sandbox.get("/_sandbox/oracle?what=players")})[:2]
    assert project.crawl("-a", f"shikimori_ids={','.join(wanted)}").returncode == 0
    assert {row["title_id"] for row in project.records("players")} == set(wanted)
    assert json.loads(project.run("status", "--json").stdout)["watermarks"] == []
    assert project.requests_to("kodik") == 2


def test_an_error_names_the_setting_that_mends_it(new_project: NewProject) -> None:
    """S1-34: ERROR with the setting, for what ends a run."""
    project = new_project(titles=3)
    refused = project.crawl(KODIK_API_TOKEN="no-such-token")
    assert refused.returncode == 3
    assert "ERROR: kodik: token_refused" in refused.stderr
    assert "Set KODIK_API_TOKEN" in refused.stderr
    assert project.requests_to("kodik") <= 2
    wrong = project.crawl(INTERNAL_TOKEN="no-such-token")
    assert wrong.returncode == 4
    assert "INTERNAL_TOKEN" in wrong.stderr
    assert {f.kind for f in failures_in(wrong.stderr)} == {"token_refused"}
    assert project.crawl().returncode == 0
