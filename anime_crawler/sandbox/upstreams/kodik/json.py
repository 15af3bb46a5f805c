"""A material as Kodik writes it: pieces of JSON, each written once and kept until the material changes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from anime_crawler.sandbox.world.words import GENRES, KINOPOISK_GENRES
from anime_crawler.sandbox.world.works import Day, Episode, Material, Title

SCREENSHOTS = "https://i.kodikres.com/screenshots"


def material_json(material: Material, seasons: str, with_data: bool) -> bytes:
    """One entry of ``results``.

    Args:
        seasons: ``""`` none, ``seasons`` links per season, ``episodes`` numbers to links, ``episodes_data`` objects.
        with_data: with ``material_data``.
    """
    parts = [_kept(material, "head")]
    if seasons and material.seasons is not None:
        parts.append(_kept(material, seasons))
    if with_data and material.has_data:
        parts.append(_kept_data(material.title))
    parts.append(_kept(material, "tail"))
    return b",".join(parts)


def _kept(material: Material, piece: str) -> bytes:
    if piece not in material.rendered:
        material.rendered[piece] = _written(material, piece)
    return material.rendered[piece]


def _kept_data(title: Title) -> bytes:
    if title.rendered is None:
        title.rendered = orjson.dumps({"material_data": material_data(title)})[1:-1]
    return title.rendered


def _written(material: Material, piece: str) -> bytes:
    """The piece as members of an object: without outer braces, except the first and the last one's."""
    if piece == "head":
        return orjson.dumps(head_of(material))[:-1]
    if piece == "tail":
        return orjson.dumps({"screenshots": screenshots_of(material)})[1:]
    return orjson.dumps({"seasons": seasons_of(material, piece)})[1:-1]


def iso(moment: int) -> str:
    """Kodik's time: UTC, whole seconds, Z."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def head_of(material: Material) -> dict[str, Any]:
    """Everything before ``seasons``, in Kodik's order; unknown keys are left out, not null."""
    title, film = material.title, material.seasons is None
    head: dict[str, Any] = {
        "id": material.id,
        "type": "anime" if film else "anime-serial",
        "link": material.link,
        "title": title.russian or title.romaji,
        "title_orig": title.romaji,
    }
    others = [t for t in (title.english, title.japanese) if t]
    if others:
        head["other_title"] = " / ".join(others)
    head["translation"] = {
        "id": material.translation.id,
        "title": material.translation.title,
        "type": material.translation.kind,
    }
    head["year"] = title.aired_on[0] or 2000
    if material.seasons is not None:
        head |= counts_of(material.seasons)
    head |= ids_of(material)
    head |= {
        "quality": material.quality,
        "camrip": material.quality == "TS",
        "lgbt": False,
        "blocked_countries": material.blocked_countries,
    }
    if not film:
        head["blocked_seasons"] = material.blocked_seasons
    head |= {"created_at": iso(material.created_at), "updated_at": iso(material.updated_at)}
    return head


def counts_of(seasons: dict[int, dict[int, Episode]]) -> dict[str, int]:
    """``last_episode`` is within ``last_season``; ``episodes_count`` is what this translation has."""
    last = max(seasons)
    return {
        "last_season": last,
        "last_episode": max(seasons[last], default=0),
        "episodes_count": sum(len(episodes) for episodes in seasons.values()),
    }


def ids_of(material: Material) -> dict[str, str]:
    """Ids elsewhere, as strings. Kinopoisk's is the franchise's."""
    title, ids = material.title, {}
    if title.kinopoisk_id:
        ids["kinopoisk_id"] = title.kinopoisk_id
        ids["worldart_link"] = f"http://www.world-art.ru/animation/animation.php?id={title.id % 13_000}"
    if material.has_id:
        ids["shikimori_id"] = str(title.id)
    return ids


def screenshots_of(material: Material) -> list[str]:
    """Five frames of the first episode; frames are not posters."""
    kind = "video" if material.seasons is None else "seria"
    return [f"{SCREENSHOTS}/{kind}/{material.number}/{n}.jpg" for n in range(1, 6)]


