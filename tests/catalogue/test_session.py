"""PostgreSQL ends our session: its locks and leases are gone, and nothing goes on in a new one as if it had them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import psycopg
import pytest
from sqlalchemy import select, text

from anime_crawler.catalogue import writer as catalogue_module
from anime_crawler.catalogue.engine import connect, open_engine
from anime_crawler.catalogue.lock import Lock, LockHeld, catalogue_lock
from anime_crawler.catalogue.tables import drift
from anime_crawler.catalogue.writer import Catalogue, CatalogueAwayError
from tests.catalogue.test_catalogue import note, stored

LOCK = Lock("crawl-kodik")


def end_session(url: str, pid: int) -> None:
    """As an administrator, a restart or a failover does."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def pid_of(conn) -> int:
    return conn.scalar(text("SELECT pg_backend_pid()"))


def test_nothing_is_written_after_the_session_was_lost_by_one_or_by_many_at_once(postgres_url):
    """Many at once share a transaction and are tried again one by one: SQLAlchemy would give them a new session."""

    async def story() -> None:
        catalogue = await Catalogue.open(postgres_url, locks=[LOCK])
        told: list[CatalogueAwayError] = []
        catalogue.on_lost = told.append
        end_session(postgres_url, await catalogue.read(pid_of))
        calls = [catalogue.read(pid_of), *(catalogue.write(note(f"at once {i}")) for i in range(3))]
        got = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in got] == [CatalogueAwayError] * 4
        for call in (catalogue.write(note("later")), catalogue.read(pid_of)):
            with pytest.raises(CatalogueAwayError, match="Our session at the database is lost"):
                await call
        with pytest.raises(CatalogueAwayError):
            catalogue.check()
        assert [error.exit_code for error in told] == [3]
        await catalogue.close()

    asyncio.run(story())
    assert stored(postgres_url) == []


def test_a_session_that_ends_within_a_transaction_leaves_nothing_of_it(postgres_url):
    """And the lock that it held is another's at once."""

    async def story() -> None:
        catalogue = await Catalogue.open(postgres_url, locks=[LOCK])

        def write_and_lose(conn) -> None:
            note("half")(conn)
            end_session(postgres_url, pid_of(conn))
            conn.scalar(select(drift.c.path))

        with pytest.raises(LockHeld), catalogue_lock(postgres_url, *LOCK):
            pass
        with pytest.raises(CatalogueAwayError):
            await catalogue.write(write_and_lose)
        with catalogue_lock(postgres_url, *LOCK):
            pass
        await catalogue.close()

    asyncio.run(story())
    assert stored(postgres_url) == []


def test_a_lock_that_was_lost_is_not_given_back_in_silence(postgres_url):
    """Whoever held it hears at the end that it was not held all the time."""
    with (
        pytest.raises(CatalogueAwayError),
        catalogue_lock(postgres_url, *LOCK),
        psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin,
    ):
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


def test_who_only_waits_hears_of_it_too(postgres_url, monkeypatch):
    """A run may wait for an upstream for an hour."""
    monkeypatch.setattr(catalogue_module, "PING_S", 0.05)

    async def story() -> None:
        catalogue = await Catalogue.open(postgres_url, locks=[LOCK])
        lost = asyncio.Event()
        catalogue.on_lost = lambda _: lost.set()
        end_session(postgres_url, await catalogue.read(pid_of))
        async with asyncio.timeout(60):
            await lost.wait()
        await catalogue.close()

    asyncio.run(story())


class Relay:
    """A way to the server that can swallow everything without closing, as a firewall does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.is_silent = False
        self._sockets = [self._listener]
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [ours, theirs]
            for pair in ((ours, theirs), (theirs, ours)):
                Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if not self.is_silent:
                    other.sendall(data)
        except OSError:
            pass
        if not self.is_silent:
            other.close()

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@contextmanager
def relay_to(url: str) -> Iterator[tuple[Relay, str]]:
    """A relay, and the address of the database by way of it."""
    parsed = open_engine(url).url
    relay = Relay(parsed.port or 5432)
    try:
        yield relay, parsed.set(port=relay.port).render_as_string(hide_password=False)
    finally:
        relay.close()


def test_a_network_that_swallows_everything_is_a_lost_session(postgres_url, monkeypatch):
    """No error ever comes: who waits for an answer is told, and the catalogue can still be closed."""
    monkeypatch.setattr(catalogue_module, "PING_S", 0.05)

    async def story(relay: Relay, url: str) -> None:
        catalogue = await Catalogue.open(url, locks=[LOCK])
        monkeypatch.setattr(catalogue_module, "SILENT_S", 0.5)
        relay.is_silent = True
        with pytest.raises(CatalogueAwayError, match="has not answered"):
            await catalogue.write(note("a"))
        await catalogue.close()

    with relay_to(postgres_url) as (relay, url):
        asyncio.run(story(relay, url))
    assert stored(postgres_url) == []


def test_the_server_may_not_end_the_session_for_being_idle(postgres_url):
    """Whatever the administrator has set for all; and it notices soon when our machine is gone."""
    database = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database} SET idle_session_timeout = '300s'")

    async def story() -> None:
        catalogue = await Catalogue.open(postgres_url, locks=[LOCK])
        names = ("idle_session_timeout", "tcp_keepalives_idle")
        assert [await catalogue.read(lambda conn, n=n: conn.scalar(text(f"SHOW {n}"))) for n in names] == ["0", "60"]
        await catalogue.close()

    asyncio.run(story())


def test_a_standby_that_may_only_read_is_a_database_that_is_away(postgres_url):
    """After a failover the address may lead to one for a while."""
    open_engine(postgres_url).dispose()
    with pytest.raises(CatalogueAwayError, match="read-only"), connect(postgres_url, writes=True) as conn:
        conn.execute(text("SET TRANSACTION READ ONLY"))
        note("a")(conn)


def test_a_database_that_is_not_there_is_a_wrong_setting(postgres_url):
    """The server answers: running the same command again would not help."""
    wrong = postgres_url + "_of_another_name"
    with pytest.raises(Exception, match="does not exist") as error:
        open_engine(wrong)
    assert (type(error.value).__name__, error.value.exit_code) == ("CatalogueError", 2)


def test_two_catalogues_on_one_server_do_not_lock_each_other_out(new_postgres_url):
    """Neither in two databases nor in two schemas of one; what is held in another is not named either."""
    one, two = new_postgres_url(), new_postgres_url()
    with psycopg.connect(two.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA other")
    three = f"{two}?options=-csearch_path%3Dother"
    for url in (one, two, three):
        open_engine(url).dispose()
    with (
        catalogue_lock(one, "crawl-kodik", "crawl-aaaa"),
        catalogue_lock(two, "crawl-kodik", "crawl-bbbb"),
        catalogue_lock(three, "crawl-kodik"),
    ):
        for url in (one, two, three):
            with pytest.raises(LockHeld), catalogue_lock(url, "crawl-kodik"):
                pass


def test_a_link_to_a_catalogue_is_the_same_catalogue(tmp_path):
    """Two runs would else write into one file by two names."""
    (tmp_path / "link.db").symlink_to(tmp_path / "anime.db")
    with (
        catalogue_lock(f"sqlite:///{tmp_path}/anime.db", "deliver"),
        pytest.raises(LockHeld),
        catalogue_lock(f"sqlite:///{tmp_path}/link.db", "deliver"),
    ):
        pass
