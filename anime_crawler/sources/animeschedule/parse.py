"""AnimeSchedule's anime and timetable rows into items: pure, one record at a time, so that a bad one costs only itself.

The id of an anime is its route: rows, relations and addresses know nothing else. A row gives one airing for each of its
episodes; an episode that is delayed without a new date gives none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    episodes_aired,
    explain,
    mapped,
    parse_json,
    read,
    reading,
    set_aside,
    shape_of,
)
from anime_crawler.items import Airing, AiringStatus, Anime, Item, Kind, Rejected, Season
from anime_crawler.normalize.date import cour_of, partial_date
from anime_crawler.normalize.text import normalize_line, normalize_text, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.animeschedule.schema import (
    Category,
    Row,
    Show,
    Stats,
    Websites,
    is_row,
    is_show,
    list_page_from_document,
    rows_from_document,
    show_from_document,
)

SOURCE = "animeschedule"
AIR_TYPES = ("raw", "sub", "dub")
SITE = "https://animeschedule.net/anime/"
PICTURES = "https://img.animeschedule.net/production/assets/public/img/"

STATUSES = {
    "Finished": AiringStatus.RELEASED,
    "Ongoing": AiringStatus.ONGOING,
    "Upcoming": AiringStatus.ANNOUNCED,
    "Delayed": AiringStatus.ONGOING,  # or paused, see `_status`
}
DELAYS = {"Delayed": AiringStatus.ONGOING, "On Break": AiringStatus.PAUSED}
"""The airing status that a delay with an end means."""
KINDS = {
    "tv": Kind.TV,
    "tv-short": Kind.TV,
    "movie": Kind.MOVIE,
    "ona": Kind.ONA,
    "ova": Kind.OVA,
    "special": Kind.SPECIAL,
    "music": Kind.MUSIC,
    "tv-chinese": Kind.TV,  # every media type exists for Chinese works, too
    "tv-short-chinese": Kind.TV,
    "movie-chinese": Kind.MOVIE,
    "ona-chinese": Kind.ONA,
    "ova-chinese": Kind.OVA,
    "special-chinese": Kind.SPECIAL,
    "music-chinese": Kind.MUSIC,
}
SEASONS = {
    "Winter": Season.WINTER,
    "Spring": Season.SPRING,
    "Summer": Season.SUMMER,
    "Fall": Season.FALL,
}
MONTHS = {
    name: number
    for number, name in enumerate(
        (
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
        1,
    )
}
RELATIONS = {
    "sequels": "sequel",
    "prequels": "prequel",
    "parents": "parent",
    "sideStories": "side_story",
    "spinoffs": "spin_off",
    "alternatives": "alternative",
    "other": "other",
}
NUMBER = r"([1-9]\d{0,8})(?=[/?#&]|$)"
"""An id as a whole: ``anime/2`` is not in ``anime/21``."""
SITES = {
    "mal": ("mal", rf"myanimelist\.net/anime(?:/|\.php\?id=){NUMBER}"),
    "aniList": ("anilist", rf"anilist\.co/anime/{NUMBER}"),
    "kitsu": ("kitsu", rf"kitsu\.(?:io|app)/anime/{NUMBER}"),
    "anidb": ("anidb", rf"anidb\.(?:net|info)/(?:anime/|a(?=\d)|perl-bin/animedb\.pl\?(?:[^#]*&)?aid=){NUMBER}"),
    "animePlanet": ("anime_planet", r"anime-planet\.com/anime/([^/?#\s]+)"),
}
"""Key of ``websites`` -> whose id it is, and where the id stands."""
PATTERNS = {key: (name, re.compile(rf"(?:https?:)?(?://)?(?:www\.)?{site}")) for key, (name, site) in SITES.items()}

SOURCE_NOTE = re.compile(r"\(Source:(?:[^()]|\([^()]*\))*\)", re.IGNORECASE)
NATIVE_WORD = re.compile(r"Native (?=.*[^\x00-\x7f])")
"""A slip of the editors, where what follows is in another script."""
ASKED_TIMETABLE = re.compile(r"/timetables/(raw|sub|dub)(?![^?#])")
MOST_AT_ONCE = 500
"""Episodes in one row. Whole seasons come at once, some of 100 episodes; more is a slip."""


def items_from_shows(records: list[Any], fetched_at: datetime) -> Iterator[Item | Rejected]:
    """One item for each anime, in their order; what is not understood is set aside."""
    for record in records:
        yield from _items(record, "anime", _anime, fetched_at)


def items_from_rows(records: list[Any], fetched_at: datetime, air_type: str | None = None) -> Iterator[Item | Rejected]:
    """The airings of each row, in their order.

    Args:
        air_type: the timetable that was asked for; rows of another kind are passed over. ``None``: all count.
    """
    others = [kind for kind in AIR_TYPES if air_type and kind != air_type]
    for record in records:
        if not (is_row(record) and record["airType"] in others):
            yield from _items(record, "airing", _airings, fetched_at)


def _items(
    record: Any, kind: str, parse: Callable[[Any, datetime], list[Any]], fetched_at: datetime
) -> Iterator[Item | Rejected]:
    try:
        if not isinstance(record, dict):
            raise RecordError(f"an object was expected, there was {shape_of(record)}")
        with reading() as problems:
            items = parse(record, fetched_at)
        yield from (item.noting(problems) for item in items)
    except (RecordError, ValidationError) as error:
        yield _rejected(record, kind, explain(error), fetched_at)


def _rejected(record: Any, kind: str, reason: str, fetched_at: datetime) -> Rejected:
    route = record.get("route") if isinstance(record, dict) else None
    route = route if isinstance(route, str) and route.strip() else None
    own = f"{route}:{record.get('airType')}:{record.get('episodeNumber')}" if route and kind == "airing" else route
    return set_aside(
        SOURCE, kind, record, reason, fetched_at, source_id=own, request={"path": show_path(route)} if route else None
    )


def show_path(route: str) -> str:
    """Path of one anime below the base address."""
    return f"/anime/{quote(route, safe='')}"


def _anime(record: dict[str, Any], fetched_at: datetime) -> list[Anime]:
    return [anime_from_show(read(Show, record), fetched_at)]


def anime_from_show(show: Show, fetched_at: datetime) -> Anime:
    """The anime that an object of ``/anime`` describes.

    A status, delay, media type, season or month that we do not know, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title at all.
    """
    status, aired_from = _status(show), _aired_from(show)
    stated = mapped(SEASONS, (show.season and show.season.season) or None, "season.season")
    season, season_year = cour_of(aired_from, stated, _season_year(show)) if stated else (None, None)
    description = _description(show.description)
    return read(
        Anime,
        {
            "source": SOURCE,
            "source_id": show.route,
            "fetched_at": fetched_at,
            "source_updated_at": show.updatedAt,
            "url": normalize_https_url(SITE + quote(show.route, safe="")),
            **_titles(show),
            "description": description,
            "description_raw": (show.description or None) if show.description != description else None,
            "year": int(aired_from[:4]) if aired_from else _season_year(show),
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": mapped(KINDS, _first_route(show.mediaTypes), "mediaTypes"),
            "poster": _poster(show.imageVersionRoute),
            "genres": unique([genre.name for genre in show.genres or ()]),
            "studios": unique([studio.name for studio in show.studios or ()]),
            "origin": (_first_route(show.sources) or "").replace("-", "_") or None,
            **_rating(show.stats),
            "episodes_total": show.episodes or None,
            "episodes_aired": episodes_aired(show.episodes, status),
            "duration_min": show.lengthMin or None,
            "aired_from": aired_from,
            "external_ids": _external_ids(show),
            "relations": _relations(show),
        },
    )


def _status(show: Show) -> AiringStatus | None:
    """Delayed without an end, or a break, is a pause; another delay is a part of the broadcast."""
    status = mapped(STATUSES, show.status or None, "status")
    if show.status != "Delayed":
        return status
    if show.delayedFrom and not show.delayedUntil:
        return AiringStatus.PAUSED
    return mapped(DELAYS, show.delayedTimetable, "delayedTimetable") if show.delayedTimetable else status


def _titles(show: Show) -> dict[str, Any]:
    names = show.names
    titles = {
        "en": normalize_line(names.english) if names else None,
        "romaji": (normalize_line(names.romaji) if names else None) or normalize_line(show.title),
        "native": _native(names.native) if names else None,
    }
    if not any(titles.values()):
        raise RecordError("title: there is none")
    others = [*(names.synonyms or ()), names.abbreviation] if names else []
    return {"titles": titles, "alternative_titles": unique([*others, show.title], *titles.values())}


def _native(text: str | None) -> str | None:
    line = normalize_line(text)
    return NATIVE_WORD.sub("", line, count=1) if line and line.startswith("Native ") else line


def _description(html: str | None) -> str | None:
    """Plain text without the note on where it was taken from."""
    text = normalize_text(html)
    return normalize_text(SOURCE_NOTE.sub("", text)) if text and "(" in text else text


def _season_year(show: Show) -> int | None:
    match = re.fullmatch(r"[12]\d{3}", str(show.season.year), re.ASCII) if show.season else None
    return int(match[0]) if match else None


def _first_route(categories: list[Category] | None) -> str | None:
    """The main one stands first."""
    return (categories[0].route or None) if categories else None


def _poster(path: str | None) -> str | None:
    """``anime/jpg/default/…`` is the usual folder; it does not mean a placeholder."""
    return normalize_https_url(PICTURES + path.lstrip("/")) if path and path.strip("/ ") else None


def _rating(stats: Stats | None) -> dict[str, Any]:
    """The mean of 0-100 without a single vote is that of all anime."""
    if not stats or not stats.ratingCount or not stats.averageScore:
        return {}
    return {"score": stats.averageScore / 10, "votes": stats.ratingCount}


def _aired_from(show: Show) -> str | None:
    if show.premier:
        return show.premier.date().isoformat()
    return partial_date(show.year, mapped(MONTHS, show.month or None, "month"))


def _external_ids(show: Show) -> dict[str, str]:
    own = {"animeschedule": show.route, **({"animeschedule_id": show.id} if show.id else {})}
    return own | external_ids(show.websites or Websites())


def external_ids(websites: Websites) -> dict[str, str]:
    """Ids of the anime elsewhere, as far as an address of the right site holds one."""
    found = {}
    for key, (name, pattern) in PATTERNS.items():
        match = pattern.match((getattr(websites, key) or "").strip())
        if match:
            found[name] = match[1]
    return found


def _relations(show: Show) -> list[dict[str, Any]]:
    related = show.relations
    return [
        {"kind": kind, "target": "anime", "target_id": route}
        for key, kind in RELATIONS.items()
        for route in dict.fromkeys(getattr(related, key, None) or ())
        if route.strip()
    ]


def _airings(record: dict[str, Any], fetched_at: datetime) -> list[Airing]:
    return airings_from_row(read(Row, record), fetched_at)


def airings_from_row(row: Row, fetched_at: datetime) -> list[Airing]:
    """One airing for each episode of the row; none while nobody knows when it airs.

    Raises:
        RecordError: a range of episodes that cannot be.
    """
    airs_at = _airs_at(row)
    if airs_at is None:
        return []
    return [
        Airing(
            source=SOURCE,
            source_id=f"{row.route}:{row.airType}:{number}",
            fetched_at=fetched_at,
            anime_id=row.route,
            number=number,
            kind=row.airType,
            airs_at=airs_at,
            delayed=row.airingStatus == "delayed-air",
        )
        for number in _numbers(row)
    ]


def _airs_at(row: Row) -> datetime | None:
    """A delay moves an episode to the delay's end. One that ended before the old date is a former delay's."""
    at = row.episodeDate
    if row.airingStatus == "delayed-air":
        is_new = row.delayedUntil and (at is None or row.delayedUntil > at)
        at = row.delayedUntil if is_new else None
    return at


def _numbers(row: Row) -> range:
    lowest = row.subtractedEpisodeNumber or row.episodeNumber
    if not 0 <= row.episodeNumber - lowest < MOST_AT_ONCE:
        raise RecordError(f"subtractedEpisodeNumber: episodes {lowest} to {row.episodeNumber} cannot air at once")
    return range(lowest, row.episodeNumber + 1)


def routes_with_news(records: list[Any]) -> list[str]:
    """Routes of the anime whose record is likely to have changed: it begins, is delayed, or has ended.

    Args:
        records: rows of a timetable; only raw ones count, since the status is that of the Japanese broadcast.
    """
    routes = []
    for record in records:
        try:
            row = read(Row, record)
        except ValidationError:
            continue  # set aside where its airings are told
        lowest = row.subtractedEpisodeNumber or row.episodeNumber
        if row.airType == "raw" and (row.status != "Ongoing" or lowest <= 1):
            routes.append(row.route)
    return list(dict.fromkeys(routes))


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: a page of anime, one anime, a timetable, a row, or a list of anime.

    Args:
        name: a file's name, or the address that was asked; one of a raw, sub or dub timetable leaves only such rows.

    Raises:
        ResponseError: it is none of these; the message says what it is where that can be told.
    """
    if is_nothing_there(body):
        raise ResponseError(f"{name} is AnimeSchedule's answer for a search without hits, or a page past the end")
    document = parse_json(body)
    if isinstance(document, dict) and "anime" in document:
        return items_from_shows(list_page_from_document(document).anime, fetched_at)
    if isinstance(document, dict):
        document = [document if is_row(document) else show_from_document(document)]
    if isinstance(document, list) and any(map(is_show, document)):
        return items_from_shows(document, fetched_at)
    asked = ASKED_TIMETABLE.search(name)
    return items_from_rows(rows_from_document(document), fetched_at, asked[1] if asked else None)


def is_nothing_there(body: bytes) -> bool:
    """Whether it is the text for a search without hits and for a page past the end; failures have it, too.

    Source: several public clients; ``/anime`` with status 500.
    """
    return body.strip().rstrip(b".").lower() == b"something went wrong"
