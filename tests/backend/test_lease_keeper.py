"""Importers share one PostgreSQL catalogue: no two send the same, and a dead one's titles are taken over."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, select, text

from anime_crawler.backend import doubt, lease_keeper
from anime_crawler.catalogue import outbox, title_leases
from anime_crawler.catalogue.engine import open_engine
from anime_crawler.catalogue.tables import run
from anime_crawler.catalogue.title_leases import ANIME_LEASE
from anime_crawler.catalogue.writer import Catalogue, CatalogueAwayError
from tests import processes
from tests.backend.support import TOKEN, World, anime, release, world
from tests.guard import clean_environment

TITLES, EPISODES, TEAMS = 18, 3, ("610", "7")
PLAYERS = TITLES * EPISODES * len(TEAMS)


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Callable[[], Connection]]:
    """Opens sessions on one empty catalogue, each as a process has it."""
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(open_engine(postgres_url).connect().execution_options(isolation_level="AUTOCOMMIT"))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()


def put_titles(conn: Connection, *title_ids: str) -> None:
    for seq, title_id in enumerate(title_ids, 1):
        row = {"title_id": title_id, "seq": seq}
        conn.execute(text("INSERT INTO title (title_id, seq, version, changed_in) VALUES (:title_id, :seq, 1, 1)"), row)


def pending(conn: Connection) -> list[str]:
    return [title_id for title_id, _ in outbox.titles_to_deliver(conn, 10, ready_only=False)]


def test_a_title_has_one_importer_and_anime_are_sent_by_one(sessions):
    """The other one gets what is free, once the first has sent its anime; nobody gets what is delivered."""
    one, two = sessions(), sessions()
    put_titles(one, "1", "2", "3")
    assert title_leases.acquire(one, ["2", "1"], 60) == ["2", "1"]
    assert pending(two) == ["3"]
    assert title_leases.acquire(two, ["1", "3"], 60) is None
    title_leases.release(one, [ANIME_LEASE])
    assert title_leases.acquire(two, ["1", "3"], 60) == ["3"]
    outbox.mark_delivered(one, [("1", 1)])
    title_leases.release_all(one)
    title_leases.release(two, [ANIME_LEASE])
    assert title_leases.acquire(two, ["1", "2"], 60) == ["2"]
    assert (title_leases.count_others(one), title_leases.count_others(two)) == (3, 0)


def test_a_lease_that_is_not_renewed_is_free_after_its_deadline(sessions):
    """ANIME_LEASE is free a second later than the titles, so that the importer that gets it sees them free."""
    one, two = sessions(), sessions()
    put_titles(one, "1")
    title_leases.acquire(one, ["1"], -0.5)
    assert pending(two) == ["1"]
    assert title_leases.acquire(two, ["1"], 60) is None
    one.execute(text("UPDATE claim SET until = until - 1"))
    title_leases.renew(one, 60)  # too late
    assert title_leases.acquire(two, ["1"], 60) == ["1"]
    title_leases.release_all(one)
    assert title_leases.count_others(one) == 2


def test_the_leases_of_a_session_that_has_ended_are_free_after_three_seconds(sessions):
    """The POST of a killed process is over by then; those of the living stay."""
    one, two, three = sessions(), sessions(), sessions()
    put_titles(one, "1", "2")
    title_leases.acquire(one, ["1"], 60)
    title_leases.release(one, [ANIME_LEASE])
    title_leases.acquire(two, ["2"], 60)
    one.invalidate()
    one.close()
    while three.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")) > 2:
        pass
    now = text(f"SELECT {title_leases.NOW}")
    before = three.scalar(now)
    title_leases.expire_dead(three)
    after = three.scalar(now)
    ends = dict(tuple(row) for row in three.execute(text("SELECT title_id, until FROM claim")))
    assert before + 3 <= ends["1"] <= after + 3
    assert ends["2"] > before + 30
    assert pending(three) == []


def test_on_a_file_the_one_importer_has_every_title(tmp_path):
    """Its lock keeps others out, so that nothing is leased, and nothing has to be given back after a kill."""
    engine = open_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as conn:
        put_titles(conn, "1", "2")
        assert title_leases.acquire(conn, ["2", "1"], 60) == ["2", "1"]
        title_leases.expire_dead(conn)
        title_leases.release(conn, ["1"])
        assert title_leases.are_held(conn, ["1", "2"], 60)
        assert (title_leases.count_others(conn), pending(conn)) == (0, ["1", "2"])
        assert conn.scalar(text("SELECT count(*) FROM claim")) == 0
    engine.dispose()


def importers(url: str, backend_url: str, directory: Path, count: int) -> list[subprocess.Popen[str]]:
    """So many ``scrapy deliver`` at once."""
    environment = {
        "DATABASE_URL": url,
        "BACKEND_BASE_URL": backend_url,
        "INTERNAL_TOKEN": TOKEN,
        "CONCURRENCY": "2",
        "SCRAPY_SETTINGS_MODULE": "anime_crawler.settings",
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    folders = [directory / str(n) for n in range(count)]
    for folder in folders:
        folder.mkdir()
    env = clean_environment(environment)
    return [processes.start("tests.backend.hasty", "deliver", cwd=folder, env=env, **pipes) for folder in folders]


async def ended(running: list[subprocess.Popen[str]]) -> list[str]:
    """What each has said, once all have ended."""
    return await asyncio.gather(*(asyncio.to_thread(lambda p=p: p.communicate()[0]) for p in running))


async def fill(w: World) -> None:
    """Titles whose anime all want the same address, so that two at once would lose races."""
    items: list[Any] = []
    for n in range(TITLES):
        items += [
            anime(str(n), titles={"romaji": "Same"}),
            *(release(str(n), range(1, EPISODES + 1), t) for t in TEAMS),
        ]
    await w.store(*items)


async def addresses(w: World) -> list[str]:
    """Of the backend's anime, in the order of the catalogue."""
    rows = (await w.backend.dump())["anime"]
    return [row["slug"] for row in sorted(rows, key=lambda row: int(row["source_id"]))]


