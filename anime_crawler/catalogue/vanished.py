"""Fields that a source seems to tell no longer: what is stored of them stays until the source is known to tell them.

A page whose class was renamed looks like the page of a work that lost its description. So an answer that comes without
a field never erases what is stored of it by that alone. The stored value stays, and the loss is *in doubt* (table
``doubt``) until at least `TELLERS` records for each loss that is in doubt tell the field: records of the same source,
kind and form of answer, fetched no earlier than the loss. Only then the value is erased, whichever run is at work.
What was fetched before the loss proves nothing, because a page may change in the middle of a run.

A word like "N/A", or one picture for all, erases as much as nothing does. So a value that stands in the place of
different stored values is a loss, too: of the field's *own* value (``description.own``), which stays in the same way
until records tell other values. Then what the source says is believed: the next answer is stored as it comes.

A field has *vanished* in a run when the run cannot be trusted to have been told it (`vanished_in`): the run says so,
and ends with exit code 1. Counts are in the database (table ``told``), written in the transaction that stores the
records: a run that is killed and resumed, and several workers of one run, have the same windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel
from sqlalchemy import Connection, Delete, Select, bindparam, delete, select

from anime_crawler.catalogue.sql import Upsert, as_json, fetch, iso, packed, packed_ids, rows_of, upsert_rows
from anime_crawler.catalogue.store.batch import Batch
from anime_crawler.catalogue.tables import doubt, told
from anime_crawler.items import ABOUT_ANSWER, AiringStatus, Anime, Episode, Item, Release, Snapshot

I = TypeVar("I", bound=Item)  # noqa: E741  one letter, as type variables are

WINDOW = 20
"""Records of a run by which it is told whether a field has vanished: fewer may lack a usual field by accident."""
ODD_ONES = 1
"""Of the last `WINDOW` records so many may have a field that has vanished: "nearly all" of them lack it."""
TELLERS = 4
"""Records that must tell a field for each loss in doubt. Where one page in ten still has the old form, the chance that
four follow each other is one in ten thousand."""

IDENTITY = frozenset({"source", "source_id", "fetched_at", "anime_id", *ABOUT_ANSWER})
FIELDS: Mapping[str, tuple[str, ...]] = {
    "anime": tuple(
        name
        for name in Anime.model_fields
        if name not in IDENTITY | {"source_updated_at", "description_raw"}  # the raw one goes with its text
    ),
    "episode": tuple(name for name in Episode.model_fields if name not in IDENTITY | {"season_number", "number"}),
    "character": ("names", "picture"),
    "appearance": ("role", "voice_actors"),
    "release": tuple(
        name
        for name in Release.model_fields
        if name not in IDENTITY | {"blocked_countries", "blocked_seasons", "updated_at"}
    ),
    "snapshot": tuple(name for name in Snapshot.model_fields if name not in IDENTITY | {"snapshot_type", "day"}),
}
"""Kind -> fields that an answer may come without. Main titles and ids in other catalogues are fields each:
``titles.en``, ``external_ids.mal``."""
DATES = ("aired_from", "aired_to", "aired_on")
"""Fields whose value may be known in part: ``2027-04``. Month and day are fields each: ``aired_from.day``."""
PARTS = {4: (), 7: ("month",), 10: ("month", "day")}
"""Length of such a date -> what is known of it beside the year."""
PLAIN = frozenset((type(None), str, int, float, bool, tuple, list, dict))
"""Types of values of which it need not be asked whether they are models."""
OWN: Mapping[str, tuple[str, ...]] = {
    "anime": ("description", "poster", "titles"),
    "episode": ("titles",),
    "character": ("names", "picture"),
}
"""Kind -> fields whose values are each record's own. Those of few possible values, dates and numbers are none: many
records may come to have the same."""
PLACEHOLDERS = frozenset({"-", "--", "?", "??", "???", "...", "n/a", "na", "none", "null", "tba", "tbd", "unknown"})
"""Values that are nobody's own, in lower case."""
PASSING = frozenset({"next_episode_at", "next_episode_is_estimated", "episodes_aired"})
"""Fields that are empty in turn by nature: when the last episode is out nobody says when the next one is. What is
stored of them does not stay, unless the source's card names them as usual."""


