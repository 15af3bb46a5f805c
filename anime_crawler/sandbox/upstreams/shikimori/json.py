"""A title as Shikimori shows it: the GraphQL object and the REST objects."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

from anime_crawler.sandbox.upstreams.kodik.json import poster_url
from anime_crawler.sandbox.world.elsewhere import id_at
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Day, Title

MOSCOW = timezone(timedelta(hours=3))
SITE = "https://shikimori.io"


def moscow(moment: int) -> str:
    """Shikimori's time: Moscow's offset written out."""
    return datetime.fromtimestamp(moment, UTC).astimezone(MOSCOW).isoformat()


def slug(title: Title) -> str:
    """The address part after the id."""
    return re.sub(r"[^a-z0-9]+", "-", title.romaji.lower()).strip("-")


def filled(day: Day) -> str | None:
    """The date with invented parts: month and day become 1, the year 1901."""
    year, month, number = day
    return f"{year or 1901:04}-{month or 1:02}-{number or 1:02}" if year or month else None


def incomplete(day: Day) -> dict[str, Any] | None:
    """GraphQL's date: the parts, and the filled one."""
    year, month, number = day
    return {"year": year, "month": month, "day": number, "date": filled(day)} if year or month else None


def anime_object(title: Title) -> dict[str, Any]:
    """Every field of GraphQL's ``Anime``; the query takes what it selects."""
    return {
        "id": str(title.id),
        "malId": str(title.mal_id) if title.mal_id else None,
        "name": title.romaji,
        "russian": title.russian,
        "licenseNameRu": title.license_ru,
        "english": title.english,
        "japanese": title.japanese,
        "synonyms": title.synonyms,
        "kind": title.kind,
        "rating": title.rating,
        "origin": title.origin,
        "score": title.score,
        "status": title.status,
        "episodes": title.episodes,
        "episodesAired": title.aired,
        "duration": title.duration,
        "airedOn": incomplete(title.aired_on),
        "releasedOn": incomplete(title.released_on),
        "season": title.season,
        "nextEpisodeAt": moscow(title.next_episode_at) if title.next_episode_at else None,
        "url": f"{SITE}/animes/{'z' if title.id % 20 == 0 else ''}{title.id}-{slug(title)}",
        "franchise": title.franchise,
        "isCensored": title.censored,
        "createdAt": moscow(title.created_at),
        "updatedAt": moscow(title.updated_at),
        "poster": poster(title),
        "genres": [genre(g) for g in title.genres],
        "studios": [{"id": str(1 + len(name)), "name": name, "imageUrl": None} for name in title.studios],
        "externalLinks": external_links(title),
        "related": related(title),
        "fansubbers": [],
        "fandubbers": [],
        "licensors": ["Северная лицензия"] if title.license_ru else [],
        "videos": [],
        "screenshots": [],
        "description": title.description,
        "descriptionHtml": "",
        "descriptionSource": None,
        "scoresStats": [],
        "statusesStats": [],
        "chronology": [],
        "opengraphImageUrl": None,
    }


def poster(title: Title) -> dict[str, Any] | None:
    """Every size of the picture, or ``None``."""
    if title.poster is None:
        return None
    address = partial(poster_url, title)
    return {
        "id": str(title.id),
        "originalUrl": address("original"),
        "mainUrl": address("main"),
        "main2xUrl": address("main_2x"),
        "mainAltUrl": address("main_alt"),
        "mainAlt2xUrl": address("main_alt_2x"),
        "previewUrl": address("preview"),
        "miniUrl": address("mini"),
    }


def genre(number: int) -> dict[str, Any]:
    """A new genre: kind tells genre, theme and demographic apart."""
    name, russian, kind = GENRES[number]
    return {"id": str(number), "name": name, "russian": russian, "kind": kind, "entryType": "Anime"}


