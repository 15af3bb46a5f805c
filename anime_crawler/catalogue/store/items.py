"""Items into rows: one batch, a few statements, and nothing written for what is unchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from anime_crawler.catalogue import dead_letters, gone, runs
from anime_crawler.catalogue.answers import store_answers
from anime_crawler.catalogue.details import note_asked
from anime_crawler.catalogue.store import anime as store_anime
from anime_crawler.catalogue.store import metadata as store_metadata
from anime_crawler.catalogue.store import releases as store_releases
from anime_crawler.catalogue.store.batch import Batch
from anime_crawler.catalogue.store.metadata import FORMS
from anime_crawler.catalogue.titles import store_titles
from anime_crawler.items import Absent, Anime, Checkpoint, Item, Listed, Rejected, Release

Storable = Item | Checkpoint | Rejected
KINDS: tuple[type, ...] = (Anime, Release, *FORMS, Absent, Listed, Rejected, Checkpoint)
"""These kinds of items have a table."""


def store_items(
    conn: Connection,
    run_id: int,
    items: Sequence[Storable],
    *,
    identity_source: str,
    source_priority: Collection[str],
    listing_is_full: bool = False,
    refresh_ongoing_hours: float = 24,
    refresh_released_days: float = 30,
    usual: Mapping[str, Mapping[str, Collection[str]]] | None = None,
) -> Counter[tuple[str, str]]:
    """Store a batch in the caller's transaction.

    Args:
        items: in the order they were yielded; a record may come more than once, its newest version counts.
        identity_source: the source whose ids are the titles' ids.
        source_priority: the sources whose anime are delivered. Those of others are kept under their title, but make
            none and do not raise its version: the backend would get nothing new.
        listing_is_full: the walk lists everything, so each release is noted as seen.
        refresh_ongoing_hours: age at which an airing title's metadata is due again.
        refresh_released_days: the same for every other title.
        usual: source -> kind -> fields that its records usually have, by its card; see `vanished`.

    Returns:
        (kind, outcome) -> how many. Outcome is new, changed, unchanged, failed; a player may be gone, an anime absent.
        Kinds are the items' and what they hold: player, appearance, title. A checkpoint is counted when it was refused
        and no later one of the batch was stored.

    Raises:
        TypeError: an item of a kind that has no table.
    """
    refresh = timedelta(hours=refresh_ongoing_hours), timedelta(days=refresh_released_days)
    batch = Batch(conn, run_id, identity_source, source_priority, listing_is_full, *refresh, usual=usual or {})
    kinds = _by_kind(items)
    store_releases.store_releases(batch, kinds[Release])
    store_anime.store_anime(batch, [item for item in kinds[Anime] if item.key not in batch.misnamed])
    store_metadata.store_metadata(batch, kinds)
    gone.store_listed(batch, kinds[Listed])
    gone.mark_absent(batch, kinds[Absent], {item.source for item in kinds[Anime]})
    _erase(batch)
    order = dict.fromkeys(batch.title_of(item) for item in items if isinstance(item, Anime | Release))
    batch.counts["title", "new"] += store_titles(conn, run_id, (t for t in order if t), batch.touched)
    store_answers(batch, kinds[Anime], kinds[Absent], kinds[Rejected])
    dead_letters.clear_understood(conn, [item for item in items if isinstance(item, Item)], batch.just_now)
    dead_letters.put_rejected(conn, run_id, kinds[Rejected], batch.just_now)
    batch.counts.update((rejected.kind, "failed") for rejected in kinds[Rejected])
    for checkpoint in kinds[Checkpoint]:
        gone.note_listed(batch, checkpoint.source, checkpoint.listed)
        ends_full_walk = checkpoint.full_since is not None and (
            runs.load_checkpoint(conn, checkpoint.source) != checkpoint.state  # else it has ended already
        )
        is_stored = runs.store_checkpoint(conn, run_id, checkpoint)
        batch.counts["checkpoint", "refused"] = 0 if is_stored else batch.counts["checkpoint", "refused"] + 1
        if is_stored and ends_full_walk and checkpoint.full_since is not None:
            gone.mark_unlisted(batch, checkpoint.source, checkpoint.full_since)
        note_asked(conn, run_id, checkpoint)
    return +batch.counts


def _erase(batch: Batch) -> None:
    """Erase what answers came without, now that the source is known to tell it of others still."""
    batch.is_settling = True
    for (source, kind), fields in batch.erasable.items():
        if kind == "anime":
            store_anime.erase(batch, source, fields)
        elif kind == "release":
            store_releases.erase(batch, source, fields)
        else:
            store_metadata.erase(batch, kind, source, fields)


def _by_kind(items: Sequence[Storable]) -> dict[type, list[Any]]:
    kinds: dict[type, list[Any]] = {kind: [] for kind in KINDS}
    for item in items:
        if type(item) not in kinds:
            raise TypeError(f"the catalogue has no table for {type(item).__name__} items")
        kinds[type(item)].append(item)
    return kinds