def test_three_importers_send_every_post_once(tmp_path, postgres_url):
    """Never two with one key in flight, and the addresses are those that one importer would have made."""

    async def story() -> None:
        async with world(tmp_path, postgres_url) as w:
            await fill(w)
            running = importers(postgres_url, w.backend.url, tmp_path, 3)
            said = await ended(running)
            assert [process.returncode for process in running] == [0, 0, 0], said
            assert w.backend.posts == {"anime": TITLES, "episodes": TITLES, "video": PLAYERS}
            delivered = [json.loads(row.report)["counters"]["backend"] for row in await w.rows(select(run.c.report))]
            assert sum(counts.get("players", 0) for counts in delivered) == PLAYERS
            assert len(delivered) == 3
            assert (w.backend.stats["same_key_in_flight"], w.backend.stats["lost_races"]) == (0, {})
            assert await addresses(w) == ["same", *(f"same-{n}" for n in range(1, TITLES))]

    asyncio.run(story())


def test_what_a_killed_importer_had_is_delivered_by_another(tmp_path, postgres_url):
    """Nothing twice but the POSTs that it had in flight, at most CONCURRENCY, and those not before they are over."""

    async def story() -> None:
        async with world(tmp_path, postgres_url) as w:
            await fill(w)
            running = importers(postgres_url, w.backend.url, tmp_path, 2)
            w.backend.fail({"name": "slow", "route": "video", "delay_s": 0.05})
            while w.backend.posts.get("video", 0) < PLAYERS // 4:
                await asyncio.sleep(0.01)
            running[0].send_signal(signal.SIGKILL)
            said = await ended(running)
            assert [process.returncode for process in running] == [-9, 0], said
            assert len(await w.backend.players()) == PLAYERS
            assert w.backend.posts["video"] <= PLAYERS + 2
            assert w.backend.stats["same_key_in_flight"] == 0
            assert await addresses(w) == ["same", *(f"same-{n}" for n in range(1, TITLES))]
            assert await w.rows(text("SELECT * FROM claim")) == []

    asyncio.run(story())


def test_an_importer_that_was_paused_too_long_sends_nothing_on_its_old_leases(tmp_path, postgres_url, monkeypatch):
    """It begins anew, and others have gone on meanwhile; no player is sent twice."""
    monkeypatch.setattr(lease_keeper, "HELD_S", 0.3)  # as if it had slept for longer than its leases last
    monkeypatch.setattr(lease_keeper, "RENEW_S", 0.6)
    for grace in ("GRACE_S", "LEAST_AGE_S", "REPEAT_GRACE_S"):
        monkeypatch.setattr(doubt, grace, 0)  # it never has its leases for longer

    async def story() -> None:
        async with world(tmp_path, postgres_url) as w:
            await fill(w)
            w.backend.fail({"name": "slow", "delay_s": 0.01})
            result = await w.deliver()
            assert (result.pending, result.reason) == (0, None)
            assert len(await w.backend.players()) == PLAYERS
            assert w.backend.stats["same_key_in_flight"] == 0

    asyncio.run(story())


