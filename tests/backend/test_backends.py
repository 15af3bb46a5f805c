"""Receipts belong to a backend's address: another backend gets everything, and one that was emptied can be refilled."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from anime_crawler.catalogue import backends, outbox
from anime_crawler.catalogue.backends import address_of
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.tables import backend, dead_letter, delivered_player, receipt_elsewhere
from anime_crawler.commands.deliver import exit_code
from anime_crawler.run.job import Exit
from tests import processes
from tests.backend.support import TOKEN, World, in_world, player_url, refuse, release, running_backend, two_titles
from tests.guard import clean_environment

DATABASES = pytest.mark.parametrize("on_postgresql", [False, True], ids=["sqlite", "postgresql"])


@pytest.fixture
def database_url(request: pytest.FixtureRequest, on_postgresql: bool) -> str | None:
    return request.getfixturevalue("postgres_url") if on_postgresql else None


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://localhost:8000", "http://localhost:8000"),
        ("HTTP://LocalHost:8000/", "http://localhost:8000"),
        ("http://host", "http://host:80"),
        ("https://user:secret@host./backend/", "https://host:443/backend"),
        *(
            (f"http://{host}:8000/", "http://localhost:8000")
            for host in ("127.0.0.1", "[::1]", "[0:0::0:1]", "[::ffff:127.0.0.1]", "127.1", "LOCALHOST.")
        ),
        ("http://127.0.0.1", "http://localhost:80"),
        ("https://127.0.0.1/", "https://localhost:443"),
        ("http://localhost:8001", "http://localhost:8001"),
        ("http://127.0.0.1:8000/B/", "http://localhost:8000/B"),
        ("http://127.0.0.2:8000", "http://127.0.0.2:8000"),
        ("http://a.localhost:8000", "http://a.localhost:8000"),
        ("http://[0:0::0:2]:8000", "http://[::2]:8000"),
    ],
)
def test_an_address_has_one_spelling_and_no_credentials(base_url, address):
    """Scheme, host, port and path."""
    assert address_of(base_url) == address


@DATABASES
def test_another_backend_gets_everything_and_the_first_one_keeps_its_receipts(tmp_path, database_url):
    """Back at the first, nothing is sent that it has already."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        doubt = SentPlayer("1", 9, player_url("1", 9), 20, "sending", "2026-01-01T00:00:00.000000Z", "killed")
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [doubt]))
        first, before = w.backend, await w.backend.players()
        async with running_backend() as second:
            w.backend = second
            assert (await w.plan()).players == 4
            result = await w.deliver()
            assert (result.pending, result.players) == (0, 4)
            assert await second.players() == before
        w.backend = first
        first.reset_stats()
        assert (await w.deliver()).pending == 0
        assert first.posts == {}
        assert await w.rows(select(delivered_player.c.number).where(delivered_player.c.state == "sending")) == [(9,)]
        assert await w.rows(select(backend.c.address).where(backend.c.is_current)) == [(address_of(first.url),)]
        assert await w.rows(select(func.count()).select_from(receipt_elsewhere)) == [(10,)]

    in_world(tmp_path, story, database_url=database_url)


def test_no_two_backends_get_one_address():
    """Any difference of scheme, port or path stays one, for every spelling of the host."""
    hosts = ("localhost", "127.0.0.1", "[::1]", "127.0.0.2", "backend.example", "10.0.0.1")
    rest = (":8000", ":8001", "", ":443", ":8000/a", ":8000/A", ":8000/a/b")
    found = {address_of(f"{scheme}://{host}{more}") for scheme in ("http", "https") for host in hosts for more in rest}
    assert len(found) == 2 * 4 * len(rest) - 4  # https and :443 are one


