"""Leases and acks in real crawls, stopped, killed and broken."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import scrapy
from filelock import FileLock
from scrapy.settings import Settings

from anime_crawler.frontier.scheduler import FrontierScheduler
from anime_crawler.frontier.sqlite_store import FILE
from anime_crawler.frontier.store import FrontierError
from tests.download.crawl import result_of
from tests.download.upstream_server import running_server


def kill_at(web, process, lines: int) -> None:
    """SIGKILL when so many lines are stored."""
    while len(web.stored()) < lines and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()


def crawl_with_kills(web, path: str, pages: int, kills: int) -> int:
    """Crawl, killed at random instants, until it ends by itself; how many requests were in flight at the kills."""
    in_flight = 0
    for lines in sorted(random.sample(range(1, pages - 100), kills)):
        kill_at(web, web.start(path), lines)
        in_flight += web.leased()
    assert web.crawl(path).reason == "finished"
    return in_flight


def test_no_kill_loses_a_page_of_a_fan(web):
    """2,000 pages from one, and no cursor to begin from again: all stored, at most those in flight fetched twice."""
    in_flight = crawl_with_kills(web, "/fan/2000", 2000, kills=3)
    assert set(web.stored()) == {"/fan/2000", *(f"/ok/{n}" for n in range(2000))}
    assert len(web.asked()) - 2001 <= in_flight
    assert web.kept() == []


def test_no_kill_breaks_a_chain(web):
    """Each page names the next one only: one lost link would lose the rest."""
    in_flight = crawl_with_kills(web, "/chain/400", 400, kills=3)
    assert set(web.stored()) == {f"/chain/{n}" for n in range(1, 401)}
    assert len(web.asked()) - 400 <= in_flight


def test_what_is_done_again_is_not_led_on_twice(web):
    """Killed between the next link and its own ack, a page is fetched again; the rest of the chain once."""
    web.start("/again/20").communicate()
    assert web.crawl("/again/20").reason == "finished"
    assert set(web.stored()) == {f"/again/{n}" for n in range(1, 21)}
    assert sorted(set(web.asked())) == sorted(set(web.stored()))
    assert 21 <= len(web.asked()) <= 22


def test_a_stop_by_signal_loses_nothing_and_repeats_nothing(web):
    """SIGTERM: what is in flight is finished, the rest is for the next start."""
    process = web.start("/fan/300")
    while len(web.stored()) < 50:
        time.sleep(0.005)
    process.terminate()
    assert result_of(process).reason == "shutdown"
    assert web.crawl("/fan/300").reason == "finished"
    assert sorted(web.asked()) == sorted(["/fan/300", *(f"/ok/{n}" for n in range(300))])


def test_a_finished_run_leaves_nothing_that_makes_the_next_one_empty(web):
    """The same command again crawls again."""
    for _ in range(2):
        assert web.crawl("/ok/1").outcomes == {"/ok/1": ("ok", 1)}
    assert web.asked() == ["/ok/1"] * 2


def test_what_a_bug_did_not_store_stays_pending(web):
    """A callback that raises, a pipeline that raises, and a page given up: kept for the next start, others done."""
    paths = ("/ok/raises", "/ok/broken", "/status/404", "/ok/good")
    assert web.crawl(*paths).reason == "finished"
    assert web.stored() == ["/ok/good"]
    assert sorted(web.kept()) == sorted(paths[:3])
    web.crawl(*paths)
    assert web.asked().count("/ok/good") == 1
    assert {web.asked().count(path) for path in paths[:3]} == {2}


def test_another_run_does_not_continue_what_an_earlier_one_left(web):
    """The job directory's content belongs to one run."""
    web.crawl("/ok/raises", run_key="1")
    assert web.crawl("/ok/good", run_key="2").outcomes == {"/ok/good": ("ok", 1)}
    assert web.kept() == []


def test_a_run_whose_upstream_has_a_new_address_begins_anew(web):
    """What is pending was for the old one, and would be refused for ever."""
    web.crawl("/ok/raises")
    with running_server() as moved:
        web.server, old = moved, web.server
        assert web.crawl("/ok/good").outcomes == {"/ok/good": ("ok", 1)}
        assert web.asked() == ["/ok/good"]
        web.server = old


def test_nothing_is_acked_once_the_catalogue_failed(web):
    """The job says so; everything stays for the next start."""
    web.crawl("/ok/catalogue_fails")
    assert web.kept() == ["/ok/catalogue_fails"]


def test_derived_requests_never_reach_the_job_directory(web):
    """They are crawled like others; a killed run has the others only."""
    process = web.start("/ok/parent")
    while len(web.asked()) < 3:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert web.kept() == ["/silence/durable"]


def test_a_request_that_json_cannot_hold_ends_the_run_loudly_and_loses_nothing(web):
    """Exit code 2 and the request's name, once, though a second one follows; its parent stays pending."""
    result = web.crawl("/ok/tuple")
    assert result.exit_code == 2
    (message,) = (problem["message"] for problem in result.report["problems"] if problem["kind"] == "fatal")
    assert "/ok/never> cannot be kept in the job directory: meta" in message
    assert web.kept() == ["/ok/tuple"]


def test_a_damaged_job_directory_ends_the_run_before_its_first_request(web):
    """Never an empty run that exits 0."""
    (web.directory / "job").mkdir()
    (web.directory / "job" / FILE).write_bytes(b"damaged" * 1000)
    process = web.start("/ok/1")
    process.communicate()
    assert "delete it" in (web.directory / "log.txt").read_text()
    assert web.asked() == []


def test_a_pending_request_that_cannot_be_read_ends_the_run_and_stays(web):
    """Damage inside the file: exit code 2, and nothing that was not done counts as done."""
    web.crawl("/ok/raises")
    with closing(sqlite3.connect(web.directory / "job" / FILE)) as db, db:
        db.execute("UPDATE request SET data = ?", (b"{",))
    result = web.crawl("/ok/raises")
    assert (result.exit_code, web.asked()) == (2, ["/ok/raises"])
    with closing(sqlite3.connect(web.directory / "job" / FILE)) as db:
        assert db.execute("SELECT data FROM request").fetchall() == [(b"{",)]


def test_an_item_of_the_start_that_breaks_its_pipeline_leaves_the_run_unfinished(web):
    """No request gave it, so none can be kept for it: the report says that something is left."""
    result = web.crawl("broken")
    assert [(problem["kind"], problem["message"]) for problem in result.report["problems"]] == [("unfinished", "1")]
    assert web.asked() == web.stored() == []


def test_a_second_process_is_refused(web):
    """The first one's lock is the kernel's: it dies with its owner."""
    (web.directory / "job").mkdir()
    with FileLock(web.directory / "job" / f"{FILE}.lock"):
        process = web.start("/ok/1")
        process.communicate()
    assert "JobDirHeld" in (web.directory / "log.txt").read_text()
    assert web.asked() == []
    assert web.crawl("/ok/1").outcomes == {"/ok/1": ("ok", 1)}


def test_a_scrapy_without_the_hook_is_refused_by_its_version():
    """Without it nothing could be acked, and a run would repeat everything after each crash."""
    engine = SimpleNamespace(_slot=SimpleNamespace())
    crawler = SimpleNamespace(engine=engine, settings=Settings(), job=SimpleNamespace(run_key="1"))
    with pytest.raises(FrontierError, match=f"Scrapy {scrapy.__version__} has no"):
        FrontierScheduler(crawler).open(SimpleNamespace())
