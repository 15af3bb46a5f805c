"""Records that could not be understood or delivered, kept with the reason until they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Literal

from sqlalchemy import Column, Connection, Delete, Row, Text, bindparam, delete, func, or_, select, union_all

from anime_crawler.catalogue.sql import iso, packed, rows_of, upsert
from anime_crawler.catalogue.store.batch import by_source
from anime_crawler.catalogue.tables import anime, character, dead_letter, release
from anime_crawler.items import LONGEST_KEY, Item, Rejected, storable, utc_now

Stage = Literal["parse", "validate", "deliver"]
IDENTITY = ("stage", "source", "kind", "key")
METADATA = ("episode", "character", "airing", "snapshot")
"""Kinds whose ids say nothing of an anime's or a release's: character 20 is not in anime 20."""
received_at = func.coalesce(dead_letter.c.fetched_at, dead_letter.c.created_at)
"""When the record of a letter was received."""
ANY_TIME = "9999"
"""Later than any time, as text."""


@dataclass(frozen=True)
class Letter:
    """One record set aside. Identity: (stage, source, kind, key)."""

    stage: Stage
    source: str
    kind: str
    key: str
    reason: str
    raw: str
    """The record as received, or the payload."""
    checksum: str
    """Of `raw`: another content is another try."""
    schema_version: int = 1
    request: str = "{}"
    """JSON: how to ask for it again; no token."""
    fetched_at: str | None = None
    """When the record was received; ``None``: now."""


def put(conn: Connection, run_id: int, letters: Iterable[Letter], just_now: str = "") -> None:
    """Keep records; one that is kept already is replaced and counted.

    Args:
        just_now: what was received since then is taken whatever there is; what is older, and was received before the
            record that is kept, is passed over.
    """
    now = iso(utc_now())
    for letter in letters:
        fetched_at = letter.fetched_at or now
        values = {**asdict(letter), "run_id": run_id, "created_at": now, "fetched_at": fetched_at}
        is_news = None if fetched_at >= just_now else received_at <= fetched_at
        statement = upsert(conn.dialect.name, dead_letter).values(values)
        replaced = {name: value for name, value in values.items() if name not in IDENTITY and name != "created_at"}
        replaced["seen"] = dead_letter.c.seen + 1
        conn.execute(statement.on_conflict_do_update(index_elements=list(IDENTITY), set_=replaced, where=is_news))


def put_rejected(conn: Connection, run_id: int, rejected: Iterable[Rejected], just_now: str = "") -> None:
    """Keep what a parser or the validation refused, unless a later version of the record was understood meanwhile."""
    letters = [
        letter
        for letter in map(letter_of, rejected)
        if (letter.fetched_at or just_now) >= just_now or not _is_understood(conn, letter)
    ]
    put(conn, run_id, letters, just_now)


def _is_understood(conn: Connection, letter: Letter) -> bool:
    """Whether a release, an anime or a character with the letter's key was fetched later."""
    tables = (character,) if letter.kind in METADATA else (release, anime)
    later = (
        select(table.c.source_id).where(
            table.c.source == letter.source, table.c.source_id == letter.key, table.c.fetched_at > letter.fetched_at
        )
        for table in tables
    )
    return conn.scalar(union_all(*later).limit(1)) is not None


def letter_of(rejected: Rejected) -> Letter:
    """The dead letter of a refused record.

    One without an id is told apart by its request, else by its content; one with an id that is too long by its digest.
    """
    rejected = storable(rejected)
    own, request = rejected.source_id, json.dumps(rejected.request, sort_keys=True, ensure_ascii=False)
    return Letter(
        stage=rejected.stage,
        source=rejected.source,
        kind=rejected.kind,
        key=own
        if own and len(own) <= LONGEST_KEY
        else _checksum(own or (request if rejected.request else rejected.raw)),
        reason=rejected.reason,
        raw=rejected.raw,
        checksum=_checksum(rejected.raw),
        schema_version=rejected.schema_version,
        request=request,
        fetched_at=iso(rejected.fetched_at),
    )


def key_of(item: Item) -> str:
    """The key of an item's letter: its identity at its source. An episode's own id need not be unique there."""
    return ":".join(item.key[1:])


def is_of(row: Row[Any], rejected: Rejected) -> bool:
    """Whether `row` is the dead letter of this record."""
    letter = letter_of(rejected)
    return all(row._mapping[name] == getattr(letter, name) for name in IDENTITY)


def clear_understood(conn: Connection, items: Sequence[Item], just_now: str = "") -> None:
    """Drop the letters of records that are understood now, and were not received after the item was.

    Args:
        just_now: what was fetched since then counts as newer than any letter.

    A parser's letter is of the whole record, whatever it was to become; the validation's is of one kind of item, and so
    is any letter of the kinds in `METADATA`. Those may be kept under the record's id or under `key_of` the item.
    """
    if not items or not conn.scalar(select(dead_letter.c.id).where(dead_letter.c.stage != "deliver").limit(1)):
        return
    for source, group in by_source(items):
        keys: dict[str, dict[str, str]] = defaultdict(dict)
        for item in group:
            fetched_at = iso(item.fetched_at)
            until = ANY_TIME if fetched_at >= just_now else fetched_at
            known = keys[type(item).__name__.lower()]
            known |= {key: max(until, known.get(key, "")) for key in (item.source_id, key_of(item))}
        for kind, ids in keys.items():
            statement = _clear(conn.dialect.name, kind in METADATA)
            conn.execute(statement, {"source": source, "item_kind": kind, "ids": packed(ids.items())})


@cache
def _clear(dialect: str, is_metadata: bool) -> Delete:
    ids = rows_of(dialect, "ids", [dead_letter.c.key, Column("until", Text)])
    understood = select(ids.c.key).where(ids.c.key == dead_letter.c.key, received_at <= ids.c.until).exists()
    its_kind = (dead_letter.c.stage != "deliver") & (dead_letter.c.kind == bindparam("item_kind"))
    whole_record = (dead_letter.c.stage == "parse") & dead_letter.c.kind.not_in(METADATA)
    mine = (dead_letter.c.source == bindparam("source")) & understood
    return delete(dead_letter).where(its_kind if is_metadata else or_(its_kind, whole_record), mine)


def clear_answered(conn: Connection, run_id: int) -> None:
    """Drop the letters of whole answers that this run could not read: it is complete, so each came after all."""
    conn.execute(delete(dead_letter).where(dead_letter.c.kind == "page", dead_letter.c.run_id == run_id))


def count_open(conn: Connection) -> int:
    """How many records are set aside."""
    return conn.scalar(select(func.count()).select_from(dead_letter)) or 0


def list_letters(conn: Connection, reason: str = "") -> Sequence[Row[Any]]:
    """The letters whose reason contains this text, oldest first, without their raw records."""
    columns = (column for column in dead_letter.c if column.name != "raw")
    has_reason = dead_letter.c.reason.contains(reason, autoescape=True)
    return conn.execute(select(*columns).where(has_reason).order_by(dead_letter.c.id)).all()


def get(conn: Connection, letter_id: int) -> Row[Any] | None:
    """One whole letter; ``None``: there is none with this id."""
    return conn.execute(select(dead_letter).where(dead_letter.c.id == letter_id)).first()


def drop(conn: Connection, letter_id: int) -> bool:
    """Forget one letter; False: there is none with this id."""
    return conn.execute(delete(dead_letter).where(dead_letter.c.id == letter_id)).rowcount == 1


def _checksum(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
