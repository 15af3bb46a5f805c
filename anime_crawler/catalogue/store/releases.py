"""Rows of ``release``, ``player`` and ``episode``: what can be watched, and what no longer can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Select, Update, bindparam, func, select, update

from anime_crawler.catalogue.sql import Row, Upsert, as_json, fetch, iso, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.store.batch import Batch, by_source
from anime_crawler.catalogue.store.players import Diff, lose_players, store_players
from anime_crawler.catalogue.tables import player, release
from anime_crawler.catalogue.vanished import fields_to_keep, seen, with_stored, without
from anime_crawler.items import Release

COLUMNS = [column for column in release.c if column.name != "id"]
GROWN = 2
"""How many times as many episodes as counted before make a release's title count anew: seldom enough that a new episode
sends its own rows and nothing else, often enough that the fullest teams come first."""


class Known(NamedTuple):
    """`Known` is the part of a stored release that a new one is compared with."""

    id: int
    source_id: str
    checksum: str
    title_id: str | None
    gone_at: str | None
    seen_in: int
    source_updated_at: str | None
    fetched_at: str
    episodes: int
    covered: int


@dataclass
class Found:
    """Releases of one source that are not as they were."""

    new: list[Release] = field(default_factory=list)
    changed: list[tuple[Release, Known]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    """Row ids of unchanged ones that this full walk lists."""
    keeping: set[str] = field(default_factory=set)
    """Ids of changed ones whose players stay, because the source seems to tell no players any longer."""
    recounted: set[str] = field(default_factory=set)
    """Titles whose teams are ranked anew by the episodes they cover: a team came, came back, or has grown much."""


def store_releases(batch: Batch, items: Sequence[Release]) -> None:
    """Store what is new or changed, with its players and episodes; a player no longer listed is marked gone.

    A version older than the stored one is passed over, as `store_anime` does it.
    """
    for source, group in by_source(items):
        newest = _newest(batch, group)
        batch.counts["release", "unchanged"] += len(group) - len(newest)
        found = _compare(batch, source, newest)
        if found.rows:
            batch.conn.execute(_upsert(batch.dialect), {"rows": packed(found.rows)})
            changed = [(item, old) for item, old in found.changed if item.source_id not in found.keeping]
            store_players(batch, source, found.new, [(item, Diff(old.id, old.title_id)) for item, old in changed])
        if found.recounted:
            batch.conn.execute(_count_covered(batch.dialect), {"ids": packed_ids(sorted(found.recounted))})
        if found.seen:
            batch.conn.execute(_see(batch.dialect), {"ids": packed_ids(found.seen), "run": batch.run_id})


def _newest(batch: Batch, items: Iterable[Release]) -> dict[str, Release]:
    newest: dict[str, Release] = {}
    for item in items:
        other = newest.get(item.source_id)
        if other is None or not batch.is_older(item, _updated_at(item), _updated_at(other), iso(other.fetched_at)):
            newest[item.source_id] = item.completed_by(other) if other and item.untold else item
    return newest


def _is_old_news(batch: Batch, item: Release, old: Known | None) -> bool:
    """Whether what is stored is newer than the item: another version, or that a walk no longer found the release."""
    if old is None:
        return False
    if old.gone_at is not None:
        return batch.is_outdated(item, old.gone_at)
    return batch.is_older(item, _updated_at(item), old.source_updated_at, old.fetched_at)


def _updated_at(item: Release) -> str | None:
    return iso(item.updated_at) if item.updated_at else None


def _compare(batch: Batch, source: str, items: dict[str, Release]) -> Found:
    stored = fetch(batch.conn, _known(batch.dialect), source=source, ids=packed_ids(items))
    known = {row.source_id: row for row in (Known(*fields) for fields in stored)}
    found = Found()
    news = {own: item for own, item in items.items() if not _is_old_news(batch, item, known.get(own))}
    for own in items.keys() - news.keys():
        _note_unchanged(batch, found, items[own], known[own])
    for item, checksum in _with_what_stays(batch, source, news, known, found.keeping):
        old = known.get(item.source_id)
        if old and old.checksum == checksum and old.gone_at is None:
            _note_unchanged(batch, found, item, old)
            continue
        title_id = batch.title_of(item)
        batch.touched.by_release |= {t for t in (title_id, old and old.title_id) if t}
        batch.counts["release", "changed" if old else "new"] += 1
        episodes = old.episodes if old and item.source_id in found.keeping else len(item.players)
        found.rows.append(_row(batch, item, title_id, checksum, episodes))
        if title_id and _is_ranked_anew(old, title_id, episodes):
            found.recounted.add(title_id)
        if old:
            found.changed.append((item, old))
        else:
            found.new.append(item)
    return found


def _with_what_stays(
    batch: Batch, source: str, items: dict[str, Release], known: Mapping[str, Known], keeping: set[str]
) -> list[tuple[Release, str]]:
    """(release, checksum of the answer) of each, with what is stored of that which the source seems to tell no longer.

    The checksum is the answer's, so that the same answer again is unchanged.

    Args:
        keeping: ids of releases whose players are to stay are added.
    """
    differing = [own for own, item in items.items() if own in known and known[own].checksum != item.checksum()]
    stored = _data(batch, source, differing)
    records = [seen("release", item, (own,), stored.get(own)) for own, item in items.items()]
    lost = fields_to_keep(batch, "release", source, records)
    kept = []
    for own, told in items.items():
        names, item = lost.get((own,), set()), told
        if told.untold and own in stored:
            item = told.completed_by(Release.model_validate({**stored[own], "players": []}))
        if "players" in names | told.untold:
            keeping.add(own)
        if others := names - {"players"}:
            whole = with_stored(item, stored[own], others)
            if f"external_ids.{batch.identity_source}" in others:  # this id says which anime it is a release of
                batch.misnamed.add((source, item.anime_id))
                whole = whole.model_copy(update={"anime_id": stored[own]["anime_id"]})
            kept.append((whole, told.checksum()))
        else:
            kept.append((item, told.checksum()))
    return kept


def _data(batch: Batch, source: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The stored content of releases by their id; of the players it says only whether there are any."""
    if not ids:
        return {}
    rows = fetch(batch.conn, _stored(batch.dialect), source=source, ids=packed_ids(ids))
    return {own: {**orjson.loads(data), "players": [True] * bool(live)} for own, data, live in rows}


