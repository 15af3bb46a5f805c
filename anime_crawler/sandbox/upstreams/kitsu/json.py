"""A title as Kitsu has it: resources with attributes and relationships, and what is odd about some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from anime_crawler.sandbox.upstreams.kitsu.dates import dates_of, status_of
from anime_crawler.sandbox.upstreams.kitsu.resource import Resource
from anime_crawler.sandbox.world.elsewhere import OFFSETS, Role, cast, id_at, ids_elsewhere, oddities, slug_of
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

SOURCE = "kitsu"
MEDIA = "https://media.kitsu.app/anime/poster_images"
SUBTYPES = {"tv": "TV", "ova": "OVA", "ona": "ONA", "movie": "movie", "music": "music"}
"""The rest are specials, but for what has no kind elsewhere: here everything has one."""
AGES = {"g": "G", "pg": "PG", "pg_13": "PG", "r": "R", "r_plus": "R", "rx": "R18"}
ROLES = {"sequel", "prequel", "adaptation"}
CATEGORIES = {"Sci-Fi": "Science Fiction", "Sports": "Sport"}
"""Genres are the older vocabulary; categories, which are filled as well, have other words for some."""
OTHER_RELATIONSHIPS = ("castings", "installments", "reviews", "staff", "productions", "quotes", "streamingLinks")
"""Nothing is known of these here."""


def anime(title: Title, world: World) -> Resource:
    """The row of a title; what it is related to is looked up only where it is included."""
    related: dict[str, Callable[[], list[Resource] | Resource | None]] = dict.fromkeys(OTHER_RELATIONSHIPS, list)
    related |= {
        "genres": lambda: [] if is_bare(title) else list(_genres(title)),
        "categories": lambda: [] if is_bare(title) else list(_categories(title)),
        "mappings": lambda: [] if is_bare(title) else list(_mappings(title)),
        "animeProductions": lambda: [] if is_bare(title) else list(_productions(title)),
        "mediaRelationships": lambda: [] if is_bare(title) else list(_relations(title, world)),
        "episodes": lambda: episodes(title),
        "characters": lambda: characters(title),
    }
    return Resource("anime", str(id_at(SOURCE, title)), _attributes(title, world.now), related)


def is_bare(title: Title) -> bool:
    """Nobody has entered more than the title itself: an answer with only such rows has no ``included``."""
    return oddities("kitsu bare", title).random() < 0.04


def _attributes(title: Title, now: int) -> dict[str, Any]:
    draw, text = oddities(SOURCE, title), _description(title)
    minutes = max(0, title.duration + draw.choice((0, 0, 0, -1, 1))) if title.duration else 0
    score = title.score and min(10, max(1, title.score + draw.uniform(-0.6, 0.4)))
    subtype = subtype_of(title)
    return {
        "createdAt": moment(title.created_at),
        "updatedAt": touched_at(now),
        "slug": slug_of(title.romaji),
        "synopsis": text,
        "description": text,
        "coverImageTopOffset": 0,
        **_names(title),
        "averageRating": f"{score * 10:.2f}" if score else None,
        "ratingFrequencies": {str(half): str(title.votes // (30 - half)) for half in range(2, 21)},
        "userCount": title.votes * 2,
        "favoritesCount": title.votes // 50,
        **_dates(title, now),
        "popularityRank": title.id,
        "ratingRank": title.id if score else None,
        "ageRating": AGES.get(title.rating),
        "ageRatingGuide": draw.choice(("", None, "Teens 13 or older", "17+ (violence & profanity)")),
        "subtype": subtype,
        "posterImage": _poster(title),
        "coverImage": None,
        "episodeCount": title.episodes or None,
        "episodeLength": minutes or draw.choice((0, None)),
        "totalLength": minutes * title.episodes or None,
        "youtubeVideoId": draw.choice((None, "", "dQ0a1b2c3d4")),
        "showType": subtype,
        "nsfw": False,
    }


def moment(seconds: int) -> str:
    """UTC with milliseconds."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def touched_at(now: int) -> str:
    """When ranks were last written: to all rows at once, at the beginning of the day."""
    return moment(now - now % 86_400)


