"""Several processes storing into one PostgreSQL catalogue at once: what one alone would have stored."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from anime_crawler.catalogue import engine, export
from anime_crawler.catalogue.engine import connect, open_engine
from anime_crawler.catalogue.tables import title
from tests.catalogue.store_hammer import store
from tests.guard import ROOT, clean_environment
from tests.processes import start


def hammer(url: str, processes: int, pages: int) -> None:
    """Let so many processes store the same pages, each in an order of its own; all begin together."""
    options = {"cwd": ROOT, "env": clean_environment(), "warnings": ["error"]}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [start("tests.catalogue.store_hammer", url, n, pages, **options, **pipes) for n in range(processes)]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * processes
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * processes, said


SLOW = [pytest.mark.slow, pytest.mark.timeout(1_800)]  # seven times 200 pages: minutes on a busy machine


@pytest.mark.parametrize(("processes", "pages"), [(3, 16), pytest.param(6, 200, marks=SLOW)])
def test_writers_at_once_leave_what_one_alone_leaves(postgres_url, tmp_path: Path, processes, pages):
    """Every row once, titles numbered without a gap, versions raised by what changed them, and no deadlock."""
    alone = f"sqlite:///{tmp_path}/alone.db"
    asyncio.run(store(alone, range(pages)))
    hammer(postgres_url, processes, pages)
    with connect(alone) as one, connect(postgres_url) as many:
        for kind in export.KINDS:
            assert list(export.rows(many, kind)) == list(export.rows(one, kind)), kind
        assert sorted(many.scalars(select(title.c.version))) == sorted(one.scalars(select(title.c.version)))
        assert sorted(many.scalars(select(title.c.seq))) == sorted(one.scalars(select(title.c.seq)))
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert many.scalar(text(deadlocks)) == 0


def test_a_writer_that_is_paused_within_a_transaction_keeps_nobody_waiting_for_long(postgres_url, monkeypatch):
    """The server ends its session; what it had not committed is not there, and the next one writes."""
    monkeypatch.setattr(engine, "IDLE_WRITER_S", 1)
    paused = open_engine(postgres_url).connect().execution_options(writes=True)
    note = text("INSERT INTO checkpoint VALUES (:spider, '{}', 1, '')")
    paused.execute(note, {"spider": "paused"})
    with connect(postgres_url, writes=True) as conn:
        conn.execute(note, {"spider": "next"})
    with pytest.raises(DBAPIError, match="idle-in-transaction"):
        paused.commit()
    paused.close()
    with connect(postgres_url) as conn:
        assert conn.scalars(text("SELECT spider FROM checkpoint")).all() == ["next"]
