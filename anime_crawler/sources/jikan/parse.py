"""Jikan's records into items: pure, one record at a time, so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

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
from anime_crawler.items import (
    ADULT_MATURITIES,
    Airing,
    AiringStatus,
    Anime,
    Character,
    Episode,
    Item,
    Kind,
    Rejected,
    Season,
    Snapshot,
)
from anime_crawler.normalize.date import cour_of, season_of
from anime_crawler.normalize.text import normalize_line, normalize_text, snake, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.jikan import schema

SOURCE = "jikan"

STATUSES = {
    "not_yet_aired": AiringStatus.ANNOUNCED,
    "currently_airing": AiringStatus.ONGOING,
    "finished_airing": AiringStatus.RELEASED,
}
KINDS = {kind.value: kind for kind in Kind}  # its words are ours but for capitals and blanks: ``TV Special``
SEASONS = {season.value: season for season in Season}
MATURITIES = {"G": "g", "PG": "pg", "PG-13": "pg_13", "R": "r", "R+": "r_plus", "Rx": "rx"}  # of ``R+ - Mild Nudity``
HENTAI = 12  # MyAnimeList's number of the genre
MAIN_NAMES = {"Default": "romaji", "English": "en", "Japanese": "native"}
TO_COME = frozenset({AiringStatus.ANNOUNCED, AiringStatus.ONGOING})
JAPAN = timezone(timedelta(hours=9))  # it has no summer time
CREDITS = re.compile(r"(?:\s*(?:\[Written by MAL Rewrite\]|\(Source:(?:[^()]|\([^()]*\))*\)))+\s*\Z")
"""The credit at the end of a description, which names who wrote it."""
SNAPSHOTS = {
    "top": "order_by=score&sort=desc&status=complete",
    "airing": "order_by=popularity&sort=asc&status=airing",
    "upcoming": "order_by=popularity&sort=asc&status=upcoming",
    "popular_movies": "order_by=popularity&sort=asc&type=movie",
}
"""Type of snapshot -> the query of ``/anime`` that lists it. Popularity is a rank: the first is the most popular."""


def items_from_titles(
    records: list[Any], fetched_at: datetime, updated_at: datetime | None = None, snapshot: str | None = None
) -> Iterator[Item | Rejected]:
    """Items of a page of titles, in its order: the anime, its premiere, and its place in a snapshot.

    Args:
        updated_at: the answer's ``Last-Modified``: when the server read MyAnimeList.
        snapshot: a key of `SNAPSHOTS` that the page is of; ``None``: of none.
    """
    for record in records:
        yield from _each("anime", record, fetched_at, lambda r: _of_title(r, fetched_at, updated_at, snapshot))


def _of_title(record: Any, fetched_at: datetime, updated_at: datetime | None, snapshot: str | None) -> list[Item]:
    title = read(schema.Title, record)
    anime = anime_from_title(title, fetched_at, updated_at)
    premiere = premiere_of(anime, title.broadcast)
    found: list[Item] = [anime, *([premiere] if premiere else [])]
    return [*found, snapshot_from_title(title, snapshot, fetched_at)] if snapshot else found


def _each(
    kind: str, record: Any, fetched_at: datetime, make: Callable[[Any], list[Item]], anime_id: str | None = None
) -> Iterator[Item | Rejected]:
    """The items that `make` gives of a record, or its dead letter; `anime_id`: whose episode it is."""
    try:
        if not isinstance(record, dict):
            raise RecordError(f"an object was expected, there was {shape_of(record)}")
        with reading() as problems:
            found = make(record)
        yield from (item.noting(problems) for item in found)
    except (RecordError, ValidationError) as error:
        yield rejected(kind, record, explain(error), fetched_at, anime_id)


def rejected(kind: str, record: Any, reason: str, fetched_at: datetime, anime_id: str | None = None) -> Rejected:
    """The dead letter of a record, or of ``{"mal_id": …}``, under the id of its item, so that a good one clears it."""
    named = record.get("character") if kind == "character" and isinstance(record, dict) else record
    number = named.get("mal_id") if isinstance(named, dict) and kind != "page" else None
    own = str(number) if isinstance(number, int) else None
    request = {"path": f"/anime/{own}/full"} if own and kind == "anime" else None
    if kind == "episode":
        own = f"{anime_id}/{own}" if own and anime_id else None
    return set_aside(SOURCE, kind, record, reason, fetched_at, source_id=own, request=request)


def anime_from_title(title: schema.Title, fetched_at: datetime, updated_at: datetime | None = None) -> Anime:
    """The anime that a title describes; `updated_at` as in `items_from_titles`.

    A kind, status, season, rating, date, duration or weekday that we do not understand, and a value that no anime may
    have, are noted.

    Raises:
        RecordError: no title at all.
    """
    status = mapped(STATUSES, snake(title.status), "status")
    aired_from, aired_to = _aired(title.aired, status)
    stated = mapped(SEASONS, title.season, "season")
    month_began = aired_from and aired_from[: schema.WHOLE_MONTH]  # the day does not count in Jikan's own seasons
    season, season_year = None, None
    if stated or not title.season:  # a word that we do not know is not replaced by a guess
        season, season_year = cour_of(aired_from, stated, title.year, derived=season_of(month_began))
    next_episode_at = _next_episode(title.broadcast, status, aired_to, fetched_at)
    description = _description(title.synopsis)
    maturity = _maturity(title.rating)
    return read(
        Anime,
        {
            "source": SOURCE,
            "source_id": str(title.mal_id),
            "fetched_at": fetched_at,
            "source_updated_at": updated_at,
            "url": normalize_https_url(title.url),
            **_titles(title),
            "description": description,
            "description_raw": title.synopsis if title.synopsis != description else None,
            "year": int(aired_from[:4]) if aired_from else title.year,
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": mapped(KINDS, snake(title.type), "kind"),
            "poster": _picture(title.images),
            "genres": _names(title.genres),
            "themes": _names(title.themes),
            "demographics": _names(title.demographics),
            "tags": _names(title.explicit_genres),
            "studios": _names(title.studios),
            "origin": _origin(title.source),
            "score": title.score or None,
            "votes": title.scored_by or None,
            "maturity": maturity,
            "is_adult": _is_adult(maturity, title),
            "episodes_total": title.episodes or None,
            "episodes_aired": episodes_aired(title.episodes, status),
            "next_episode_at": next_episode_at,
            "next_episode_is_estimated": True if next_episode_at else None,
            "duration_min": schema.minutes_of(title.duration),
            "aired_from": aired_from,
            "aired_to": aired_to,
            "external_ids": _external_ids(title),
            "relations": list(_relations(title)),
            "untold": ("relations", "external_ids") if title.relations is None else (),
        },
    )


def premiere_of(anime: Anime, broadcast: schema.Broadcast | None) -> Airing | None:
    """The first episode of an anime to come or under way; ``None`` unless day, time and weekday are known and agree."""
    slot = broadcast.slot() if broadcast else None
    day = anime.aired_from if anime.kind is Kind.TV and anime.status in TO_COME else None
    if slot is None or day is None or len(day) < schema.WHOLE_DAY:
        return None
    weekday, minutes = slot
    midnight = datetime.fromisoformat(day).replace(tzinfo=JAPAN)
    if midnight.weekday() != weekday:
        return None
    return Airing(
        source=SOURCE,
        source_id=f"{anime.source_id}/1",
        fetched_at=anime.fetched_at,
        anime_id=anime.source_id,
        number=1,
        kind="raw",
        airs_at=(midnight + timedelta(minutes=minutes)).astimezone(UTC),
    )


def snapshot_from_title(title: schema.Title, snapshot: str, fetched_at: datetime) -> Snapshot:
    """Its ranks and numbers on the day of fetching (UTC)."""
    return read(
        Snapshot,
        {
            "source": SOURCE,
            "source_id": str(title.mal_id),
            "fetched_at": fetched_at,
            "snapshot_type": snapshot,
            "day": fetched_at.astimezone(UTC).date(),
            "rank": title.rank or None,
            "score": title.score or None,
            "votes": title.scored_by or None,
            "popularity": title.popularity or None,
        },
    )


def items_from_episodes(rows: list[Any], anime_id: str | None, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Episodes of one anime, in their order; without `anime_id` they are set aside."""
    for row in rows:
        yield from _each("episode", row, fetched_at, lambda r: [_episode(r, anime_id, fetched_at)], anime_id)


