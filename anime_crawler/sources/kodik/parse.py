"""Kodik's materials into items: pure, one record at a time, so that a bad one costs only itself.

Numbering. A film (no seasons) is episode 1. Kodik counts seasons within the franchise, so the fourth TV season, an
anime of its own, comes as season 4 with episodes from 1. Within a release the lowest season above 0 is the base: its
episodes keep their numbers n (0 is one). A release that has only season 0 takes that as base. Each further season s
gets ``10_000 * (s - base) + n``; season 0 beside others (specials) gets ``990_000 + n``. An episode number that is no
whole number or above 9,999, and a season 99 or more above the base, set the material aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from anime_crawler.base_spiders import (
    RecordError,
    ResponseError,
    checked,
    explain,
    mapped,
    note,
    parse_json,
    read,
    reading,
    set_aside,
    shape_of,
    word_of,
)
from anime_crawler.items import ADULT_MATURITIES, AiringStatus, Anime, Item, Kind, Rejected, Release, TranslationKind
from anime_crawler.normalize.bbcode import normalize_description
from anime_crawler.normalize.date import read_date, season_of
from anime_crawler.normalize.ids import normalize_shikimori_id
from anime_crawler.normalize.text import normalize_line, unique
from anime_crawler.normalize.url import is_public_host, normalize_https_url
from anime_crawler.sources.kodik.schema import Material, MaterialData, description_digest, page_from_document

SOURCE = "kodik"

TRANSLATION_KINDS = {"voice": TranslationKind.VOICE, "subtitles": TranslationKind.SUBTITLES}
STATUSES = {"anons": AiringStatus.ANNOUNCED, "ongoing": AiringStatus.ONGOING, "released": AiringStatus.RELEASED}
KINDS = {
    # up to 13, 24, 48 episodes: Shikimori's finer filter words
    **dict.fromkeys(("tv", "tv_13", "tv_24", "tv_48"), Kind.TV),
    "movie": Kind.MOVIE,
    "ova": Kind.OVA,
    "ona": Kind.ONA,
    "special": Kind.SPECIAL,
    "tv_special": Kind.TV_SPECIAL,
    "music": Kind.MUSIC,
    "pv": Kind.PV,
    "cm": Kind.CM,
}

PLAYER_LINK = re.compile(
    r"(?:https?:)?//([A-Za-z0-9.-]+)(/(video|serial|season|seria)/\d+/(?:[0-9A-Za-z]+|\.\.\.)/\d{3,4}p)(?:[?#].*)?"
)
"""``//host/kind/number/hash/720p``. The documentation's own examples have ``...`` for the hash."""
SEASONS_APART, SPECIALS_FROM, SEASONS_MOST = 10_000, 990_000, 99
UNDESCRIBED = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_NEXT_EPISODE = timedelta(days=1)
"""A next episode further in the past is a leftover, as at Shikimori, where the value comes from."""


def items_from_results(
    results: list[Any], fetched_at: datetime, described: MutableMapping[str, bytes] | None = None
) -> Iterator[Item | Rejected]:
    """Items of one page: for each material its anime, then its release; at the end what was set aside.

    Args:
        results: may be empty or hold the same anime many times; of its materials the last changed one describes it.
        described: anime id -> digest of what last described it, kept from page to page; an anime that is described in
            the same words again is not yielded again (four of five are: it comes with each of its translations).
    """
    described = described if described is not None else {}
    rejected, understood = [], []
    for record in results:
        try:
            understood.append(_read(record, fetched_at))
        except (RecordError, ValidationError) as error:
            rejected.append(_rejected("material", record, explain(error), fetched_at))
    newest = {release.anime_id: release.source_id for _, _, release in sorted(understood, key=_recency)}
    for record, material, release in understood:
        if newest[release.anime_id] == release.source_id:
            description = description_digest(record)
            if description is None or described.get(release.anime_id) != description:
                try:
                    with reading() as problems:
                        anime = anime_from_material(material, release, fetched_at)
                    yield anime.noting(problems)
                except RecordError as error:
                    rejected.append(_rejected("anime", record, str(error), fetched_at, release.anime_id))
                described[release.anime_id] = description or b""
        yield release
    yield from rejected


