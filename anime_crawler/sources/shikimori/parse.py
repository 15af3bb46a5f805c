"""Shikimori's titles into items: pure, one title at a time, so that a bad one costs only itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

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
from anime_crawler.base_spiders.graphql import Unresolved, said_of
from anime_crawler.items import ADULT_MATURITIES, AiringStatus, Anime, Item, Kind, Rejected
from anime_crawler.normalize.bbcode import normalize_description
from anime_crawler.normalize.date import cour_of, partial_date, read_date, season_of
from anime_crawler.normalize.text import normalize_line, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.shikimori.schema import (
    ExternalLink,
    Genre,
    IncompleteDate,
    Related,
    RestTitle,
    Title,
    answer_from_document,
    messages,
    unresolved,
)

SOURCE = "shikimori"
SITE = "https://shikimori.io"

STATUSES = {
    "anons": AiringStatus.ANNOUNCED,
    "ongoing": AiringStatus.ONGOING,
    "released": AiringStatus.RELEASED,
}
KINDS = {kind.value: kind for kind in Kind}
"""Shikimori's words for kinds are ours."""
GENRE_FIELDS = {"genre": "genres", "anime": "genres", "theme": "themes", "demographic": "demographics"}
"""A kind of genre that we do not know becomes a tag."""
ADULT_GENRES = frozenset({"hentai", "хентай"})
FORMER_HOST = re.compile(r"(?:[a-z]+\.)?(?:shikimori\.(?:org|one|me|io)|shiki\.one)")
OLDEST_NEXT_EPISODE = timedelta(days=1)
EXTERNAL_IDS = {
    "anime_db": ("anidb", re.compile(r"[?&]aid=(\d+)|/anime/(\d+)")),
    "anime_news_network": ("ann", re.compile(r"[?&]id=(\d+)")),
    "kinopoisk": ("kinopoisk", re.compile(r"/(?:film|series)/(\d+)")),
    "world_art": ("world_art", re.compile(r"[?&]id=(\d+)")),
    "myanimelist": ("mal", re.compile(r"/anime/(\d+)")),
}
"""Kind of link -> our name of the catalogue, and where the id is. Other kinds hold no id that we keep."""
UNKNOWN_YEAR = 1901
"""REST fills in this year where nobody knows it."""


def items_from_animes(
    animes: list[Any], fetched_at: datetime, unresolved: Unresolved | None = None
) -> Iterator[Anime | Rejected]:
    """One item per title of a GraphQL page, in its order.

    Args:
        unresolved: what GraphQL's errors say of each of them, as `schema.unresolved` gives it.
    """
    for place, record in enumerate(animes):
        yield _item(record, fetched_at, said_of(unresolved, place))


def _item(record: Any, fetched_at: datetime, wrong: list[str]) -> Anime | Rejected:
    try:
        with reading() as problems:
            anime = _anime(record, fetched_at)
        return anime.noting([*wrong, *problems])
    except (RecordError, ValidationError) as error:
        return rejected(record, explain(error), fetched_at)


def _anime(record: Any, fetched_at: datetime) -> Anime:
    if not isinstance(record, dict):
        raise RecordError(f"a title was expected, there was {shape_of(record)}")
    if "image" in record:
        return anime_from_rest_title(read(RestTitle, record), fetched_at)
    return anime_from_title(read(Title, record), fetched_at)


def rejected(record: Any, reason: str, fetched_at: datetime) -> Rejected:
    """The dead letter of a title; `record` is at least ``{"id": …}`` where the title could not even be had."""
    own = str(record.get("id", "")) if isinstance(record, dict) else ""
    return set_aside(
        SOURCE, "anime", record, reason, fetched_at, source_id=own, request={"ids": own} if own.isdigit() else None
    )


