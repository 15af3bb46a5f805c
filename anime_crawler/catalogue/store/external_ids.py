"""Rows of ``external_id``: under which ids other catalogues have an anime, as each source says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from sqlalchemy import Connection, Delete, bindparam, delete, select

from anime_crawler.catalogue.sql import Upsert, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.tables import external_id
from anime_crawler.items import Anime


def store_links(conn: Connection, source: str, items: Sequence[Anime], known: Collection[str]) -> None:
    """Put what these anime of one source say in place of what they said before.

    Args:
        items: new and changed ones.
        known: ids of anime that are stored already.
    """
    dialect = conn.dialect.name
    if changed := [item.source_id for item in items if item.source_id in known]:
        conn.execute(_forget(dialect), {"links_of": source, "ids": packed_ids(changed)})
    links = ((item.source_id, *link) for item in items for link in item.external_ids.items())
    if rows := [(source, own, target, other) for own, target, other in links if target != source]:
        conn.execute(_insert(dialect), {"rows": packed(rows)})


@cache
def _forget(dialect: str) -> Delete:
    ids = rows_of(dialect, "ids", [external_id.c.source_id])
    ours = external_id.c.source_id.in_(select(ids.c.source_id))
    return delete(external_id).where(external_id.c.source == bindparam("links_of"), ours)


@cache
def _insert(dialect: str) -> Upsert:
    return upsert_rows(dialect, external_id, list(external_id.c), keys=["source", "source_id", "target"])
