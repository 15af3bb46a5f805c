"""The baseline of a delivery: an aiohttp loop that POSTs the same bodies, one per player, and writes nothing down."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable

import aiohttp

from anime_crawler.backend.payloads import TitlePosts, posts_for
from anime_crawler.backend.queue import EPISODES_PER_POST
from anime_crawler.backend.schemas import episodes_body
from anime_crawler.catalogue import outbox
from anime_crawler.catalogue.engine import connect
from anime_crawler.config import Config
from anime_crawler.settings import SOURCE_PRIORITY

Post = tuple[str, bytes]
"""The kind, as in the address, and the body."""


def wanted(config: Config) -> list[tuple[str, TitlePosts]]:
    """The posts of a delivery of the whole catalogue, by title id."""
    with connect(config.database_url) as conn:
        titles = [title_id for title_id, _ in outbox.titles_to_deliver(conn, 100_000, 0, ready_only=False)]
        states = outbox.load_titles(conn, titles)
        return [(state.title_id, posts_for(state, config, SOURCE_PRIORITY)) for state in states]


async def send_all(session: aiohttp.ClientSession, base_url: str, posts: Iterable[Post], concurrency: int) -> None:
    """POST each body once, so many at a time; any refusal ends the measurement."""
    waiting = iter(posts)

    async def work() -> None:
        for kind, body in waiting:
            async with session.post(f"{base_url}/api/v1/internal/import/{kind}", data=body) as answer:
                await answer.read()
                answer.raise_for_status()

    await asyncio.gather(*(work() for _ in range(concurrency)))


async def deliver(config: Config, concurrency: int) -> dict[str, float]:
    """Anime one at a time, as ours; then their lists of episodes; then the players: how many, in how many seconds."""
    titles = wanted(config)
    anime = [("anime", posts.anime.body) for _, posts in titles if posts.anime]
    lists = [
        ("episodes", episodes_body(title_id, (entry.body for entry in posts.episodes[at : at + EPISODES_PER_POST])))
        for title_id, posts in titles
        for at in range(0, len(posts.episodes), EPISODES_PER_POST)
    ]
    players = [("video", player.body) for _, posts in titles for player in posts.players]
    assert config.internal_token is not None
    headers = {"X-Internal-Token": config.internal_token.get_secret_value(), "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        began = time.monotonic()
        await send_all(session, config.backend_base_url or "", anime, 1)
        await send_all(session, config.backend_base_url or "", lists, concurrency)
        await send_all(session, config.backend_base_url or "", players, concurrency)
        return {"players": len(players), "seconds": time.monotonic() - began}


if __name__ == "__main__":
    loaded = Config()
    print(json.dumps(asyncio.run(deliver(loaded, loaded.concurrency))))