def erase(batch: Batch, source: str, fields: Mapping[tuple[Any, ...], Iterable[str]]) -> None:
    """Erase these fields of stored releases, by their key: the source tells them of others, but no longer of these."""
    ids = [own for (own,) in fields]
    rows = fetch(batch.conn, _known(batch.dialect), source=source, ids=packed_ids(ids))
    known = {row.source_id: row for row in (Known(*row) for row in rows) if row.gone_at is None}
    for own, data in _data(batch, source, list(known)).items():
        old, names = known[own], set(fields[own,])
        item = without(Release.model_validate({**data, "players": []}), names)
        if f"external_ids.{batch.identity_source}" in names:
            item = item.model_copy(update={"anime_id": own})
        title_id = batch.title_of(item)
        batch.touched.by_release |= {t for t in (title_id, old.title_id) if t}
        episodes = 0 if "players" in names else old.episodes
        values = _row(batch, item, title_id, old.checksum, episodes)
        row = dict(zip((column.name for column in COLUMNS), values, strict=True))
        batch.conn.execute(_upsert(batch.dialect), {"rows": packed([[*(row | {"seen_in": old.seen_in}).values()]])})
        if "players" in names:
            lose_players(batch, old.id)


def _is_ranked_anew(old: Known | None, title_id: str, episodes: int) -> bool:
    return not old or old.gone_at is not None or old.title_id != title_id or episodes > GROWN * old.covered


def _note_unchanged(batch: Batch, found: Found, item: Release, old: Known) -> None:
    if batch.listing_is_full and old.gone_at is None and old.seen_in != batch.run_id:
        found.seen.append(old.id)
    batch.counts["release", "unchanged"] += 1
    batch.counts["player", "unchanged"] += len(item.players)


def _row(batch: Batch, item: Release, title_id: str | None, checksum: str, episodes: int) -> Row:
    return (
        item.source,
        item.source_id,
        title_id,
        checksum,
        item.schema_version,
        _updated_at(item),
        iso(item.fetched_at),
        batch.run_id,
        batch.run_id,  # seen_in: only full walks ask for it, and a new row counts as seen
        None,
        item.translation_id,
        item.translation_title,
        item.translation_kind,
        item.model_dump_json(exclude={"players"}),
        episodes,
        episodes,  # covered: until the title's teams are ranked anew
        None,
    )


@cache
def _known(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [release.c.source_id])
    columns = (release.c[name] for name in Known._fields)
    wanted = release.c.source_id.in_(select(ids.c.source_id))
    return as_json(dialect, select(*columns).where(release.c.source == bindparam("source"), wanted))


@cache
def _stored(dialect: str) -> Select[Any]:
    """(id, data, number of players that are there) of the releases in parameter ``ids``."""
    ids = rows_of(dialect, "ids", [release.c.source_id])
    live = select(func.count()).where(player.c.release_id == release.c.id, player.c.gone_at.is_(None)).scalar_subquery()
    wanted = release.c.source_id.in_(select(ids.c.source_id))
    columns = (release.c.source_id, release.c.data, live)
    return as_json(dialect, select(*columns).where(release.c.source == bindparam("source"), wanted))


@cache
def _upsert(dialect: str) -> Upsert:
    return upsert_rows(dialect, release, COLUMNS, keys=["source", "source_id"], kept=["covered"])


@cache
def _count_covered(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [release.c.title_id])
    is_of_titles = release.c.title_id.in_(select(ids.c.title_id))
    return (
        update(release).where(is_of_titles, release.c.covered != release.c.episodes).values(covered=release.c.episodes)
    )


@cache
def _see(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [release.c.id])
    return update(release).where(release.c.id.in_(select(ids.c.id))).values(seen_in=bindparam("run"), missed_in=None)
