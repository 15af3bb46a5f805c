"""Kodik's own words: one model per kind of record. What we use is modelled; the rest is listed, so that drift shows.

Source: Kodik API ``/list`` and ``/search`` as transcribed and recorded 2024-12 to 2026-05.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import orjson
from pydantic import Field

from anime_crawler.base_spiders import Drift, Moment, ResponseError, Words, count_unknown, count_vanished, envelope
from anime_crawler.normalize.date import utc_stamp

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of episodes, minutes or votes. The longest anime has 8,000 episodes; votes go to hundreds of thousands."""


class ListPage(Words):
    """Envelope of ``/list`` and ``/search``."""

    total: int | None = None
    """Materials that match the filter; on ``/search`` the number of results."""
    next_page: str | None = None
    """Address of the next page, with token and cursor in it. ``None``: this is the last. Missing on ``/search``."""
    results: list[Any]
    """Materials, each checked alone."""


class Translation(Words):
    id: str
    title: str
    type: str
    """``voice`` or ``subtitles``."""


class Material(Words):
    """One title in one translation."""

    id: str = Field(pattern=r"^(serial|movie)-\d+$")
    type: str
    link: str
    title: str
    title_orig: str | None = None
    other_title: str | None = None
    """Several titles joined by `` / ``, mixed languages."""
    translation: Translation
    year: int | None = None
    last_season: Count | None = None
    last_episode: Count | None = None
    episodes_count: Count | None = None
    kinopoisk_id: str | None = None
    imdb_id: str | None = None
    mdl_id: str | None = None
    worldart_link: str | None = None
    shikimori_id: Any = None
    """Read by ``parse``: it says which anime it is, so that one that is not understood costs the record."""
    quality: str | None = None
    camrip: bool | None = None
    blocked_countries: list[str] | None = None
    blocked_seasons: dict[str, str | list[str]] | list[Any] | str | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    seasons: Any = None
    """Season number -> ``{link, title?, episodes?}``; read by ``parse.players``, 11 players at a time."""
    material_data: Any = None
    """Checked alone as `MaterialData`: what is odd there must not cost the players."""


class MaterialData(Words):
    """`MaterialData` is what Kodik has gathered elsewhere. All fields are optional, absent rather than null."""

    title_en: str | None = None
    anime_title: str | None = None
    anime_license_name: str | None = None
    other_titles: list[str] | None = None
    other_titles_en: list[str] | None = None
    other_titles_jp: list[str] | None = None
    anime_kind: str | None = None
    anime_status: str | None = None
    all_status: str | None = None
    description: str | None = None
    anime_description: str | None = None
    poster_url: str | None = None
    anime_poster_url: str | None = None
    duration: Count | None = None
    genres: list[str] | None = None
    anime_genres: list[str] | None = None
    anime_studios: list[str] | None = None
    shikimori_rating: float | None = None
    shikimori_votes: Count | None = None
    aired_at: str | None = None
    released_at: str | None = None
    next_episode_at: Moment | None = None
    rating_mpaa: str | None = None
    episodes_total: Count | None = None
    episodes_aired: Count | None = None


KNOWN_ENVELOPE = frozenset({"time", "total", "prev_page", "next_page", "results"})
KNOWN_TRANSLATION = frozenset(Translation.model_fields)
KNOWN_MATERIAL = frozenset(Material.model_fields) | {"lgbt", "screenshots"}
KNOWN_SEASON = frozenset({"link", "title", "episodes"})
KNOWN_EPISODE = frozenset({"link", "title", "screenshots"})
KNOWN_DATA = frozenset(MaterialData.model_fields) | {
    *("title", "year", "tagline", "premiere_ru", "premiere_world", "premiere_country", "countries", "minimal_age"),
    *("kinopoisk_rating", "kinopoisk_votes", "imdb_rating", "imdb_votes", "mydramalist_rating", "mydramalist_votes"),
    *("mydramalist_tags", "all_genres", "drama_genres", "drama_status", "drama_poster_url", "anime_licensed_by"),
    *("screenshots", "actors", "directors", "producers", "writers", "composers", "editors", "designers", "operators"),
    *("poster_url_original", "rating", "blocked_countries", "blocked_seasons"),
}
"""Fields that somebody has seen or documented; those not modelled above say nothing that an item holds."""

