"""Which titles the identity source is to be asked about: those that are new, changed, or due."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, select

from anime_crawler.catalogue.sql import iso, packed_ids, rows_of
from anime_crawler.catalogue.tables import title


def wanted(conn: Connection, run_id: int, now: datetime, limit: int, exclude: Collection[str]) -> list[str]:
    """Up to `limit` title ids: new ones first, then those with changed releases, then those due, longest due first.

    Args:
        run_id: titles it has asked about already are left out.
        exclude: ids that are being asked about just now.
    """
    new = title.c.metadata_in.is_(None)
    asked = title.c.metadata_in.is_not(None) & (title.c.metadata_in != run_id)
    changed = asked & (title.c.changed_in > title.c.metadata_in)
    due = asked & (title.c.changed_in <= title.c.metadata_in) & (title.c.due_at <= iso(now))
    excluded = rows_of(conn.dialect.name, "exclude", [title.c.title_id])
    free = title.c.title_id.not_in(select(excluded.c.title_id))
    found: list[str] = []
    for condition, order in ((new, title.c.seq), (changed, title.c.seq), (due, title.c.due_at)):
        if len(found) < limit:
            statement = select(title.c.title_id).where(condition, free).order_by(order, title.c.seq)
            found += conn.scalars(statement.limit(limit - len(found)), {"exclude": packed_ids(exclude)})
    return found