def anime_from_title(title: Title, fetched_at: datetime) -> Anime:
    """The anime that a GraphQL title describes.

    A kind, status or date that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title at all.
    """
    status = mapped(STATUSES, title.status, "status")
    aired_from = _partial(title.airedOn, "airedOn")
    stated, year = _season(title.season)
    season, season_year = cour_of(aired_from, stated, year) if stated else (None, None)
    return read(
        Anime,
        {
            **_common(title, status, fetched_at),
            **_titles(title.russian, title.licenseNameRu, title.english, title.name, title.japanese, title.synonyms),
            "source_updated_at": title.updatedAt,
            "url": site_url(title.url),
            "year": int(aired_from[:4]) if aired_from else year,
            "season": season,
            "season_year": season_year,
            "poster": _first_poster(title),
            "origin": normalize_line(title.origin),
            "score": title.score or None,
            "episodes_aired": episodes_aired(title.episodes, status, title.episodesAired),
            **_next_episode(title.nextEpisodeAt, status, fetched_at),
            "aired_from": aired_from,
            "aired_to": _partial(title.releasedOn, "releasedOn"),
            "external_ids": _external_ids(title),
            "relations": [r for r in map(_relation, title.related or ()) if r],
        },
    )


def anime_from_rest_title(title: RestTitle, fetched_at: datetime) -> Anime:
    """The anime that a REST object describes, as `anime_from_title`; dates whose parts may be invented lose them."""
    status = mapped(STATUSES, title.status, "status")
    aired_from = _unfilled(title.aired_on, "aired_on")
    season, season_year = cour_of(aired_from, derived=season_of(aired_from))
    english, japanese = ((names or [None])[0] for names in (title.english, title.japanese))
    return read(
        Anime,
        {
            **_common(title, status, fetched_at),
            **_titles(title.russian, title.license_name_ru, english, title.name, japanese, title.synonyms),
            "source_updated_at": title.updated_at,
            "url": site_url(title.url),
            "year": int(aired_from[:4]) if aired_from else None,
            "season": season,
            "season_year": season_year,
            "poster": site_url(title.image.original if title.image else None),
            "score": _score(title.score),
            "episodes_aired": episodes_aired(title.episodes, status, title.episodes_aired),
            **_next_episode(title.next_episode_at, status, fetched_at),
            "aired_from": aired_from,
            "aired_to": _unfilled(title.released_on, "released_on"),
            "external_ids": {"shikimori": title.id},
        },
    )


def _common(title: Title | RestTitle, status: AiringStatus | None, fetched_at: datetime) -> dict[str, Any]:
    """Fields of one name in both forms."""
    description = normalize_description(title.description)
    genres = _genres(title.genres or [])
    rating = normalize_line(title.rating)
    maturity = None if rating == "none" else rating
    return {
        "source": SOURCE,
        "source_id": title.id,
        "fetched_at": fetched_at,
        "description": description,
        "description_raw": title.description if title.description != description else None,
        "status": status,
        "kind": mapped(KINDS, title.kind or None, "kind"),
        **genres,
        "studios": unique([studio.name for studio in title.studios or ()]),
        "maturity": maturity,
        "is_adult": _is_adult(maturity, genres),
        "episodes_total": title.episodes or None,
        "duration_min": title.duration or None,
        "franchise": normalize_line(title.franchise),
    }


def _titles(
    russian: str | None,
    license_ru: str | None,
    english: str | None,
    name: str | None,
    japanese: str | None,
    synonyms: list[str | None] | None,
) -> dict[str, Any]:
    titles = {
        "ru": normalize_line(russian) or normalize_line(license_ru),
        "en": normalize_line(english),
        "romaji": normalize_line(name),
        "native": normalize_line(japanese),
    }
    if not any(titles.values()):
        raise RecordError("name: there is no title at all")
    return {"titles": titles, "alternative_titles": unique([*(synonyms or ()), license_ru], *titles.values())}


def _genres(genres: list[Genre]) -> dict[str, tuple[str, ...]]:
    """English names where there are any, by kind."""
    found: dict[str, list[str | None]] = {"genres": [], "themes": [], "demographics": [], "tags": []}
    for genre in genres:
        found[GENRE_FIELDS.get(genre.kind or "genre", "tags")].append(genre.name or genre.russian)
    return {field: unique(names) for field, names in found.items()}


def _is_adult(maturity: str | None, genres: dict[str, tuple[str, ...]]) -> bool | None:
    if any(name.casefold() in ADULT_GENRES for names in genres.values() for name in names):
        return True
    return maturity in ADULT_MATURITIES if maturity else None