def _episode(record: Any, anime_id: str | None, fetched_at: datetime) -> Episode:
    """Jikan knows the day of an episode, and no time."""
    row = read(schema.EpisodeRow, record)
    if anime_id is None:
        raise RecordError("neither its url nor the answer's address names an anime")
    return read(
        Episode,
        {
            "source": SOURCE,
            "source_id": f"{anime_id}/{row.mal_id}",
            "fetched_at": fetched_at,
            "anime_id": anime_id,
            "number": row.mal_id,
            "titles": {
                "en": normalize_line(row.title),
                "romaji": normalize_line(row.title_romanji),
                "native": normalize_line(row.title_japanese),
            },
            "aired_on": schema.day_of(row.aired, "aired"),
            "duration_min": -(-row.duration // 60) if row.duration else None,
            "is_filler": row.filler,
            "is_recap": row.recap,
        },
    )


def items_from_characters(rows: list[Any], anime_id: str | None, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Characters of one anime, in their order; `anime_id` may be unknown."""
    for row in rows:
        yield from _each("character", row, fetched_at, lambda r: [_character(r, anime_id, fetched_at)])


def _character(row: Any, anime_id: str | None, fetched_at: datetime) -> Character:
    words = read(schema.CharacterRow, row)
    voices = [(v.person.name if v.person else None, v.language) for v in words.voice_actors or ()]
    named = [(normalize_line(name), normalize_line(language)) for name, language in voices]
    return read(
        Character,
        {
            "source": SOURCE,
            "source_id": str(words.character.mal_id),
            "fetched_at": fetched_at,
            "names": {"romaji": normalize_line(words.character.name)},
            "anime_id": anime_id,
            "role": snake(words.role),
            "picture": _picture(words.character.images),
            "voice_actors": [{"name": name, "language": language} for name, language in named if name],
        },
    )


def _picture(images: schema.Images | None) -> str | None:
    return next(filter(None, map(normalize_https_url, images.real() if images else ())), None)


def _next_episode(
    broadcast: schema.Broadcast | None, status: AiringStatus | None, aired_to: str | None, now: datetime
) -> datetime | None:
    """The next broadcast of a title under way, if there is no break: an estimate; none after its last day."""
    slot = broadcast.slot() if broadcast else None
    if slot is None or status is not AiringStatus.ONGOING:
        return None
    weekday, minutes = slot
    today = now.astimezone(JAPAN).replace(hour=0, minute=0, second=0, microsecond=0)
    # a time after 24:00 is of the day before
    found = today + timedelta(days=(weekday - today.weekday()) % 7 - 7, minutes=minutes)
    while found < now:
        found += timedelta(weeks=1)
    is_over = aired_to is not None and len(aired_to) == schema.WHOLE_DAY and found.date().isoformat() > aired_to
    return None if is_over else found.astimezone(UTC)


def _aired(aired: schema.Aired | None, status: AiringStatus | None) -> tuple[str | None, str | None]:
    """First and last day, as much of each as is known."""
    if aired is None:
        return None, None
    first, to, last = (aired.string or "").partition(" to ")
    prop = aired.prop
    begun = schema.known_part(aired.from_, first, prop.from_ if prop else None, "aired.from")
    if not to:  # one day; of what has been released it is the last one, too
        return begun, begun if status is AiringStatus.RELEASED else None
    return begun, schema.known_part(aired.to, last, prop.to if prop else None, "aired.to")


def _titles(title: schema.Title) -> dict[str, Any]:
    """Main titles by language; the others are alternatives, whichever language they are in."""
    names = [(name.type, normalize_line(name.title)) for name in title.titles or ()]
    main = {"romaji": title.title, "en": title.title_english, "native": title.title_japanese}
    titles = {language: normalize_line(text) for language, text in main.items()}
    for word, text in reversed(names):  # the first of each language wins
        if word in MAIN_NAMES and text:
            titles[MAIN_NAMES[word]] = text
    if not titles["romaji"]:
        raise RecordError("title: there is none")
    others = [text for _, text in names] + [*(title.title_synonyms or ()), *main.values()]
    return {"titles": titles, "alternative_titles": unique(others, *titles.values())}


def _description(text: str | None) -> str | None:
    return CREDITS.sub("", normalized) or None if (normalized := normalize_text(text)) else None


def _origin(text: str | None) -> str | None:
    word = snake(text)
    return None if word == "unknown" else word


def _names(entities: list[schema.Entity] | None) -> tuple[str, ...]:
    return unique([entity.name for entity in entities or ()])


def _maturity(rating: str | None) -> str | None:
    text = normalize_line(rating)
    return None if text in (None, "None") else mapped(MATURITIES, text.split(" ")[0], "rating")


def _is_adult(maturity: str | None, title: schema.Title) -> bool | None:
    if any(genre.mal_id == HENTAI for genre in [*(title.genres or ()), *(title.explicit_genres or ())]):
        return True
    return maturity in ADULT_MATURITIES if maturity else None


def _external_ids(title: schema.Title) -> dict[str, str]:
    """MyAnimeList's id is Shikimori's for all it has imported from there."""
    own = str(title.mal_id)
    return {"mal": own, "shikimori": own, **dict(filter(None, (link.catalogue_id() for link in title.external or ())))}


def _relations(title: schema.Title) -> Iterator[dict[str, Any]]:
    """Kinds of relation are an open set, written with capitals here and without there."""
    for group in title.relations or ():
        kind = snake(group.relation)
        for entry in group.entry or ():
            if kind and entry.type in ("anime", "manga"):
                name = normalize_line(entry.name)
                yield {"kind": kind, "target": entry.type, "target_id": str(entry.mal_id), "title": name}


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: titles, one title, episodes, one episode, or characters.

    Args:
        name: address or file name; says of which anime episodes and characters are, and which snapshot a list is.

    Raises:
        ResponseError: it is none of these; the message says what it is where that can be told.
    """
    document = parse_json(body)
    if error := schema.error_from_document(document):
        raise ResponseError(f"{name} is Jikan's error: {': '.join(error)}")
    records = _records(document)
    anime_id = _anime_of(name, records)
    if _some(records, "character", "role"):
        return items_from_characters(records, anime_id, fetched_at)
    if _some(records, "filler", "recap"):
        return items_from_episodes(records, anime_id, fetched_at)
    if records and not _some(records, "aired", "status"):
        raise ResponseError(f"{name} holds no anime; relations, genres and the archive of seasons give no items")
    return items_from_titles(records, fetched_at, snapshot=snapshot_of(name))


def _anime_of(name: str, records: list[Any]) -> str | None:
    """The anime that an address, a file name, or the page of one of the records tells."""
    pages = [str(record.get("url")) for record in records if isinstance(record, dict)]
    found = (re.search(r"anime[/_](\d+)", text) for text in (name, *pages))
    return next((match[1] for match in found if match), None)


def _records(document: Any) -> list[Any]:
    """Records of an answer, of a bare list, or the one that a document is itself."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and "mal_id" in document and "data" not in document:
        return [document]
    is_single = isinstance(document, dict) and isinstance(document.get("data"), dict)
    return [schema.record_from_document(document)] if is_single else schema.page_from_document(document).data


def _some(records: list[Any], *fields: str) -> bool:
    return any(isinstance(record, dict) and any(field in record for field in fields) for record in records)


def snapshot_of(name: str) -> str | None:
    """The snapshot that an address lists; ``None``: none of ours."""
    is_top = re.search(r"top[/_]anime", name)
    return "top" if is_top else next((kind for kind, query in SNAPSHOTS.items() if query in name), None)
