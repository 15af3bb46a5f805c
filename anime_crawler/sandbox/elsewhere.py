"""The same titles at the other sources: who knows which, under what id, and who plays in them.

Every module of an upstream takes ids, cast and its own oddities from here, so that one anime is the same anime
everywhere, and differs only as its upstream says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from anime_crawler.sandbox.model import Title
from anime_crawler.sandbox.words import FAMILY_NAMES, GIVEN_NAMES
from anime_crawler.sandbox.world import World

SHARES = {
    "jikan": 96,
    "anilist": 90,
    "kitsu": 90,
    "anidb": 70,
    "animeschedule": 60,
    "anisearch": 80,
    "anime_planet": 85,
}
"""Percent of titles that a source knows: about what the real catalogues have of each other."""
OFFSETS = {"anilist": 100_000, "kitsu": 40_000, "anidb": 5_000, "anisearch": 10_000}
"""How far a source's numbers lie from the world's. MyAnimeList's are the world's own."""
SHY = ("kitsu",)
"""Sources that show adult titles after a login only: the id exists, but nobody gets anything for it."""
NAMED = ("animeschedule", "anime_planet")
"""Sources whose ids are words of the title."""
MAX_CAST = 6


@dataclass(frozen=True, slots=True)
class Role:
    """One character of a title, and who speaks it in Japanese."""

    number: int
    """Unique in the world."""
    name: str
    """Given name first."""
    main: bool
    voice: str


def oddities(source: str, title: Title) -> Random:
    """What the source has of its own in this title is drawn from here; the same on every machine."""
    return Random(f"{source}:{title.id}")  # noqa: S311 - repeatable, keeps no secret


def id_at(source: str, title: Title) -> str | None:
    """The source's id of the title; ``None``: it does not know the title."""
    if oddities(f"{source} knows", title).randrange(100) >= SHARES[source]:
        return None
    if source == "jikan":
        return None if title.mal_id is None else str(title.mal_id)
    if source in NAMED:
        return f"{slug_of(title.romaji)}-{title.id}"
    return str(title.id + OFFSETS[source])


def ids_elsewhere(title: Title) -> dict[str, str]:
    """Its id at each source that knows it, by the source's name."""
    found = {source: id_at(source, title) for source in SHARES}
    return {source: number for source, number in found.items() if number is not None}


def known_at(source: str, world: World) -> dict[str, Title]:
    """Every title that the source knows and shows, by its id there."""
    shown = (title for title in world.titles.values() if not (source in SHY and title.rating == "rx"))
    found = ((id_at(source, title), title) for title in shown)
    return {number: title for number, title in found if number is not None}


def slug_of(name: str) -> str:
    """Small Latin letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def cast(title: Title) -> list[Role]:
    """Who plays in it, main characters first; the same at every source. One title in about seven has nobody."""
    draw = oddities("cast", title)
    return [
        Role(
            number=title.id * 10 + n,
            name=f"{draw.choice(GIVEN_NAMES)} {draw.choice(FAMILY_NAMES)}",
            main=n < 2,
            voice=f"{draw.choice(GIVEN_NAMES)} {draw.choice(FAMILY_NAMES)}",
        )
        for n in range(draw.randint(0, MAX_CAST))
    ]
