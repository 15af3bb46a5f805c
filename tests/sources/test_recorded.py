"""Real recorded answers are understood completely; those that hold no items say so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Anime, Rejected, Release
from anime_crawler.sources.kodik import parse as kodik
from anime_crawler.sources.shikimori import parse as shikimori

NOW = datetime(2026, 5, 3, tzinfo=UTC)
KODIK_WITH_ITEMS = ("list-", "search-", "material-")
SHIKIMORI_WITH_ITEMS = (
    "graphql_animes",
    "rest_animes",
    "rest_anime_50_",
    "rest_anime_5114_",
    "rest_anime_52991_frieren",
)


def test_every_recorded_kodik_answer_is_understood_without_a_dead_letter(shared):
    """Lists, searches and single materials of 2022 to 2026."""
    files = [f for f in (shared / "samples" / "kodik").glob("*.json") if f.name.startswith(KODIK_WITH_ITEMS)]
    for file in files:
        found = list(kodik.parse_file(file.read_bytes(), file.name, NOW))
        assert not [item.reason for item in found if isinstance(item, Rejected)], file.name
        assert found or "empty" in file.name
    assert len(files) > 10


def test_every_recorded_shikimori_answer_is_understood_without_a_dead_letter(shared):
    """GraphQL pages and REST titles of 2017 to 2026."""
    files = [f for f in (shared / "samples" / "shikimori").glob("*.json") if f.name.startswith(SHIKIMORI_WITH_ITEMS)]
    for file in files:
        found = list(shikimori.parse_file(file.read_bytes(), file.name, NOW))
        assert found
        assert all(isinstance(item, Anime) for item in found), file.name
    assert len(files) == 9


def test_recorded_answers_without_items_say_what_they_are(shared):
    """Dictionaries, calendars, roles, links, errors."""
    for parser, folder, with_items in (
        (kodik, "kodik", KODIK_WITH_ITEMS),
        (shikimori, "shikimori", SHIKIMORI_WITH_ITEMS),
    ):
        files = [path for path in (shared / "samples" / folder).rglob("*") if path.is_file()]
        others = [f for f in files if f.suffix not in (".md", ".graphql") and not f.name.startswith(with_items)]
        assert others
        for file in others:
            with pytest.raises(ResponseError) as refused:
                parser.parse_file(file.read_bytes(), file.name, NOW)
            assert len(str(refused.value)) > 10


def test_a_recorded_serial_has_all_its_episodes(shared):
    """Naruto: 220 episodes as strings, one anime, its Shikimori description clean."""
    body = (shared / "samples" / "kodik" / "search-naruto-with-episodes-2026-05-02.json").read_bytes()
    anime, release = kodik.parse_file(body, "naruto", NOW)
    assert isinstance(anime, Anime)
    assert isinstance(release, Release)
    assert [player.source_number for player in release.players] == list(range(1, 221))
    assert anime.source_id == release.anime_id == "20"


def test_a_recorded_description_is_clean_and_its_raw_text_kept(shared):
    """Fullmetal Alchemist: no tags, no Japanese names in brackets, LF line ends."""
    body = (shared / "samples" / "shikimori" / "graphql_animes_full_selection.reconstructed.json").read_bytes()
    anime = next(shikimori.parse_file(body, "fma", NOW))
    assert isinstance(anime, Anime)
    assert anime.description
    assert not set("[]\r") & set(anime.description)
    assert "Эдвард и Альфонс Элрики" in anime.description
    assert "[anime=121]" in (anime.description_raw or "")
    assert (anime.episodes_total, anime.episodes_aired) == (64, 64)
    assert anime.external_ids["anidb"] == "6107"
