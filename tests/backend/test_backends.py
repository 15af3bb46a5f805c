"""Receipts belong to a backend's address: another backend gets everything, and one that was emptied can be refilled."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select

from anime_crawler.catalogue import backends, outbox
from anime_crawler.catalogue.backends import address_of
from anime_crawler.catalogue.outbox import SentPlayer
from anime_crawler.catalogue.tables import backend, dead_letter, delivered_player, receipt_elsewhere
from anime_crawler.commands.deliver import exit_code
from anime_crawler.job import Exit
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
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[0:0::0:1]:8000", "http://[::1]:8000"),
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
    """A plain delivery sends nothing, for the books say that the backend has everything; ``--refill`` sends it all."""

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