def external_links(title: Title) -> list[dict[str, Any]]:
    """Links elsewhere; the one to MyAnimeList is made up from the id and has neither id nor dates."""
    found = [("official_site", f"http://anime-{title.id}.example.org/")]
    if title.kinopoisk_id:
        found.append(("kinopoisk", f"https://www.kinopoisk.ru/series/{title.kinopoisk_id}/"))
        found.append(("world_art", f"http://www.world-art.ru/animation/animation.php?id={title.id % 13_000}"))
    if title.id % 3 and (aid := id_at("anidb", title)):
        address = "perl-bin/animedb.pl?show=anime&aid=" if title.id % 2 else "anime/"
        found.append(("anime_db", f"https://anidb.net/{address}{aid}"))
    if title.id % 4 == 0:
        found.append(
            ("anime_news_network", f"https://www.animenewsnetwork.com/encyclopedia/anime.php?id={title.id % 30_000}")
        )
    links: list[dict[str, Any]] = [
        {"id": str(title.id * 10 + n), "kind": kind, "url": url, **dates(title)} for n, (kind, url) in enumerate(found)
    ]
    if title.mal_id:
        url = f"http://myanimelist.net/anime/{title.mal_id}"
        links.insert(1, {"id": None, "kind": "myanimelist", "url": url, "createdAt": None, "updatedAt": None})
    return links


def dates(title: Title) -> dict[str, str]:
    """Both dates of a link."""
    return {"createdAt": moscow(title.created_at), "updatedAt": moscow(title.updated_at)}


def related(title: Title) -> list[dict[str, Any]]:
    """Relations; exactly one of anime and manga is set."""
    rows = []
    for n, (kind, target, number, name) in enumerate(title.related):
        row: dict[str, Any] = {"id": str(title.id * 10 + n), "relationKind": kind, "relationText": kind.capitalize()}
        row |= {"anime": None, "manga": None}
        row[target] = {"id": str(number), "malId": str(number), "name": name, "russian": None}
        rows.append(row)
    return rows


def short_object(title: Title) -> dict[str, Any]:
    """REST's short object: score is text, pictures come from the old store, addresses are relative."""
    return {
        "id": title.id,
        "name": title.romaji,
        "russian": title.russian or "",
        "image": {name: f"/assets/globals/missing_{name}.jpg" for name in ("original", "preview", "x96", "x48")},
        "url": f"/animes/{title.id}-{slug(title)}",
        "kind": title.kind,
        "score": f"{title.score:.2f}" if title.score else "0.0",
        "status": title.status,
        "episodes": title.episodes,
        "episodes_aired": title.aired,
        "aired_on": filled(title.aired_on),
        "released_on": filled(title.released_on),
    }


def full_object(title: Title) -> dict[str, Any]:
    """REST's full object; genres are the old ones, every one of kind ``genre``."""
    return short_object(title) | {
        "rating": title.rating,
        "english": [title.english],
        "japanese": [title.japanese],
        "synonyms": title.synonyms,
        "license_name_ru": title.license_ru or "",
        "duration": title.duration,
        "description": title.description,
        "description_html": '<div class="b-text_with_paragraphs"></div>',
        "description_source": None,
        "franchise": title.franchise,
        "favoured": False,
        "anons": title.status == "anons",
        "ongoing": title.status == "ongoing",
        "myanimelist_id": title.id,
        "updated_at": moscow(title.updated_at),
        "next_episode_at": moscow(title.next_episode_at) if title.next_episode_at else None,
        "fansubbers": [],
        "fandubbers": [],
        "licensors": [],
        "genres": [
            {"id": g, "name": GENRES[g][0], "russian": GENRES[g][1], "kind": "genre", "entry_type": "Anime"}
            for g in title.genres
        ],
        "studios": [
            {"id": 1 + len(n), "name": n, "filtered_name": n, "real": True, "image": None} for n in title.studios
        ],
        "videos": [],
        "screenshots": [],
        "user_rate": None,
    }
