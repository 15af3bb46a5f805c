"""A `Batch` holds what the parts of one `store_items` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import Connection

from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.titles import Touched
from anime_crawler.items import Anime, Item, Release, utc_now

JUST_NOW = timedelta(seconds=5)  # from an answer to the batch; out of a cache it takes longer
I = TypeVar("I", bound=Item)  # noqa: E741  one letter, as type variables are


@dataclass
class Batch:
    """One batch of items on its way into the tables."""

    conn: Connection
    run_id: int
    identity_source: str
    source_priority: Collection[str]
    listing_is_full: bool
    refresh_ongoing: timedelta
    refresh_released: timedelta
    usual: Mapping[str, Mapping[str, Collection[str]]] = field(default_factory=dict)
    """Source -> kind -> fields that its records usually have, by its card."""
    is_settling: bool = False
    """The items are no answers, but rows from which values are erased that were in doubt."""
    erasable: dict[tuple[str, str], dict[tuple[Any, ...], set[str]]] = field(default_factory=dict)
    """(source, kind) -> key of a row -> fields to erase of it: the source still tells them of other records."""
    misnamed: set[tuple[str, str]] = field(default_factory=set)
    """(source, id) by which releases name their anime while its ids seem to have vanished: these are not stored."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: Touched = field(default_factory=Touched)
    began: datetime = field(default_factory=utc_now)

    @property
    def just_now(self) -> str:
        """Items that were fetched since this time count as having just come."""
        return iso(self.began - JUST_NOW)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.conn.dialect.name

    def is_outdated(self, item: Item, stored_at: str | None) -> bool:
        """Whether the row was fetched later than the item, which may be of an answer that was kept for a day.

        What has just come is never outdated, whatever the row says: a clock that was wrong must not hide news.
        """
        fetched_at = iso(item.fetched_at)
        return fetched_at < self.just_now and stored_at is not None and fetched_at < stored_at

    def is_older(self, item: Item, version: str | None, stored: str | None, stored_at: str) -> bool:
        """Whether the stored row is a newer version than the item, which a paused worker or a cache may bring late.

        By the source's own time of change where both have one and they differ, else by the time of fetching.

        Args:
            version: the item's time of change at the source.
            stored: the row's. One in the future was wrong, and hides nothing.
            stored_at: when the row was fetched.
        """
        if version is not None and stored is not None and version != stored and stored <= iso(self.began):
            return version < stored
        return self.is_outdated(item, stored_at)

    def shapes_titles(self, source: str) -> bool:
        """Whether titles are made of what this source says of anime, and delivered anew when that changes."""
        return source == self.identity_source or source in self.source_priority

    def title_of(self, item: Anime | Release) -> str | None:
        """The title an item belongs to; ``None``: unmatched."""
        if item.source != self.identity_source:
            return item.external_ids.get(self.identity_source)
        return item.source_id if isinstance(item, Anime) else item.anime_id


def by_source(items: Iterable[I]) -> Iterator[tuple[str, list[I]]]:
    """The items of each source, in their order."""
    source = attrgetter("source")
    for name, group in groupby(sorted(items, key=source), key=source):
        yield name, list(group)
