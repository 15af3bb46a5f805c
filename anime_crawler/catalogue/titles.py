"""Rows of ``title``: made at first sight, their version raised when anything below them changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Text, Update, bindparam, func, or_, select, update

from anime_crawler.catalogue.sql import Upsert, as_json, fetch, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.tables import title

ANSWER = (title.c.title_id, title.c.metadata_state, title.c.metadata_at, title.c.due_at)


@dataclass
class Touched:
    """Titles that one batch changed something of."""

    by_release: set[str] = field(default_factory=set)
    by_anime: set[str] = field(default_factory=set)

    def all(self) -> set[str]:
        """All of them."""
        return self.by_release | self.by_anime


def store_titles(conn: Connection, run_id: int, order: Iterable[str], touched: Touched) -> int:
    """Make the touched titles that are new, numbered on in `order`, and raise the version of the others.

    Returns:
        How many were made.
    """
    ids = touched.all()
    if not ids:
        return 0
    dialect = conn.dialect.name
    known = {row[0] for row in fetch(conn, _known(dialect), ids=packed_ids(ids))}
    new = [title_id for title_id in order if title_id in ids and title_id not in known]
    if new:
        last = conn.scalar(select(func.coalesce(func.max(title.c.seq), 0))) or 0
        rows = [(title_id, last + i, 1, run_id) for i, title_id in enumerate(new, 1)]
        conn.execute(_insert(dialect), {"rows": packed(rows)})
    raise_versions(conn, known)
    if changed := known & touched.by_release:
        conn.execute(_changed(dialect), {"ids": packed_ids(changed), "run": run_id})
    return len(new)


def raise_versions(conn: Connection, title_ids: Iterable[str]) -> None:
    """Tell the importer to look at these titles again."""
    if ids := sorted(title_ids):
        conn.execute(_raise(conn.dialect.name), {"ids": packed_ids(ids)})


def raise_all_versions(conn: Connection) -> None:
    """Tell the importer to look at every title again: what it sends depends on settings too."""
    conn.execute(update(title).values(version=title.c.version + 1))


def note_answers(conn: Connection, run_id: int, just_now: str, answers: Iterable[tuple[str, str, str, str]]) -> None:
    """Note what the identity source said: (title id, known, unknown or failed, when, when to ask again).

    An answer older than the one that is noted is passed over, unless it came after `just_now`.
    """
    if rows := list(answers):
        conn.execute(_answers(conn.dialect.name), {"rows": packed(rows), "run": run_id, "just_now": just_now})


@cache
def _known(dialect: str) -> Select[Any]:
    ids = rows_of(dialect, "ids", [title.c.title_id])
    return as_json(dialect, select(title.c.title_id).where(title.c.title_id.in_(select(ids.c.title_id))))


@cache
def _insert(dialect: str) -> Upsert:
    return upsert_rows(
        dialect, title, [title.c.title_id, title.c.seq, title.c.version, title.c.changed_in], keys=["title_id"]
    )


@cache
def _raise(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [title.c.title_id])
    return update(title).where(title.c.title_id.in_(select(ids.c.title_id))).values(version=title.c.version + 1)


@cache
def _changed(dialect: str) -> Update:
    ids = rows_of(dialect, "ids", [title.c.title_id])
    return update(title).where(title.c.title_id.in_(select(ids.c.title_id))).values(changed_in=bindparam("run"))


@cache
def _answers(dialect: str) -> Update:
    rows = rows_of(dialect, "rows", ANSWER)
    new = {column.name: rows.c[column.name] for column in ANSWER[1:]}
    is_news = or_(
        title.c.metadata_at.is_(None),
        title.c.metadata_at <= rows.c.metadata_at,
        rows.c.metadata_at >= bindparam("just_now", type_=Text),
    )
    noted = update(title).where(title.c.title_id == rows.c.title_id, is_news)
    return noted.values(metadata_in=bindparam("run"), **new)
