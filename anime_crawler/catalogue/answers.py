"""The catalogue notes what the identity source said of a title, when it said so, and when to ask again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from anime_crawler.catalogue.sql import iso
from anime_crawler.catalogue.store.batch import Batch, I
from anime_crawler.catalogue.titles import note_answers
from anime_crawler.items import Absent, AiringStatus, Anime, Rejected


def store_answers(batch: Batch, known: Sequence[Anime], absent: Sequence[Absent], rejected: Sequence[Rejected]) -> None:
    """Note the identity source's answers on their titles, also when they bring nothing new.

    A title whose answer could not be understood counts as asked: it is asked for again after a day, not in each run.
    """
    batch.counts["anime", "absent"] += len(absent)
    answers = [(a.source_id, "known", iso(a.fetched_at), iso(_due_at(batch, a))) for a in _asked(batch, known)]
    for a in _asked(batch, absent):
        answers.append((a.source_id, "unknown", iso(a.fetched_at), iso(a.fetched_at + batch.refresh_released)))
    for r in rejected:
        if r.source == batch.identity_source and r.kind == "anime" and r.source_id:
            answers.append((r.source_id, "failed", iso(r.fetched_at), iso(r.fetched_at + batch.refresh_ongoing)))
    note_answers(batch.conn, batch.run_id, batch.just_now, answers)


def _asked(batch: Batch, items: Sequence[I]) -> list[I]:
    return [item for item in items if item.source == batch.identity_source]


def _due_at(batch: Batch, item: Anime) -> datetime:
    if item.status is not AiringStatus.ONGOING:
        return item.fetched_at + batch.refresh_released
    due = item.fetched_at + batch.refresh_ongoing
    # An announced time that has passed is the source's own delay: asking at once again would never end.
    if item.next_episode_at and item.fetched_at < item.next_episode_at < due:
        return item.next_episode_at
    return due
