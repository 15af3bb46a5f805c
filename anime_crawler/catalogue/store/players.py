"""Rows of ``player`` and ``episode`` below the releases of one batch that are new or changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, Update, bindparam, null, select, update

from anime_crawler.catalogue.sql import (
    Row,
    Upsert,
    as_json,
    fetch,
    insert_into,
    iso,
    packed,
    packed_ids,
    rows_of,
)
from anime_crawler.catalogue.store.batch import Batch
from anime_crawler.catalogue.tables import NO_SEASON, episode, player, release
from anime_crawler.items import Player, Release


class Diff(NamedTuple):
    """A stored release that is to be brought up to date."""

    release_id: int
    title_id: str | None


class Facts(NamedTuple):
    """`Facts` holds the columns of a player row without its times."""

    title: str | None
    url: str
    gone_at: str | None = None


Key = tuple[int, int]
"""Season and number of an episode as its source counts; the season of a film is `NO_SEASON`."""
KEYS = ("season_number", "source_number")
COLUMNS = [player.c[name] for name in (*KEYS, "title", "url")]


class _Rows:
    """Rows to write for one batch."""

    def __init__(self) -> None:
        self.players: list[Row] = []
        self.gone: list[Row] = []
        self.episodes: dict[tuple[str, Key], list[str | int | None]] = {}

    def add_players(self, item: Release, players: Iterable[Player], seen: str) -> None:
        self.players += [(item.source_id, *key_of(p), p.title, p.url, seen) for p in players]

    def add_episodes(self, title_id: str | None, players: Iterable[Player], seen: str) -> None:
        if title_id is None:
            return
        for p in players:
            key = key_of(p)
            row = self.episodes.get((title_id, key))
            if row is None:
                self.episodes[title_id, key] = [title_id, *key, p.title, seen]
            elif row[3] is None:
                row[3] = p.title


def key_of(p: Player) -> Key:
    """Identity of a player within its release."""
    return NO_SEASON if p.season_number is None else p.season_number, p.source_number


def store_players(batch: Batch, source: str, new: Sequence[Release], changed: Sequence[tuple[Release, Diff]]) -> None:
    """Store the players of releases of one `source`, whose own rows are stored already."""
    rows = _Rows()
    for item in new:
        seen = iso(item.fetched_at)
        rows.add_players(item, item.players, seen)
        rows.add_episodes(batch.title_of(item), item.players, seen)
        batch.counts["player", "new"] += len(item.players)
    stored = _stored(batch, [diff.release_id for _, diff in changed])
    for item, diff in changed:
        _compare(batch, rows, item, diff, stored[diff.release_id])
    _write(batch, source, rows)


def lose_players(batch: Batch, release_id: int) -> None:
    """Mark all players of a release gone."""
    stored = _stored(batch, [release_id])[release_id]
    gone = [key for key, facts in stored.items() if facts.gone_at is None]
    batch.counts["player", "gone"] += len(gone)
    if gone:
        now = iso(batch.began)
        batch.conn.execute(_mark_gone(batch.dialect), {"rows": packed((release_id, *key, now) for key in gone)})


def _stored(batch: Batch, release_ids: Sequence[int]) -> dict[int, dict[Key, Facts]]:
    stored: dict[int, dict[Key, Facts]] = defaultdict(dict)
    if release_ids:
        for release_id, season, number, *facts in fetch(batch.conn, _known(batch.dialect), ids=packed_ids(release_ids)):
            stored[release_id][season, number] = Facts(*facts)
    return stored


def _compare(batch: Batch, rows: _Rows, item: Release, diff: Diff, stored: dict[Key, Facts]) -> None:
    seen = iso(item.fetched_at)
    title_id = batch.title_of(item)
    fresh = []
    for p in item.players:
        old = stored.pop(key_of(p), None)
        if old == Facts(p.title, p.url):
            batch.counts["player", "unchanged"] += 1
            continue
        batch.counts["player", "changed" if old else "new"] += 1
        fresh.append(p)
    rows.add_players(item, fresh, seen)
    rows.add_episodes(title_id, fresh if title_id == diff.title_id else item.players, seen)
    unread = set(item.unread_players)
    gone = [
        (season, number)
        for (season, number), facts in stored.items()
        if facts.gone_at is None and unread.isdisjoint({(season, number), (season, None), (None, None)})
    ]
    batch.counts["player", "gone"] += len(gone)
    rows.gone += [(diff.release_id, *key, seen) for key in gone]


def _write(batch: Batch, source: str, rows: _Rows) -> None:
    conn, dialect = batch.conn, batch.dialect
    if rows.players:
        conn.execute(_upsert(dialect), {"source": source, "rows": packed(rows.players)})
    if rows.gone:
        conn.execute(_mark_gone(dialect), {"rows": packed(rows.gone)})
    if rows.episodes:
        new = conn.execute(_insert_episodes(dialect), {"rows": packed(rows.episodes.values())})
        batch.counts["episode", "new"] += new.rowcount
    if titled := [row for row in rows.episodes.values() if row[3]]:
        conn.execute(_fill_titles(dialect), {"rows": packed(titled)})


@cache
def _known(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [player.c.release_id])
    columns = (player.c.release_id, *COLUMNS, player.c.gone_at)
    return as_json(dialect, select(*columns).where(player.c.release_id.in_(select(ids.c.release_id))))


@cache
def _upsert(dialect: str) -> Upsert:
    """A player finds its release's row here: Python need not know its number."""
    rows = rows_of(dialect, "rows", [release.c.source_id, *COLUMNS, player.c.first_seen])
    # A subquery, not a join: a join's order is the planner's, and the wrong one reads all releases for each row.
    its_release = (release.c.source == bindparam("source")) & (release.c.source_id == rows.c.source_id)
    release_id = select(release.c.id).where(its_release).scalar_subquery()
    values = {column.name: rows.c[column.name] for column in COLUMNS}
    times = {"first_seen": rows.c.first_seen, "last_seen": rows.c.first_seen, "gone_at": null()}
    insert = insert_into(dialect, player, {"release_id": release_id, **values, **times}, rows)
    replaced = {name: insert.excluded[name] for name in (*values, "last_seen", "gone_at") if name not in KEYS}
    return insert.on_conflict_do_update(index_elements=["release_id", *KEYS], set_=replaced)


@cache
def _mark_gone(dialect: str) -> Update:
    rows = rows_of(dialect, "rows", [player.c.release_id, *(player.c[name] for name in KEYS), player.c.gone_at])
    same = (player.c[name] == rows.c[name] for name in ("release_id", *KEYS))
    return update(player).where(*same).values(gone_at=rows.c.gone_at)


@cache
def _insert_episodes(dialect: str) -> Upsert:
    rows = rows_of(dialect, "rows", list(episode.c))
    insert = insert_into(dialect, episode, dict(rows.c.items()), rows)
    return insert.on_conflict_do_nothing(index_elements=["title_id", *KEYS]).execution_options(preserve_rowcount=True)


@cache
def _fill_titles(dialect: str) -> Update:
    rows = rows_of(dialect, "rows", list(episode.c))
    same = (episode.c[name] == rows.c[name] for name in ("title_id", *KEYS))
    return update(episode).where(*same, episode.c.title.is_(None)).values(title=rows.c.title)
