"""What the parts of one `store_items` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from sqlalchemy import Connection

from anime_crawler.catalogue.titles import Touched
from anime_crawler.items import Anime, Item, Release

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
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: Touched = field(default_factory=Touched)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.conn.dialect.name

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
