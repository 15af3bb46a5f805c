"""Rows of ``episode_info``, ``character``, ``appearance``, ``airing`` and ``snapshot``: the newest version of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Column, Integer, Select, Table, select

from anime_crawler.catalogue.sql import Row, Upsert, as_json, fetch, iso, packed, rows_of, upsert_rows
from anime_crawler.catalogue.store.batch import Batch
from anime_crawler.catalogue.tables import NO_ANIME, NO_SEASON, airing, appearance, character, episode_info, snapshot
from anime_crawler.catalogue.vanished import FIELDS, fields_to_keep, seen, with_stored, without
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
    item_type: type[Item]
    table: Table
    key: Callable[[Any], Row]
    """Values of the primary key."""
    version: Callable[[Any], tuple[str, str]] = _whole
    """Checksum and JSON of what the row keeps."""

    @property
    def may_go(self) -> bool:
        """Whether complete lists say that rows are gone."""
        return "gone_at" in self.table.c


def _episode_key(item: Episode) -> Row:
    season = NO_SEASON if item.season_number is None else item.season_number
    return item.source, item.anime_id, season, item.number


def _appearance_key(item: Character) -> Row:
    return item.source, item.source_id, item.anime_id or NO_ANIME


APPEARANCE = Form("appearance", Character, appearance, _appearance_key, _in_anime)
FORMS: Mapping[type[Item], Form] = {
    Episode: Form("episode", Episode, episode_info, _episode_key),
    Character: Form("character", Character, character, lambda item: item.key, _without_anime),
    Airing: Form("airing", Airing, airing, lambda item: item.key),
    Snapshot: Form("snapshot", Snapshot, snapshot, lambda item: item.key),
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
    names = ("checksum", "fetched_at", "gone_at") if form.may_go else ("checksum", "fetched_at")
    stored = dict(zip(newest, _rows(batch, form, newest, *names), strict=True))
    newest = _completed(batch, form, newest, stored)
    newest = _with_what_stays(batch, form, newest, stored)
    rows: list[Row] = []
    for key, item in newest.items():
        (old, fetched_at, *gone_at), (checksum, data) = stored[key], form.version(item)
        is_back = any(gone_at)
        if batch.is_outdated(item, fetched_at) or (old == checksum and not is_back):
            batch.counts[form.kind, "unchanged"] += 1
        else:
            batch.counts[form.kind, "back" if is_back else "changed" if old else "new"] += 1
            version = (checksum, item.schema_version, iso(item.fetched_at), batch.run_id, data)
            rows.append((*key, *version, None) if form.may_go else (*key, *version))
    if rows:
        batch.conn.execute(_upsert(batch.dialect, form.table), {"rows": packed(rows)})


def _completed(batch: Batch, form: Form, newest: dict[Row, Item], stored: Mapping[Row, list[Any]]) -> dict[Row, Item]:
    """The items, with what is stored of that which they do not tell."""
    partial = [key for key, item in newest.items() if item.untold and stored[key][0] is not None]
    if not partial:
        return newest
    kept = dict(newest)
    for key, (data,) in zip(partial, _rows(batch, form, partial, "data"), strict=True):
        item = newest[key]  # the row keeps a part of it only, where it is an appearance
        kept[key] = item.completed_by(type(item).model_validate({**item.model_dump(mode="json"), **orjson.loads(data)}))
    return kept


def _with_what_stays(
    batch: Batch, form: Form, newest: dict[Row, Item], stored: Mapping[Row, list[Any]]
) -> dict[Row, Item]:
    """The items, with what is stored of that which the source seems to tell no longer.

    Args:
        stored: [checksum, time of fetching, …] of their rows; nulls for one that is not there.
    """
    if form.kind not in FIELDS:
        return newest
    news = {key: item for key, item in newest.items() if not batch.is_outdated(item, stored[key][1])}
    differing = [key for key, item in news.items() if stored[key][0] not in (None, form.version(item)[0])]
    rows = _rows(batch, form, differing, "data") if differing else []
    data = {key: orjson.loads(text) for key, (text,) in zip(differing, rows, strict=True)}
    kept = dict(newest)
    for source, keys in groupby(sorted(news, key=itemgetter(0)), itemgetter(0)):
        records = [seen(form.kind, news[key], tuple(key[1:]), data.get(key)) for key in keys]
        for rest, names in fields_to_keep(batch, form.kind, source, records).items():
            key = (source, *rest)
            kept[key] = with_stored(newest[key], data[key], names)
    return kept


def erase(batch: Batch, kind: str, source: str, fields: Mapping[tuple[Any, ...], Iterable[str]]) -> None:
    """Erase these fields of rows of one kind, by their key: the source tells them of others, but no longer of these."""
    form = next(form for form in (*FORMS.values(), APPEARANCE) if form.kind == kind)
    keys = [(source, *key) for key in fields]
    for key, (fetched_at, data) in zip(keys, _rows(batch, form, keys, "fetched_at", "data"), strict=True):
        if data:
            values = {"fetched_at": fetched_at, **orjson.loads(data)}
            if form is APPEARANCE:  # its row keeps a part of the item
                values |= {"source": source, "source_id": key[1], "anime_id": key[2] or None, "names": {}}
            _store(batch, form, [without(form.item_type.model_validate(values), fields[key[1:]])])


def _rows(batch: Batch, form: Form, keys: Iterable[Row], *names: str) -> list[list[Any]]:
    """These columns of the rows with these keys, in their order; nulls for one that is not there."""
    places = packed((place, *key) for place, key in enumerate(keys))
    found = fetch(batch.conn, _columns(batch.dialect, form.table, *names), keys=places)
    return [columns for _, *columns in sorted(found, key=itemgetter(0))]


def _newest(form: Form, items: Sequence[Item]) -> dict[Row, Item]:
    """By key; of those fetched at the same time, the last."""
    newest: dict[Row, Item] = {}
    for item in items:
        other = newest.setdefault(form.key(item), item)
        if item is not other and item.fetched_at >= other.fetched_at:
            newest[form.key(item)] = item.completed_by(other) if item.untold else item
    return newest


@cache
def _columns(dialect: str, table: Table, *names: str) -> Select[Any]:
    """(place, these columns or nulls) of each of the keys."""
    place = Column("place", Integer)
    keys = rows_of(dialect, "keys", [place, *table.primary_key])
    # A subquery, not a join: a join's order is the planner's, and the wrong one reads the whole table.
    same = [column == keys.c[column.name] for column in table.primary_key]
    of_row = (select(table.c[name]).where(*same).scalar_subquery() for name in names)
    return as_json(dialect, select(keys.c.place, *of_row))


@cache
def _upsert(dialect: str, table: Table) -> Upsert:
    return upsert_rows(dialect, table, list(table.c), keys=[column.name for column in table.primary_key])