@dataclass
class Field:
    """A `Field` counts how often one form of answer told one field."""

    filled: int = 0
    """Records that told it, in all runs, since a loss is in doubt; those fetched before the newest are left out."""
    lost: int = 0
    """Records that came without it while a value was stored, in all runs, since one of them is in doubt."""
    lost_at: str = ""
    """When the newest of these was fetched."""
    open: int = 0
    """How many of these are in doubt."""
    recent: str = ""
    """The last `WINDOW` records of the run: 1 told it, 0 did not. Only for usual fields."""
    opinions: str = ""
    """The last `WINDOW` records of the run that told it (1) or came without what is stored (0)."""
    missing: int = 0
    """Records of the run without it. Only for usual fields."""
    losses: int = 0
    """Records of the run that came without what is stored."""
    vanished: bool = False
    """Whether a whole window of the run had (nearly) no record that told it."""
    changes: list[str] = field(default_factory=list)
    """Of the last `WINDOW` different changes in the run: digests of the value told and of the stored one that it would
    replace. Kept over runs while a loss is in doubt. Only for a record's own values (`OWN`)."""

    def of_new_run(self) -> Field:
        """The same without what belongs to a run."""
        changes = self.changes if self.open else []
        return Field(self.filled, self.lost, self.lost_at, self.open, changes=changes)

    def note_change(self, told_now: str, stored: str) -> None:
        """A record tells another value than is stored."""
        change = f"{digest_of(told_now)} {digest_of(stored)}"
        self.changes = [*(one for one in self.changes if one != change), change][-WINDOW:]

    def is_own(self, value: str) -> bool:
        """Whether a value is no placeholder: it does not stand in the place of several different values."""
        told_now = digest_of(value) if self.changes else ""
        is_repeated = sum(change.startswith(told_now) for change in self.changes) > 1
        return value.strip().lower() not in PLACEHOLDERS and not is_repeated

    def note_opinions(self, told_it: bool, count: int = 1) -> None:
        """So many records in a row told it, or lost it."""
        if told_it and "0" not in self.opinions:  # then none of their windows is doubtful
            self.opinions = (self.opinions + "1" * count)[-WINDOW:]
            return
        for _ in range(count):
            self.opinions = (self.opinions + "01"[told_it])[-WINDOW:]
            self.vanished |= len(self.opinions) == WINDOW and self.is_doubtful

    def note_usual(self, marks: str) -> None:
        """Records in a row have it (1) or not (0), whatever is stored."""
        self.missing += marks.count("0")
        ends = range(max(len(self.recent) + 1, WINDOW), len(self.recent) + len(marks) + 1)
        marks = self.recent + marks
        self.vanished |= "0" in marks and any(marks.count("1", end - WINDOW, end) <= ODD_ONES for end in ends)
        self.recent = marks[-WINDOW:]

    @property
    def is_doubtful(self) -> bool:
        """Whether of the last records that could tell it at least as many lost it as told it."""
        return self.opinions.count("0") >= max(1, self.opinions.count("1"))

    def has_settled(self, before: tuple[int, int]) -> bool:
        """Whether the source is known to tell it still, for a loss `before` which `filled` and `lost` were these."""
        return self.filled - before[0] >= TELLERS * (self.lost - before[1])


class Seen(NamedTuple):
    """One record of a batch, as far as it matters here."""

    key: tuple[Any, ...]
    """Its row's key without the source."""
    at: str
    """When it was fetched."""
    answer: str
    """The form of the answer: records are compared with others of the same form only."""
    names: frozenset[str]
    """Fields that such an answer tells; nested ones by their first part."""
    filled: frozenset[str]
    stored: frozenset[str]
    """Fields that the stored record has; empty for a new one."""
    is_announced: bool = False
    """A work that is only announced may lack nearly everything."""
    own: Mapping[str, tuple[str, str]] = {}
    """Field -> (value told, stored value or ""), of fields whose values are each record's own."""


