"""Anime-Planet's pages into items: pure, one record at a time, so that a bad one costs only itself.

Status is on no page. With the time of fetching as "now": ``TBA`` or a first year ahead is announced; years that have
all passed are released; ``YYYY - ?`` from a year that has passed is ongoing. Where the present year is touched only
exact dates decide: an end that has passed is released, a start ahead announced, a start that has passed ongoing (a
film's only date is start and end); without dates nobody knows.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    episodes_aired,
    explain,
    mapped,
    note,
    read,
    reading,
    set_aside,
)
from anime_crawler.items import Absent, AiringStatus, Anime, Character, Item, Kind, Rejected
from anime_crawler.normalize.date import cour_of, read_date
from anime_crawler.normalize.text import normalize_line, normalize_text, snake, unique
from anime_crawler.normalize.url import normalize_https_url
from anime_crawler.sources.anime_planet.schema import (
    YEARS,
    Actor,
    Card,
    Cast,
    Entry,
    Page,
    Related,
    Work,
    cards_from_page,
    cast_from_page,
    character_from_page,
    entry_from_page,
    is_hidden,
    split_path,
    text_of,
)

SOURCE = "anime_planet"
SITE, MAPPED_SITE = "https://www.anime-planet.com", "https://anime-planet.com"
"""Where it is, and how mappings write it."""

KINDS = {
    "tv": Kind.TV,
    "movie": Kind.MOVIE,
    "ova": Kind.OVA,
    "web": Kind.ONA,
    "tv_special": Kind.TV_SPECIAL,
    "dvd_special": Kind.SPECIAL,
    "music_video": Kind.MUSIC,
}
NO_KIND = "other"  # its word for what it could not sort: commercials, shorts, pilot films
LANGUAGES = {"JP": "ja", "US": "en", "ES": "es", "FR": "fr", "DE": "de", "KO": "ko"}
"""Language by flag; one that we do not know is kept as it is."""
ADULT_TAGS = frozenset({"explicit sex", "hentai"})
PLACEHOLDER_TEXT = re.compile(r"(?:This entry currently doesn't have a|No) synopsis.*", re.DOTALL)
TYPE_LINE = re.compile(r"([^(]+?)(?: ?\((\d+)(\+?) eps?(?: x (\d+) min)?\))?", re.ASCII)
RATING_LINE = re.compile(r"(\d+(?:\.\d+)?) out of (\d+) from ([\d,]+) votes?", re.ASCII)
SEASON = re.compile(r"/anime/seasons/(winter|spring|summer|fall)-(\d{4})", re.ASCII)
SIZE = re.compile(r"-\d+x\d+(?=\.\w+$)")


def items_from_entry(page: Page, fetched_at: datetime) -> Iterator[Anime | Character | Rejected]:
    """The anime of its page, then the characters that the page shows."""
    try:
        with reading() as problems:
            entry = entry_from_page(page)
            anime = anime_from_entry(entry, fetched_at)
    except (RecordError, ValidationError) as error:
        yield _rejected("anime", page, error, fetched_at)
    else:
        yield anime.noting(problems)
        yield from items_from_cast(entry.cast, fetched_at, entry.slug)


def items_from_cast(cast: list[Cast], fetched_at: datetime, anime_id: str | None) -> Iterator[Character | Rejected]:
    """Characters in the page's order, each once."""
    for one in {one.slug: one for one in cast}.values():
        try:
            with reading() as problems:
                character = character_from_cast(one, fetched_at, anime_id)
            yield character.noting(problems)
        except (RecordError, ValidationError) as error:
            yield set_aside(SOURCE, "character", one.model_dump(), explain(error), fetched_at, source_id=one.slug)


def items_from_character(page: Page, fetched_at: datetime, anime_id: str | None = None) -> Iterator[Item | Rejected]:
    """The character of its own page, once for each anime that the page says it is in.

    Args:
        anime_id: an anime that names it, whatever its page says. ``None``: its page was asked for by itself.
    """
    try:
        cast = character_from_page(page)
        for its_anime in dict.fromkeys([role.anime for role in cast.roles] + [anime_id] * bool(anime_id)) or [None]:
            with reading() as problems:
                character = character_from_cast(cast, fetched_at, its_anime)
            yield character.noting(problems)
    except (RecordError, ValidationError) as error:
        yield _rejected("character", page, error, fetched_at)


