"""The same titles at the other sources: who knows which, under what id, and who plays in them.

Every module of an upstream takes ids, cast and its own oddities from here, so that one anime is the same anime
everywhere, and differs only as its upstream says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from anime_crawler.sandbox.world.words import FAMILY_NAMES, GIVEN_NAMES
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

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
"""Characters of its own that a title has at most."""
MAIN = 2
"""How many of these are main characters."""


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


@lru_cache(maxsize=100_000)
def draws(oddity: str, number: int, *below: int) -> tuple[int, ...]:
    """First numbers of `oddities`, each below one of those given. Lists ask for the same ones with every page."""
    draw = Random(f"{oddity}:{number}")  # noqa: S311 - as in `oddities`
    return tuple(draw.randrange(n) for n in below)


def id_at(source: str, title: Title) -> str | None:
    """The source's id of the title; ``None``: it does not know the title."""
    if draws(f"{source} knows", title.id, 100)[0] >= SHARES[source]:
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
    """Who plays in it, main characters first; the same at every source. One title in about seven has nobody.

    The first of a title's own comes back in its sequel, in a smaller part and with another voice.
    """
    own = _own_cast(title.id)
    before = next((number for kind, target, number, _ in title.related if (kind, target) == ("prequel", "anime")), None)
    guests = _own_cast(before)[:1] if own and before is not None else []
    voice = Random(f"guest:{title.id}").choice(GIVEN_NAMES)  # noqa: S311 - as in `oddities`
    again = [replace(role, main=False, voice=f"{voice} {role.voice.partition(' ')[2]}") for role in guests]
    return [*own[:MAIN], *again, *own[MAIN:]]


def _own_cast(number: int) -> list[Role]:
    draw = Random(f"cast:{number}")  # noqa: S311 - as in `oddities`
    return [
        Role(
            number=number * 10 + n,
            name=f"{draw.choice(GIVEN_NAMES)} {draw.choice(FAMILY_NAMES)}",
            main=n < MAIN,
            voice=f"{draw.choice(GIVEN_NAMES)} {draw.choice(FAMILY_NAMES)}",
        )
        for n in range(draw.randint(0, MAX_CAST))
    ]


def appearances(number: int, world: World) -> list[tuple[Title, Role]]:
    """The titles that a character is in, its own before the sequel; none where there is no such character."""
    home = world.titles.get(number // 10)
    sequels = [world.titles.get(n) for kind, _, n, _ in home.related if kind == "sequel"] if home else []
    titles = [title for title in (home, *sequels) if title]
    return [(title, role) for title in titles for role in cast(title) if role.number == number]
