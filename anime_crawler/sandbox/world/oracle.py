"""What a perfect importer would hold, computed from the world itself and not by the crawler's code.

The numbering rule: a film is episode 1. The base of a title is the season that most of its materials have, of equal
ones the lowest, season 0 only where there is no other. It keeps its numbers; a season s up to 98 above it adds
10,000 x (s - base); season 0 beside others adds 990,000; any other season adds 1,000,000 + 10,000 x s. An episode
above 9,999 is unreadable.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.works import Material
from anime_crawler.sandbox.world.world import World

Row = dict[str, Any]


def numbered(material: Material, base: int) -> Iterator[tuple[int | None, int, int, str]]:
    """(season, Kodik's number, our number, https link) of every player of the material."""
    if material.seasons is None:
        yield None, 1, 1, canonical(material.link)
        return
    for season, episodes in material.seasons.items():
        offset = 10_000 * (season - base)
        if season == 0 != base:
            offset = 990_000
        elif not 0 <= season - base <= 98:
            offset = 1_000_000 + 10_000 * season
        for number, episode in episodes.items():
            if number <= 9_999:
                yield season, number, offset + number, canonical(episode.link)


def base_of(materials: Iterable[Material]) -> int:
    """The season that most of a title's materials have."""
    seasons = Counter(
        season for m in materials for season, numbers in (m.seasons or {}).items() if any(n <= 9_999 for n in numbers)
    )
    return min((-count, season) for season, count in seasons.items() if season)[1] if any(seasons) else 0


def canonical(link: str) -> str:
    """The https form, host in lower case, nothing after the path."""
    _, host, path = re.split(r"//([^/]+)", link.split("?")[0].split("#")[0], maxsplit=1)
    return f"https://{host.lower()}{path}"


def players(world: World) -> list[Row]:
    """Every player of every material with a Shikimori id."""
    of_title: dict[str | None, list[Material]] = defaultdict(list)
    for material in world.materials.values():
        if material.has_id:
            of_title[material.shikimori_id].append(material)
    bases = {title_id: base_of(materials) for title_id, materials in of_title.items()}
    return [
        {
            "title_id": material.shikimori_id,
            "source_episode_id": f"{material.shikimori_id}:{number}",
            "number": number,
            "url": url,
            "material_id": material.id,
            "season_number": season,
            "source_number": source_number,
        }
        for material in world.materials.values()
        if material.has_id
        for season, source_number, number, url in numbered(material, bases[material.shikimori_id])
    ]


def episodes(world: World) -> list[Row]:
    """The union over releases, by title and number."""
    found = {(row["title_id"], row["number"]) for row in players(world)}
    return [
        {"title_id": title, "number": number, "source_episode_id": f"{title}:{number}"}
        for title, number in sorted(found, key=lambda pair: (int(pair[0]), pair[1]))
    ]


def anime(world: World) -> list[Row]:
    """Every title that Kodik shows with an id, and what Shikimori says of it."""
    ids = {m.title.id for m in world.materials.values() if m.has_id}
    return [
        {
            "title_id": str(title.id),
            "at_shikimori": title.at_shikimori,
            "romaji": title.romaji,
            "russian": title.russian,
            "english": title.english,
            "status": title.status,
            "kind": title.kind,
        }
        for title in (world.titles[i] for i in sorted(ids))
    ]


def unmatched(world: World) -> list[Row]:
    """Materials that nobody can match."""
    return [
        {"material_id": m.id, "title": m.title.russian or m.title.romaji}
        for m in world.materials.values()
        if not m.has_id
    ]


def expected_dump(world: World) -> Row:
    """What must be in the backend: ids of anime, (id, number) of episodes, (episode id, URL) of players, all sorted."""
    return {
        "anime": sorted(row["title_id"] for row in anime(world)),
        "episodes": sorted([row["source_episode_id"], row["number"]] for row in episodes(world)),
        "players": sorted([row["source_episode_id"], row["url"]] for row in players(world)),
    }


def known(world: World, source: str) -> list[Row]:
    """Every title that one of the other sources knows, in order of the world's ids."""
    found = known_at(source, world)
    return [{"source_id": number, "title_id": str(t.id), "romaji": t.romaji} for number, t in found.items()]


def counts(world: World) -> dict[str, int]:
    """How many of each."""
    return {name: len(rows(world)) for name, rows in VIEWS.items()}


VIEWS: dict[str, Callable[[World], list[Row]]] = {
    "players": players,
    "episodes": episodes,
    "anime": anime,
    "unmatched": unmatched,
}
