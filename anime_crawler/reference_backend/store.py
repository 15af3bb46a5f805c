"""`Store` upserts rows by the contract's three identities, and refuses what the real backend refuses."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from anime_crawler.reference_backend.errors import RefusedError, database_text
from anime_crawler.reference_backend.faults import Switches
from anime_crawler.reference_backend.schemas import AnimeImport, EpisodeImport, EpisodesImport, VideoImport
from anime_crawler.reference_backend.slug import Slugs, slugify
from anime_crawler.reference_backend.statements import Statements
from anime_crawler.reference_backend.stats import Post
from anime_crawler.reference_backend.tables import anime, metadata
from anime_crawler.reference_backend.writer import Writer

INT32 = 2**31 - 1
INDEX_ROW_BYTES = 2690
"""About as many bytes as PostgreSQL's index takes of one text, after it has tried to compress the text."""
SLUG = "slug"
"""First part of the mark in `Post.made` of a POST that took a place in a slug chain."""

Row = dict[str, Any]
Changes = Counter[str]
"""Number of rows by outcome: created, updated, unchanged, frozen (an administrator has edited the row, so the import
changes nothing)."""


class Store:
    """`Store` holds the tables and the rules by which imports change them.

    The methods `import_anime`, `import_episodes` and `import_video` run in the writer's thread. They raise
    `RefusedError` before they write anything.
    """

    def __init__(self, url: str, switches: Switches) -> None:
        self.switches = switches
        self.slugs = Slugs()
        self.writer = Writer(url, metadata, on_rollback=self._load_slugs)
        self._sql = Statements(self.writer.dialect)
        self.writer.run_now(self._load_slugs)

    def _load_slugs(self, connection: Connection) -> None:
        self.slugs = Slugs(connection.execute(select(anime.c.slug)).scalars())

    def slug_queries(self, title: str) -> int:
        """The number of queries that the real backend would need to find the slug of a new anime with this title."""
        return self.slugs.queries(slugify(title), own=None)

    def wipe(self, connection: Connection) -> int:
        """Delete every row, as a reset of the backend's database does, and return their number."""
        deleted = sum(connection.execute(delete(table)).rowcount for table in reversed(metadata.sorted_tables))
        self.slugs = Slugs()
        return deleted

    # --- anime ---------------------------------------------------------------------------------------------------

    def import_anime(self, connection: Connection, payload: AnimeImport, post: Post) -> Changes:
        """Create or replace one anime."""
        post.start_over()
        _refuse_nul("anime", payload, payload.source_name, payload.source_id)
        row = self._sql.one(connection, "find_anime", source_name=payload.source_name, source_id=payload.source_id)
        if row and row["admin_modified"]:
            return Counter(frozen=1)
        _refuse_anime(payload)
        base = slugify(payload.title)
        slug = self.slugs.choose(base, row["slug"] if row else None)
        self._lose_anime_race(payload, post, base, moves=not row or slug != row["slug"])
        values = {**_anime_values(payload, row), "slug": slug}
        if row is None:
            post.made.add(post.keys[0])
            self._sql.run(connection, "add_anime", **values, updated_at=_now())
        elif all(row[name] == value for name, value in values.items()):
            return Counter(unchanged=1)
        else:
            self._sql.run(connection, "change_anime", **values, id_=row["id"], updated_at=_now())
        if row is None or slug != row["slug"]:
            post.made.add((SLUG, base))
            self.slugs.move(row["slug"] if row else None, slug)
        return Counter(updated=1) if row else Counter(created=1)

    def _lose_anime_race(self, payload: AnimeImport, post: Post, base: str, moves: bool) -> None:
        if post.raced_for(post.keys[0]):
            self._lose("anime", "uq_anime_source", payload, post)
        elif moves and post.raced_for((SLUG, base)):
            self._lose("anime", "ix_anime_slug", payload, post)

    def _lose(self, route: str, constraint: str, payload: object, post: Post) -> None:
        post.lost = constraint
        if self.switches.faults.lose_races:
            raise RefusedError(500, database_text(constraint, route, payload))

    # --- episodes ------------------------------------------------------------------------------------------------

    def import_episodes(self, connection: Connection, payload: EpisodesImport, post: Post) -> Changes:
        """Create or replace all episodes of the list, or none of them."""
        post.start_over()
        source_name, source_id = payload.source_name, payload.anime_source_id
        _refuse_nul("episodes", payload, source_name, source_id)
        parent = self._sql.one(connection, "find_anime", source_name=source_name, source_id=source_id)
        if parent is None:
            raise RefusedError(404, f"Anime not found: {source_name}/{source_id}")
        known = {
            row["source_episode_id"]: row for row in self._sql.all(connection, "find_episodes", anime_id=parent["id"])
        }
        _refuse_episodes(payload, known)
        new = {entry.source_episode_id for entry in payload.episodes} - known.keys()
        if any(post.raced_for(entry.source_episode_id) for entry in payload.episodes):
            self._lose("episodes", "uq_episode_source", payload, post)
        post.made |= new
        return self._store_episodes(connection, parent["id"], payload.episodes, known)

    def _store_episodes(
        self, connection: Connection, anime_id: int, entries: list[EpisodeImport], known: dict[str, Row]
    ) -> Changes:
        changes: Changes = Counter()
        last = {entry.source_episode_id: entry for entry in entries}
        for episode_id, entry in last.items():
            values = {"number": entry.number, "title": entry.title, "is_active": entry.is_available}
            row = known.get(episode_id)
            if row is None:
                changes["created"] += 1
                key = {"anime_id": anime_id, "source_episode_id": episode_id}
                self._sql.run(connection, "add_episode", **key, **values, updated_at=_now())
            elif row["admin_modified"]:
                changes["frozen"] += 1
            elif all(row[name] == value for name, value in values.items()):
                changes["unchanged"] += 1
            else:
                changes["updated"] += 1
                self._sql.run(connection, "change_episode", **values, id_=row["id"], updated_at=_now())
        return changes

    # --- players -------------------------------------------------------------------------------------------------

    def import_video(self, connection: Connection, payload: VideoImport, post: Post) -> Changes:
        """Create or replace one player."""
        post.start_over()
        episode_id = self._episode_of(connection, payload)
        player = payload.player
        _refuse_nul("video", payload, player.url, player.source_name)
        key = player_key(player.url, player.source_name)
        rows = self._sql.all(connection, "find_videos", episode_id=episode_id, key=key)
        duplicate = self._is_duplicate(rows, post)
        if len(rows) > 1 and not duplicate:
            raise RefusedError(500, database_text("multiple_rows", "video", payload))
        values = {"type": player.type, "priority": player.priority}
        if rows and not duplicate and rows[0]["admin_modified"]:
            return Counter(frozen=1)
        _refuse_nul("video", payload, player.type)
        _refuse_int32("video", payload, player.priority)
        if rows and not duplicate:
            return self._change_video(connection, rows[0], values)
        post.made.add("player")
        where = {"episode_id": episode_id, "key": key, "url": player.url, "source_name": player.source_name}
        self._sql.run(connection, "add_video", **where, **values, copy=len(rows), updated_at=_now())
        return Counter(created=1)

    def would_change_video(self, connection: Connection, payload: VideoImport) -> bool:
        """Whether the import would write; it only reads if the player is stored with the same values."""
        player = payload.player
        episode_id = self._episode_of(connection, payload)
        key = player_key(player.url, player.source_name)
        rows = self._sql.all(connection, "find_videos", episode_id=episode_id, key=key)
        return len(rows) != 1 or (rows[0]["type"], rows[0]["priority"]) != (player.type, player.priority)

    def _episode_of(self, connection: Connection, payload: VideoImport) -> int:
        source_name, episode_id = payload.source_name, payload.source_episode_id
        _refuse_nul("video", payload, source_name, episode_id)
        known = self._sql.all(connection, "find_episode", source_episode_id=episode_id)
        found = [row for row in known if row["source_name"] == source_name]
        if not found:
            raise RefusedError(404, f"Episode not found: {source_name}/{episode_id}")
        if len(found) > 1:
            raise RefusedError(500, database_text("multiple_rows", "video", payload))
        return int(found[0]["id"])

    def _is_duplicate(self, rows: list[Row], post: Post) -> bool:
        """Whether another row is to be stored, because the real backend would not see the first one yet."""
        if not rows or not post.raced_for("player"):
            return False
        post.lost = "player"
        return self.switches.faults.store_duplicates

    def _change_video(self, connection: Connection, row: Row, values: Row) -> Changes:
        if all(row[name] == value for name, value in values.items()):
            return Counter(unchanged=1)
        self._sql.run(connection, "change_video", **values, id_=row["id"], updated_at=_now())
        return Counter(updated=1)


