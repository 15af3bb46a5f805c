"""AnimeSchedule's timetables: which episodes of which title air in a week, in Japan, with subtitles and dubbed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from anime_crawler.sandbox.upstreams.animeschedule.json import (
    STATUSES,
    ZERO,
    delay_of,
    first_airing,
    is_chinese,
    is_delayed,
    media_types,
    moment,
    picture,
    route,
)
from anime_crawler.sandbox.world.elsewhere import oddities
from anime_crawler.sandbox.world.works import Title

WEEK = timedelta(weeks=1)
AFTER = {"raw": timedelta(0), "sub": timedelta(hours=1), "dub": 4 * WEEK}
"""How much later than in Japan it airs."""
PLANNED = 4
"""Further episodes that are planned where nobody knows how many there will be."""


@dataclass(frozen=True)
class Airing:
    """One row before it is written: an episode, or several at once."""

    title: Title
    kind: str
    lowest: int
    number: int
    at: datetime


def airings_in(title: Title, kind: str, monday: datetime) -> Iterator[Airing]:
    """What of the title a timetable shows in the week from that Monday.

    The subtitle timetable has raw rows where there are no subtitles, and the dub timetable has some by mistake.
    """
    draw = oddities("animeschedule kinds", title)
    has = {"raw": True, "sub": draw.random() < 0.8, "dub": draw.random() < 0.4}
    is_leak = draw.random() < 0.05 and kind == "dub"
    shown = kind if has[kind] else "raw" if kind == "sub" or is_leak else None
    for airing in _airings(title, shown) if shown else ():
        if monday <= airing.at < monday + WEEK:
            yield airing


def _airings(title: Title, kind: str) -> Iterator[Airing]:
    first = first_airing(title)
    if first is None or title.status == "anons":
        return
    last, begin = title.episodes or title.aired + PLANNED, first + AFTER[kind]
    if title.kind == "ona" and not is_chinese(title):
        yield Airing(title, kind, 1, last, begin)  # the whole season at once
        return
    for number in range(1, last + 1):
        yield Airing(title, kind, number, number, begin + (number - 1) * WEEK)


def row(airing: Airing, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """The row of a timetable. Its times end in Z whatever the zone is."""
    title, delay = airing.title, delay_of(airing.title)
    state, old = _state(airing, now), _former_delay(airing)
    begin, end = delay if delay and state == "delayed-air" else old
    found = {
        "title": title.romaji,
        "route": route(title),
        "romaji": title.romaji,
        **({"english": title.english} if title.english else {}),
        **({"native": title.japanese} if title.japanese else {}),
        "delayedFrom": moment(begin.astimezone(zone)) if begin else ZERO,
        "delayedUntil": moment(end.astimezone(zone)) if end else ZERO,
        "status": "Delayed" if is_delayed(title) else STATUSES[title.status],
        "episodeDate": moment(airing.at.astimezone(zone)),
        "episodeNumber": airing.number,
        **({"subtractedEpisodeNumber": airing.lowest} if airing.lowest < airing.number else {}),
        **({"episodes": title.episodes} if title.episodes else {}),
        "lengthMin": title.duration,
        "donghua": is_chinese(title),
        "airType": airing.kind,
        **media_types(title),
        **picture(title),
        "airingStatus": state,
    }
    return found | ({"streams": _streams(title)} if title.id % 2 else {})


def _state(airing: Airing, now: datetime) -> str:
    title = airing.title
    if delay_of(title) and airing.number == title.aired + 1:
        return "delayed-air"
    has_aired = airing.kind == "raw" and airing.number <= title.aired
    if has_aired or airing.at + timedelta(minutes=title.duration) <= now:
        return "aired"
    return "airing" if airing.at <= now else "unaired"


def _former_delay(airing: Airing) -> tuple[datetime | None, datetime | None]:
    """The window of a delay long past stays in the rows of one title in eight."""
    if airing.title.id % 8:
        return None, None
    return airing.at - 6 * WEEK, airing.at - 4 * WEEK


def _streams(title: Title) -> list[dict[str, str]]:
    """The form since API 1.1; addresses without scheme."""
    return [{"platform": "lantern", "url": f"www.lantern.example.org/series/{route(title)}", "name": "Lantern"}]
