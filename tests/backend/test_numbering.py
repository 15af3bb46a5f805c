"""Releases of one anime may list different seasons: the backend holds the same episodes whichever came first."""

from __future__ import annotations

import asyncio
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from anime_crawler.backend.payloads import DEMOTED
from anime_crawler.catalogue.numbering import number_of
from anime_crawler.items import Player, Release
from tests.backend.support import World, anime, in_world, release, world

SHAPES = {
    "1": {1: 2, 2: 2},
    "2": {2: 2},
    "3": {2: 3, 0: 1},
    "4": {1: 1, 3: 1},
}
"""Team -> season -> how many episodes it has. Season 2 is the base once three have come; before, it may be another."""
BASE = 2


def url(season: int, number: int, team: str) -> str:
    return f"https://kodikplayer.com/seria/{season}{number}{team}/0123abcd/720p"


def release_of(team: str) -> Release:
    """The team's release of anime 1."""
    players = [
        Player(season_number=season, source_number=n, url=url(season, n, team))
        for season, count in sorted(SHAPES[team].items())
        for n in range(1, count + 1)
    ]
    return release("1", [], team).model_copy(update={"players": tuple(players)})


WANTED = {
    (f"1:{number_of(season, n, BASE)}", url(season, n, team))
    for team, shape in SHAPES.items()
    for season, count in shape.items()
    for n in range(1, count + 1)
}
"""(episode, link) of every player that a viewer is to see."""


async def shown(w: World) -> set[tuple[str, str]]:
    """Players that stand above the links out of use, of episodes that a viewer sees."""
    visible = {row["source_episode_id"] for row in (await w.backend.dump())["episodes"] if row["is_available"]}
    return {key for key, priority in (await w.backend.players()).items() if priority > DEMOTED and key[0] in visible}


@pytest.mark.parametrize("order", [*permutations(SHAPES)][::5])
def test_each_order_of_arrival_ends_in_the_same_players(tmp_path, order):
    """Delivered after each release, so that the base changes there; no player twice or at a wrong number."""

    async def story(w: World) -> None:
        await w.store(anime("1"))
        for team in order:
            await w.store(release_of(team))
            await w.deliver()
        assert await shown(w) == WANTED
        stats = w.backend.stats
        assert (stats["same_key_in_flight"], stats["duplicates"], stats["rejected_children"]) == (0, 0, 0)
        w.backend.reset_stats()
        await w.deliver()
        assert w.backend.posts == {}

    in_world(tmp_path, story)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_new_base_is_brought_to_the_backend_however_often_the_delivery_dies(request, tmp_path: Path, database):
    """Cancelled at any POST, as a kill leaves it: intents without receipts. The next one goes on."""
    random = Random(9)
    postgres = str(request.getfixturevalue("postgres_url")) if database == "postgresql" else None

    async def run() -> None:
        async with world(tmp_path, postgres) as w:
            await w.store(anime("1"), release_of("1"), release_of("4"))
            await w.deliver()
            assert ("1:1", url(1, 1, "1")) in await shown(w)
            await w.store(release_of("2"), release_of("3"))
            while (await w.plan()).players:
                posts = random.randint(1, 5)
                before = sum(w.backend.posts.values())
                delivery = asyncio.ensure_future(w.deliver())
                while not delivery.done() and sum(w.backend.posts.values()) < before + posts:
                    await asyncio.sleep(0)
                delivery.cancel()
                await asyncio.wait([delivery])
                await w.catalogue.write(outdated_intents)
            await w.deliver()
            assert await shown(w) == WANTED
            assert w.backend.stats["duplicates"] == 0

    asyncio.run(run())


def outdated_intents(conn):
    """Time goes by between two runs: what was in flight is over, and need not be waited for."""
    conn.exec_driver_sql("UPDATE delivered_player SET sent_at = '2026-01-01T00:00:00.000000Z' WHERE state = 'sending'")
