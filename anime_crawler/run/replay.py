"""A dead letter's way back: through the parser or the validation of today into the catalogue, or to the importer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from anime_crawler.base_spiders import SourceError, raw_body
from anime_crawler.catalogue import dead_letters
from anime_crawler.catalogue.store.items import Storable
from anime_crawler.catalogue.titles import raise_versions
from anime_crawler.items import Airing, Anime, Character, Episode, Item, Rejected, Release, Snapshot, storable
from anime_crawler.pipelines.validation import validated

ITEMS: dict[str, type[Item]] = {
    "anime": Anime,
    "release": Release,
    "episode": Episode,
    "character": Character,
    "airing": Airing,
    "snapshot": Snapshot,
}
"""The classes of items that the validation sets aside, by the kind in its letters."""

Store = Callable[[Connection, Sequence[Storable]], object]
"""`store_items` with everything given but connection and items."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of the replay of one letter."""

    message: str
    is_gone: bool


def replay(conn: Connection, letter: Row[Any], store: Store, sources: str) -> Outcome:
    """Try one letter again, in the caller's transaction.

    Args:
        letter: a row of ``dead_letter``.
        sources: dotted name of the package with the source folders.
    """
    if letter.stage == "deliver":
        title_id = orjson.loads(letter.request)["title_id"]
        dead_letters.drop(conn, letter.id)
        raise_versions(conn, [title_id])
        return Outcome(f"title {title_id} will be sent again by the next `scrapy deliver` or crawl", True)
    try:
        items = list(_items(letter, sources))
    except (SourceError, ValueError, ModuleNotFoundError) as error:  # a ValueError: letters of before were cut
        return Outcome(f"still not understood: {error}", False)
    store(conn, items)
    return _judge(conn, letter, items)


def _items(letter: Row[Any], sources: str) -> Iterator[Item | Rejected]:
    if letter.stage == "validate":
        if letter.kind not in ITEMS:
            raise ValueError(f"{letter.kind} is not an item of this project")
        yield validated(ITEMS[letter.kind].model_validate(json.loads(letter.raw)))
        return
    parser = import_module(f"{sources}.{letter.source}.parse")
    received_at = datetime.fromisoformat(letter.fetched_at or letter.created_at)
    for item in parser.parse_file(raw_body(letter.raw), f"dead letter {letter.id}", received_at):
        yield storable(item) if isinstance(item, Rejected) else validated(item)


def _judge(conn: Connection, letter: Row[Any], items: Sequence[Item | Rejected]) -> Outcome:
    refused = [item for item in items if isinstance(item, Rejected)]
    again = [item.reason for item in refused if dead_letters.is_of(letter, item)]
    if again or not items:
        return Outcome(f"still not understood: {'; '.join(again) or 'it gives no item'}", False)
    dead_letters.drop(conn, letter.id)  # there still when it had no id of its own: a page
    kept = f", {len(refused)} records of it set aside on their own" if refused else ""
    return Outcome(f"understood, {len(items) - len(refused)} items stored{kept}", True)
