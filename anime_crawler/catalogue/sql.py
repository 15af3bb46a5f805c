"""Many rows in and out of one statement, as one JSON value each way.

A statement per row would give up Python's interpreter lock and wait for it again at each row: with the event loop
busy, a page of 1,100 players took 2,300 ms by ``executemany`` and takes 10-20 ms this way (measured on two cores).
SQLite and PostgreSQL unpack JSON with the same operators, so the statements are the same too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

Row = Sequence[Any]
Upsert = sqlite.Insert | postgresql.Insert


@lru_cache(64)  # the items of a page share their time
def iso(moment: datetime) -> str:
    """UTC to the microsecond in one width: text in the order of time."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"  # strftime takes five times as long


def packed(rows: Iterable[Row]) -> str:
    """The value of a parameter that `rows_of` unpacks."""
    return orjson.dumps(list(rows)).decode()


def packed_ids(ids: Iterable[Any]) -> str:
    """The same for one column."""
    return packed([value] for value in ids)


def rows_of(dialect: str, name: str, columns: Collection[Column[Any]]) -> Subquery:
    """The rows in parameter `name` as a table with these columns, in this order."""
    text = bindparam(name, type_=Text)
    elements = func.json_each(text) if dialect == "sqlite" else func.json_array_elements(cast(text, JSON))
    value = elements.table_valued("value").c.value
    fields = []
    for i, column in enumerate(columns):
        field = value.op("->>")(literal_column(str(i)))
        fields.append((cast(field, Integer) if isinstance(column.type, Integer) else field).label(column.name))
    return select(*fields).subquery(name)


def upsert(dialect: str, table: Table) -> Upsert:
    """An INSERT that can say what to do on conflict; both databases do, in classes of their own."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_into(dialect: str, table: Table, source: Mapping[str, Any], rows: Subquery) -> Upsert:
    """INSERT of `source` (column name -> expression) for each of `rows`; the caller says what to do on conflict."""
    # WHERE true: SQLite takes an ON straight after FROM for that of a join
    values = select(*source.values()).select_from(rows).where(true())
    return upsert(dialect, table).from_select(list(source), values)


def upsert_rows(
    dialect: str, table: Table, columns: Collection[Column[Any]], keys: Collection[str], kept: Collection[str] = ()
) -> Upsert:
    """INSERT of the rows in parameter ``rows``; where `keys` are there already, all other columns but `kept` are
    replaced.
    """
    rows = rows_of(dialect, "rows", columns)
    insert = insert_into(dialect, table, dict(rows.c.items()), rows)
    replaced = {column.name: insert.excluded[column.name] for column in columns if column.name not in {*keys, *kept}}
    return insert.on_conflict_do_update(index_elements=list(keys), set_=replaced)


def as_json(dialect: str, statement: Select[Any]) -> Select[Any]:
    """`statement`'s rows as one JSON array of arrays; `fetch` unpacks it."""
    rows = statement.subquery()
    if dialect == "sqlite":
        return select(func.json_group_array(func.json_array(*rows.c)))
    return select(cast(func.json_agg(func.json_build_array(*rows.c)), Text))


def fetch(conn: Connection, statement: Select[Any], **parameters: Any) -> list[list[Any]]:
    """The rows of an `as_json` statement."""
    text = conn.execute(statement, parameters).scalar()
    rows: list[list[Any]] = orjson.loads(text or "[]")
    return rows