def seen(kind: str, item: Item, key: tuple[Any, ...], stored: Mapping[str, Any] | None) -> Seen:
    """`seen` gathers what `fields_to_keep` needs to know of an item.

    What could not be understood counts as missing, but never as a loss: it stays as it is stored, whatever others tell.

    Args:
        stored: JSON of its row; ``None``: it is new, or unchanged.
    """
    untold = item.untold - item.unread
    names = frozenset(FIELDS[kind]) - untold
    told_now = dict(_texts(item.__dict__, [name for name in OWN.get(kind, ()) if name in names]))
    before = dict(_texts(stored, [name for name in OWN.get(kind, ()) if name in names - item.unread])) if stored else {}
    return Seen(
        key,
        iso(item.fetched_at),
        item.kind if isinstance(item, Release) else ",".join(sorted(untold)),
        names,
        filled_in(item.__dict__, names),
        filled_in(stored, names - item.unread, item) if stored else frozenset(),
        isinstance(item, Anime) and item.status is AiringStatus.ANNOUNCED,
        {name: (value, before.get(name, "")) for name, value in told_now.items()},
    )


def _texts(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(field, its text) of an item's or of a row's JSON, where it has one."""
    for name in names:
        value = values.get(name)
        inner = value.__dict__ if isinstance(value, BaseModel) else value
        parts = {f"{name}.{part}": text for part, text in inner.items()} if isinstance(inner, dict) else {name: inner}
        yield from ((path, text) for path, text in parts.items() if isinstance(text, str) and text)


def digest_of(value: str) -> str:
    """A short name for a value."""
    return blake2b(value.encode(), digest_size=6).hexdigest()


def filled_in(values: Mapping[str, Any], names: Iterable[str], told: Item | None = None) -> frozenset[str]:
    """Fields with a value, of an item's or of a row's JSON; ``False`` and 0 are values.

    Args:
        told: for what is stored: the answer. A month or day that is stored counts only where the answer has the same
            date without it; another date is news.
    """
    found = []
    for name in names:
        value = values.get(name)
        if type(value) not in PLAIN and isinstance(value, BaseModel):  # the latter alone takes ten times as long
            value = value.__dict__
        if isinstance(value, dict):
            found += [f"{name}.{part}" for part, inner in value.items() if inner]
        elif value is not None and value != () and value != []:
            found.append(name)
            if name in DATES and (told is None or value.startswith(getattr(told, name) or "-")):
                found += [f"{name}.{part}" for part in PARTS[len(value)]]
    return frozenset(found)


def fields_to_keep(batch: Batch, kind: str, source: str, records: Iterable[Seen]) -> dict[tuple[Any, ...], set[str]]:
    """Key of a record -> fields that it came without, of which the stored values are to stay.

    Counts what the records tell, and notes in ``batch.erasable`` which older losses are no longer in doubt.
    """
    keep: dict[tuple[Any, ...], set[str]] = {}
    if batch.is_settling:
        return keep
    for answer, group in groupby(sorted(records, key=attrgetter("answer", "at")), attrgetter("answer")):
        _watch(batch, (source, kind, answer), list(group), keep)
    return keep


def _watch(batch: Batch, place: tuple[str, str, str], records: Sequence[Seen], keep: dict[Any, set[str]]) -> None:
    source, kind, _ = place
    usual = frozenset(batch.usual.get(source, {}).get(kind, ()))
    fields, stored_text = _load(batch, place)
    records = _with_own(fields, records)
    known = _doubts_of(batch, place, records) if any(f.open for f in fields.values()) else {}
    lost = [frozenset(_lost(record, usual)) for record in records]
    watched = {name for name, f in fields.items() if f.open}.union((name for _, name in known), *lost)
    for name, count in Counter(chain.from_iterable(record.filled for record in records)).items():
        if name not in watched:
            fields.setdefault(name, Field()).note_opinions(True, count)
    for name in usual:
        outer = name.partition(".")[0]
        tellers = (r for r in records if outer in r.names and (name in r.filled or not r.is_announced))
        if marks := "".join("01"[name in record.filled] for record in tellers):
            fields.setdefault(name, Field()).note_usual(marks)
    losses: dict[tuple[str, str], tuple[int, int]] = {}  # (key, field) -> counts before it
    told_again: list[tuple[str, str]] = []
    told_now = set()
    for _, together in groupby(zip(records, lost, strict=True) if watched else (), lambda pair: pair[0].at):
        before = {name: (f.filled, f.lost) for name, f in fields.items()}
        for record, lost_names in together:
            key = _text(record.key)
            for name in lost_names:
                f = fields.setdefault(name, Field())
                f.lost_at = max(f.lost_at, record.at)
                f.losses += 1
                f.lost += (key, name) not in known
                losses[key, name] = known.get((key, name)) or before.get(name, (0, 0))
                f.note_opinions(False)
            for name in record.filled & watched:
                f = fields.setdefault(name, Field())
                if record.at >= f.lost_at:
                    f.filled += 1
                    told_now.add(name)
                f.note_opinions(True)
                if (key, name) in known:
                    told_again.append((key, name))
    settled = told_again
    doubts = []
    for (key, name), before_it in losses.items():
        if fields[name].has_settled(before_it):
            settled += [(key, name)] if (key, name) in known else []
            continue
        keep.setdefault(tuple(orjson.loads(key)), set()).add(name)
        if (key, name) not in known:
            doubts.append((*place, name, key, *before_it))
            fields[name].open += 1
    if doubts:
        batch.conn.execute(_upsert_doubts(batch.dialect), {"rows": packed(doubts)})
    for name in sorted(told_now):
        if fields[name].open:
            for key in _settled(batch, place, name, fields[name]):
                settled.append((key, name))
                if name.endswith(".own"):  # there is a value to store in its place, which comes with the next answer
                    continue
                batch.erasable.setdefault((source, kind), {}).setdefault(tuple(orjson.loads(key)), set()).add(name)
    _forget(batch, place, fields, settled)
    text = _fields_text(fields)
    if text != stored_text:  # the windows of a long run are full of the same
        batch.conn.execute(_upsert_told(batch.dialect), {"rows": packed([(*place, batch.run_id, text)])})


def _with_own(fields: dict[str, Field], records: Sequence[Seen]) -> list[Seen]:
    """The records, with ``description.own`` among what they tell, and among what is stored where they tell another.

    A record that tells what is stored counts only where something has changed: it proves that others have their own.
    """
    for record in records:
        for name, (value, stored) in record.own.items():
            if stored not in ("", value):
                fields.setdefault(f"{name}.own", Field()).note_change(value, stored)
    found = []
    for record in records:
        changed = {f"{name}.own" for name, (value, stored) in record.own.items() if stored not in ("", value)}
        watched = ((f"{name}.own", value) for name, (value, _) in record.own.items())
        own = {name for name, value in watched if (f := fields.get(name)) and f.changes and f.is_own(value)}
        is_as_it_was = not own and not changed
        found.append(
            record if is_as_it_was else record._replace(filled=record.filled | own, stored=record.stored | changed)
        )
    return found


def _lost(record: Seen, usual: Collection[str]) -> Iterator[str]:
    for name in record.stored - record.filled:
        if name not in PASSING or name in usual:
            yield name


def _load(batch: Batch, place: tuple[str, str, str]) -> tuple[dict[str, Field], str]:
    """The counts so far, and their text in the row; the text is "" where the row has to be written anyway."""
    row = batch.conn.execute(_told(), dict(zip(("source", "kind", "answer"), place, strict=True))).first()
    if row is None:
        return {}, ""
    fields = {name: Field(**values) for name, values in orjson.loads(row.fields).items()}
    if row.run_id == batch.run_id:
        return fields, row.fields
    return {name: f.of_new_run() for name, f in fields.items()}, ""


def _fields_text(fields: Mapping[str, Field]) -> str:
    """The fields as they stand in the row; where no loss is in doubt, there is nothing to count on from."""
    for f in fields.values():
        if not f.open:
            f.filled, f.lost, f.lost_at = 0, 0, ""
    return orjson.dumps(dict(sorted(fields.items()))).decode()


def _is_at(table: Any, source: str, kind: str, answer: str) -> tuple[Any, ...]:
    return table.c.source == source, table.c.kind == kind, table.c.answer == answer


def _doubts_of(
    batch: Batch, place: tuple[str, str, str], records: Iterable[Seen]
) -> dict[tuple[str, str], tuple[int, int]]:
    """(key, field) -> counts before the loss, of all losses of these records that are in doubt."""
    source, kind, answer = place
    keys = packed_ids(_text(record.key) for record in records)
    rows = fetch(batch.conn, _known(batch.dialect), source=source, kind=kind, answer=answer, keys=keys)
    return {(key, name): (filled, lost) for key, name, filled, lost in rows}


def _settled(batch: Batch, place: tuple[str, str, str], name: str, f: Field) -> list[str]:
    """Keys of the losses of a field that are no longer in doubt."""
    d = doubt.c
    is_settled = f.filled - d.filled >= TELLERS * (f.lost - d.lost)
    statement = select(d.key).where(*_is_at(doubt, *place), d.field == name, is_settled).order_by(d.key)
    return list(batch.conn.scalars(statement))


def _forget(
    batch: Batch, place: tuple[str, str, str], fields: Mapping[str, Field], settled: Iterable[tuple[str, str]]
) -> None:
    if rows := sorted(set(settled)):
        source, kind, answer = place
        parameters = {"source": source, "kind": kind, "answer": answer, "rows": packed(rows)}
        batch.conn.execute(_delete(batch.dialect), parameters)
        for _, name in rows:
            fields[name].open = max(0, fields[name].open - 1)


def _text(key: tuple[Any, ...]) -> str:
    return orjson.dumps(key).decode()


def with_stored(item: I, stored: Mapping[str, Any], names: Iterable[str]) -> I:
    """The item with what is stored of these fields in the place of nothing."""
    values = item.model_dump(mode="json")
    for name in names:
        outer, _, inner = name.removesuffix(".own").partition(".")
        if inner and outer not in DATES:
            values[outer] = {**values[outer], inner: stored[outer][inner]}
        else:
            values[outer] = stored[outer]
        if outer == "description":
            values["description_raw"] = stored.get("description_raw")
    return type(item).model_validate(values)


def without(item: I, names: Iterable[str]) -> I:
    """The item with nothing in these fields."""
    values = item.model_dump(mode="json")
    for name in names:
        outer, _, inner = name.partition(".")
        if outer in DATES and inner:
            values[outer] = values.get(outer) and values[outer][: 4 if inner == "month" else 7]
        elif inner:
            values[outer] = {part: value for part, value in values[outer].items() if part != inner}
        else:
            values.pop(name, None)
        if name == "description":
            values.pop("description_raw", None)
    return type(item).model_validate(values)


class Vanished(NamedTuple):
    """A field that a run was (nearly) never told."""

    source: str
    kind: str
    field: str
    records: int
    """How many of the run came without it."""


def vanished_in(conn: Connection, run_id: int) -> list[Vanished]:
    """Fields that vanished in a run.

    A usual field, by the source's card, vanishes when all but `ODD_ONES` of any `WINDOW` records in a row lack it.
    Any field does when, of the last up to `WINDOW` records that told it or came without a value that is stored, at
    least half came without: that holds for a lookup of one record, too.
    """
    rows = conn.execute(select(told).where(told.c.run_id == run_id).order_by(*told.primary_key))
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        for name, values in orjson.loads(row.fields).items():
            f = Field(**values)
            if f.vanished or f.is_doubtful:
                place = row.source, row.kind, name
                counts[place] = counts.get(place, 0) + max(f.missing, f.losses)
    return [Vanished(*place, count) for place, count in sorted(counts.items())]


PAIR = (doubt.c.key, doubt.c.field)


@cache
def _known(dialect: str) -> Select[Any]:
    d, keys = doubt.c, rows_of(dialect, "keys", [doubt.c.key])
    here = (d.source == bindparam("source"), d.kind == bindparam("kind"), d.answer == bindparam("answer"))
    statement = select(d.key, d.field, d.filled, d.lost).where(*here, d.key.in_(select(keys.c.key)))
    return as_json(dialect, statement)


@cache
def _told() -> Select[Any]:
    """(run, fields) of a place."""
    t = told.c
    here = (t.source == bindparam("source"), t.kind == bindparam("kind"), t.answer == bindparam("answer"))
    return select(t.run_id, t.fields).where(*here)


@cache
def _delete(dialect: str) -> Delete:
    d, rows = doubt.c, rows_of(dialect, "rows", PAIR)
    here = (d.source == bindparam("source"), d.kind == bindparam("kind"), d.answer == bindparam("answer"))
    same = select(rows.c.key).where(rows.c.key == d.key, rows.c.field == d.field).exists()
    return delete(doubt).where(*here, same)


@cache
def _upsert_doubts(dialect: str) -> Upsert:
    return upsert_rows(dialect, doubt, list(doubt.c), keys=[column.name for column in doubt.primary_key])


@cache
def _upsert_told(dialect: str) -> Upsert:
    return upsert_rows(dialect, told, list(told.c), keys=["source", "kind", "answer"])