def end_sessions_with_leases(url: str) -> None:
    """What a restart of the server, or an administrator, does to importers."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE classid = {title_leases.OWNERS}"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


def test_an_importer_whose_session_was_ended_has_no_leases_and_writes_nothing_more(tmp_path, postgres_url):
    """Another one takes them over; the first hears of it before it sends anything, however many of its tasks wait."""

    async def story() -> None:
        async with world(tmp_path, postgres_url) as w:
            await w.store(anime("1"), release("1", [1]))
            ours = lease_keeper.LeaseKeeper(w.catalogue, 30)
            await ours.begin()
            assert await ours.acquire(["1"]) == ["1"]
            end_sessions_with_leases(postgres_url)
            ran: list[int] = []
            tasks = [w.catalogue.write(ours.guarded(lambda conn: ran.append(1), ["1"])) for _ in range(3)]
            got = await asyncio.gather(*tasks, return_exceptions=True)
            assert ([type(error) for error in got], ran) == ([CatalogueAwayError] * 3, [])
            with pytest.raises(CatalogueAwayError):
                ours.check()

    asyncio.run(story())


@pytest.mark.parametrize(
    "change",
    ["UPDATE claim SET owner = owner + 1", "DELETE FROM claim", "UPDATE claim SET until = until - 61"],
    ids=["taken over", "gone", "ends before a POST would"],
)
def test_each_transaction_of_an_importer_looks_whether_its_titles_are_still_its_own(tmp_path, postgres_url, change):
    """Also when the database's clock was set forward, so that the deadline came sooner than this process thinks."""

    async def story() -> None:
        async with world(tmp_path, postgres_url) as w:
            await w.store(anime("1"), release("1", [1]), anime("2"), release("2", [1]))
            ours = lease_keeper.LeaseKeeper(w.catalogue, 30)
            await ours.begin()
            await ours.acquire(["1", "2"])
            await w.catalogue.write(ours.guarded(lambda conn: None, ["1", "2"]))
            await w.catalogue.write(lambda conn: conn.execute(text(f"{change} WHERE title_id = '2'")))
            await w.catalogue.write(ours.guarded(lambda conn: None, ["1"]))
            with pytest.raises(lease_keeper.LeasesLostError):
                await w.catalogue.write(ours.guarded(lambda conn: None, ["1", "2"]))

    asyncio.run(story())


def test_a_new_session_with_the_number_of_an_old_process_owns_nothing(sessions):
    """After a restart of the server process ids come again soon: a lease's owner is no process id."""
    one, two = sessions(), sessions()
    put_titles(one, "1")
    assert title_leases.acquire(one, ["1"], 60) == ["1"]
    one.execute(text("UPDATE claim SET owner = (SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid())"))
    assert pending(one) == []
    title_leases.release_all(one)
    assert title_leases.count_others(two) == 2


def test_a_delivery_whose_session_is_ended_stops_and_another_one_completes_it(tmp_path, postgres_url):
    """Every player once; the next importer waits until what was in flight is over."""

    async def story() -> None:
        async with world(tmp_path, postgres_url, CONCURRENCY=2) as w:
            await fill(w)
            w.backend.fail({"name": "slow", "route": "video", "delay_s": 0.05})
            delivery = asyncio.ensure_future(w.deliver())
            while w.backend.posts.get("video", 0) < PLAYERS // 4:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(end_sessions_with_leases, postgres_url)
            with pytest.raises(CatalogueAwayError):
                await delivery
            sent = w.backend.posts["video"]
            await asyncio.sleep(0.2)
            assert w.backend.posts["video"] <= sent + 2
            second = await Catalogue.open(postgres_url)
            again = replace(w, catalogue=second)
            result = await again.deliver()
            assert (result.pending, result.reason) == (0, None)
            await second.close()
            assert len(await w.backend.players()) == PLAYERS
            assert w.backend.stats["same_key_in_flight"] == 0

    asyncio.run(story())


def test_a_title_that_failed_here_and_was_delivered_by_another_does_not_keep_this_one(tmp_path, postgres_url):
    """The first importer waits for its next try when the second delivers the title: both end."""

    async def story() -> None:
        async with world(tmp_path, postgres_url, MAX_RETRIES=0, BACKOFF_BASE_SECONDS=3) as w:
            await w.store(anime("1"), release("1", [1]))
            w.backend.fail({"name": "deadlock", "route": "anime", "times": 2})
            first = asyncio.ensure_future(w.deliver())
            async with asyncio.timeout(120):
                while w.backend.posts.get("anime", 0) < 2 or await w.rows(text("SELECT * FROM claim")):
                    await asyncio.sleep(0.05)
            other = await Catalogue.open(postgres_url)
            second = await World(other, w.backend, w.settings).deliver()
            assert (second.pending, second.players) == (0, 1)
            async with asyncio.timeout(120):
                assert (await first).pending == 0
            await other.close()

    asyncio.run(story())