def items_from_cards(cards: list[Card], fetched_at: datetime) -> Iterator[Anime | Rejected]:
    """The anime of a listing: it says less than their own pages, and has ratings with one decimal."""
    for card in cards:
        try:
            with reading() as problems:
                anime = anime_from_card(card, fetched_at)
            yield anime.noting(problems)
        except (RecordError, ValidationError) as error:
            yield set_aside(SOURCE, "anime", card.model_dump(), explain(error), fetched_at, source_id=card.slug)


def _rejected(kind: str, page: Page, error: RecordError | ValidationError, fetched_at: datetime) -> Rejected:
    """The dead letter of a page: its text, and for an anime how to ask for it again."""
    slug = page.address[1] if page.address else None
    request = {"ids": slug} if slug and kind == "anime" else None
    text = " ".join(page.root.xpath("string(//body)").get("").split())
    return set_aside(SOURCE, kind, text, explain(error), fetched_at, source_id=slug, request=request)


def anime_from_entry(entry: Entry, fetched_at: datetime) -> Anime:
    """The anime that its own page describes.

    A kind, year, date or rating that we do not understand, and a value that no anime may have, are noted.

    Raises:
        RecordError: no title.
    """
    data = entry.data
    first, last = _years(entry.years)
    stated = SEASON.fullmatch(entry.season or "")
    starts = _date(data.startDate or data.datePublished, "startDate")
    ends = _date(data.endDate, "endDate")
    # Only what goes on air by seasons has one here: of films and the like the site says none.
    season, season_year = cour_of(starts, stated[1], int(stated[2])) if stated else (None, None)
    alone = ends or (starts if data.datePublished else None)
    score, votes = _rating(entry)
    common = _common(entry, fetched_at)
    return read(
        Anime,
        {
            **common,
            **_titles(entry.name, entry.aka, data.alternateName),
            "year": (int(starts[:4]) if starts else None) or first or (int(stated[2]) if stated else None),
            "season": season,
            "season_year": season_year,
            **_status_fields(common, _status(entry.years, starts, alone, fetched_at)),
            "studios": unique([*entry.studios]),
            "score": score,
            "votes": votes,
            "aired_from": starts or (str(first) if first else None),
            "aired_to": ends or (str(last) if last else None),
            "relations": _relations(entry.related),
        },
    )


def anime_from_card(card: Card, fetched_at: datetime) -> Anime:
    """The anime that an entry of a listing describes.

    Raises: RecordError, ValidationError: as `anime_from_entry`.
    """
    if not card.slug:
        raise RecordError("card: a link to one anime was expected")
    first, last = _years(card.years)
    common = _common(card, fetched_at)
    return read(
        Anime,
        {
            **common,
            **_titles(card.name, card.aka, None),
            "year": first,
            **_status_fields(common, _status(card.years, None, None, fetched_at)),
            "studios": unique([card.studio]),
            "score": _card_score(card.rating),
            "aired_from": str(first) if first else None,
            "aired_to": str(last) if last else None,
        },
    )


def _common(record: Work, fetched_at: datetime) -> dict[str, Any]:
    """Fields that pages and cards have in the same form."""
    tags = unique([tag.strip().removesuffix(",") for tag in record.tags])
    number = {"anime_planet_number": record.number} if re.fullmatch("[0-9]+", record.number or "") else {}
    return {
        "source": SOURCE,
        "source_id": record.slug,
        "fetched_at": fetched_at,
        "url": f"{MAPPED_SITE}/anime/{record.slug}",
        "description": _description(record.synopsis),
        **type_fields(record.type_line),
        "poster": picture(record.image),
        "tags": tags,
        "origin": next(filter(None, map(_origin, tags)), None),
        "is_adult": True if ADULT_TAGS & {tag.casefold() for tag in tags} else None,
        "external_ids": {"anime_planet": record.slug, **number},
    }


