"""Rows of ``anime``: what one source says of one anime, its newest version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Column, Select, Update, bindparam, select, update

from anime_crawler.catalogue.gone import note_listed
from anime_crawler.catalogue.sql import Row, Upsert, as_json, fetch, iso, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.store.batch import Batch, by_source
from anime_crawler.catalogue.store.external_ids import store_links
from anime_crawler.catalogue.tables import anime
from anime_crawler.catalogue.vanished import fields_to_keep, seen, with_stored, without
from anime_crawler.items import Anime

VERSION = (anime.c.source, anime.c.source_id, anime.c.source_updated_at)


class Known(NamedTuple):
    """`Known` is the part of a stored anime that a new one is compared with."""

    source_id: str
    checksum: str
    title_id: str | None
    updated_at: str | None
    fetched_at: str
    seen_in: int
    missed_in: int | None
    gone_at: str | None

    def is_news_that_it_is_there(self, batch: Batch) -> bool:
        """Whether the row does not say yet that the source has it: it was gone, or a full walk is to note each."""
        return self.gone_at is not None or self.missed_in is not None or self.is_unseen(batch)

    def is_unseen(self, batch: Batch) -> bool:
        """Whether a full walk is at work that has not noted it."""
        return batch.listing_is_full and self.seen_in < batch.run_id


def store_anime(batch: Batch, items: Sequence[Anime]) -> None:
    """Store what is new or changed; a version older than the stored one, or fetched before it, is passed over."""
    for source, group in by_source(items):
        versions = _newest(group)
        batch.counts["anime", "unchanged"] += len(group) - len(versions)
        _store(batch, source, versions)


def _newest(items: Iterable[Anime]) -> dict[str, Anime]:
    newest: dict[str, Anime] = {}
    for item in items:
        other = newest.get(item.source_id)
        if other is None or not _is_older(_updated_at(item), _updated_at(other)):
            newest[item.source_id] = item.completed_by(other) if other and item.untold else item
    return newest


def _store(batch: Batch, source: str, versions: dict[str, Anime]) -> None:
    stored = fetch(batch.conn, _known(batch.dialect), source=source, ids=packed_ids(versions))
    known = {row.source_id: row for row in (Known(*fields) for fields in stored)}
    rows: list[Row] = []
    stored_now: list[Anime] = []
    seen_newer: list[Row] = []
    there: list[str] = []
    for item in _completed(batch, source, versions, known):
        old = known.get(item.source_id)
        updated_at, checksum = _updated_at(item), item.checksum()
        if old and (old.checksum == checksum or _is_old_news(batch, item, old)):
            batch.counts["anime", "unchanged"] += 1
            if old.is_news_that_it_is_there(batch) and not batch.is_outdated(item, old.fetched_at):
                there.append(item.source_id)
            if _is_older(old.updated_at, updated_at):
                seen_newer.append((source, item.source_id, updated_at))
        else:
            batch.counts["anime", "changed" if old else "new"] += 1
            batch.counts["anime", "back"] += bool(old and old.gone_at)
            title_id = batch.title_of(item)
            if batch.shapes_titles(source):
                batch.touched.by_anime |= {t for t in (title_id, old and old.title_id) if t}
            rows.append(_row(batch, item, title_id, checksum, updated_at))
            stored_now.append(item)
    if rows:
        batch.conn.execute(_upsert(batch.dialect), {"rows": packed(rows)})
        store_links(batch.conn, source, stored_now, known)
    note_listed(batch, source, there)
    if seen_newer:
        batch.conn.execute(_note_version(batch.dialect), {"rows": packed(seen_newer)})


def _completed(batch: Batch, source: str, versions: dict[str, Anime], known: Mapping[str, Known]) -> Iterator[Anime]:
    """The versions, with what is stored of that which an answer does not tell, or seems to tell no longer."""
    news = [item for item in versions.values() if not _is_old_news(batch, item, known.get(item.source_id))]
    differing = [own for item in news if (old := known.get(own := item.source_id)) and old.checksum != item.checksum()]
    stored: dict[str, Any] = {}
    if differing:
        rows = fetch(batch.conn, _data(batch.dialect), source=source, ids=packed_ids(differing))
        stored = {own: orjson.loads(data) for own, data in rows}
    records = [seen("anime", item, (item.source_id,), stored.get(item.source_id)) for item in news]
    lost = fields_to_keep(batch, "anime", source, records)
    for item in versions.values():
        data = stored.get(item.source_id)
        if data and item.untold:
            item = item.completed_by(Anime.model_validate(data))
        kept = lost.get((item.source_id,))
        yield with_stored(item, data, kept) if data and kept else item


def erase(batch: Batch, source: str, fields: Mapping[tuple[Any, ...], Iterable[str]]) -> None:
    """Erase these fields of stored anime, by their key: the source tells them of others, but no longer of these."""
    rows = fetch(batch.conn, _data(batch.dialect), source=source, ids=packed_ids(own for (own,) in fields))
    _store(batch, source, {own: without(Anime.model_validate_json(data), fields[own,]) for own, data in rows})


def _is_old_news(batch: Batch, item: Anime, old: Known | None) -> bool:
    """Whether the stored version is newer: by the source's own time, or else by the time of fetching."""
    return old is not None and batch.is_older(item, _updated_at(item), old.updated_at, old.fetched_at)


def _updated_at(item: Anime) -> str | None:
    return iso(item.source_updated_at) if item.source_updated_at else None


def _is_older(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one < other


def _row(batch: Batch, item: Anime, title_id: str | None, checksum: str, updated_at: str | None) -> Row:
    return (
        item.source,
        item.source_id,
        title_id,
        checksum,
        item.schema_version,
        updated_at,
        iso(item.fetched_at),
        batch.run_id,
        item.model_dump_json(),
        item.status,
        iso(item.next_episode_at) if item.next_episode_at else None,
        batch.run_id,  # seen_in: a new row counts as seen
        None,
        None,
    )


@cache
def _known(dialect: str) -> Select[Any]:
    a = anime.c
    version = (a.source_id, a.checksum, a.title_id, a.source_updated_at, a.fetched_at)
    return _stored(dialect, *version, a.seen_in, a.missed_in, a.gone_at)


@cache
def _data(dialect: str) -> Select[Any]:
    return _stored(dialect, anime.c.source_id, anime.c.data)


def _stored(dialect: str, *columns: Column[Any]) -> Select[Any]:
    """These columns of one source's anime, by the ids in parameter ``ids``."""
    ids = rows_of(dialect, "ids", [anime.c.source_id])
    wanted = anime.c.source_id.in_(select(ids.c.source_id))
    return as_json(dialect, select(*columns).where(anime.c.source == bindparam("source"), wanted))


@cache
def _upsert(dialect: str) -> Upsert:
    return upsert_rows(dialect, anime, list(anime.c), keys=["source", "source_id"])


@cache
def _note_version(dialect: str) -> Update:
    rows = rows_of(dialect, "rows", VERSION)
    same = (anime.c.source == rows.c.source) & (anime.c.source_id == rows.c.source_id)
    return update(anime).where(same).values(source_updated_at=rows.c.source_updated_at)