def _read(record: Any, fetched_at: datetime) -> tuple[Any, Material, Release]:
    if not isinstance(record, dict):
        raise RecordError(f"a material was expected, there was {shape_of(record)}")
    with reading() as problems:
        material = read(Material, record)
        release = release_from_material(material, fetched_at)
    return record, material, release.noting(problems)


def _recency(understood: tuple[Any, Material, Release]) -> tuple[datetime, datetime, str]:
    """Sorts what describes the anime best to the end."""
    _, material, _ = understood
    return _described_at(material), material.updated_at, material.id


def _described_at(material: Material) -> datetime:
    """How new the description of the anime is: one without metadata never replaces one with, on whatever page."""
    return material.updated_at if material.material_data else UNDESCRIBED


def release_from_material(material: Material, fetched_at: datetime) -> Release:
    """The translation with its players.

    Raises:
        RecordError: a link, number or translation that we do not understand.
        ValidationError: a value that no release may have.
    """
    shikimori = _shikimori_id(material)
    link, link_kind = player_link(material.link, "link")
    return read(
        Release,
        {
            "source": SOURCE,
            "source_id": material.id,
            "fetched_at": fetched_at,
            "anime_id": shikimori or material.id,
            "external_ids": {"shikimori": shikimori} if shikimori else {},
            "title": normalize_line(material.title),
            "title_original": normalize_line(material.title_orig),
            "year": material.year or None,
            "translation_id": material.translation.id,
            "translation_title": normalize_line(material.translation.title),
            "translation_kind": word_of(TRANSLATION_KINDS, material.translation.type, "translation.type"),
            "kind": material.type,
            "quality": normalize_line(material.quality),
            "camrip": material.camrip,
            "blocked_countries": tuple(material.blocked_countries or ()),
            "blocked_seasons": blocked_seasons(material.blocked_seasons),
            "last_season": material.last_season,
            "last_episode": material.last_episode,
            "episodes_count": material.episodes_count,
            "created_at": material.created_at,
            "updated_at": material.updated_at,
            "url": link,
            "players": players(material.seasons, link, link_kind),
        },
    )


def anime_from_material(material: Material, release: Release, fetched_at: datetime) -> Anime:
    """What Kodik knows of the anime: Shikimori's words before Kinopoisk's, which are the franchise's.

    A kind, status or other value of ``material_data`` that we do not understand is noted.

    Raises:
        RecordError: a value that no anime can be without.
    """
    data = MaterialData()
    if isinstance(material.material_data, dict):
        data = read(MaterialData, material.material_data, "material_data.")
    elif material.material_data:
        note(f"material_data: an object was expected, there was {shape_of(material.material_data)}")
    try:
        return read(Anime, _anime_fields(material, data, release, fetched_at))
    except ValidationError as error:
        raise RecordError(f"material_data.{explain(error)}") from None


def _anime_fields(material: Material, data: MaterialData, release: Release, fetched_at: datetime) -> dict[str, Any]:
    raw = data.anime_description or data.description
    description = normalize_description(raw)
    status = mapped(STATUSES, data.anime_status or data.all_status, "material_data.anime_status")
    aired_from = _date(data.aired_at, "aired_at")
    maturity = _maturity(data.rating_mpaa)
    return {
        "source": SOURCE,
        "source_id": release.anime_id,
        "fetched_at": fetched_at,
        "source_updated_at": _described_at(material),
        **_titles(material, data),
        "description": description,
        "description_raw": raw if raw != description else None,
        "year": release.year,
        "season": season_of(aired_from),
        "status": status,
        "kind": mapped(KINDS, data.anime_kind, "material_data.anime_kind"),
        "poster": _poster(data.anime_poster_url) or _poster(data.poster_url),
        "genres": unique([*(data.anime_genres or data.genres or ())]),
        "studios": unique([*(data.anime_studios or ())]),
        "score": data.shikimori_rating or None,
        "votes": data.shikimori_votes or None,
        "maturity": maturity,
        "is_adult": maturity in ADULT_MATURITIES if maturity else None,
        "episodes_total": data.episodes_total or None,
        "episodes_aired": _aired(data, status),
        "next_episode_at": _next_episode(data.next_episode_at, status, fetched_at),
        "duration_min": data.duration or None,
        "aired_from": aired_from,
        "aired_to": _date(data.released_at, "released_at"),
        "external_ids": _external_ids(material, release),
    }


