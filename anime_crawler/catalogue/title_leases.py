"""A title lease says which importer delivers a title, so that several share one delivery and no two send the same.

On PostgreSQL a lease is a row of the table `claim` with an owner and a deadline, which the owner moves on (`renew`).
An owner is a session of the server. It gives itself a random number and holds an advisory lock with that number. Both
end with the session: a new session owns nothing of an old one, and the number of a dead session is not met again, as a
process id is after a restart. A lease whose session has ended becomes free after `DEAD_GRACE_S`, any other lease after
its deadline. On SQLite one importer holds the lock of the whole delivery, so every lease is granted.

Anime are sent in order, by one importer at a time: the one that holds `ANIME_LEASE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, text

from anime_crawler.catalogue.sql import packed_ids

ANIME_LEASE = ""
"""The lease with this id, in place of a title's id, is the right to send anime."""

DEAD_GRACE_S = 3.0
"""Seconds after the end of a session before its leases are free; a killed process's last POST has ended by then."""

NOW = "EXTRACT(EPOCH FROM clock_timestamp())"
ME = "CAST(NULLIF(current_setting('anime_crawler.importer', true), '') AS integer)"
"""SQL for the number of this session. Null: the session has no number yet, and owns no lease."""
OWNERS = 0x616E696D
"""First half of the name of an owner's advisory lock; the second half is the owner's number."""
LIVING = f"""
    SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND classid = {OWNERS} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608
# ANIME_LEASE is free a second later than the titles: an importer that finds it free finds its last owner's titles free.
UNTIL = f"{NOW} + :seconds + CASE WHEN title_id = '' THEN 1 ELSE 0 END"
FREE = f"claim.until < {NOW} OR claim.owner IS NOT DISTINCT FROM {ME}"
ON_CONFLICT = f"ON CONFLICT (title_id) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE {FREE}"

ACQUIRE_ANIME_LEASE = text(f"INSERT INTO claim SELECT '', {ME}, {NOW} + :seconds + 1 {ON_CONFLICT} RETURNING title_id")
ACQUIRE = text(f"""
    INSERT INTO claim
    SELECT title_id, {ME}, {NOW} + :seconds FROM title
    WHERE title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
    AND version > delivered_version FOR UPDATE SKIP LOCKED
    {ON_CONFLICT} RETURNING title_id
""")  # noqa: S608  all of these are put together from our own words
RENEW = text(f"UPDATE claim SET until = {UNTIL} WHERE owner = {ME} AND until >= {NOW}")  # noqa: S608
HELD = text(f"""
    SELECT count(*) FROM claim WHERE owner = {ME} AND until >= {NOW} + :seconds
    AND title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
""")  # noqa: S608
RELEASE = text(f"""
    DELETE FROM claim WHERE owner = {ME}
    AND title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
""")  # noqa: S608
RELEASE_ALL = text(f"DELETE FROM claim WHERE owner = {ME}")  # noqa: S608
COUNT_OTHERS = text(f"SELECT count(*) FROM claim WHERE NOT ({FREE})")  # noqa: S608
EXPIRE_DEAD = text(f"""
    UPDATE claim SET until = {UNTIL}
    WHERE until > {NOW} + :seconds + 1 AND owner NOT IN ({LIVING})
""")  # noqa: S608
OTHERS = f"SELECT title_id FROM claim WHERE NOT ({FREE})"  # noqa: S608
"""SQL for the ids of titles that other importers hold leases of."""


def are_shared(conn: Connection) -> bool:
    """Whether other importers may deliver from the same catalogue: on PostgreSQL they may."""
    return conn.dialect.name == "postgresql"


def acquire(conn: Connection, title_ids: Sequence[str], seconds: float) -> list[str] | None:
    """Acquire `ANIME_LEASE` and leases of these titles for so many seconds.

    Returns:
        The titles that were acquired. ``None``: another importer holds `ANIME_LEASE`, and no title was acquired.
    """
    if not are_shared(conn):
        return list(title_ids)
    _be_owner(conn)
    if conn.scalar(ACQUIRE_ANIME_LEASE, {"seconds": seconds}) is None:
        return None
    mine = set(conn.scalars(ACQUIRE, {"ids": packed_ids(title_ids), "seconds": seconds}))
    return [title_id for title_id in title_ids if title_id in mine]


def _be_owner(conn: Connection) -> None:
    """Give this session, unless it has one, a number that no living session has."""
    while conn.scalar(text(f"SELECT {ME}")) is None:
        number = {"number": secrets.randbelow(2**31)}
        if conn.scalar(text(f"SELECT pg_try_advisory_lock({OWNERS}, :number)"), number):
            conn.execute(text("SELECT set_config('anime_crawler.importer', CAST(:number AS text), false)"), number)


def are_held(conn: Connection, title_ids: Collection[str], seconds: float) -> bool:
    """Whether this session holds the leases of all these titles for at least so many seconds more."""
    if not are_shared(conn):
        return True
    count = conn.scalar(HELD, {"ids": packed_ids(title_ids), "seconds": seconds})
    return int(count or 0) == len(title_ids)


def renew(conn: Connection, seconds: float) -> None:
    """Prolong all leases of this session to so many seconds from now; a lease that has run out is not renewed."""
    conn.execute(RENEW, {"seconds": seconds})


def release(conn: Connection, title_ids: Sequence[str]) -> None:
    """End this session's leases of these titles."""
    if are_shared(conn):
        conn.execute(RELEASE, {"ids": packed_ids(title_ids)})


def release_all(conn: Connection) -> None:
    """End all leases of this session."""
    _execute(conn, RELEASE_ALL)


def count_others(conn: Connection) -> int:
    """The number of leases that other sessions hold."""
    return int(conn.scalar(COUNT_OTHERS) or 0) if are_shared(conn) else 0


def expire_dead(conn: Connection) -> None:
    """Let the leases of sessions that have ended run out in `DEAD_GRACE_S`."""
    _execute(conn, EXPIRE_DEAD, seconds=DEAD_GRACE_S)


def _execute(conn: Connection, statement: TextClause, **parameters: Any) -> None:
    if are_shared(conn):
        conn.execute(statement, parameters)
