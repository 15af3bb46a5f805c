"""A record that its source no longer has is marked gone with the time, never deleted, and back when the source has it.

Two kinds of answers say so: a complete list that no longer has it, and a lookup that finds nothing. A list that came up
short says nothing: a walk marks only at its complete end (`Checkpoint.full_since`), and where it misses more than
`BELIEVED_SHARE` of what is stored, it is not believed until another full walk misses the same.

Backends are told nothing of anime that are gone: titles keep what was merged of them. Releases that are gone take their
players with them, as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, Table, Update, and_, bindparam, func, or_, select, update

from anime_crawler.catalogue.sql import as_json, fetch, iso, packed, packed_ids, rows_of
from anime_crawler.catalogue.store.batch import Batch, by_source
from anime_crawler.catalogue.tables import NO_SEASON, anime, appearance, dead_letter, episode_info, release, title
from anime_crawler.items import Absent, Listed

BELIEVED_SHARE = 0.05
"""Share of a source's records that one full walk may miss. MyAnimeList deletes or merges some dozens of 30,000 a month;
a list that lost a twentieth has more likely lost a page, a filter or an index."""
ALWAYS_BELIEVED = 20
"""So many are believed in any case: of a small catalogue a few are a large share."""
WHOLE_ANSWER = 10
"""Stored anime of which one answer knows none, although it was asked for all: such an answer is strange, not news."""

LETTERS = ("anime", "material")
"""Kinds of dead letters of what a list holds."""


def mark_unlisted(batch: Batch, source: str, since: int) -> None:
    """Mark releases and anime of `source` gone that no run has seen since the one in which a complete full walk began.

    What was listed but not understood is not gone: what is known of it stays until its record is mended. Where one of
    them does not even say which it is, nothing is marked.
    """
    letters = (dead_letter.c.source == source) & (dead_letter.c.stage != "deliver")
    nameless = letters & (dead_letter.c.key == dead_letter.c.checksum) & dead_letter.c.kind.in_(LETTERS)
    if _count(batch, nameless & (dead_letter.c.run_id >= since)):
        return
    for kind, table in (("release", release), ("anime", anime)):
        is_live = (table.c.source == source) & table.c.gone_at.is_(None)
        is_named = table.c.source_id.in_(select(dead_letter.c.key).where(letters))
        is_unlisted = is_live & (table.c.seen_in < since) & ~is_named
        is_missed_again = is_unlisted & (table.c.missed_in < since)
        live, unlisted = _count(batch, is_live), _count(batch, is_unlisted)
        if unlisted <= max(ALWAYS_BELIEVED, live * BELIEVED_SHARE):
            _mark(batch, kind, table, is_unlisted)
            continue
        _mark(batch, kind, table, is_missed_again)
        doubted = is_live & (table.c.seen_in < since) & ~is_named & table.c.missed_in.is_(None)
        batch.conn.execute(update(table).where(doubted).values(missed_in=since))
        batch.counts[kind, "not_believed"] += _count(batch, is_live & (table.c.missed_in == since))


def _count(batch: Batch, where: Any) -> int:
    return batch.conn.scalar(select(func.count()).where(where)) or 0


def _mark(batch: Batch, kind: str, table: Table, where: Any) -> None:
    if kind == "release":
        titles = select(release.c.title_id).where(where, release.c.title_id.is_not(None))
        batch.conn.execute(update(title).where(title.c.title_id.in_(titles)).values(version=title.c.version + 1))
    marked = batch.conn.execute(update(table).where(where).values(gone_at=iso(batch.began), missed_in=None))
    batch.counts[kind, "gone"] += marked.rowcount


def note_listed(batch: Batch, source: str, ids: Sequence[str]) -> None:
    """Note that a full walk has listed these anime, which makes those that were gone come back."""
    if ids:
        parameters = {"of_source": source, "ids": packed_ids(ids), "run": batch.run_id}
        batch.counts["anime", "back"] += batch.conn.scalar(_count_gone(batch.dialect), parameters) or 0
        batch.conn.execute(_see(batch.dialect), parameters)


def mark_absent(batch: Batch, absent: Sequence[Absent], answered: Collection[str]) -> None:
    """Mark anime gone that the source was asked for and does not know. Rows that are newer than the answer stay.

    An answer of a dozen ids that knows none of them, though they are stored, is not believed.
    """
    for source, group in by_source(absent):
        if len(group) >= WHOLE_ANSWER and source not in answered:
            ids = packed_ids(item.source_id for item in group)
            live = batch.conn.scalar(_count_live(batch.dialect), {"of_source": source, "ids": ids}) or 0
            if live >= WHOLE_ANSWER:
                batch.counts["anime", "not_believed"] += live
                continue
        rows = packed((a.source, a.source_id, iso(a.fetched_at)) for a in group)
        marked = batch.conn.execute(_absent(batch.dialect), {"rows": rows, "now": iso(batch.began)})
        batch.counts["anime", "gone"] += marked.rowcount


def store_listed(batch: Batch, lists: Sequence[Listed]) -> None:
    """Mark episodes or appearances gone that the complete list of their anime no longer has.

    A list of fewer than half of what is stored is not believed: the anime may have been put together with another, but
    more likely the list has come up short.
    """
    for item in lists:
        is_episode = item.kind == "episode"
        kind, table = ("episode", episode_info) if is_episode else ("appearance", appearance)
        rows = fetch(batch.conn, _members(batch.dialect, kind), source=item.source, anime_id=item.source_id)
        live = {tuple(key) for key in rows}
        members = {_episode_key(member) if is_episode else (member,) for member in item.members}
        missing = sorted(live - members)
        if missing and 2 * len(live & members) < len(live):
            batch.counts[kind, "not_believed"] += len(missing)
        elif missing:
            for key in missing:
                of_anime = (table.c.source == item.source) & (table.c.anime_id == item.source_id)
                names = ("season_number", "number") if is_episode else ("source_id",)
                same = [table.c[name] == value for name, value in zip(names, key, strict=True)]
                batch.conn.execute(update(table).where(of_anime, *same).values(gone_at=iso(batch.began)))
            batch.counts[kind, "gone"] += len(missing)


def _episode_key(member: str) -> tuple[int, int]:
    season, _, number = member.partition("/")
    return NO_SEASON if season == "None" else int(season), int(number)


@cache
def _members(dialect: str, kind: str) -> Select[Any]:
    table = episode_info if kind == "episode" else appearance
    keys = (table.c.season_number, table.c.number) if kind == "episode" else (table.c.source_id,)
    of_anime = (table.c.source == bindparam("source"), table.c.anime_id == bindparam("anime_id"))
    return as_json(dialect, select(*keys).where(*of_anime, table.c.gone_at.is_(None)))


@cache
def _see(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [anime.c.source_id])
    ours = (anime.c.source == bindparam("of_source"), anime.c.source_id.in_(select(ids.c.source_id)))
    news = or_(anime.c.seen_in < bindparam("run"), anime.c.gone_at.is_not(None), anime.c.missed_in.is_not(None))
    return update(anime).where(*ours, news).values(seen_in=bindparam("run"), gone_at=None, missed_in=None)


@cache
def _count_gone(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [anime.c.source_id])
    ours = (anime.c.source == bindparam("of_source"), anime.c.source_id.in_(select(ids.c.source_id)))
    return select(func.count()).select_from(anime).where(*ours, anime.c.gone_at.is_not(None))


@cache
def _count_live(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [anime.c.source_id])
    ours = (anime.c.source == bindparam("of_source"), anime.c.source_id.in_(select(ids.c.source_id)))
    return select(func.count()).select_from(anime).where(*ours, anime.c.gone_at.is_(None))


@cache
def _absent(dialect: str) -> Update:
    rows = rows_of(dialect, "rows", [anime.c.source, anime.c.source_id, anime.c.fetched_at])
    same = and_(rows.c.source == anime.c.source, rows.c.source_id == anime.c.source_id)
    is_newer = select(rows.c.source_id).where(same, rows.c.fetched_at >= anime.c.fetched_at).exists()
    return update(anime).where(is_newer, anime.c.gone_at.is_(None)).values(gone_at=bindparam("now"))
