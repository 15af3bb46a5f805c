"""Which upstream knows a title, and by which id: the same anime exists everywhere, but not everywhere the same."""

from __future__ import annotations

import re
from zlib import crc32

from anime_crawler.sandbox.model import Title

SHARES = {
    "jikan": 97,
    "anilist": 90,
    "kitsu": 88,
    "anidb": 92,
    "animeschedule": 60,
    "anisearch": 75,
    "anime_planet": 80,
}
"""Percent of the titles that each knows; about what they have of MyAnimeList's."""

NUMBERED = {"anilist": (3, 100_000), "kitsu": (2, 7), "anidb": (1, 10), "anisearch": (1, 2_000)}
"""Factor and offset that make an id of Shikimori's: unique, and never the same number by accident."""


def id_at(source: str, title: Title) -> str | None:
    """The title's id at the source; ``None``: the source does not know it."""
    if _drawn(source, title) >= SHARES[source]:
        return None
    if source == "jikan":
        return str(title.mal_id or title.id)
    if source in NUMBERED:
        factor, offset = NUMBERED[source]
        return str(title.id * factor + offset)
    return f"{slug(title.romaji)}-{title.id}"


def ids_of(title: Title) -> dict[str, str]:
    """Its ids at all sources that know it."""
    found = {source: id_at(source, title) for source in SHARES}
    return {source: its for source, its in found.items() if its is not None}


def slug(text: str) -> str:
    """Small Latin letters and digits joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "title"


def _drawn(source: str, title: Title) -> int:
    """0 to 99, the same on every machine."""
    return crc32(f"{source} {title.id}".encode()) % 100
