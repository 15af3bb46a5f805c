"""Numbers of episodes within an anime: one numbering over all its releases, whatever the order they came in.

A source counts seasons within the franchise, so the fourth TV season, an anime of its own, comes as season 4 with
episodes from 1. The base is the season that most of the anime's releases have; of equal ones the lowest; season 0
(specials) only where nothing else is. An episode n of

    the base                                n
    a season s up to 98 above the base      10,000 x (s - base) + n
    season 0 beside others                  990,000 + n
    any other season s                      1,000,000 + 10,000 x s + n
    no season: a film                       n, which is 1

Parsers let pass n and s up to 9,999, so no two episodes share a number, and the highest is 100,999,999. What is gone
does not count, unless everything is: the numbering follows from what can be watched now and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from anime_crawler.catalogue.tables import NO_SEASON

APART, SPECIALS, ELSEWHERE = 10_000, 990_000, 1_000_000
MOST_ABOVE = 98
"""A 99th season above the base would have the numbers of specials."""


class SeasonCount(NamedTuple):
    """How many releases of an anime have a season."""

    season: int
    live: int
    """Those that list it now."""
    ever: int


def base_season(counts: Iterable[SeasonCount]) -> int:
    """The season whose episodes keep their numbers; 0 where there is no season at all."""
    known = [count for count in counts if count.season != NO_SEASON]
    there = [count for count in known if count.live] or [count._replace(live=count.ever) for count in known]
    candidates = [count for count in there if count.season] or there
    return min(candidates, key=lambda count: (-count.live, count.season)).season if candidates else 0


def number_of(season: int, source_number: int, base: int) -> int:
    """The number within the anime.

    Args:
        season: as a source counts it, or `NO_SEASON`.
        source_number: of the episode within that season.
    """
    if season in (NO_SEASON, base):
        return source_number
    if season == 0:
        return SPECIALS + source_number
    if base < season <= base + MOST_ABOVE:
        return APART * (season - base) + source_number
    return ELSEWHERE + APART * season + source_number


class KnownEpisode(NamedTuple):
    """An episode that some release lists, or once did."""

    number: int
    """Within the anime."""
    title: str | None
    """As the first release that named it does."""
    season: int | None = None
    """As the source counts; ``None``: it counts none, a film."""
    source_number: int = 0
    """Within that season."""


def numbered_episodes(rows: Iterable[Sequence[Any]], base: int) -> list[KnownEpisode]:
    """The episodes of one anime by number, none twice.

    Args:
        rows: (season or `NO_SEASON`, number within it, title). A film is the same episode as the first of the base.
    """
    found: dict[int, KnownEpisode] = {}
    for season, source_number, title in sorted(rows, key=lambda row: (row[0], row[1]), reverse=True):
        number = number_of(season, source_number, base)
        name = title or (found[number].title if number in found else None)
        found[number] = KnownEpisode(number, name, None if season == NO_SEASON else season, source_number)
    return [found[number] for number in sorted(found)]
