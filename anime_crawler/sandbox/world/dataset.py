"""Titles of a data set file (gzipped JSON lines, one group of catalogue entries a line) instead of invented ones.

Read from a group: ``title``, ``synonyms``, ``type``, ``episodes``, ``status``, ``season``, ``year``, ``start_date``,
``end_date``, ``duration_s``, ``scores``, ``studios``, ``tags`` and ``external.shikimori``. What a group does not say is
made up from the seed. Groups without a Shikimori id are passed over.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import orjson

from anime_crawler.sandbox.world.invented import DAY_S, RATINGS, chance, describe, make_ongoing, pick
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Day, Title

KINDS = {"TV": "tv", "MOVIE": "movie", "OVA": "ova", "ONA": "ona", "SPECIAL": "special"}
STATUSES = {"FINISHED": "released", "ONGOING": "ongoing", "UPCOMING": "anons"}
GENRE_IDS = {names[0].lower(): number for number, names in GENRES.items()}
CYRILLIC, JAPANESE = re.compile(r"[а-яё]", re.IGNORECASE), re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def titles_from(path: Path, count: int, seed: int, now: int) -> list[Title]:
    """The first `count` groups with a Shikimori id, in order of their ids.

    Raises:
        OSError: the file cannot be read.
    """
    rng = Random(seed)  # noqa: S311 - fills gaps, keeps no secret
    found: dict[int, Title] = {}
    for group in groups(path):
        number = str(group.get("external", {}).get("shikimori", ""))
        if number.isdigit() and int(number) not in found and group.get("title"):
            found[int(number)] = title_from(group, int(number), rng, now)
        if len(found) == count:
            break
    return [found[number] for number in sorted(found)]


def groups(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of the file."""
    with gzip.open(path) as lines:
        for line in lines:
            yield orjson.loads(line)


def title_from(group: dict[str, Any], number: int, rng: Random, now: int) -> Title:
    """One group as Shikimori would have it."""
    synonyms = group.get("synonyms", [])
    russian = next((s for s in synonyms if CYRILLIC.search(s)), None)
    japanese = next((s for s in synonyms if JAPANESE.search(s)), None)
    episodes = group.get("episodes", 0)
    status = STATUSES.get(group.get("status", "FINISHED"))
    season, year = group.get("season"), group.get("year")
    title = Title(
        id=number,
        romaji=group["title"],
        russian=russian,
        english=next((s for s in synonyms if s.isascii() and s != group["title"]), None),
        japanese=japanese,
        synonyms=synonyms[:6],
        kind=KINDS.get(group.get("type", "")),
        status=status,
        episodes=episodes,
        aired=0 if status == "anons" else episodes,
        duration=round(group.get("duration_s", 0) / 60),
        aired_on=day_from(group.get("start_date") or year),
        released_on=day_from(group.get("end_date")),
        season=f"{season.lower()}_{year}" if season and year else None,
        score=round(float(group.get("scores", {}).get("myanimelist", 0)), 2),
        votes=rng.randint(5, 90_000),
        rating=pick(rng, RATINGS | {"rx": 0}),
        origin=rng.choice(["manga", "original", "light_novel"]),
        genres=[GENRE_IDS[tag] for tag in group.get("tags", []) if tag in GENRE_IDS],
        studios=group.get("studios", []),
        description=None if chance(rng, 6) else describe(rng, russian or group["title"], japanese or "—"),
        franchise=None,
        franchise_season=1,
        created_at=now - rng.randint(100, 4_000) * DAY_S,
        updated_at=now - rng.randint(3600, 900 * DAY_S),
        poster=rng.randbytes(16).hex() if group.get("picture") else None,
        mal_id=number,
    )
    if status == "ongoing":
        make_ongoing(rng, title, now)
    return title


def day_from(text: str | int | None) -> Day:
    """``2016``, ``2016-04`` or ``2016-04-01`` in parts."""
    if text is None:
        return None, None, None
    parts = [int(part) for part in str(text).split("-")]
    year, month, number = (*parts, None, None, None)[:3]
    if month and number:
        date(year or 1, month, number)  # the file has no such day: better now than in an answer
    return year, month, number