def seasons_of(material: Material, form: str) -> dict[str, Any]:
    """Seasons keyed by number as text, in the order of the texts (``10`` before ``2``)."""
    assert material.seasons is not None
    shown: dict[str, Any] = {}
    for season in sorted(material.seasons, key=str):
        entry: dict[str, Any] = {"link": material.link.replace("/serial/", "/season/")}
        if season == 0:
            entry["title"] = "Спецвыпуски"
        if form != "seasons":
            episodes = sorted(material.seasons[season].items(), key=lambda pair: str(pair[0]))
            entry["episodes"] = {str(n): episode_of(e, form, material) for n, e in episodes}
        shown[str(season)] = entry
    return shown


def episode_of(episode: Episode, form: str, material: Material) -> Any:
    """A link, or with ``with_episodes_data`` an object."""
    if form == "episodes":
        return episode.link
    shown: dict[str, Any] = {"link": episode.link}
    if episode.title:
        shown["title"] = episode.title
    shown["screenshots"] = screenshots_of(material)
    return shown


def full_day(day: Day) -> str | None:
    """A whole date, or ``None`` when a part is missing: Kodik has no half dates."""
    year, month, number = day
    return f"{year:04}-{month:02}-{number:02}" if year and month and number else None


def material_data(title: Title) -> dict[str, Any]:
    """Everything Kodik has gathered elsewhere; absent rather than null.

    Kinopoisk speaks of the franchise (`title`, `year`, `premiere_world`, `description`), Shikimori of the season
    (`anime_*`, `aired_at`): the two contradict each other from the second season on.
    """
    genres = [GENRES[g][1] for g in title.genres]
    kinopoisk = KINOPOISK_GENRES[: 2 + title.id % 4]
    name = (title.russian or title.romaji).rstrip(" 23456789")
    data: dict[str, Any] = {
        "title": name,
        "anime_title": title.russian,
        "title_en": title.english or title.romaji,
        "other_titles": [s for s in title.synonyms if s] or None,
        "other_titles_jp": [title.japanese] if title.japanese else None,
        "anime_license_name": title.license_ru,
        "anime_kind": title.kind if title.kind != "tv_special" else "special",
        "all_status": title.status,
        "anime_status": title.status,
        "year": (title.aired_on[0] or 2000) - 2 * (title.franchise_season - 1),
        "description": f"Все сезоны истории «{name}»." if title.kinopoisk_id else None,
        "anime_description": plain(title.description),
        "poster_url": f"https://st.kp.yandex.net/images/film_big/{title.kinopoisk_id}.jpg"
        if title.kinopoisk_id
        else None,
        "anime_poster_url": poster_url(title, "original"),
        "duration": title.duration or None,
        "countries": ["Япония"],
        "all_genres": [*kinopoisk, *genres],
        "genres": kinopoisk,
        "anime_genres": genres,
        "anime_studios": title.studios or None,
        "shikimori_rating": title.score or None,
        "shikimori_votes": title.votes if title.score else None,
        "premiere_world": "2001-04-01" if title.franchise_season > 1 else full_day(title.aired_on),
        "aired_at": full_day(title.aired_on),
        "released_at": full_day(title.released_on),
        "next_episode_at": iso(title.next_episode_at) if title.next_episode_at else None,
        "rating_mpaa": {"rx": "Rx", "r_plus": "R+", "none": None}.get(
            title.rating, title.rating.upper().replace("_", "-")
        ),
        "minimal_age": 18 if title.id % 2 else 12,
        "episodes_total": title.episodes or None,
        "episodes_aired": title.aired or None,
    }
    return {key: value for key, value in data.items() if value is not None}


def plain(description: str | None) -> str | None:
    """Kodik's copy of a description: BBCode is gone, line ends are kept."""
    if description is None:
        return None
    return re.sub(r"\[+[^\]]*\]+", "", description)


def poster_url(title: Title, variant: str) -> str | None:
    """Address of the picture at Shikimori; `variant` is ``original`` or a size like ``main``."""
    if title.poster is None:
        return None
    name = f"{title.poster}.jpeg" if variant == "original" else f"{variant}-{title.poster}.webp"
    return f"https://shikimori.io/uploads/poster/animes/{title.id}/{name}"
