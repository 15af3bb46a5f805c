"""The main job with its catalogue in PostgreSQL and its budgets in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from anime_crawler.catalogue import export
from anime_crawler.catalogue.engine import connect
from tests.e2e.support import Project, until
from tests.sandboxes import running_sandbox
from tests.services import free_port


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Any]:
    """A small world of these tests' own."""
    with running_sandbox(titles=12, limits="off") as running:
        yield running


@pytest.mark.exec
def test_a_crawl_into_postgres_is_a_crawl_into_sqlite(sandbox, tmp_path, postgres_url, redis_url):
    """The same rows, the same at the backend; its requests are counted in Redis, and `status` tells of them there."""
    file = Project(tmp_path / "file", sandbox, {"BACKEND_BASE_URL": sandbox.backend_url})
    assert file.crawl().returncode == 0
    delivered = file.dump()
    sandbox.post("/_sandbox/reset", {})

    server = Project(tmp_path / "server", sandbox, {**file.environment, "DATABASE_URL": postgres_url})
    counted = {"REDIS_URL": redis_url, "KODIK_LIMITS": "1000/s", "SHIKIMORI_LIMITS": "1000/min"}
    done = server.run("crawl", "kodik", **counted)
    assert done.returncode == 0, done.stderr
    with connect(postgres_url) as conn:
        rows = {kind: list(export.rows(conn, kind)) for kind in export.KINDS}
    assert rows == {kind: file.records(kind) for kind in export.KINDS}
    assert server.dump() == delivered
    assert not (server.directory / "var" / "politeness.sqlite").exists()
    budgets = json.loads(server.run("status", "--json", **counted).stdout)["budgets"]
    assert budgets["shikimori"]["1000/min"] == server.requests_to("shikimori") > 0


def test_without_the_redis_that_is_set_nothing_is_sent(sandbox, tmp_path):
    """Exit code 3 and one sentence that names the setting; `diagnose` says the same."""
    sandbox.post("/_sandbox/reset", {})
    project = Project(tmp_path / "project", sandbox, {"REDIS_URL": f"redis://:hunter2@127.0.0.1:{free_port()}/0"})
    for words in (("crawl", "kodik"), ("diagnose",)):
        done = project.run(*words)
        assert done.returncode == 3, words
        assert "REDIS_URL" in done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert project.requests_to("kodik") == 0


def test_a_run_whose_session_the_server_ends_ends_too_and_the_next_one_completes_it(sandbox, tmp_path, postgres_url):
    """It waits for Kodik just then, so that only its watch can tell it: exit code 3, one sentence, the lock is free."""
    sandbox.post("/_sandbox/reset", {})
    backend = {"BACKEND_BASE_URL": sandbox.backend_url}
    project = Project(tmp_path / "project", sandbox, {"DATABASE_URL": postgres_url, **backend})
    project.fault("kodik", "silence")
    run = project.start("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik", HTTP_TIMEOUT_SECONDS="300")
    until(lambda: project.requests_to("kodik") == 1, timeout_s=60)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
        assert ended
    assert run.wait(60) == 3, project.log()
    assert "Our session at the database is lost" in project.log()
    assert "Traceback" not in project.log()
    project.calm()
    again = project.crawl()
    assert again.returncode == 0, again.stderr
    with connect(postgres_url) as conn:
        assert sum(1 for _ in export.rows(conn, "anime")) > 0


@pytest.mark.parametrize("table", ["player", "checkpoint"])
def test_a_session_that_ends_while_a_page_is_stored_leaves_nothing_of_it(sandbox, tmp_path, postgres_url, table):
    """Exit code 3, the walk is not complete; the same command reads the page again and ends as if nothing had been."""
    sandbox.post("/_sandbox/reset", {})
    whole = Project(tmp_path / "whole", sandbox, {"BACKEND_BASE_URL": ""})
    assert whole.crawl().returncode == 0
    project = Project(tmp_path / "project", sandbox, {"DATABASE_URL": postgres_url, "BACKEND_BASE_URL": ""})
    assert project.run("crawl", "kodik", "-a", "shikimori_ids=1").returncode in (0, 1)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
        )
        admin.execute(f"CREATE TRIGGER away BEFORE INSERT ON {table} EXECUTE FUNCTION end_session()")
        ended = project.crawl()
        assert ended.returncode == 3, ended.stderr
        assert "Our session at the database is lost" in " ".join(ended.stderr.split())
        assert "Traceback" not in ended.stderr
        assert admin.execute("SELECT count(*) FROM checkpoint").fetchone() == (0,)
        admin.execute(f"DROP TRIGGER away ON {table}")
    again = project.crawl()
    assert again.returncode == 0, again.stderr
    with connect(postgres_url) as conn:
        assert list(export.rows(conn, "players")) == whole.records("players")


def test_a_database_that_is_away_is_no_wrong_setting(sandbox, tmp_path):
    """Exit code 3 from each command: it may be back when the same command is run again; a wrong password is exit 2."""
    environment = {"DATABASE_URL": f"postgresql://postgres:hunter2@127.0.0.1:{free_port()}/anime"}
    project = Project(tmp_path / "project", sandbox, {**environment, "BACKEND_BASE_URL": sandbox.backend_url})
    for words in (("crawl", "kodik"), ("deliver",), ("status",)):
        done = project.run(*words)
        assert done.returncode == 3, (words, done.stderr)
        assert "The same command continues" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
