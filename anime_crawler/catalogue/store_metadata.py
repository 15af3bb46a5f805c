"""Rows of ``episode_info``, ``character``, ``appearance``, ``airing`` and ``snapshot``: the newest version of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import Column, Integer, Select, Table, select

from anime_crawler.catalogue.batch import Batch
from anime_crawler.catalogue.sql import Row, Upsert, as_json, fetch, iso, packed, rows_of, upsert_rows
from anime_crawler.catalogue.tables import NO_ANIME, NO_SEASON, airing, appearance, character, episode_info, snapshot
from anime_crawler.items import Airing, Character, Episode, Item, Snapshot

OF_ONE_ANIME = {"anime_id", "role", "voice_actors"}
"""Fields of a character that differ from anime to anime: without them its row is the same whichever came last."""


def _whole(item: Item) -> tuple[str, str]:
    return item.checksum(), item.model_dump_json()


def _without_anime(item: Character) -> tuple[str, str]:
    return _part(item.model_dump_json(exclude=OF_ONE_ANIME | item.volatile))


def _in_anime(item: Character) -> tuple[str, str]:
    return _part(item.model_dump_json(include={"role", "voice_actors"}))


def _part(data: str) -> tuple[str, str]:
    return blake2b(data.encode(), digest_size=16).hexdigest(), data


@dataclass(frozen=True)
class Form:
    """How items of one kind become rows of one table."""

    kind: str
    """Name in the counts."""
    table: Table
    key: Callable[[Any], Row]
    """Values of the primary key."""
    version: Callable[[Any], tuple[str, str]] = _whole
    """Checksum and JSON of what the row keeps."""


def _episode_key(item: Episode) -> Row:
    season = NO_SEASON if item.season_number is None else item.season_number
    return item.source, item.anime_id, season, item.number


def _appearance_key(item: Character) -> Row:
    return item.source, item.source_id, item.anime_id or NO_ANIME


APPEARANCE = Form("appearance", appearance, _appearance_key, _in_anime)
FORMS: Mapping[type[Item], Form] = {
    Episode: Form("episode", episode_info, _episode_key),
    Character: Form("character", character, lambda item: item.key, _without_anime),
    Airing: Form("airing", airing, lambda item: item.key),
    Snapshot: Form("snapshot", snapshot, lambda item: item.key),
}


def store_metadata(batch: Batch, kinds: Mapping[type, Sequence[Any]]) -> None:
    """Store what is new or changed.

    Args:
        kinds: items by their type; those without a form are passed over.
    """
    for item_type, form in FORMS.items():
        _store(batch, form, kinds[item_type])
    _store(batch, APPEARANCE, kinds[Character])


def _store(batch: Batch, form: Form, items: Sequence[Item]) -> None:
    if not items:
        return
    newest = _newest(form, items)
    batch.counts[form.kind, "unchanged"] += len(items) - len(newest)
    keys = packed((place, *key) for place, key in enumerate(newest))
    known = fetch(batch.conn, _known(batch.dialect, form.table), keys=keys)
    stored = {place: (checksum, fetched_at) for place, checksum, fetched_at in known}
    rows: list[Row] = []
    for place, (key, item) in enumerate(newest.items()):
        (old, fetched_at), (checksum, data) = stored[place], form.version(item)
        if old == checksum or batch.is_outdated(item, fetched_at):
            batch.counts[form.kind, "unchanged"] += 1
        else:
            batch.counts[form.kind, "changed" if old else "new"] += 1
            seen = iso(item.fetched_at)
            rows.append((*key, checksum, item.schema_version, seen, batch.run_id, data))
    if rows:
        batch.conn.execute(_upsert(batch.dialect, form.table), {"rows": packed(rows)})


def _newest(form: Form, items: Sequence[Item]) -> dict[Row, Item]:
    """By key; of those fetched at the same time, the last."""
    newest: dict[Row, Item] = {}
    for item in items:
        other = newest.setdefault(form.key(item), item)
        if item.fetched_at >= other.fetched_at:
            newest[form.key(item)] = item
    return newest


@cache
def _known(dialect: str, table: Table) -> Select[Any]:
    """(place, checksum or null, time of fetching or null) of each of the keys."""
    place = Column("place", Integer)
    keys = rows_of(dialect, "keys", [place, *table.primary_key])
    # A subquery, not a join: a join's order is the planner's, and the wrong one reads the whole table.
    same = [column == keys.c[column.name] for column in table.primary_key]
    of_row = (select(column).where(*same).scalar_subquery() for column in (table.c.checksum, table.c.fetched_at))
    return as_json(dialect, select(keys.c.place, *of_row))


@cache
def _upsert(dialect: str, table: Table) -> Upsert:
    return upsert_rows(dialect, table, list(table.c), keys=[column.name for column in table.primary_key])