@DATABASES
@pytest.mark.parametrize("current", [0, 1])
def test_receipts_that_an_older_release_kept_under_two_spellings_are_put_together(tmp_path, database_url, current):
    """Nothing is sent again, a player in doubt stays so, and of two receipts of one record the later one counts."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        port = w.backend.url.rpartition(":")[2]
        spellings = [f"http://localhost:{port}", f"http://127.0.0.1:{port}"]
        here, there = spellings[current], spellings[1 - current]
        doubt = SentPlayer("1", 9, player_url("1", 9), 20, "sending", "2026-01-01T00:00:00.000000Z", "killed")

        def as_an_older_release(conn: Connection) -> None:
            conn.execute(delete(backend))
            backends._put_away(conn, there)
            late = update(receipt_elsewhere).where(receipt_elsewhere.c.title_id == "1")
            conn.execute(late.values(delivered_at="2099", sent_at="2099"))
            outbox.record_players(conn, [doubt])
            wrong = SentPlayer("1", 1, player_url("1", 1), 7, "done", "2026-01-01T00:00:00.000000Z", "early")
            outbox.record_players(conn, [wrong])
            conn.execute(insert(backend).values(address=there, is_current=False))
            conn.execute(insert(backend).values(address=here, is_current=True))

        await w.catalogue.write(as_an_older_release)
        w.backend.reset_stats()
        for url in spellings:
            assert (await w.deliver(BACKEND_BASE_URL=url)).pending == 0
        assert w.backend.posts == {}
        c = delivered_player.c
        assert await w.rows(select(c.number, c.trace_id).where(c.state == "sending")) == [(9, "killed")]
        assert await w.rows(select(c.number).where(c.priority == 7)) == []
        assert await w.rows(select(backend)) == [(f"http://localhost:{port}", True)]
        assert await w.rows(select(func.count()).select_from(receipt_elsewhere)) == [(0,)]

    in_world(tmp_path, story, database_url=database_url)


@DATABASES
def test_receipts_of_an_older_catalogue_belong_to_the_first_backend_that_is_delivered_to(tmp_path, database_url):
    """Nothing is sent again after the upgrade."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        await w.catalogue.write(lambda conn: conn.execute(backend.delete()))
        w.backend.reset_stats()
        assert (await w.deliver()).pending == 0
        assert w.backend.posts == {}

    in_world(tmp_path, story, database_url=database_url)


@DATABASES
def test_an_emptied_backend_is_refilled(tmp_path, database_url):
    """Everything is sent again, and what is in doubt by the rule of doubts."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        before = await w.backend.players()
        await w.backend.wipe()
        doubtful = (await w.rows(select(delivered_player).where(delivered_player.c.title_id == "1")))[0]
        intent = SentPlayer(*doubtful)._replace(state="sending")
        await w.catalogue.write(lambda conn: outbox.record_players(conn, [intent]))
        await w.catalogue.write(backends.refill)
        assert await w.rows(select(delivered_player.c.state)) == [("sending",)]
        w.backend.reset_stats()
        result = await w.deliver()
        assert (result.pending, result.has_lost) == (0, False)
        assert await w.backend.players() == before
        assert w.backend.posts == {"anime": 2, "episodes": 2, "video": 4}

    in_world(tmp_path, story, database_url=database_url)


@pytest.mark.parametrize("route", ["episodes", "video"])
def test_a_sign_of_loss_is_said_with_what_to_do(tmp_path, route):
    """A parent is missing that the backend had accepted: its title is sent again, the run says that more is lost."""

    async def story(w: World) -> None:
        await two_titles(w)
        await w.deliver()
        await w.backend.wipe()
        await w.store(release("1", [1, 2, 3]) if route == "episodes" else release("1", [1, 2], "7"))
        result = await w.deliver()
        assert (result.pending, result.has_lost) == (0, True)
        (problem,) = [p for p in w.report.problems if p["kind"] == "lost"]
        assert "`scrapy deliver --refill` sends everything again" in problem["message"]
        assert exit_code(result, interrupted=False, dead_letters=0) == Exit.BACKEND

    in_world(tmp_path, story)


def test_what_was_refused_is_tried_again_on_a_recheck_only(tmp_path, monkeypatch):
    """A dead letter of delivery keeps its record from being posted until then."""
    refuse(monkeypatch, "import_video", lambda p: p.source_episode_id == "1:2", 404, "no")

    async def story(w: World) -> None:
        await two_titles(w)
        assert (await w.deliver()).failed == 1
        w.backend.reset_stats()
        assert (await w.deliver()).failed == 0
        assert w.backend.posts == {}
        await w.catalogue.write(backends.refill)
        assert await w.rows(select(dead_letter)) == []
        assert (await w.deliver()).failed == 1

    in_world(tmp_path, story)


def test_the_command_refills_an_emptied_backend(tmp_path):
    """A plain delivery sends nothing, for by the receipts the backend has everything; ``--refill`` sends it all."""

    async def deliver(w: World, *arguments: str) -> int:
        environment = {
            "DATABASE_URL": f"sqlite:///{tmp_path / 'catalogue.db'}",
            "BACKEND_BASE_URL": w.backend.url,
            "INTERNAL_TOKEN": TOKEN,
            "SCRAPY_SETTINGS_MODULE": "anime_crawler.settings",
        }
        options = {"cwd": tmp_path, "env": clean_environment(environment), "timeout": 60}
        ended = await asyncio.to_thread(lambda: processes.run("scrapy", "deliver", *arguments, **options))
        return int(ended.returncode)

    async def story(w: World) -> None:
        await two_titles(w)
        assert await deliver(w) == Exit.DONE
        before = await w.backend.players()
        await w.backend.wipe()
        w.backend.reset_stats()
        assert await deliver(w) == Exit.DONE
        assert w.backend.posts == {}
        assert await deliver(w, "--refill", "--recheck") == 2
        assert await deliver(w, "--refill") == Exit.DONE
        assert await w.backend.players() == before

    in_world(tmp_path, story)
