"""A title as AniList shows it. What takes arguments is a function of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anime_crawler.sandbox.world.elsewhere import OFFSETS, Role, cast, draws, id_at
from anime_crawler.sandbox.world.synopsis import synopsis
from anime_crawler.sandbox.world.words import GENRES, HENTAI, STUDIOS
from anime_crawler.sandbox.world.works import Day, Title
from anime_crawler.sandbox.world.world import World

SITE = "https://anilist.co"
PICTURES = "https://s4.anilist.co/file/anilistcdn"
WEEK_S = 7 * 86_400
MOST_NODES = 25
"""Of a list inside a title."""
FORMATS = {
    "tv": "TV",
    "movie": "MOVIE",
    "ova": "OVA",
    "ona": "ONA",
    "special": "SPECIAL",
    "tv_special": "SPECIAL",
    "music": "MUSIC",
}
STATUSES = {
    "anons": "NOT_YET_RELEASED",
    "ongoing": "RELEASING",
    "released": "FINISHED",
    "cancelled": "CANCELLED",
}
SOURCES = {"web_manga": "MANGA", "game": "VIDEO_GAME"}
OLD_SOURCES = ("ORIGINAL", "MANGA", "LIGHT_NOVEL", "VISUAL_NOVEL", "VIDEO_GAME")
"""Words of version 1; everything else was OTHER."""


def id_of(title: Title) -> int:
    """Its number here."""
    return title.id + OFFSETS["anilist"]


def status_of(title: Title, version: int | None = None) -> str | None:
    """HIATUS came with version 2; before, a pause was not seen."""
    if version and version > 1 and is_paused(title):
        return "HIATUS"
    return STATUSES.get(title.status or "")


def is_paused(title: Title) -> bool:
    """One running series in ten has an episode that nobody knows the time of."""
    return title.status == "ongoing" and draws("anilist hiatus", title.id, 10) == (0,)


def format_of(title: Title) -> str | None:
    """Series of short episodes have a word of their own."""
    return "TV_SHORT" if title.kind == "tv" and 0 < title.duration < 16 else FORMATS.get(title.kind or "")


def begin_of(title: Title) -> Day:
    """First day: of what is announced often nothing is known, of one title in thirty only the month."""
    is_announced, (year, month, day) = title.status == "anons", title.aired_on
    *unknown, only_month = draws("anilist date", title.id, *([2, 30] if is_announced else [30]))
    if any(unknown):
        return None, None, None
    return (year, month, None) if only_month == 0 else (year, month, day)


def begin_value(title: Title) -> int | None:
    """The first day as it is compared: 20200400. Unknown is null in one half of the titles, and 0 in the other."""
    year, month, day = begin_of(title)
    number = (year or 0) * 10_000 + (month or 0) * 100 + (day or 0)
    return number or (0 if title.id % 2 else None)


def media_object(title: Title, world: World) -> dict[str, Any]:
    """Every field of ``Media`` that the schema has."""
    season = (title.season or "").partition("_") if title.kind in ("tv", "ona") else ("", "", "")
    return {
        **named(title),
        "synonyms": title.synonyms,
        "status": lambda version=None: status_of(title, version),
        "description": lambda asHtml=False: text_of(title),  # noqa: N803 - its own word
        "startDate": day_object(begin_of(title)),
        "endDate": day_object(title.released_on),
        "season": season[0].upper() or None,
        "seasonYear": int(season[2]) if season[2] else None,
        "episodes": title.episodes or None,
        "duration": duration_of(title),
        "source": lambda version=None: source_of(title, version),
        "coverImage": cover(title),
        "genres": [GENRES[number][0] for number in title.genres if GENRES[number][2] == "genre"],
        "tags": [tag(number, title) for number in title.genres if GENRES[number][2] != "genre"],
        **scores(title),
        "popularity": title.votes,
        "isAdult": HENTAI in title.genres,
        "updatedAt": title.updated_at,
        "studios": {"edges": [studio(name) for name in title.studios]},
        "nextAiringEpisode": next(iter(airings(title, world.now)), None),
        "relations": {"edges": relations(title, world)},
        "characters": characters_of(title),
    }


def named(title: Title) -> dict[str, Any]:
    """What names a title, also where it is only related."""
    english = None if draws("anilist english", title.id, 10) == (0,) else title.english
    return {
        "id": id_of(title),
        "idMal": None if draws("anilist mal", title.id, 25) == (0,) else title.mal_id,
        "type": "ANIME",
        "format": format_of(title),
        "title": {"romaji": title.romaji, "english": english, "native": title.japanese, "userPreferred": title.romaji},
        "siteUrl": f"{SITE}/anime/{id_of(title)}",
    }


def text_of(title: Title) -> str | None:
    """HTML breaks, a spoiler, and where it was taken from."""
    paragraphs = synopsis(title)
    if not paragraphs:
        return None
    spoiler = " ~!The map is a fake.!~" if draws("anilist spoiler", title.id, 5) == (0,) else ""
    return "<br><br>\n".join(paragraphs) + f"{spoiler}<br><br>\n(Source: <i>Northern Licence</i>)"


def day_object(day: Day) -> dict[str, int | None]:
    """The object is there when nothing is known, too."""
    return dict(zip(("year", "month", "day"), day, strict=True))


def duration_of(title: Title) -> int | None:
    """Minutes; one more than elsewhere for one title in six."""
    return title.duration + (draws("anilist duration", title.id, 6) == (0,)) if title.duration else None


def source_of(title: Title, version: int | None) -> str:
    """Version 3 has more words."""
    word = SOURCES.get(title.origin, title.origin.upper())
    return word if (version or 1) >= 3 or word in OLD_SOURCES else "OTHER"


def cover(title: Title) -> dict[str, str | None]:
    """A missing picture is a picture, too."""
    name = f"bx{id_of(title)}-{title.poster[:12]}.jpg" if title.poster else "default.jpg"
    address = f"{PICTURES}/media/anime/cover"
    return {
        "extraLarge": f"{address}/large/{name}",
        "large": f"{address}/medium/{name}",
        "medium": f"{address}/small/{name}",
        "color": "#e4a15d" if title.poster else None,
    }


def tag(number: int, title: Title) -> dict[str, Any]:
    """Themes and demographics; one in ten gives something away."""
    name, _, kind = GENRES[number]
    is_spoiler = draws(f"anilist tag {number}", title.id, 10) == (0,)
    word = {"id": 1000 + number, "name": name, "category": f"Theme-{kind.capitalize()}", "rank": 60 + number % 40}
    return {**word, "isGeneralSpoiler": False, "isMediaSpoiler": is_spoiler, "isAdult": False}


def scores(title: Title) -> dict[str, int | None]:
    """The average wants many votes, the mean does not."""
    mean = round(title.score * 10) or None
    return {"averageScore": mean if title.votes >= 2_000 else None, "meanScore": mean}


def studio(name: str) -> dict[str, Any]:
    """A main studio."""
    return {"isMain": True, "node": {"id": 1 + STUDIOS.index(name), "name": name, "isAnimationStudio": True}}


def relations(title: Title, world: World) -> list[dict[str, Any]]:
    """Related works that it knows; manga among them."""
    edges = []
    for kind, target, number, name in title.related:
        if target == "anime":
            other = world.titles.get(number)
            node = named(other) if other and id_at("anilist", other) else None
        else:
            node = {"id": number + OFFSETS["anilist"], "type": "MANGA", "title": {"romaji": name}}
        if node:
            edges.append({"relationType": lambda version=None, kind=kind: kind.upper(), "node": node})
    return edges


def airings(title: Title, now: int) -> list[dict[str, Any]]:
    """What is to come of a running series, week by week to its last episode; ten weeks where no end is known."""
    at = title.next_episode_at
    if title.status != "ongoing" or at is None or is_paused(title):
        return []
    first = title.aired + 1
    last = title.episodes or title.aired + 10
    return [airing(title, number, at + (number - first) * WEEK_S, now) for number in range(first, last + 1)]


def airing(title: Title, number: int, at: int, now: int) -> dict[str, Any]:
    """``AiringSchedule``."""
    return {
        "id": id_of(title) * 1000 + number,
        "airingAt": at,
        "timeUntilAiring": at - now,
        "episode": number,
        "mediaId": id_of(title),
        "media": named(title),
    }


def characters_of(title: Title) -> Callable[..., dict[str, Any]]:
    """Its cast, 25 at most on a page, whatever is asked for."""

    def connection(page: int = 1, perPage: int = MOST_NODES, **_: Any) -> dict[str, Any]:  # noqa: N803
        size, roles = min(perPage, MOST_NODES), cast(title)
        info = {"currentPage": page, "perPage": size, "hasNextPage": page * size < len(roles)}
        return {"pageInfo": info, "edges": [character(role) for role in roles[(page - 1) * size : page * size]]}

    return connection


def character(role: Role) -> dict[str, Any]:
    """A character, and who speaks it in Japanese."""
    number = role.number + OFFSETS["anilist"]
    picture = f"{PICTURES}/character/large/b{number}.png" if number % 9 else f"{PICTURES}/character/large/default.jpg"
    return {
        "id": number,
        "role": "MAIN" if role.main else "SUPPORTING",
        "node": {"id": number, "name": {"full": role.name, "native": None}, "image": {"large": picture}},
        "voiceActors": [{"id": number + 1, "name": {"full": role.voice, "native": None}, "languageV2": "Japanese"}],
    }
