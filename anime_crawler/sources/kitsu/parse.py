"""Kitsu's rows into items: pure, one row at a time, so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    episodes_aired,
    explain,
    mapped,
    parse_json,
    read,
    reading,
    set_aside,
    shape_of,
)
from anime_crawler.items import ADULT_MATURITIES, AiringStatus, Anime, Character, Episode, Item, Kind, Rejected
from anime_crawler.normalize.date import SEASONS, cour_of, read_date
from anime_crawler.normalize.text import normalize_line, normalize_text, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.kitsu.schema import (
    AnimeAttributes,
    AnimeRow,
    CastRow,
    CharacterRow,
    Document,
    EpisodeRow,
    Image,
    Included,
    MappingRow,
    Names,
    ProductionRow,
    RelatedRow,
    ToMany,
    document_from_json,
    document_of,
    errors_of,
    included_of,
    label_of,
    owner_of,
    resolve,
    resources,
)

SOURCE = "kitsu"
SITE = "https://kitsu.app"

STATUSES = {
    "tba": AiringStatus.ANNOUNCED,
    "unreleased": AiringStatus.ANNOUNCED,
    "upcoming": AiringStatus.ANNOUNCED,
    "current": AiringStatus.ONGOING,
    "finished": AiringStatus.RELEASED,
}
KINDS = {
    "tv": Kind.TV,
    "special": Kind.SPECIAL,
    "ova": Kind.OVA,
    "ona": Kind.ONA,
    "movie": Kind.MOVIE,
    "music": Kind.MUSIC,
}
"""``subtype`` in lower case; Kitsu mixes cases."""
MATURITIES = {"G": "g", "PG": "pg", "R": "r", "R18": "rx"}
GUIDES = (
    (re.compile(r"nudity|\br\+|mild ecchi", re.IGNORECASE), "R", "r_plus"),
    (re.compile(r"teen|\b13\b|pg-?13", re.IGNORECASE), "PG", "pg_13"),
    (re.compile(r"all ages", re.IGNORECASE), "PG", "g"),
)
"""``ageRatingGuide``, free text that makes a rating finer: (what stands in it, of which rating, what it means)."""
ENGLISH = ("en", "en_us")
ROMAJI = ("en_jp", "en_cn", "en_kr")
NATIVE = ("ja_jp", "zh_cn", "ko_kr")
"""Keys of ``titles``, the first that has one counts."""
EXTERNAL_IDS = {
    "thetvdb": "tvdb",  # before the site that says it better: the later one counts
    "thetvdb/series": "tvdb",
    "myanimelist/anime": "mal",
    "anilist/anime": "anilist",
    "anidb": "anidb",
    "animenewsnetwork": "ann",
    "trakt": "trakt",
    "mydramalist": "mydramalist",
}
"""Site of a mapping -> our name of the catalogue. Other sites hold no id of an anime."""
SERIES_AND_SEASON = re.compile(r"(\d+)/\d+")
"""How users write an id of TheTVDB: ``81797/2``."""
OLDEST_YEAR, FURTHEST_YEARS = 1900, 10
"""Years before the first film, and more than ten years ahead, are typing errors."""
OLD_ANSWER = timedelta(days=3)
"""Kitsu touches all rows daily: one that was not touched for longer was not received today, but read from a file."""
CREDIT = re.compile(r"\s*[\[(](?:Source:|Written by )[^\n]{0,200}[\])]$", re.IGNORECASE)
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
MONTH = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)
DAY = re.compile(r"\b\d{1,2}(?:st|nd|rd|th)?\b", re.IGNORECASE)
WHOLE_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def items_from_document(document: Document, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """One item per row, in order; of rows with the same identity the first.

    Args:
        name: address of the request, or name of a file; says whose episodes and characters these are.

    Raises:
        ResponseError: rows of a type that gives no items, or whose anime nobody tells.
    """
    kinds = {str(row.get("type")) for row in document.rows if isinstance(row, dict)}
    known = kinds & READERS.keys()
    if kinds and not known:
        raise ResponseError(f"{name} holds {', '.join(sorted(kinds))[:80]}; these give no items")
    owner = owner_of(document, name)
    if known - {"anime"} and not owner:
        raise ResponseError(f"{name} does not say whose {', '.join(sorted(known))} it holds")
    return _items(document, owner, fetched_at)


def _items(document: Document, owner: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    included, told = included_of(document), set()
    for row in document.rows:
        item = _item(row, included, owner, fetched_at)
        key = None if isinstance(item, Rejected) else item.key
        if key is None or key not in told:
            told.add(key)
            yield item


def _item(row: Any, included: Included, owner: str, fetched_at: datetime) -> Item | Rejected:
    kind = row.get("type") if isinstance(row, dict) else None
    try:
        if not isinstance(kind, str):
            raise RecordError(f"a resource was expected, there was {shape_of(row)}")
        if kind not in READERS:
            raise RecordError(f"type: unknown value {kind[:40]!r}")
        with reading() as problems:
            item = READERS[kind](row, included, owner, fetched_at)
        return item.noting(problems)
    except (RecordError, ValidationError) as error:
        return rejected(row, explain(error), included, owner, fetched_at)


def rejected(row: Any, reason: str, included: Included, owner: str, fetched_at: datetime) -> Rejected:
    """The dead letter of a row; `owner` is the anime whose episode or character it is, or empty."""
    found = row if isinstance(row, dict) else {}
    kind = {"episodes": "episode", "mediaCharacters": "character"}.get(str(found.get("type")), "anime")
    own = str(found.get("id") or "")
    anime_id = owner or own
    request = {"ids": anime_id} if anime_id.isdigit() else None
    record = document_of(row, included, f"/anime/{owner}/{kind}s" if owner else "")
    return set_aside(SOURCE, kind, record, reason, fetched_at, source_id=own, request=request)


def _anime(row: Any, included: Included, owner: str, fetched_at: datetime) -> Anime:
    return anime_from_row(read(AnimeRow, row), included, fetched_at)


def anime_from_row(row: AnimeRow, included: Included, fetched_at: datetime) -> Anime:
    """The anime that a row and what it refers to describe.

    A kind, status, rating or date that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title at all.
    """
    a, related = row.attributes, row.relationships
    aired_from, aired_to = (_aired(a, name, fetched_at.year) for name in ("startDate", "endDate"))
    status = _status(a, aired_from, aired_to, fetched_at)
    genres = unique(_labels(included, related.genres))
    description = _description(a.description)
    maturity = _maturity(a)
    season, season_year = _cour(aired_from)
    next_episode_at = _next_episode(a.nextRelease, fetched_at)
    return read(
        Anime,
        {
            "source": SOURCE,
            "source_id": row.id,
            "fetched_at": fetched_at,
            "url": f"{SITE}/anime/{row.id}",
            **_titles(a),
            "description": description,
            "description_raw": a.description or None if a.description != description else None,
            "year": int(aired_from[:4]) if aired_from else None,
            "season": season,
            "season_year": season_year,
            "status": status,
            "kind": mapped(KINDS, a.subtype and a.subtype.lower(), "subtype"),
            "poster": _picture(a.posterImage),
            "genres": genres,
            "tags": unique(_labels(included, related.categories), *genres),
            "studios": unique(_studios(included, related.animeProductions)),
            "score": _score(a.averageRating),
            "maturity": maturity,
            "is_adult": _is_adult(a, maturity),
            "episodes_total": a.episodeCount or None,
            "episodes_aired": episodes_aired(a.episodeCount, status),
            "next_episode_at": next_episode_at,
            "next_episode_is_estimated": False if next_episode_at else None,
            "duration_min": a.episodeLength or None,
            "aired_from": aired_from,
            "aired_to": aired_to,
            "external_ids": {"kitsu": row.id, **_external_ids(included, related.mappings)},
            "relations": list(_relations(included, related.mediaRelationships)),
        },
    )


def _maturity(a: AnimeAttributes) -> str | None:
    """MyAnimeList's six ratings, of which Kitsu's four are the older form: only the guide tells PG-13 and R+."""
    for pattern, rating, maturity in GUIDES:
        if a.ageRating == rating and pattern.search(a.ageRatingGuide or ""):
            return maturity
    return mapped(MATURITIES, a.ageRating, "ageRating")


def _is_adult(a: AnimeAttributes, maturity: str | None) -> bool | None:
    """By the rating; an R without a guide may be an R+, so that nobody knows."""
    if a.nsfw or maturity in ADULT_MATURITIES:
        return True
    return None if maturity is None or (maturity == "r" and not normalize_line(a.ageRatingGuide)) else False


def _description(text: str | None) -> str | None:
    """Without markup, and without the line that says who wrote it."""
    clean = normalize_text(text)
    return CREDIT.sub("", clean) or None if clean else None


def _titles(a: AnimeAttributes) -> dict[str, Any]:
    names = a.titles or {}
    titles = _main_titles(names, a.canonicalTitle)
    if not any(titles.values()):
        raise RecordError("titles: there is none")
    others = [*(a.abbreviatedTitles or ()), *names.values(), a.canonicalTitle]
    return {"titles": titles, "alternative_titles": unique(others, *titles.values())}


def _main_titles(names: Names, canonical: str | None) -> dict[str, str | None]:
    """Names by language; the canonical one, nearly always romaji, where there are none."""
    languages = {"ru": ("ru_ru",), "en": ENGLISH, "romaji": ROMAJI, "native": NATIVE}
    found = {
        language: next(filter(None, (normalize_line(names.get(key)) for key in keys)), None)
        for language, keys in languages.items()
    }
    return found if any(found.values()) else {"romaji": normalize_line(canonical)}


def _labels(included: Included, relationship: ToMany) -> list[str | None]:
    return list(map(label_of, resources(included, relationship.data or ())))


def _studios(included: Included, relationship: ToMany) -> list[str | None]:
    """Producers and licensors are no studios."""
    productions = resolve(ProductionRow, included, relationship.data or ())
    studios = [p.relationships.producer.data for p in productions if p.attributes.role == "studio"]
    return list(map(label_of, resources(included, studios)))


def _external_ids(included: Included, relationship: ToMany) -> dict[str, str]:
    """Ids in other catalogues; what users typed and is no number is left out."""
    rows = resolve(MappingRow, included, relationship.data or ())
    values = {row.attributes.externalSite: (row.attributes.externalId or "").strip() for row in rows}
    found = {}
    for site, name in EXTERNAL_IDS.items():
        value = values.get(site, "")
        series = SERIES_AND_SEASON.fullmatch(value) if name == "tvdb" else None
        value = series[1] if series else value
        if value.isascii() and value.isdigit() and int(value[:20]):
            found[name] = value
    return found


def _relations(included: Included, relationship: ToMany) -> Iterator[dict[str, Any]]:
    """Related anime, each kind and work once. Kinds are an open set."""
    told = set()
    for row in resolve(RelatedRow, included, relationship.data or ()):
        work, kind = row.relationships.destination.data, normalize_line(row.attributes.role)
        if kind and work and work.type == "anime" and (kind, work.id) not in told:
            told.add((kind, work.id))
            title = next(map(label_of, resources(included, [work])), None)
            yield {"kind": kind, "target": "anime", "target_id": work.id, "title": normalize_line(title)}


def _aired(a: AnimeAttributes, name: str, this_year: int) -> str | None:
    """A date, as much of it as is known; ``None`` for a year that cannot be. What is no date is noted."""
    date = checked(read_date, getattr(a, name), f"{name}: not a date")
    if date is None or not OLDEST_YEAR <= int(date[:4]) <= this_year + FURTHEST_YEARS:
        return None
    if a.status not in ("current", "finished"):
        date = date[: precision(a.tba)]
    # The last day of a year stands for a year of which nothing else is known, and nearly never for itself.
    return date[:4] if date.endswith("-12-31") and a.status != "finished" else date


def precision(tba: str | None) -> int:
    """How much of ``YYYY-MM-DD`` a free text leaves: 4 for "2026", 7 for "October 2025", else 10."""
    text = tba or ""
    month = MONTH.search(text)
    if WHOLE_DATE.search(text) or (month and DAY.search(text)):
        return 10
    return 7 if month else 4 if YEAR.search(text) else 10


def _cour(aired_from: str | None) -> tuple[str | None, int | None]:
    """Kitsu's own months: December to February is winter. Nothing unless the day is known."""
    if aired_from is None or len(aired_from) < 10:
        return None, None
    return cour_of(aired_from, derived=SEASONS[int(aired_from[5:7]) % 12 // 3])


def _status(
    a: AnimeAttributes, aired_from: str | None, aired_to: str | None, fetched_at: datetime
) -> AiringStatus | None:
    """By the dates where they are known; Kitsu's own word, made of them too, may come from a cache."""
    theirs = mapped(STATUSES, a.status, "status")
    if a.status and theirs is None:
        return None
    is_asked = {"startDate", "endDate"} <= a.model_fields_set
    is_exact = all(
        len(date) == 10 if date else not raw for date, raw in ((aired_from, a.startDate), (aired_to, a.endDate))
    )
    is_old = theirs is not None and a.updatedAt is not None and a.updatedAt < fetched_at - OLD_ANSWER
    if not is_asked or not is_exact or is_old or not (aired_from or aired_to):
        return theirs
    return status_on(fetched_at.date().isoformat(), aired_from, aired_to)


def status_on(day: str, aired_from: str | None, aired_to: str | None) -> AiringStatus | None:
    """Where a work is on that day, as Kitsu computes it. The dates are whole; one of them may be unknown."""
    if aired_to and aired_to < day:
        return AiringStatus.RELEASED
    if aired_from:
        return AiringStatus.ONGOING if aired_from <= day else AiringStatus.ANNOUNCED
    return None


def _score(text: str | None) -> float | None:
    return round((checked(float, text or 0, "averageRating: not a number") or 0) / 10, 4) or None


def _next_episode(at: datetime | None, fetched_at: datetime) -> datetime | None:
    return at if at and at > fetched_at else None


def _picture(image: Image | None) -> str | None:
    found = (image.original, image.large) if image else ()
    return next(filter(None, map(_picture_url, found)), None)


def _picture_url(url: str | None) -> str | None:
    """``None`` for the host that Kitsu left in 2025: nothing answers there."""
    checked = normalize_https_url(url)
    return None if checked and checked.startswith("https://media.kitsu.io/") else checked


def _episode(row: Any, included: Included, owner: str, fetched_at: datetime) -> Episode:
    episode = read(EpisodeRow, row)
    a = episode.attributes
    return read(
        Episode,
        {
            "source": SOURCE,
            "source_id": episode.id,
            "fetched_at": fetched_at,
            "anime_id": owner,
            "season_number": a.seasonNumber,
            "number": a.number,
            "titles": _main_titles(a.titles or {}, a.canonicalTitle),
            "aired_on": checked(read_date, a.airdate, "airdate: not a date"),
            "duration_min": a.length or None,
        },
    )


def _character(row: Any, included: Included, owner: str, fetched_at: datetime) -> Character:
    cast = read(CastRow, row)
    found = next(resolve(CharacterRow, included, [cast.relationships.character.data]), None)
    if found is None:
        raise RecordError("relationships.character: not included")
    names = _main_titles(found.attributes.names or {}, found.attributes.canonicalName)
    if not any(names.values()):
        raise RecordError("names: there is none")
    return read(
        Character,
        {
            "source": SOURCE,
            "source_id": found.id,
            "fetched_at": fetched_at,
            "names": names,
            "anime_id": owner,
            "role": normalize_line(cast.attributes.role),
            "picture": _picture(found.attributes.image),
        },
    )


READERS: dict[str, Callable[[Any, Included, str, datetime], Item]] = {
    "anime": _anime,
    "episodes": _episode,
    "mediaCharacters": _character,
}
"""Type of a row -> what reads it."""


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of an answer: anime as a list or alone, episodes, or characters of an anime.

    Raises:
        ResponseError: it is none of these; the message says what was found.
    """
    document = parse_json(body)
    wrong = errors_of(document)
    if wrong is not None:
        raise ResponseError(f"{name} is Kitsu's error: {'; '.join(wrong)}")
    return items_from_document(document_from_json(document), name, fetched_at)