def _titles(material: Material, data: MaterialData) -> dict[str, Any]:
    """Main titles and the others. `title_orig` is romaji or English, and Russian where Kodik knows no other."""
    original = normalize_line(material.title_orig)
    titles = {
        "ru": normalize_line(data.anime_title) or normalize_line(material.title),
        "en": next(iter(unique([*(data.other_titles_en or ())])), None),
        "romaji": original if original and original.casefold() != material.title.casefold() else None,
        "native": next(iter(unique([*(data.other_titles_jp or ())])), None),
    }
    others = [
        *(material.other_title or "").split(" / "),
        *(data.other_titles or ()),
        *(data.other_titles_en or ()),
        *(data.other_titles_jp or ()),
        data.title_en,
        data.anime_license_name,
        material.title,
    ]
    return {"titles": titles, "alternative_titles": unique(others, *titles.values())}


def _external_ids(material: Material, release: Release) -> dict[str, str]:
    """Kinopoisk's and IMDb's ids are the franchise's: several seasons share one."""
    world_art = re.search(r"[?&]id=(\d+)", material.worldart_link or "")
    found = {
        "kinopoisk": normalize_line(material.kinopoisk_id),
        "imdb": normalize_line(material.imdb_id),
        "mdl": normalize_line(material.mdl_id),
        "world_art": world_art[1] if world_art else None,
    }
    return {**release.external_ids, **{name: value for name, value in found.items() if value}}


def player_link(link: Any, path: str, *numbers: int) -> tuple[str, str]:
    """The canonical form of a player link, and its kind: ``video``, ``serial``, ``season``, ``seria``.

    `path` and `numbers` say where it stands; put together for errors only, for a page has a thousand links.

    Raises:
        RecordError: another scheme, a host no viewer can reach, or a path that no player has (a dummy).
    """
    match = PLAYER_LINK.fullmatch(link) if isinstance(link, str) else None
    if match is None:
        raise RecordError(f"{path.format(*numbers)}: not a player link of a known form")
    host, address, kind = match.groups()
    if not is_public_host(host := host.lower()):
        raise RecordError(f"{path.format(*numbers)}: its host is not a public name")
    return f"https://{host}{address}", kind


def players(seasons: Any, link: str, link_kind: str) -> list[dict[str, Any]]:
    """The players of a release in order of their numbers.

    Args:
        seasons: as Kodik sends it; ``None`` or empty: a film, or a serial without episodes.
        link, link_kind: the material's own link, the only player of a film.

    Raises:
        RecordError: a season or episode that we do not understand.
    """
    numbered = _entries(seasons, "seasons")
    if not numbered:
        is_film = link_kind in ("video", "seria")
        return [{"season_number": None, "source_number": 1, "number": 1, "url": link}] if is_film else []
    base = min((number for number, _ in numbered if number), default=0)
    found: dict[int, dict[str, Any]] = {}
    for season, entry in numbered:
        start = _season_start(season, base)
        for number, episode in _entries(_episodes(entry, season), f"seasons.{season}.episodes"):
            player = _player(season, number, start + number, episode)
            found.setdefault(player["number"], player)  # "1" and "01": the first one counts
    return [found[number] for number in sorted(found)]


def _season_start(season: int, base: int) -> int:
    if season == base:
        return 0
    if season == 0:
        return SPECIALS_FROM
    if season - base >= SEASONS_MOST:
        raise RecordError(f"seasons.{season}: too far above season {base}")
    return SEASONS_APART * (season - base)


def _entries(container: Any, path: str) -> list[tuple[int, Any]]:
    """Numbered entries of an object, or of a list, whose order is all that is known: it counts from 1."""
    if isinstance(container, dict):
        return [(_number(key, path), value) for key, value in container.items()]
    if isinstance(container, list):
        return list(enumerate(container, 1))
    if container in (None, ""):
        return []
    raise RecordError(f"{path}: an object was expected, there was {shape_of(container)}")


