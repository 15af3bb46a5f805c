"""Which importer is at work on which title, so that several share one delivery and nothing is sent by two.

On PostgreSQL a claim is a row with an owner and a deadline; the owner renews it. One of an owner whose session has
ended is free soon, any other one after its deadline. On SQLite one importer has the lock of the whole delivery, and
every claim is granted. Anime are sent in order by one importer at a time: who has the claim `LANE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, text

from anime_crawler.catalogue.sql import packed_ids

LANE = ""
"""In place of a title's id: the right to send anime."""

DEAD_GRACE_S = 3.0
"""Seconds after the end of a session before its claims are free: the POST of a process that was killed is over then."""

NOW = "EXTRACT(EPOCH FROM clock_timestamp())"
# The lane is free a second later than the titles: who finds it free has seen the titles of its last owner free.
UNTIL = f"{NOW} + :seconds + CASE WHEN title_id = '' THEN 1 ELSE 0 END"
FREE = f"claim.until < {NOW} OR claim.owner = pg_backend_pid()"
CLAIM = f"ON CONFLICT (title_id) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE {FREE}"

TAKE_LANE = text(f"INSERT INTO claim SELECT '', pg_backend_pid(), {NOW} + :seconds + 1 {CLAIM} RETURNING title_id")
TAKE = text(f"""
    INSERT INTO claim
    SELECT title_id, pg_backend_pid(), {NOW} + :seconds FROM title
    WHERE title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
    AND version > delivered_version FOR UPDATE SKIP LOCKED
    {CLAIM} RETURNING title_id
""")  # noqa: S608  all of these are put together from our own words
RENEW = text(f"UPDATE claim SET until = {UNTIL} WHERE owner = pg_backend_pid() AND until >= {NOW}")  # noqa: S608
RELEASE = text("""
    DELETE FROM claim WHERE owner = pg_backend_pid()
    AND title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
""")
RELEASE_ALL = text("DELETE FROM claim WHERE owner = pg_backend_pid()")
COUNT_OTHERS = text(f"SELECT count(*) FROM claim WHERE NOT ({FREE})")  # noqa: S608
EXPIRE_DEAD = text(f"""
    UPDATE claim SET until = {UNTIL}
    WHERE until > {NOW} + :seconds + 1 AND owner NOT IN (SELECT pid FROM pg_stat_activity)
""")  # noqa: S608
OTHERS = f"SELECT title_id FROM claim WHERE NOT ({FREE})"  # noqa: S608
"""Ids of titles that others are at work on."""


def are_shared(conn: Connection) -> bool:
    """Whether there may be other importers."""
    return conn.dialect.name == "postgresql"


def take(conn: Connection, title_ids: Sequence[str], seconds: float) -> list[str] | None:
    """The titles that are ours for so many seconds, of these; ``None``: another importer is sending anime."""
    if not are_shared(conn):
        return list(title_ids)
    if conn.scalar(TAKE_LANE, {"seconds": seconds}) is None:
        return None
    mine = set(conn.scalars(TAKE, {"ids": packed_ids(title_ids), "seconds": seconds}))
    return [title_id for title_id in title_ids if title_id in mine]


def renew(conn: Connection, seconds: float) -> None:
    """Keep all that is ours for so many seconds from now on."""
    conn.execute(RENEW, {"seconds": seconds})


def release(conn: Connection, title_ids: Sequence[str]) -> None:
    """Let others have these."""
    if are_shared(conn):
        conn.execute(RELEASE, {"ids": packed_ids(title_ids)})


def release_all(conn: Connection) -> None:
    """Let others have everything of ours, or of a dead session that had our number."""
    _execute(conn, RELEASE_ALL)


def count_others(conn: Connection) -> int:
    """How many claims others have."""
    return int(conn.scalar(COUNT_OTHERS) or 0) if are_shared(conn) else 0


def expire_dead(conn: Connection) -> None:
    """Let the claims of sessions that have ended end soon."""
    _execute(conn, EXPIRE_DEAD, seconds=DEAD_GRACE_S)


def _execute(conn: Connection, statement: TextClause, **parameters: Any) -> None:
    if are_shared(conn):
        conn.execute(statement, parameters)
