"""Rows of ``release``, ``player`` and ``episode``: what can be watched, and what no longer can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, Update, bindparam, select, update

from anime_crawler.catalogue.batch import Batch, by_source
from anime_crawler.catalogue.sql import Row, Upsert, as_json, fetch, iso, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.store_players import Diff, store_players
from anime_crawler.catalogue.tables import release
from anime_crawler.items import Release

COLUMNS = [column for column in release.c if column.name != "id"]


class Known(NamedTuple):
    """What is stored of a release."""

    id: int
    source_id: str
    checksum: str
    title_id: str | None
    gone_at: str | None
    seen_in: int


@dataclass
class Found:
    """Releases of one source that are not as they were."""

    new: list[Release] = field(default_factory=list)
    changed: list[tuple[Release, Known]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    """Row ids of unchanged ones that this full walk lists."""


def store_releases(batch: Batch, items: Sequence[Release]) -> None:
    """Store what is new or changed, with its players and episodes; a player no longer listed is marked gone."""
    for source, group in by_source(items):
        last = {item.source_id: item for item in group}
        batch.counts["release", "unchanged"] += len(group) - len(last)
        found = _compare(batch, source, last)
        if found.rows:
            batch.conn.execute(_upsert(batch.dialect), {"rows": packed(found.rows)})
            store_players(batch, source, found.new, [(item, Diff(old.id, old.title_id)) for item, old in found.changed])
        if found.seen:
            batch.conn.execute(_see(batch.dialect), {"ids": packed_ids(found.seen), "run": batch.run_id})


def _compare(batch: Batch, source: str, items: dict[str, Release]) -> Found:
    stored = fetch(batch.conn, _known(batch.dialect), source=source, ids=packed_ids(items))
    known = {row.source_id: row for row in (Known(*fields) for fields in stored)}
    found = Found()
    for item in items.values():
        old, checksum = known.get(item.source_id), item.checksum()
        if old and old.checksum == checksum and old.gone_at is None:
            _count_unchanged(batch, item)
            if batch.listing_is_full and old.seen_in != batch.run_id:
                found.seen.append(old.id)
            continue
        title_id = batch.title_of(item)
        batch.touched.by_release |= {t for t in (title_id, old and old.title_id) if t}
        batch.counts["release", "changed" if old else "new"] += 1
        found.rows.append(_row(batch, item, title_id, checksum))
        if old:
            found.changed.append((item, old))
        else:
            found.new.append(item)
    return found


def _count_unchanged(batch: Batch, item: Release) -> None:
    batch.counts["release", "unchanged"] += 1
    batch.counts["player", "unchanged"] += len(item.players)


def _row(batch: Batch, item: Release, title_id: str | None, checksum: str) -> Row:
    return (
        item.source,
        item.source_id,
        title_id,
        checksum,
        item.schema_version,
        iso(item.updated_at) if item.updated_at else None,
        iso(item.fetched_at),
        batch.run_id,
        batch.run_id,  # seen_in: only full walks ask for it, and a new row counts as seen
        None,
        item.translation_id,
        item.translation_title,
        item.translation_kind,
        item.model_dump_json(exclude={"players"}),
    )


@cache
def _known(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [release.c.source_id])
    columns = (release.c[name] for name in Known._fields)
    wanted = release.c.source_id.in_(select(ids.c.source_id))
    return as_json(dialect, select(*columns).where(release.c.source == bindparam("source"), wanted))


@cache
def _upsert(dialect: str) -> Upsert:
    return upsert_rows(dialect, release, COLUMNS, keys=["source", "source_id"])


@cache
def _see(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [release.c.id])
    return update(release).where(release.c.id.in_(select(ids.c.id))).values(seen_in=bindparam("run"))
