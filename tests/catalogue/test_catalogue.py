"""The writer thread: order, group commit, failures, dry run."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import insert, select, text

from anime_crawler.catalogue.tables import drift
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from tests.catalogue.support import opened


def note(path, count=1):
    """A write of one row."""
    row = {"source": "s", "path": path, "change": "unknown", "count": count, "first_run": 1, "last_run": 1}
    return lambda conn: conn.scalar(insert(drift).values(row).returning(drift.c.path))


def paths(conn):
    return list(conn.scalars(select(drift.c.path).order_by(drift.c.path)))


def run(url, work, **options):
    """`work(catalogue)` on an open catalogue, closed afterwards."""

    async def main():
        catalogue = await Catalogue.open(url, **options)
        try:
            return await work(catalogue)
        finally:
            await catalogue.close()

    return asyncio.run(main())


def stored(url):
    with opened(url) as tables:
        return tables.run(paths)


def test_what_was_written_is_committed_when_write_returns(url):
    """Another connection sees it at once."""

    async def work(catalogue):
        assert await catalogue.write(note("a")) == "a"
        return stored(url)

    assert run(url, work) == ["a"]


def test_a_read_sees_every_write_before_it(url):
    """Calls keep their order, also when nobody waits in between."""

    async def work(catalogue):
        results = await asyncio.gather(catalogue.write(note("a")), catalogue.read(paths), catalogue.write(note("b")))
        return results[1]

    assert run(url, work) == ["a"]


def test_one_failing_write_does_not_take_the_others_with_it(url):
    """It gets its own exception; the rest of the group is stored, in order."""

    async def work(catalogue):
        calls = [catalogue.write(note("a")), catalogue.write(lambda conn: 1 // 0), catalogue.write(note("b"))]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, failed, last = run(url, work)
    assert (first, last) == ("a", "b")
    assert isinstance(failed, ZeroDivisionError)
    assert stored(url) == ["a", "b"]


def test_a_failing_write_leaves_nothing_of_itself(url):
    """What it did before it failed is rolled back."""

    def write_then_fail(conn):
        note("half")(conn)
        raise RuntimeError("no")

    async def work(catalogue):
        with pytest.raises(RuntimeError):
            await catalogue.write(write_then_fail)

    run(url, work)
    assert stored(url) == []


def test_close_finishes_what_waits(url):
    """Nothing submitted before is lost; after it nothing is taken."""

    async def work(catalogue):
        calls = [asyncio.ensure_future(catalogue.write(note(f"{i:04}"))) for i in range(1200)]
        await asyncio.sleep(0)
        await catalogue.close()
        await asyncio.gather(*calls)
        with pytest.raises(CatalogueError, match="closed"):
            await catalogue.write(note("late"))

    run(url, work)
    assert len(stored(url)) == 1200


def test_a_dry_run_sees_its_own_writes_and_leaves_none(url):
    """Also when one of them fails."""

    async def work(catalogue):
        await asyncio.gather(catalogue.write(note("a")), catalogue.write(lambda conn: 1 // 0), return_exceptions=True)
        await catalogue.write(note("b"))
        return await catalogue.read(paths)

    assert run(url, work, dry_run=True) == ["a", "b"]
    assert stored(url) == []


def test_a_dry_run_does_not_keep_readers_out(url):
    """`scrapy status` answers meanwhile."""

    async def work(catalogue):
        await catalogue.write(note("a"))
        other = await Catalogue.open(url)
        seen = await other.read(paths)
        await other.close()
        return seen

    assert run(url, work, dry_run=True) == []


def test_a_writer_that_waits_for_another_gets_its_turn(url):
    """Two processes may write: receipts of `deliver` beside a crawl's pages."""

    async def work(catalogue):
        other = await Catalogue.open(url)
        many = [c.write(note(f"{name}{i:03}")) for i in range(50) for name, c in (("x", catalogue), ("y", other))]
        await asyncio.gather(*many)
        await other.close()

    run(url, work)
    assert len(stored(url)) == 100


def test_a_lost_postgresql_connection_is_a_catalogue_error_without_the_password(postgres_url):
    """It names the database and what to do."""

    async def work(catalogue):
        pid = await catalogue.read(lambda conn: conn.scalar(text("SELECT pg_backend_pid()")))
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(CatalogueError, match="DATABASE_URL=postgresql") as error:
            await catalogue.write(note("a"))
        return str(error.value)

    message = run(postgres_url.replace("postgres@", "postgres:canary-password@"), work)
    assert "canary-password" not in message
    assert stored(postgres_url) == []


FILL = """
import asyncio, resource, sys
from functools import partial
from pathlib import Path
from anime_crawler.catalogue.writer import Catalogue, CatalogueError
from tests.catalogue.support import player, release
from anime_crawler.catalogue.store.items import store_items

store = partial(store_items, identity_source="shikimori", source_priority=["shikimori"])

async def main(url, path):
    catalogue = await Catalogue.open(url)
    await catalogue.write(lambda conn: store(conn, 1, [release("first")]))
    if sys.argv[2] == "limit":
        size = sum(p.stat().st_size for p in Path(path).parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, size + 200_000))
    stored = 0
    try:
        for page in range(200):
            items = [release(f"{page}-{i}", str(page), range(30)) for i in range(50)]
            await catalogue.write(lambda conn: store(conn, 1, items))
            stored += 1
            if sys.argv[2] == "tell":
                print(stored, flush=True)
    except CatalogueError as error:
        print(stored, error)
    await catalogue.close()

asyncio.run(main("sqlite:///" + sys.argv[1], sys.argv[1]))
"""


def test_a_full_disk_is_a_catalogue_error_and_leaves_whole_pages_only(tmp_path):
    """The file may grow no further in the middle of a page: that page is not there at all, those before it are."""
    path = tmp_path / "anime.db"
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(path), "limit"], capture_output=True, text=True, timeout=60, check=True
    )
    stored_pages, message = done.stdout.split(" ", 1)
    assert str(path) in message
    assert "room" in message
    with opened(f"sqlite:///{path}") as tables:
        found = tables.run(lambda conn: conn.execute(text("SELECT count(*) FROM release")).scalar())
    assert found == 1 + 50 * int(stored_pages)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_database_that_may_not_grow_refuses_the_batch_as_a_whole(tmp_path):
    """SQLite's own "full"; once there is room again, writing goes on."""
    url = f"sqlite:///{tmp_path}/anime.db"

    async def work(catalogue):
        await catalogue.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count = 40").scalar())
        with pytest.raises(CatalogueError, match="full"):
            await catalogue.write(lambda conn: [note(f"{i:06}" * 100)(conn) for i in range(2000)])
        await catalogue.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count = 100000").scalar())
        await catalogue.write(note("again"))

    run(url, work)
    assert stored(url) == ["again"]


def test_a_killed_writer_leaves_whole_transactions(tmp_path):
    """kill -9 in the middle of writing: the file opens, and holds whole pages."""
    path = tmp_path / "anime.db"
    with subprocess.Popen([sys.executable, "-c", FILL, str(path), "tell"], stdout=subprocess.PIPE) as process:
        for _ in range(10):
            process.stdout.readline()  # a page is stored, the next is being written
        process.kill()
    with opened(f"sqlite:///{path}") as tables:
        releases = tables.run(lambda conn: conn.execute(text("SELECT count(*) FROM release")).scalar())
        players = tables.run(lambda conn: conn.execute(text("SELECT count(*) FROM player")).scalar())
    assert releases >= 1 + 10 * 50
    assert releases % 50 == 1
    assert players == 2 + (releases - 1) * 30
