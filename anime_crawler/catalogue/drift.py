"""Where an upstream's words no longer match the schema, counted per path over all runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select, update

from anime_crawler.catalogue.tables import drift
from anime_crawler.items import LONGEST_KEY, replaced


def add_drift(conn: Connection, run_id: int, found: Iterable[tuple[str, str, str, int]]) -> None:
    """Add (source, path, change, count) of one run to the counts of all runs.

    A path is made of the upstream's own words, so it is cut and repaired where it could not be stored.
    """
    for source, told, change, count in found:
        path = replaced(told)[:LONGEST_KEY]
        row = (drift.c.source == source) & (drift.c.path == path) & (drift.c.change == change)
        added = conn.execute(update(drift).where(row).values(count=drift.c.count + count, last_run=run_id))
        if not added.rowcount:
            first = {"source": source, "path": path, "change": change, "count": count}
            conn.execute(drift.insert().values(**first, first_run=run_id, last_run=run_id))


def list_drift(conn: Connection) -> list[dict[str, Any]]:
    """All counted paths, in order of source, path and change."""
    rows = conn.execute(select(drift).order_by(drift.c.source, drift.c.path, drift.c.change))
    return [dict(row._mapping) for row in rows]
