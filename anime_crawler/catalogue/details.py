"""Which anime a source is to be asked about one at a time, by its own ids: those that other sources point to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, Select, Subquery, and_, bindparam, case, func, or_, select

from anime_crawler.catalogue.sql import Upsert, insert_into, iso, packed, packed_ids, rows_of
from anime_crawler.catalogue.tables import anime, detail, external_id, title
from anime_crawler.items import AiringStatus, Checkpoint, utc_now

SOON = timedelta(days=7)
"""An announced anime that begins within this time counts as airing: people look for it already."""


UNFINISHED = (AiringStatus.ANNOUNCED, AiringStatus.ONGOING, AiringStatus.PAUSED)
"""Statuses that change."""


@dataclass(frozen=True)
class Asker:
    """The source that is to ask."""

    source: str
    known_as: str
    """Name under which others give its ids."""
    ongoing_age: timedelta
    """Details of an airing anime are wanted again at this age."""
    other_age: timedelta
    """Those of any other."""


def note_asked(conn: Connection, run_id: int, checkpoint: Checkpoint) -> None:
    """Note that the run has asked for the details of these anime; what a later run has noted stays."""
    if checkpoint.asked:
        now = iso(utc_now())
        rows = [(checkpoint.source, own, run_id, now) for own in checkpoint.asked]
        conn.execute(_note(conn.dialect.name), {"rows": packed(rows)})


def wanted_details(
    conn: Connection, asker: Asker, run_id: int, now: datetime, limit: int, exclude: Collection[str]
) -> list[str]:
    """Up to `limit` ids of the source, most wanted first; only such as an anime of another source names.

    First airing anime whose details are missing or too old, the next episode soonest; then those never asked about,
    in the catalogue's order; then those asked about too long ago, the longest first. In each class anime of titles come
    before those that only metadata sources know.

    Args:
        run_id: what it has asked about already is left out.
        exclude: ids that are not to be had just now.
    """
    parameters = {
        "asker": asker.source,
        "known_as": asker.known_as,
        "run": run_id,
        "ongoing_before": iso(now - asker.ongoing_age),
        "other_before": iso(now - asker.other_age),
        "soon": iso(now + SOON),
        "exclude": packed_ids(exclude),
        "most": limit,
    }
    return list(conn.scalars(_wanted(conn.dialect.name), parameters))


def unfinished(conn: Connection, source: str) -> list[str]:
    """Ids of the source's anime that are announced, running or paused by what it said of them last, in order."""
    its_own, is_there = anime.c.source == source, anime.c.gone_at.is_(None)
    may_change = anime.c.status.in_([status.value for status in UNFINISHED])
    return list(conn.scalars(select(anime.c.source_id).where(its_own, is_there, may_change).order_by("source_id")))


@cache
def _wanted(dialect: str) -> Select[Any]:
    named = _named()
    asked = and_(detail.c.source == bindparam("asker"), detail.c.source_id == named.c.target_id)
    is_new, asked_at = detail.c.asked_at.is_(None), detail.c.asked_at
    is_airing = named.c.airing == 1
    rank = case(
        (and_(is_airing, or_(is_new, asked_at <= bindparam("ongoing_before"))), 0),
        (is_new, 1),
        (and_(~is_airing, asked_at <= bindparam("other_before")), 2),
    )
    excluded = rows_of(dialect, "exclude", [external_id.c.target_id])
    oldest = case((rank == 2, asked_at))
    return (
        select(named.c.target_id)
        .select_from(named.outerjoin(detail, asked))
        .where(rank.is_not(None), or_(is_new, detail.c.asked_in != bindparam("run")))
        .where(named.c.target_id.not_in(select(excluded.c.target_id)))
        .order_by(rank, oldest, named.c.seq.is_(None), named.c.next_at.nulls_last(), named.c.seq, named.c.target_id)
        .limit(bindparam("most", type_=Integer))
    )


def _named() -> Subquery:
    """The source's ids that others give, with what they say of the anime that matters here."""
    begins_soon = and_(anime.c.status == AiringStatus.ANNOUNCED.value, anime.c.next_episode_at <= bindparam("soon"))
    is_airing = or_(anime.c.status == AiringStatus.ONGOING.value, begins_soon)
    who = and_(anime.c.source == external_id.c.source, anime.c.source_id == external_id.c.source_id)
    return (
        select(
            external_id.c.target_id,
            func.max(case((is_airing, 1), else_=0)).label("airing"),
            func.min(case((is_airing, anime.c.next_episode_at))).label("next_at"),
            func.min(title.c.seq).label("seq"),
        )
        .select_from(external_id.join(anime, who).outerjoin(title, title.c.title_id == anime.c.title_id))
        .where(external_id.c.target == bindparam("known_as"))
        .group_by(external_id.c.target_id)
        .subquery()
    )


@cache
def _note(dialect: str) -> Upsert:
    rows = rows_of(dialect, "rows", list(detail.c))
    insert = insert_into(dialect, detail, dict(rows.c.items()), rows)
    new = {name: insert.excluded[name] for name in ("asked_in", "asked_at")}
    is_news = detail.c.asked_in <= insert.excluded.asked_in
    return insert.on_conflict_do_update(index_elements=["source", "source_id"], set_=new, where=is_news)