@lru_cache(10_000)  # nearly all keys are the same few hundred
def _number(key: str, path: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 4):
        raise RecordError(f"{path}: {key[:20]!r} is not a whole number up to 9999")
    return int(key)


def _episodes(entry: Any, season: int) -> Any:
    """Episodes of a season; a season that is only a link, or has none listed, gives nothing to watch."""
    if isinstance(entry, dict):
        return entry.get("episodes")
    if isinstance(entry, str) or entry is None:
        return None
    raise RecordError(f"seasons.{season}: an object was expected, there was {shape_of(entry)}")


def _player(season: int, source_number: int, number: int, episode: Any) -> dict[str, Any]:
    title = None
    if isinstance(episode, dict):
        title, episode = episode.get("title"), episode.get("link")
        if title is not None and not isinstance(title, str):
            raise RecordError(f"seasons.{season}.episodes.{source_number}.title: not a text")
    url, _ = player_link(episode, "seasons.{}.episodes.{}", season, source_number)
    return {
        "season_number": season,
        "source_number": source_number,
        "number": number,
        "title": normalize_line(title) if title else None,
        "url": url,
    }


def blocked_seasons(blocked: Any) -> dict[str, tuple[str, ...]]:
    """Season -> blocked episodes, ``("all",)`` for a whole one; ``{"all": ("all",)}`` for everything.

    Noted is what has none of the three forms: ``"all"``, ``{"5": "all"}``, ``{"7": ["1", "2"]}``.
    """
    if not blocked:
        return {}
    if blocked == "all":
        return {"all": ("all",)}
    if not isinstance(blocked, dict) or any(isinstance(v, str) and v != "all" for v in blocked.values()):
        note("blocked_seasons: an unknown form")
        return {}
    return {season: (v,) if isinstance(v, str) else tuple(v) for season, v in blocked.items()}


def _shikimori_id(material: Material) -> str | None:
    if not material.shikimori_id:
        return None
    try:
        return normalize_shikimori_id(material.shikimori_id)
    except ValueError as error:
        raise RecordError(f"shikimori_id: {error}") from None


def _date(text: str | None, name: str) -> str | None:
    return checked(read_date, text, f"material_data.{name}: not a date")


def _maturity(rating: str | None) -> str | None:
    """``PG-13`` -> ``pg_13``, ``R+`` -> ``r_plus``; an open set, Kinopoisk has words of its own."""
    text = normalize_line(rating)
    return text.lower().replace("-", "_").replace("+", "_plus") if text else None


def _poster(url: str | None) -> str | None:
    return None if url and "/assets/globals/missing_" in url else normalize_https_url(url)


def _aired(data: MaterialData, status: AiringStatus | None) -> int | None:
    if status is AiringStatus.RELEASED and not data.episodes_aired:
        return data.episodes_total or None
    return data.episodes_aired


def _next_episode(at: datetime | None, status: AiringStatus | None, fetched_at: datetime) -> datetime | None:
    if at is None or status is AiringStatus.RELEASED or at < fetched_at - OLDEST_NEXT_EPISODE:
        return None
    return at.astimezone(UTC)


def _rejected(kind: str, record: Any, reason: str, fetched_at: datetime, source_id: str | None = None) -> Rejected:
    own = record["id"] if isinstance(record, dict) and isinstance(record.get("id"), str) else None
    request = {"path": "/search", "form": {"id": own}} if own else None
    return set_aside(SOURCE, kind, record, reason, fetched_at, source_id=source_id or own, request=request)


def parse_file(body: bytes, name: str, fetched_at: datetime) -> Iterator[Item | Rejected]:
    """Items of a recorded answer: a list or search page, one material, or a list of materials.

    Raises:
        ResponseError: it is none of these; the message says what it is where that can be told.
    """
    document = parse_json(body)
    if isinstance(document, dict) and "error" in document:
        raise ResponseError(f"{name} is Kodik's error: {document['error']}")
    if isinstance(document, dict) and "translation" in document:
        document = {"results": [document]}
    elif isinstance(document, list):
        document = {"results": document}
    results = page_from_document(document).results
    if results and not any(isinstance(record, dict) and "translation" in record for record in results):
        raise ResponseError(f"{name} holds no materials; dictionaries and the calendar give no items")
    return items_from_results(results, fetched_at)