def subtype_of(title: Title) -> str:
    """Kitsu's word for the kind; upper and lower case are mixed."""
    return SUBTYPES.get(title.kind or "tv", "special")


def _names(title: Title) -> dict[str, Any]:
    """Titles by language: keys may be missing, values null; abbreviations hold nulls and repeats."""
    draw = oddities("kitsu names", title)
    titles: dict[str, str | None] = {"en_jp": title.romaji}
    if title.english:
        titles["en"] = None if draw.random() < 0.03 else title.english
    if title.english and draw.random() < 0.25:
        titles["en_us"] = title.english
    if title.japanese:
        titles["ja_jp"] = title.japanese
    if title.russian and draw.random() < 0.01:
        titles["ru_ru"] = title.russian
    short: list[str | None] = [name for name in title.synonyms if name.isascii()]
    if draw.random() < 0.1:
        short += [None, *short[:1]]
    canonical = title.english if title.english and draw.random() < 0.15 else title.romaji
    return {"titles": titles, "canonicalTitle": canonical, "abbreviatedTitles": short or draw.choice(([], None))}


def _description(title: Title) -> str | None:
    if title.description is None:
        return None
    name, n = title.english or title.romaji, oddities("kitsu words", title).randint(0, 3)
    tail = ("\n\n[Written by MAL Rewrite]", "\n\n(Source: Lantern Press)", "", "<br>")[n]
    return f"The story of {name}, and of those who live in it.\n\nIt begins &amp; ends at the sea.{tail}"


def _dates(title: Title, now: int) -> dict[str, Any]:
    dates, today, tokyo = dates_of(title, now), datetime.fromtimestamp(now, UTC).date(), timedelta(hours=9)
    at = title.next_episode_at
    return {
        "startDate": dates.start,
        "endDate": dates.end,
        "nextRelease": f"{datetime.fromtimestamp(at, UTC) + tokyo:%Y-%m-%dT%H:%M:%S}.000+09:00" if at else None,
        "status": "current" if dates.lags else status_of(dates, today),
        "tba": dates.tba,
    }


def _poster(title: Title) -> dict[str, Any] | None:
    if title.poster is None:
        return None
    sizes = {"tiny": (110, 156), "small": (284, 402), "medium": (390, 554), "large": (550, 780)}
    number = id_at(SOURCE, title)
    addresses = {size: f"{MEDIA}/{number}/{size}.jpg" for size in (*sizes, "original")}
    return addresses | {"meta": {"dimensions": {size: {"width": w, "height": h} for size, (w, h) in sizes.items()}}}


def _genres(title: Title) -> Iterator[Resource]:
    for number in title.genres:
        name = GENRES[number][0]
        yield Resource("genres", str(number), {"name": name, "slug": slug_of(name), "description": None})


def _categories(title: Title) -> Iterator[Resource]:
    for number in title.genres:
        name = CATEGORIES.get(GENRES[number][0], GENRES[number][0])
        counts = {"totalMediaCount": 1_000 + number, "nsfw": False, "childCount": 0}
        attributes = {"title": name, "slug": slug_of(name), "description": None, **counts}
        yield Resource("categories", str(100 + number), attributes)


def _mappings(title: Title) -> Iterator[Resource]:
    """Ids at other sites as users typed them: one in fifty is no number."""
    draw, elsewhere = oddities("kitsu mappings", title), ids_elsewhere(title)
    ids = {"myanimelist/anime": title.mal_id and str(title.mal_id), "anilist/anime": elsewhere.get("anilist")}
    ids |= {"anidb": elsewhere.get("anidb"), "thetvdb": title.franchise and f"{70_000 + title.id}/1"}
    for place, (site, number) in enumerate(ids.items()):
        typed = f"https://{site}/{number}" if draw.random() < 0.02 else number
        if number and draw.random() < 0.95:
            attributes = {**_times(), "externalSite": site, "externalId": typed}
            yield Resource("mappings", str(title.id * 10 + place), attributes, {"item": lambda: None})