def player_key(url: str, source_name: str) -> bytes:
    """The key that finds this player's row within its episode."""
    return hashlib.blake2b(orjson.dumps((url, source_name)), digest_size=16).digest()


def _anime_values(payload: AnimeImport, row: Row | None) -> Row:
    values = payload.model_dump()
    for name in ("alternative_titles", "genres"):
        values[name] = None if values[name] is None else orjson.dumps(values[name]).decode()
    if values["status"] is None and row:
        values["status"] = row["status"]
    return values


def _refuse_anime(payload: AnimeImport) -> None:
    texts = [payload.title, payload.description, payload.poster]
    _refuse_nul("anime", payload, *texts, *(payload.alternative_titles or []), *(payload.genres or []))
    _refuse_index_row("anime", payload, payload.title, payload.source_name + payload.source_id)


def _refuse_episodes(payload: EpisodesImport, known: dict[str, Row]) -> None:
    seen: set[str] = set()
    for entry in payload.episodes:
        _refuse_nul("episodes", payload, entry.source_episode_id, entry.title)
        _refuse_int32("episodes", payload, entry.number)
        _refuse_index_row("episodes", payload, entry.source_episode_id)
        if entry.source_episode_id in seen and entry.source_episode_id not in known:
            raise RefusedError(500, database_text("uq_episode_source", "episodes", payload))
        seen.add(entry.source_episode_id)


def _refuse_nul(route: str, payload: object, *texts: str | None) -> None:
    if any(text and "\0" in text for text in texts):
        raise RefusedError(500, database_text("nul", route, payload))


def _refuse_int32(route: str, payload: object, number: int) -> None:
    if not -INT32 - 1 <= number <= INT32:
        raise RefusedError(500, database_text("int32", route, payload))


def _refuse_index_row(route: str, payload: object, *texts: str) -> None:
    for data in (text.encode() for text in texts):
        if len(data) > INDEX_ROW_BYTES and len(zlib.compress(data)) > INDEX_ROW_BYTES:
            raise RefusedError(500, database_text("index_row", route, payload))


def _now() -> str:
    return datetime.now(UTC).isoformat()
