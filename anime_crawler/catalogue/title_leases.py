"""Which importer is at work on which title, so that several share one delivery and nothing is sent by two.

On PostgreSQL a claim is a row with an owner and a deadline; the owner renews it. An owner is a session of the server,
under a random number that the session knows and holds a lock of: with the session both are gone, a new session owns
nothing of an old one's, and no number of a dead session is ever met again, as process ids are after a restart. A claim
whose owner has ended is free soon, any other one after its deadline. On SQLite one importer has the lock of the whole
delivery, and every claim is granted. Anime are sent in order by one importer at a time: who has the claim `LANE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, text

from anime_crawler.catalogue.sql import packed_ids

LANE = ""
"""In place of a title's id: the right to send anime."""

DEAD_GRACE_S = 3.0
"""Seconds after the end of a session before its claims are free: the POST of a process that was killed is over then."""

NOW = "EXTRACT(EPOCH FROM clock_timestamp())"
ME = "CAST(NULLIF(current_setting('anime_crawler.importer', true), '') AS integer)"
"""The number of this session; null: it has none, and owns nothing."""
OWNERS = 0x616E696D
"""First half of the names of the locks that owners hold; the second is the owner's number."""
LIVING = f"""
    SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND classid = {OWNERS} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608
# The lane is free a second later than the titles: who finds it free has seen the titles of its last owner free.
UNTIL = f"{NOW} + :seconds + CASE WHEN title_id = '' THEN 1 ELSE 0 END"
FREE = f"claim.until < {NOW} OR claim.owner IS NOT DISTINCT FROM {ME}"
CLAIM = f"ON CONFLICT (title_id) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE {FREE}"

TAKE_LANE = text(f"INSERT INTO claim SELECT '', {ME}, {NOW} + :seconds + 1 {CLAIM} RETURNING title_id")
TAKE = text(f"""
    INSERT INTO claim
    SELECT title_id, {ME}, {NOW} + :seconds FROM title
    WHERE title_id IN (SELECT value ->> 0 FROM json_array_elements(CAST(:ids AS json)))
    AND version > delivered_version FOR UPDATE SKIP LOCKED
    {CLAIM} RETURNING title_id
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
"""Ids of titles that others are at work on."""


def are_shared(conn: Connection) -> bool:
    """Whether there may be other importers."""
    return conn.dialect.name == "postgresql"


def take(conn: Connection, title_ids: Sequence[str], seconds: float) -> list[str] | None:
    """The titles that are ours for so many seconds, of these; ``None``: another importer is sending anime."""
    if not are_shared(conn):
        return list(title_ids)
    _be_owner(conn)
    if conn.scalar(TAKE_LANE, {"seconds": seconds}) is None:
        return None
    mine = set(conn.scalars(TAKE, {"ids": packed_ids(title_ids), "seconds": seconds}))
    return [title_id for title_id in title_ids if title_id in mine]


def _be_owner(conn: Connection) -> None:
    """Give this session a number that no living one has, unless it has one."""
    while conn.scalar(text(f"SELECT {ME}")) is None:
        number = {"number": secrets.randbelow(2**31)}
        if conn.scalar(text(f"SELECT pg_try_advisory_lock({OWNERS}, :number)"), number):
            conn.execute(text("SELECT set_config('anime_crawler.importer', CAST(:number AS text), false)"), number)


def are_held(conn: Connection, title_ids: Collection[str], seconds: float) -> bool:
    """Whether all of these titles are ours, and for so many seconds more."""
    if not are_shared(conn):
        return True
    count = conn.scalar(HELD, {"ids": packed_ids(title_ids), "seconds": seconds})
    return int(count or 0) == len(title_ids)


def renew(conn: Connection, seconds: float) -> None:
    """Keep all that is ours for so many seconds from now on; what is no longer ours stays another's."""
    conn.execute(RENEW, {"seconds": seconds})


def release(conn: Connection, title_ids: Sequence[str]) -> None:
    """Let others have these."""
    if are_shared(conn):
        conn.execute(RELEASE, {"ids": packed_ids(title_ids)})


def release_all(conn: Connection) -> None:
    """Let others have everything of ours."""
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
