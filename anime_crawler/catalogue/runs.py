"""Runs and how far they came: begun, continued, finished; checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, literal_column, select, text, update

from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.tables import checkpoint, run
from anime_crawler.items import Checkpoint, place_of, utc_now

DELIVERIES = f"{0x616E6964} # hashtext(current_schema())"
"""First half of PostgreSQL's names for the locks of deliveries that are under way; the second is the run's number. A
catalogue is a schema of a database, as in `engine.WRITER_LOCK`."""
LIVING = f"""
    (SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND CAST(classid AS bigint) = CAST({DELIVERIES} AS bigint) & {2**32 - 1}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS living
"""  # noqa: S608


def begin_run(
    conn: Connection, spider: str, arguments: Mapping[str, str], mode: str, *, joins: bool = False
) -> tuple[int, bool]:
    """A new run, or the interrupted one that had the same arguments, when nothing was crawled since.

    Run numbers say what came after what: a run that went on under a lower number than another's would hide changes.

    Args:
        spider: name of the main spider, or the command.
        arguments: the spider's arguments, ``-a name=value``.
        mode: what the spider does, for people.
        joins: other workers are at it, so that it is to be continued whatever was crawled since.

    Returns:
        Its number, and whether it is new.
    """
    words = _text(arguments)
    others = run.c.spider == spider if joins else (run.c.spider == spider) | (run.c.spider != "deliver")
    newest = select(func.max(run.c.id)).where(others).scalar_subquery()
    same = (run.c.spider == spider) & (run.c.arguments == words) & (run.c.state == "running")
    continued = conn.execute(
        update(run).where(same, run.c.id == newest).values(starts=run.c.starts + 1).returning(run.c.id)
    ).scalar()
    if continued is not None:
        return continued, False
    return _new_run(conn, spider, words, mode)


def _new_run(conn: Connection, spider: str, arguments: str, mode: str) -> tuple[int, bool]:
    values = {"spider": spider, "arguments": arguments, "mode": mode, "state": "running", "started_at": iso(utc_now())}
    return conn.execute(insert(run).values(values).returning(run.c.id)).scalar_one(), True


def begin_delivery(conn: Connection) -> int:
    """The number of a new run of ``scrapy deliver``: several may be at it, and each counts what it did itself.

    Those of before that were killed are noted as interrupted. On SQLite the lock of the delivery is ours, so none of
    them lives; on PostgreSQL each has a lock of its own, which ends with its session.
    """
    killed = (run.c.spider == "deliver") & (run.c.state == "running")
    if conn.dialect.name == "postgresql":
        killed &= run.c.id.not_in(select(literal_column("objid")).select_from(text(LIVING)))
    conn.execute(update(run).where(killed).values(state="interrupted"))
    run_id, _ = _new_run(conn, "deliver", "{}", "deliver")
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"SELECT pg_advisory_lock({DELIVERIES}, :id)"), {"id": run_id})
    return run_id


def run_key(conn: Connection, run_id: int) -> str:
    """A run's number and when it began, which tell it from any other run, also of a catalogue that was deleted."""
    started_at = conn.execute(select(run.c.started_at).where(run.c.id == run_id)).scalar_one()
    return f"{run_id} {started_at}"


def finish_run(conn: Connection, run_id: int, exit_code: int, report: Mapping[str, Any], finished: bool) -> None:
    """Note how a process ended its work on the run.

    Args:
        report: the run report, plain JSON values.
        finished: False: the next start with the same arguments continues this run.
    """
    values: dict[str, Any] = {"exit_code": exit_code, "report": _text(report)}
    if finished:
        values |= {"state": "finished", "finished_at": iso(utc_now())}
    conn.execute(update(run).where(run.c.id == run_id).values(values))


def load_checkpoint(conn: Connection, spider: str) -> dict[str, Any] | None:
    """State of the spider's last stored `Checkpoint`; ``None``: it never stored one."""
    stored = conn.scalar(select(checkpoint.c.state).where(checkpoint.c.spider == spider))
    state: dict[str, Any] | None = json.loads(stored) if stored else None
    return state


def store_checkpoint(conn: Connection, run_id: int, item: Checkpoint) -> bool:
    """Move the walk on, if it stands where `item` says it stood.

    Returns:
        False: it stands elsewhere, because the page was read again after a crash, or because another process has
        moved it; nothing is changed. A walk that stands where `item` would move it has been moved already.
    """
    values = {"state": _text(item.state), "run_id": run_id, "updated_at": iso(utc_now())}
    held = load_checkpoint(conn, item.source)  # one transaction writes at a time, so nobody moves it meanwhile
    if held is None and item.previous is None:
        conn.execute(insert(checkpoint).values(spider=item.source, **values))
        return True
    if held is not None and item.previous is not None and place_of(held) == place_of(item.previous):
        return conn.execute(update(checkpoint).where(checkpoint.c.spider == item.source).values(values)).rowcount == 1
    return held is not None and place_of(held) == place_of(item.state)


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
