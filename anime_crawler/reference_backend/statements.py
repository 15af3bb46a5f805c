"""`Statements` holds the SQL of the imports, compiled once for the database in use.

It bypasses SQLAlchemy's own execution, which takes as much time as SQLite's.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect, Select, bindparam, false, insert, select, true, update

from anime_crawler.reference_backend.tables import anime, episode, video

SWITCHES = {"is_active": true(), "admin_modified": false()}
ANIME_VALUES = ("slug", "title", "alternative_titles", "description", "year", "status", "poster", "genres")


def _given(*names: str) -> dict[str, Any]:
    return {name: bindparam(name) for name in names}


STATEMENTS: dict[str, ClauseElement] = {
    "find_anime": select(anime).where(
        anime.c.source_name == bindparam("source_name"), anime.c.source_id == bindparam("source_id")
    ),
    "add_anime": insert(anime)
    .inline()
    .values(_given("source_name", "source_id", *ANIME_VALUES, "updated_at") | SWITCHES),
    "change_anime": update(anime).where(anime.c.id == bindparam("id_")).values(_given(*ANIME_VALUES, "updated_at")),
    "find_episodes": select(episode).where(episode.c.anime_id == bindparam("anime_id")),
    "add_episode": insert(episode)
    .inline()
    .values(
        _given("anime_id", "source_episode_id", "number", "title", "is_active", "updated_at")
        | {"admin_modified": false()}
    ),
    "change_episode": update(episode)
    .where(episode.c.id == bindparam("id_"))
    .values(_given("number", "title", "is_active", "updated_at")),
    # The caller compares source_name: as a condition here it would make SQLite read every anime of that source.
    "find_episode": select(episode.c.id, anime.c.source_name)
    .join(anime)
    .where(episode.c.source_episode_id == bindparam("source_episode_id")),
    "find_videos": select(video.c.id, video.c.type, video.c.priority, video.c.admin_modified).where(
        video.c.episode_id == bindparam("episode_id"), video.c.key == bindparam("key")
    ),
    "add_video": insert(video)
    .inline()
    .values(_given("episode_id", "key", "copy", "type", "url", "source_name", "priority", "updated_at") | SWITCHES),
    "change_video": update(video)
    .where(video.c.id == bindparam("id_"))
    .values(_given("type", "priority", "updated_at")),
}


class Statements:
    """`Statements` runs the entries of `STATEMENTS` by name, in the transaction that SQLAlchemy has begun.

    Raises:
        Exception: the driver's own, from every method, if the database refuses.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._sql = {name: str(statement.compile(dialect=dialect)) for name, statement in STATEMENTS.items()}
        self._columns = {
            name: tuple(column.name for column in statement.selected_columns)
            for name, statement in STATEMENTS.items()
            if isinstance(statement, Select)
        }

    def run(self, connection: Connection, name: str, **values: Any) -> None:
        """Run a statement that changes a row."""
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(self._sql[name], values)

    def all(self, connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
        """All rows of a statement that reads."""
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(self._sql[name], values)
            return [dict(zip(self._columns[name], row, strict=True)) for row in cursor.fetchall()]

    def one(self, connection: Connection, name: str, **values: Any) -> dict[str, Any] | None:
        """The first row of a statement that reads; ``None``: there is none."""
        rows = self.all(connection, name, **values)
        return rows[0] if rows else None