def _next_episode(at: datetime | None, status: AiringStatus | None, fetched_at: datetime) -> dict[str, Any]:
    if at is None or status is AiringStatus.RELEASED or at < fetched_at - OLDEST_NEXT_EPISODE:
        return {}
    return {"next_episode_at": at, "next_episode_is_estimated": False}


def _season(text: str | None) -> tuple[str | None, int | None]:
    match = re.fullmatch(r"(winter|spring|summer|fall)_(\d{4})", text or "")
    return (match[1], int(match[2])) if match else (None, None)


def _partial(date: IncompleteDate | None, path: str) -> str | None:
    return checked(lambda d: partial_date(d.year, d.month, d.day), date, f"{path}: no such date") if date else None


def _unfilled(text: str | None, path: str) -> str | None:
    """REST's date without the parts that it may have invented: 1 January says only the year, 1901 nothing."""
    date = checked(read_date, text, f"{path}: not a date")
    if date is None or int(date[:4]) == UNKNOWN_YEAR:
        return None
    if date.endswith("-01-01"):
        return date[:4]
    return date[:7] if date.endswith("-01") else date


def _score(text: str | None) -> float | None:
    return checked(float, text or 0, "score: not a number") or None


def site_url(url: str | None) -> str | None:
    """An address at Shikimori on its present host; ``None`` for placeholders and what is not https.

    Pictures are addressed by content, so the path stays good when the host moves.
    """
    if not url or "/assets/globals/missing_" in url:
        return None
    if url.startswith("/") and not url.startswith("//"):
        return normalize_https_url(SITE + url)
    if FORMER_HOST.fullmatch(urlsplit_host(url)):
        url = re.sub(r"^(?:https?:)?//[^/?#]*", SITE, url)
    return normalize_https_url(url)


def urlsplit_host(url: str) -> str:
    """Lower-case host of an address; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _first_poster(title: Title) -> str | None:
    poster = title.poster
    found = (poster.originalUrl, poster.main2xUrl, poster.mainUrl) if poster else ()
    return next((url for url in map(site_url, found) if url), None)


def _external_ids(title: Title) -> dict[str, str]:
    found = dict(filter(None, map(_external_id, title.externalLinks or ())))
    mal = normalize_line(title.malId)
    return {"shikimori": title.id, **found, **({"mal": mal} if mal else {})}


def _external_id(link: ExternalLink) -> tuple[str, str] | None:
    if link.kind not in EXTERNAL_IDS or not link.url:
        return None
    name, pattern = EXTERNAL_IDS[link.kind]
    match = pattern.search(link.url)
    return (name, next(filter(None, match.groups()))) if match else None


def _relation(related: Related) -> dict[str, Any] | None:
    """Kinds of relation are an open set; one without kind or work is dropped."""
    target = "anime" if related.anime else "manga"
    work = related.anime or related.manga
    kind = normalize_line(related.relationKind)
    if not work or not kind:
        return None
    return {"kind": kind, "target": target, "target_id": work.id, "title": normalize_line(work.name)}


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: a GraphQL page of animes, a REST title, or a list of REST titles.

    Raises:
        ResponseError: it is none of these; the message says what was found.
    """
    document = parse_json(body)
    if isinstance(document, list) or (isinstance(document, dict) and "image" in document):
        return items_from_animes(_rest_titles(document, name), fetched_at)
    wrong = "; ".join(messages(document))
    if wrong and not (isinstance(document, dict) and document.get("data")):
        raise ResponseError(f"{name} is Shikimori's error: {wrong}")
    return items_from_animes(answer_from_document(document).data.animes, fetched_at, unresolved(document))


def _rest_titles(document: Any, name: str) -> list[Any]:
    """A REST object or list as a list; manga, people and studios have pictures too, but no episodes."""
    records = document if isinstance(document, list) else [document]
    if not any(isinstance(record, dict) and record.keys() >= {"image", "episodes"} for record in records):
        raise ResponseError(f"{name} holds no anime; calendars, topics, links, roles and dictionaries give no items")
    return records