USUAL_MATERIAL = ("title_orig", "year", "shikimori_id", "quality", "camrip", "blocked_countries", "created_at")
USUAL_DATA = ("anime_title", "anime_kind", "anime_status", "anime_poster_url", "anime_genres", "shikimori_rating")
"""Optional fields that a page of 20 materials never lacked altogether; when it does, the field has been renamed."""


def page_from_document(document: Any) -> ListPage:
    """The envelope of a list or search answer.

    Raises:
        ResponseError: the document is something else. The message says what.
    """
    return envelope(ListPage, document, "a list page")


def cursor_from_next_page(next_page: str) -> str:
    """The cursor in ``next_page``; everything else in it, the host and the token too, is ignored.

    Raises:
        ResponseError: it holds no cursor.
    """
    for pair in urlsplit(next_page).query.split("&"):
        name, _, value = pair.partition("=")
        if name == "next" and value:
            return unquote(value)  # not unquote_plus: base64 has a plus of its own
    raise ResponseError("next_page holds no cursor")


def host_of(next_page: str) -> str:
    """The host that ``next_page`` names; empty: it names none."""
    return urlsplit(next_page).netloc.lower()


def versions_of(results: list[Any]) -> list[str]:
    """Id and ``updated_at`` of a page's records as they are, for telling pages apart."""
    return [f"{record.get('id')} {record.get('updated_at')}" for record in results if isinstance(record, dict)]


def translations_of(results: list[Any]) -> list[str]:
    """Ids of the translations of a page's records in their order, each once."""
    found = (record["translation"] for record in results if isinstance(record, dict) and "translation" in record)
    return list(dict.fromkeys(str(t["id"]) for t in found if isinstance(t, dict) and "id" in t))


def updates_of(results: list[Any]) -> list[str]:
    """``updated_at`` of a page's records in their order, in one spelling, so that they compare as text."""
    stamps = (utc_stamp(record.get("updated_at")) for record in results if isinstance(record, dict))
    return [stamp for stamp in stamps if stamp]


DESCRIBES = (
    *("title", "title_orig", "other_title", "year", "material_data"),
    *("kinopoisk_id", "imdb_id", "mdl_id", "worldart_link", "shikimori_id"),
)
"""Fields of a material that its anime is made of; the others are its release's."""


def description_digest(record: dict[str, Any]) -> bytes | None:
    """Digest of what describes the anime; ``None``: nested too deep to be written again, so never the same."""
    try:
        words = orjson.dumps([record.get(name) for name in DESCRIBES])
    except orjson.JSONEncodeError:
        return None
    return blake2b(words, digest_size=16).digest()


def drift(document: dict[str, Any]) -> Drift:
    """`drift` counts what of a list page no longer matches the models above."""
    counts: Drift = Drift()
    materials = [record for record in document["results"] if isinstance(record, dict)]
    data = [m["material_data"] for m in materials if isinstance(m.get("material_data"), dict)]
    count_unknown(counts, [document], "", KNOWN_ENVELOPE)
    count_unknown(counts, materials, "", KNOWN_MATERIAL)
    count_unknown(counts, data, "material_data.", KNOWN_DATA)
    count_unknown(counts, [m.get("translation") for m in materials], "translation.", KNOWN_TRANSLATION)
    for material in materials:
        _count_seasons(counts, material.get("seasons"))
    count_vanished(counts, materials, "", (*USUAL_MATERIAL, "material_data"))
    count_vanished(counts, data, "material_data.", USUAL_DATA)
    return counts


def _count_seasons(counts: Drift, seasons: Any) -> None:
    if isinstance(seasons, list):
        counts["seasons (as a list)", "unknown"] += 1  # understood, but never seen in a recording
    if isinstance(seasons, dict):
        count_unknown(counts, seasons.values(), "seasons.*.", KNOWN_SEASON)
        for season in seasons.values():
            episodes = season.get("episodes") if isinstance(season, dict) else None
            if isinstance(episodes, dict):
                count_unknown(counts, episodes.values(), "seasons.*.episodes.*.", KNOWN_EPISODE)
