"""Items and tables for the catalogue's tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from anime_crawler.catalogue.engine import open_engine
from anime_crawler.catalogue.store.items import store_items
from anime_crawler.catalogue.tables import checkpoint
from anime_crawler.items import (
    Absent,
    Airing,
    Anime,
    Character,
    Checkpoint,
    Episode,
    Player,
    Rejected,
    Release,
    Snapshot,
    Titles,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCES = {"identity_source": "shikimori", "source_priority": ("shikimori", "kodik")}


def anime(source_id: str = "20", source: str = "shikimori", title: str = "Наруто", **fields: Any) -> Anime:
    """What a source says of one anime."""
    known = {"fetched_at": NOW, "titles": Titles(ru=title)}
    return Anime(source=source, source_id=source_id, **{**known, **fields})


def player(number: int, **fields: Any) -> Player:
    """One episode's link."""
    url = f"https://player.example.com/seria/{number}/0123456789abcdef0123456789abcdef/720p"
    return Player(**{"season_number": 1, "source_number": number, "url": url, **fields})


def release(source_id: str = "serial-1", title_id: str | None = "20", numbers: Any = (1, 2), **fields: Any) -> Release:
    """One translation; `numbers` of its players, or the players themselves."""
    known = {
        "fetched_at": NOW,
        "title": "Naruto",
        "external_ids": {"shikimori": title_id} if title_id else {},
        "players": tuple(n if isinstance(n, Player) else player(n) for n in numbers),
        "anime_id": title_id or source_id,
        "translation_id": "610",
        "translation_title": "AniDUB",
        "translation_kind": "voice",
    }
    return Release(source="kodik", source_id=source_id, kind="anime-serial", **{**known, **fields})


def absent(source_id: str = "20") -> Absent:
    """The identity source does not know it."""
    return Absent(source="shikimori", source_id=source_id, fetched_at=NOW)


def rejected(source_id: str | None = "serial-1", **fields: Any) -> Rejected:
    """A record that was not understood."""
    known = {"source": "kodik", "kind": "material", "reason": "kind: unknown", "raw": '{"id": 1}', "fetched_at": NOW}
    return Rejected(source_id=source_id, **{**known, **fields})


def _known(fields: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {"source": "jikan", "fetched_at": NOW, **defaults, **fields}


def episode(number: int = 1, anime_id: str = "20", **fields: Any) -> Episode:
    """What a metadata source says of one episode."""
    return Episode(number=number, anime_id=anime_id, **_known(fields, source_id=str(number)))


def character(source_id: str = "17", anime_id: str | None = "20", **fields: Any) -> Character:
    """A character in one anime."""
    return Character(anime_id=anime_id, **_known(fields, source_id=source_id, names=Titles(romaji="Naruto Uzumaki")))


def airing(number: int = 1, anime_id: str = "20", **fields: Any) -> Airing:
    """When an episode goes on air."""
    return Airing(
        number=number, anime_id=anime_id, **_known(fields, source_id=f"{anime_id}:{number}", kind="raw", airs_at=NOW)
    )


def snapshot(source_id: str = "20", day: int = 1, **fields: Any) -> Snapshot:
    """An anime's place in a list on a day of March."""
    return Snapshot(
        source_id=source_id, day=date(2026, 3, day), **_known(fields, snapshot_type="top", rank=1, score=9.1)
    )


class Tables:
    """An open catalogue, its rows and what writes them."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def store(self, *items: Any, run: int = 1, **options: Any) -> Counter[tuple[str, str]]:
        """Store one batch, committed."""
        with self.conn.begin():
            return store_items(self.conn, run, items, **{**SOURCES, **options})

    def full_walk(self, source: str, since: int, run: int | None = None, listed: Any = ()) -> Counter[tuple[str, str]]:
        """Store the last checkpoint of a complete full walk that began in run `since`."""
        with self.conn.begin():
            self.conn.execute(delete(checkpoint).where(checkpoint.c.spider == source))
        state = {"source": source, "previous": None, "state": {"complete": True}}
        return self.store(Checkpoint(**state, full_since=since, listed=tuple(listed)), run=run or since)

    def run(self, fn: Any, *args: Any, **options: Any) -> Any:
        """Run a function of the catalogue in a transaction of its own."""
        with self.conn.begin():
            return fn(self.conn, *args, **options)

    def rows(self, table: Table, *columns: str) -> list[tuple[Any, ...]]:
        """All rows, these columns or all, in order of the primary key."""
        picked = [table.c[name] for name in columns] or list(table.c)
        with self.conn.begin():
            return [tuple(row) for row in self.conn.execute(select(*picked).order_by(*table.primary_key))]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is stored, but for the counts of what answers tell, which each answer moves."""
        from anime_crawler.catalogue.tables import metadata, told

        return {table.name: self.rows(table) for table in metadata.sorted_tables if table is not told}


@contextmanager
def opened(url: str) -> Iterator[Tables]:
    """The catalogue at `url`, for writing."""
    engine = open_engine(url)
    with engine.connect() as conn:
        yield Tables(conn.execution_options(writes=True))
    engine.dispose()