def _productions(title: Title) -> Iterator[Resource]:
    """Studios, a licensor, and some of the same rows once more."""
    rows = [("studio", name) for name in title.studios] + [("licensor", "Northern Lights")] * (title.id % 3 == 0)
    if oddities("kitsu productions", title).random() < 0.2:
        rows += rows[:1]
    for place, (role, name) in enumerate(rows):
        company = Resource("producers", str(_number_of(name)), {"slug": slug_of(name), "name": name})
        links: dict[str, Any] = {"producer": lambda found=company: found, "anime": lambda: None}
        yield Resource("animeProductions", str(title.id * 10 + place), {**_times(), "role": role}, links)


def _number_of(name: str) -> int:
    return sum(name.encode())


def _relations(title: Title, world: World) -> Iterator[Resource]:
    for place, (kind, target, number, name) in enumerate(title.related):
        other = _related_anime(world, number) if target == "anime" else _manga(number, name)
        role = kind if kind in ROLES else "other"
        links: dict[str, Any] = {"destination": lambda found=other: found, "source": lambda: None}
        yield Resource("mediaRelationships", str(title.id * 10 + place), {**_times(), "role": role}, links)


def _related_anime(world: World, number: int) -> Resource | None:
    """``None``: not at Kitsu, or not shown."""
    title = world.titles.get(number)
    is_there = title is not None and title.rating != "rx" and id_at(SOURCE, title) is not None
    return anime(title, world) if title is not None and is_there else None


def _manga(number: int, name: str) -> Resource:
    attributes = {"slug": slug_of(name), "titles": {"en_jp": name}, "canonicalTitle": name, "chapterCount": None}
    return Resource("manga", str(number), attributes)


def _times() -> dict[str, None]:
    """Rows of this kind often have none."""
    return {"createdAt": None, "updatedAt": None}


def episodes(title: Title) -> list[Resource]:
    """Those that have aired; one title in ten lacks the last ones, because nobody entered them."""
    aired = title.aired or (title.episodes if title.status == "released" else 0)
    known = aired // 2 if oddities("kitsu episodes", title).random() < 0.1 else aired
    return [_episode(title, number) for number in range(1, known + 1)]


def _episode(title: Title, number: int) -> Resource:
    year, month, day = title.aired_on
    first = date(year, month, day) if year and month and day else None
    names = {"en_jp": f"{title.romaji} {number}"} if number % 3 else {}
    attributes: dict[str, Any] = {
        **_times(),
        "titles": names,
        "canonicalTitle": f"{title.romaji} {number}" if names else f"Episode {number}",
        "seasonNumber": 1,
        "number": number,
        "relativeNumber": number,
        "synopsis": None,
        "description": None,
        "airdate": str(first + timedelta(weeks=number - 1)) if first else None,
        "length": title.duration or None,
        "thumbnail": None,
    }
    return Resource("episodes", str(OFFSETS[SOURCE] + title.id * 1_000 + number), attributes, {"media": lambda: None})


def characters(title: Title) -> list[Resource]:
    """The cast: a row for the part, which leads to the character."""
    return [_part(role, title.id * 10 + place) for place, role in enumerate(cast(title))]


def _part(role: Role, number: int) -> Resource:
    attributes = {**_times(), "role": "main" if role.main else "supporting"}
    return Resource("mediaCharacters", str(number), attributes, {"character": partial(_character, role)})


def _character(role: Role) -> Resource:
    picture = {"original": f"https://media.kitsu.app/characters/images/{role.number}/original.jpg"}
    attributes: dict[str, Any] = {
        **_times(),
        "slug": slug_of(role.name),
        "names": {"en": role.name},
        "canonicalName": role.name,
        "otherNames": [],
        "name": role.name,
        "malId": role.number,
        "description": "",
        "image": picture if role.number % 5 else None,
    }
    return Resource("characters", str(role.number), attributes)