def _titles(name: str | None, aka: str | None, alternatives: list[str] | None) -> dict[str, Any]:
    """The title that it shows, then the others, as alternatives; what Cloudflare hides is none of them.

    Nothing says in which language any of them is: what it shows is English here and romaji there.
    """
    title = normalize_line(name)
    if title is None or is_hidden(title):
        raise RecordError("h1: a title was expected")
    others = [html.unescape(other) for other in alternatives] if alternatives else alternative_titles(aka)
    return {"titles": {}, "alternative_titles": unique([title, *(o for o in others if not is_hidden(o))])}


def alternative_titles(aka: str | None) -> list[str]:
    """``Alt title: X`` is one title, whatever is in it; only ``Alt titles: X, Y`` are several."""
    label, colon, rest = (aka or "").partition(":")
    if not colon or label.strip() not in ("Alt title", "Alt titles"):
        return []
    return rest.split(", ") if label.strip() == "Alt titles" else [rest]


def type_fields(line: str | None) -> dict[str, Any]:
    """Kind, episodes, minutes. ``12+ eps`` have aired so far; how many there will be nobody says."""
    text = normalize_line(line)
    if text is None:
        return {}
    match = TYPE_LINE.fullmatch(text)
    if match is None:
        note(f"type: unknown form {text[:60]!r}")
        return {}
    word, episodes, is_open, minutes = match.groups()
    count = int(episodes) if episodes else None
    return {
        "kind": None if snake(word) == NO_KIND else mapped(KINDS, snake(word), "type"),
        "episodes_total": None if is_open else count or None,
        "episodes_aired": count if is_open else None,
        "duration_min": int(minutes or 0) or None,
    }


def _years(line: str | None) -> tuple[int | None, int | None]:
    """First and last year; the last one only of a range that is closed."""
    text = normalize_line(line)
    if text is None:
        return None, None
    match = YEARS.fullmatch(text)
    if match is None:
        note(f"year: unknown form {text[:40]!r}")
        return None, None
    last = int(match[2]) if match[2] and match[2] != "?" else None
    return (int(match[1]) if match[1] else None), last


def _status_fields(common: dict[str, Any], status: AiringStatus | None) -> dict[str, Any]:
    aired = episodes_aired(common.get("episodes_total"), status, common.get("episodes_aired"))
    return {"status": status, "episodes_aired": aired}


def _status(line: str | None, starts: str | None, ends: str | None, now: datetime) -> AiringStatus | None:
    """See the module's docstring."""
    text, (first, last) = normalize_line(line) or "", _years(line)
    if text == "TBA" or (first and first > now.year):
        return AiringStatus.ANNOUNCED
    if first and (last or first) < now.year:
        return AiringStatus.ONGOING if text.endswith("?") else AiringStatus.RELEASED
    return _status_by_dates(starts, ends, now.date().isoformat())


def _status_by_dates(starts: str | None, ends: str | None, today: str) -> AiringStatus | None:
    """A date of which only the present year or month is known decides nothing."""
    if ends and ends < today[: len(ends)]:
        return AiringStatus.RELEASED
    if starts and starts > today[: len(starts)]:
        return AiringStatus.ANNOUNCED
    is_day_known = starts and (len(starts) == len(today) or starts < today[: len(starts)])
    return AiringStatus.ONGOING if is_day_known and not (ends and starts == ends) else None


def _date(text: str | None, path: str) -> str | None:
    """As much of a date as is known: of a date on 1 January only the year, see the card's quirks."""
    found = checked(read_date, text, f"ld+json.{path}: not a date")
    return found[:4] if found and found.endswith("-01-01") else found


def _rating(entry: Entry) -> tuple[float | None, int | None]:
    """Mean and number of votes: of the linked data, which is the finer one, or else of the line that people see."""
    rating = entry.data.aggregateRating
    if rating and rating.ratingValue:
        return _scaled(rating.ratingValue, rating.bestRating), rating.ratingCount or None
    line = normalize_line(entry.rating_line)
    if line is None or "more vote" in line:
        return None, None
    match = RATING_LINE.fullmatch(line)
    if match is None:
        note(f"avgRating: unknown form {line[:60]!r}")
        return None, None
    return _scaled(float(match[1]), float(match[2])), int(match[3].replace(",", "")) or None


def _scaled(value: float, best: float) -> float | None:
    """On 0 to 10. Three decimals are what the site gives."""
    return round(value * 10 / best, 3) if value and best > 0 else None


