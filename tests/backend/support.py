"""`World` gives the tests of the importer a catalogue with contents and the reference backend over real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anime_crawler.backend.importer import DeliveryResult, Importer, PlannedPosts
from anime_crawler.catalogue.store.items import store_items
from anime_crawler.catalogue.writer import Catalogue
from anime_crawler.config import Config
from anime_crawler.items import Anime, Player, Release, Titles, TranslationKind
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from anime_crawler.reference_backend import Faults, create_app
from anime_crawler.reference_backend.dump import dump
from anime_crawler.reference_backend.errors import RefusedError
from anime_crawler.reference_backend.server import listen, make_server
from anime_crawler.reference_backend.store import Store
from anime_crawler.run.report import RunReport

TOKEN = "sandbox-internal-token"
SOURCE_PRIORITY = ("shikimori", "kodik")
FETCHED = datetime(2026, 1, 1, tzinfo=UTC)


class Backend:
    """The reference backend, served in this process."""

    def __init__(self, app: Any, url: str, arrivals: list[float]) -> None:
        self._backend = app.state.backend
        self.url = url
        self.arrivals = arrivals
        """When each request came, by the server's own clock."""

    @property
    def stats(self) -> dict[str, Any]:
        return self._backend.stats.report()

    @property
    def posts(self) -> dict[str, int]:
        """POSTs that were answered or dropped, by route, without the routes that had none."""
        return self.stats["posts"]

    def answers(self, route: str) -> dict[str, int]:
        """POSTs on one route by answer: a status, or ``dropped``."""
        return self.stats["answers"].get(route, {})

    def struck(self, name: str) -> int:
        """POSTs that a fault has struck since the faults were set."""
        return self._backend.switches.struck[name]

    def fail(self, *rules: Any, **switches: Any) -> None:
        """Replace the faults in force: names of presets, or rules."""
        faults = [{"name": rule} if isinstance(rule, str) else rule for rule in rules]
        self._backend.switches.set(Faults(rules=faults, **switches))

    def reset_stats(self) -> None:
        self._backend.stats.reset()

    async def wipe(self) -> None:
        """Lose everything, as a database that was set up anew."""
        await self._backend.store.writer.run(self._backend.store.wipe)

    async def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Everything stored."""
        return json.loads(b"".join([part async for part in dump(self._backend.store.writer, True)]))

    async def players(self) -> dict[tuple[str, str], int]:
        """(episode id, url) -> priority of all players; fails when one is there twice."""
        videos = (await self.dump())["videos"]
        found = {(row["source_episode_id"], row["url"]): row["priority"] for row in videos}
        assert len(found) == len(videos)
        return found


@asynccontextmanager
async def running_backend(database: str = "sqlite://", port: int = 0) -> AsyncIterator[Backend]:
    """A reference backend on a loopback port."""
    app = create_app(database, TOKEN)
    arrivals: list[float] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        arrivals.append(time.monotonic())
        await app(scope, receive, send)

    listener = listen("127.0.0.1", port)
    server = make_server(noting, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    serving = asyncio.ensure_future(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield Backend(app, f"http://127.0.0.1:{listener.getsockname()[1]}", arrivals)
    finally:
        server.should_exit = True
        await serving
        listener.close()
        app.state.backend.store.writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen; not for ever, so that a test that hangs says where."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class World:
    """A catalogue, the backend it is delivered to, and a configuration without long waits."""

    catalogue: Catalogue
    backend: Backend
    settings: dict[str, Any] = field(default_factory=dict)
    run_id: int = 1
    report: RunReport = field(default_factory=RunReport)
    limiter: SqliteLimiter = field(default_factory=lambda: SqliteLimiter(":memory:"))
    """Those of all processes; a pause that the backend asked for stands in them."""

    def importer(self, **settings: Any) -> Importer:
        """A new importer with a report of its own, as a new process has."""
        self.report = RunReport()
        config = config_for(self.backend.url, **{**self.settings, **settings})
        return Importer(self.catalogue, config, self.run_id, self.report, SOURCE_PRIORITY, self.limiter)

    async def deliver(
        self,
        more_may_come: Callable[[], bool] = lambda: False,
        ready_only: Callable[[], bool] = lambda: False,
        stopping: Callable[[], bool] = lambda: False,
        **settings: Any,
    ) -> DeliveryResult:
        """One delivery, as ``scrapy deliver`` does it."""
        return await self.importer(**settings).run(more_may_come, ready_only, stopping)

    async def plan(self) -> PlannedPosts:
        return await self.importer().plan()

    async def store(self, *items: Any) -> None:
        """Put items into the catalogue as the crawl does."""
        await self.catalogue.write(
            lambda conn: store_items(
                conn, self.run_id, items, identity_source=SOURCE_PRIORITY[0], source_priority=SOURCE_PRIORITY
            )
        )

    async def rows(self, statement: Any) -> list[Any]:
        """Rows of the catalogue."""
        return await self.catalogue.read(lambda conn: list(conn.execute(statement)))


def config_for(url: str, **settings: Any) -> Config:
    """Settings without long waits: back-off from 10 ms on, a backend that is away is given up after 6 s."""
    quick = {"BACKOFF_BASE_SECONDS": 0.01, "BACKOFF_MAX_SECONDS": 4}
    return Config.load({"BACKEND_BASE_URL": url, "INTERNAL_TOKEN": TOKEN, **quick, **settings})


@asynccontextmanager
async def world(tmp_path: Path, database_url: str | None = None, **settings: Any) -> AsyncIterator[World]:
    """A fresh world, its catalogue in a SQLite file unless another is named."""
    catalogue = await Catalogue.open(database_url or f"sqlite:///{tmp_path / 'catalogue.db'}")
    try:
        async with running_backend() as backend:
            yield World(catalogue, backend, settings)
    finally:
        await catalogue.close()


def anime(title_id: str, source: str = "shikimori", **fields: Any) -> Anime:
    """An anime of the identity source, or of another."""
    titles = fields.pop("titles", None) or Titles(romaji=f"Title {title_id}", ru=f"Название {title_id}")
    external_ids = {} if source == SOURCE_PRIORITY[0] else {SOURCE_PRIORITY[0]: title_id}
    return Anime(
        source=source, source_id=title_id, fetched_at=FETCHED, titles=titles, external_ids=external_ids, **fields
    )


def release(
    title_id: str,
    numbers: Sequence[int] = (1,),
    team: str = "610",
    urls: dict[int, str] | None = None,
    season: int | None = 1,
    **fields: Any,
) -> Release:
    """A release of one team with these episodes."""
    players = [
        Player(season_number=season, source_number=n, url=(urls or {}).get(n) or player_url(title_id, n, team))
        for n in numbers
    ]
    values = {
        "title": f"Title {title_id}",
        "translation_id": team,
        "translation_title": f"Team {team}",
        "translation_kind": TranslationKind.VOICE,
        "kind": "anime-serial",
        "external_ids": {SOURCE_PRIORITY[0]: title_id},
    }
    return Release(
        source="kodik",
        source_id=f"serial-{title_id}-{team}",
        anime_id=title_id,
        fetched_at=FETCHED,
        players=tuple(players),
        **{**values, **fields},
    )


def player_url(title_id: str, number: int, team: str = "610") -> str:
    return f"https://kodikplayer.com/seria/{title_id}{team}{number:04}/0123abcd/720p"


def in_world(tmp_path: Path, story: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run the story, a coroutine function, in a fresh world."""

    async def run() -> None:
        async with world(tmp_path, **settings) as new:
            await story(new)

    asyncio.run(run())


async def two_titles(w: World) -> None:
    """Two titles of two episodes each."""
    for title_id in ("1", "2"):
        await w.store(anime(title_id), release(title_id, [1, 2]))


def refuse(monkeypatch: Any, method: str, is_bad: Callable[[Any], bool], status: int, said: str) -> None:
    """Let backends that are started from now on refuse some records."""
    accepting = getattr(Store, method)

    def refusing(self: Store, connection: Any, payload: Any, post: Any) -> Any:
        if is_bad(payload):
            raise RefusedError(status, said)
        return accepting(self, connection, payload, post)

    monkeypatch.setattr(Store, method, refusing)
