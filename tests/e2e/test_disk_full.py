"""No room at each write: the run says which file and what to do, exits 2, and the next run with room completes it."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from anime_crawler.catalogue.engine import make_engine
from anime_crawler.catalogue.migrations import migrate
from anime_crawler.frontier.sqlite_store import FILE, SqliteStore
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.e2e.support import Project
from tests.e2e.test_lost import with_pipeline
from tests.processes import run

Exports = dict[str, bytes]
KIB = 1024
full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def crawl_with_room(project: Project, kib: int, **env: str) -> subprocess.CompletedProcess[str]:
    """The main job where no file can grow beyond so many KiB."""
    command = ["crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik"]
    return run("tests.e2e.no_room", kib, *command, cwd=project.directory, env=project.env(**env), timeout=120)


def fill_up(path: Path, table: str, change: str) -> None:
    """Let every such change of a table fail as on a full disk."""
    db = sqlite3.connect(path)
    fail = "SELECT RAISE(FAIL, 'database or disk is full')"
    db.executescript(f"CREATE TRIGGER no_room BEFORE {change} ON {table} BEGIN {fail}; END")
    db.close()


def make_room(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("DROP TRIGGER no_room")
    db.close()


def assert_ended_with(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Exit 2 with this in one message, and no traceback."""
    assert done.returncode == 2, done.stderr
    text = " ".join(done.stderr.split())
    assert [words for words in said if words not in text] == []
    assert "Traceback" not in text


def finish(project: Project, clean: Exports) -> None:
    """The same command with room ends where an undisturbed run does."""
    project.calm()
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert project.exports() == clean


@pytest.mark.parametrize("kib", [0, 30, 200, 350, 600])
def test_no_room_for_the_catalogue(quick_project: Project, clean: Exports, kib: int) -> None:
    """At the lock, in the migration, at the first page and at a later one: DATABASE_URL is named."""
    done = crawl_with_room(quick_project, kib)
    assert_ended_with(done, "DATABASE_URL", "anime.db")
    finish(quick_project, clean)


@pytest.mark.parametrize("table", ["player", "told", "checkpoint"])
def test_no_room_for_one_table_of_the_catalogue(quick_project: Project, clean: Exports, table: str) -> None:
    """Whichever part of a page is written when it fails: nothing of that page is kept."""
    path = quick_project.directory / "var/anime.db"
    with make_engine(f"sqlite:///{path}").connect() as conn:
        migrate(conn)
    fill_up(path, table, "INSERT")
    done = quick_project.crawl()
    assert_ended_with(done, "DATABASE_URL", "database or disk is full")
    db = sqlite3.connect(path)
    counts = [db.execute(f"SELECT count(*) FROM {one}").fetchone()[0] for one in ("release", "player", "checkpoint")]
    db.close()
    assert counts == [0, 0, 0]
    make_room(path)
    finish(quick_project, clean)


def test_no_room_for_the_dead_letter_of_an_item(quick_project: Project, clean: Exports) -> None:
    """A pipeline fails on an item, and its dead letter cannot be stored: its request is not taken for done."""
    path = quick_project.directory / "var/anime.db"
    with make_engine(f"sqlite:///{path}").connect() as conn:
        migrate(conn)
    fill_up(path, "dead_letter", "INSERT")
    done = quick_project.crawl(*with_pipeline("FailingPipeline"))
    assert done.returncode == 2, done.stderr
    assert "database or disk is full" in " ".join(done.stderr.split())
    make_room(path)
    finish(quick_project, clean)


def test_no_room_for_the_receipts_of_deliveries(quick_project: Project, clean: Exports) -> None:
    """In the middle of a delivery: what the backend has in the end is what a delivery without trouble leaves."""
    backend = {"BACKEND_BASE_URL": quick_project.sandbox.backend_url}
    assert_ended_with(crawl_with_room(quick_project, 800, **backend), "DATABASE_URL")
    quick_project.environment |= backend
    finish(quick_project, clean)
    expected = quick_project.sandbox.get("/_sandbox/oracle?what=players")
    videos = [(video["source_episode_id"], video["url"]) for video in quick_project.dump()["videos"]]
    assert sorted(videos) == sorted((row["source_episode_id"], row["url"]) for row in expected)


@pytest.mark.parametrize("change", ["INSERT", "UPDATE", "DELETE"], ids=["push", "lease", "ack"])
def test_no_room_for_the_frontier(quick_project: Project, clean: Exports, change: str) -> None:
    """At each of its changes: the file in JOBDIR is named."""
    path = quick_project.directory / "var/jobs/kodik" / FILE
    store = SqliteStore(path.parent)
    store.open("none")
    store.close()
    fill_up(path, "request", change)
    assert_ended_with(quick_project.crawl(), f"var/jobs/kodik/{FILE}", "database or disk is full", "Make room")
    make_room(path)
    finish(quick_project, clean)


@pytest.mark.parametrize("table", ["sent", "upstream"])
def test_no_room_for_the_budgets(quick_project: Project, clean: Exports, table: str) -> None:
    """When a request is counted and when a failure is noted: nothing more is sent, the file is named."""
    path = quick_project.directory / "var/politeness.sqlite"
    SqliteLimiter(path).close()
    fill_up(path, table, "INSERT")
    quick_project.fault("kodik", "status", status=503)
    done = quick_project.crawl(KODIK_LIMITS="50/s")
    assert_ended_with(done, "var/politeness.sqlite", "database or disk is full", "Make room")
    assert quick_project.requests_to("kodik") == (1 if table == "upstream" else 0)
    make_room(path)
    finish(quick_project, clean)


@full_device
def test_no_room_for_the_report(quick_project: Project, clean: Exports) -> None:
    """The run is complete in the catalogue, which has the report too; that the file is missing is said."""
    path = quick_project.directory / "var/reports/run-1.json"
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    assert_ended_with(quick_project.crawl(), "the run report cannot be written", "No space left", "Make room")
    assert quick_project.exports() == clean
    path.unlink()
    finish(quick_project, clean)


@full_device
@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_no_room_for_a_feed(quick_project: Project, clean: Exports, form: str) -> None:
    """The run ends and says so once; everything is in the catalogue in the end."""
    done = quick_project.crawl("-O", f"/dev/full:{form}")
    assert_ended_with(done, "the feed cannot be written", "No space left", "scrapy export")
    assert done.stderr.count("ERROR") == 1
    finish(quick_project, clean)


@full_device
def test_no_room_for_the_last_lines_of_a_feed(quick_project: Project) -> None:
    """A feed smaller than a buffer fails only when it is closed."""
    done = quick_project.run("crawl", "shikimori", "-a", "ids=6", "-O", "/dev/full:jsonl")
    assert done.returncode == 2, done.stderr
    assert "the feed cannot be written: its end is missing" in done.stderr