def _card_score(rating: str | None) -> float | None:
    return _scaled(checked(float, rating or 0, "ttRating: not a number") or 0, 5)


def _description(synopsis: str | None) -> str | None:
    text = normalize_text(synopsis)
    return None if text is None or PLACEHOLDER_TEXT.fullmatch(text) else text


def _origin(tag: str) -> str | None:
    """``Based on a Light Novel`` -> ``light_novel``; ``Original Work`` -> ``original``."""
    match = re.fullmatch(r"based on an? (.+)", tag, re.IGNORECASE)
    return snake(match[1]) if match else "original" if tag.casefold() == "original work" else None


def picture(url: str | None) -> str | None:
    """The picture in full size; ``None`` for placeholders, whose name changes with the season."""
    if not url or "/default/" in url:
        return None
    full = SIZE.sub("", url.partition("?")[0])
    return normalize_https_url(f"{SITE}{full}" if full.startswith("/") and not full.startswith("//") else full)


def _relations(related: list[Related]) -> list[dict[str, Any]]:
    """Works in the page's order, each once; what leads to no single work is none."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for work in related:
        address = split_path(work.href)
        if address and address[0] in ("anime", "manga"):
            name = normalize_line(work.name)
            found.setdefault(
                (address[0], address[1]),
                {
                    # A work without a label only belongs to the same franchise.
                    "kind": snake(work.label) or "other",
                    "target": address[0],
                    "target_id": address[1],
                    "title": None if name and is_hidden(name) else name,
                },
            )
    return [*found.values()]


def character_from_cast(cast: Cast, fetched_at: datetime, anime_id: str | None = None) -> Character:
    """A character in one anime, or, without `anime_id`, one whose page names none.

    Raises: RecordError: it has no name. ValidationError: a value that no character may have.
    """
    name = normalize_line(cast.name)
    if name is None or is_hidden(name):
        raise RecordError("character: a name was expected")
    roles = [role for role in cast.roles if anime_id in (None, role.anime)]
    role = normalize_line(roles[0].role) if anime_id and roles else None
    actors = [*cast.actors, *(actor for role_ in roles for actor in role_.actors)]
    return read(
        Character,
        {
            "source": SOURCE,
            "source_id": cast.slug,
            "fetched_at": fetched_at,
            "names": {"romaji": name},
            "anime_id": anime_id,
            "role": snake(role),
            "picture": picture(cast.image),
            "voice_actors": _voice_actors(actors),
        },
    )


def _voice_actors(actors: list[Actor]) -> list[dict[str, Any]]:
    """Each name in each language once, in the page's order."""
    spoken = dict.fromkeys((normalize_line(actor.name), actor.flag) for actor in actors)
    return [{"name": name, "language": LANGUAGES.get(flag or "", flag)} for name, flag in spoken if name]


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded page: an anime, a listing, a character, an anime's characters, a search without result.

    Args:
        name: a file name, or the address of the request, which tells where the page does not name itself.

    Raises:
        ResponseError: it is none of these; the message says what it is where that can be told.
    """
    page = Page(body, name)
    if page.kind == "anime":
        return items_from_entry(page, fetched_at)
    if page.kind == "list":
        return items_from_cards(cards_from_page(page), fetched_at)
    if page.kind == "character":
        return items_from_character(page, fetched_at)
    if page.kind == "characters":
        return items_from_cast(cast_from_page(page), fetched_at, page.address[1] if page.address else None)
    if page.kind == "search":
        return iter([_gone(page, name, fetched_at)])
    if page.kind == "challenge":
        raise ResponseError(f"{name} is a challenge of Cloudflare, no page of Anime-Planet")
    raise ResponseError(f"{name} is no page of an anime, no listing and no character")


def _gone(page: Page, name: str, fetched_at: datetime) -> Absent:
    """A removed slug leads to a search for it, which finds nothing."""
    words = re.fullmatch(r"You searched for\s+([a-z0-9]+(?:-[a-z0-9]+)*)", text_of(page.heading, ".") or "")
    if words is None or "couldn't find anything" not in page.root.xpath("string(//h3)").get(""):
        raise ResponseError(f"{name} is the result of a search, which is no item")
    return Absent(source=SOURCE, source_id=words[1], fetched_at=fetched_at)
