"""Values that all sources mean alike: days of episodes, cours, aired episodes; and a few that one source says oddly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from anime_crawler.base_spiders import episodes_aired
from anime_crawler.items import AiringStatus, Anime, Episode
from anime_crawler.sources.anidb import parse as anidb
from anime_crawler.sources.anilist import parse as anilist
from anime_crawler.sources.animeschedule import parse as animeschedule
from anime_crawler.sources.anisearch import parse as anisearch
from anime_crawler.sources.anisearch.schema import Block, Detail
from anime_crawler.sources.jikan import parse as jikan
from anime_crawler.sources.kitsu import parse as kitsu
from anime_crawler.sources.shikimori import parse as shikimori

NOW = datetime(2026, 5, 3, tzinfo=UTC)


def kitsu_row(**attributes: Any) -> bytes:
    usual = {"canonicalTitle": "Toudai 1", "titles": {"en_jp": "Toudai 1"}, "status": "finished", "endDate": None}
    row = {"id": "1", "type": "anime", "attributes": {**usual, "tba": None, **attributes}}
    return json.dumps({"data": [row]}).encode()


def of_kitsu(day: str) -> Any:
    return kitsu.parse_file(kitsu_row(startDate=day), "page", NOW)


def of_anidb(day: str) -> Any:
    titles = '<titles><title xml:lang="x-jat" type="main">Rei</title></titles>'
    body = f'<anime id="1"><type>TV Series</type><startdate>{day}</startdate>{titles}</anime>'
    return anidb.parse_file(body.encode(), "file", NOW)


def of_jikan(day: str) -> Any:
    moment = datetime.fromisoformat(day)
    aired = {"from": f"{day}T00:00:00+00:00", "to": None, "string": f"{moment:%b} {moment.day}, {moment.year} to ?"}
    return jikan.items_from_titles([{"mal_id": 1, "title": "Rei", "aired": aired}], NOW)


def of_anilist(day: str) -> Any:
    year, month, number = map(int, day.split("-"))
    record = {"id": 1, "title": {"romaji": "Rei"}, "startDate": {"year": year, "month": month, "day": number}}
    return anilist.items_from_media([record], NOW)


def of_anisearch(day: str) -> Any:
    released = ".".join(reversed(day.split("-")))
    detail = Detail(id="1", blocks=[Block(lang="ja", title="Rei", released=released)])
    return iter([anisearch.anime_from_detail(detail, NOW)])


def of_shikimori(day: str) -> Any:
    record = {"id": "1", "name": "Rei", "image": {}, "episodes": 1, "aired_on": day}
    return shikimori.items_from_animes([record], NOW)


def of_animeschedule(day: str) -> Any:
    record = {
        "route": "rei",
        "title": "Rei",
        "premier": f"{day}T00:00:00Z",
        "season": {"year": day[:4], "season": "Winter"},
    }
    return animeschedule.items_from_shows([record], NOW)


@pytest.mark.parametrize(
    "read", [of_kitsu, of_anidb, of_jikan, of_anilist, of_anisearch, of_shikimori, of_animeschedule]
)
def test_a_title_of_late_december_is_of_the_next_years_winter(read):
    """At each source; its year is the one in which it begins, and January's winter is its own year's."""
    anime = next(item for item in read("2024-12-28") if isinstance(item, Anime))
    assert (anime.year, anime.season, anime.season_year) == (2024, "winter", 2025)
    anime = next(item for item in read("2025-01-08") if isinstance(item, Anime))
    assert (anime.year, anime.season, anime.season_year) == (2025, "winter", 2025)


@pytest.mark.parametrize("source", ["jikan", "kitsu", "anidb", "anisearch"])
def test_the_day_of_an_episode_is_a_day(source):
    """Not a moment that nobody has told; the time is unknown."""
    if source == "jikan":
        found = jikan.items_from_episodes([{"mal_id": 2, "aired": "2005-10-24T00:00:00+09:00"}], "1", NOW)
    elif source == "kitsu":
        row = {"id": "5", "type": "episodes", "attributes": {"number": 2, "airdate": "2005-10-24"}}
        found = kitsu.parse_file(json.dumps({"data": [row]}).encode(), "https://x.test/anime/7/episodes", NOW)
    elif source == "anidb":
        episode = '<episode id="2"><epno type="1">2</epno><airdate>2005-10-24</airdate></episode>'
        titles = '<titles><title xml:lang="x-jat" type="main">Rei</title></titles>'
        body = f'<anime id="1"><type>OVA</type>{titles}<episodes>{episode}</episodes></anime>'
        found = anidb.parse_file(body.encode(), "file", NOW)
    else:
        row = {"anime_id": "1", "number": "2", "Date of Original Release": {"ja": "24. Oct 2005"}}
        found = iter([anisearch.episode_from_row(row, NOW)])
    (episode_,) = (item for item in found if isinstance(item, Episode))
    assert (episode_.aired_on, episode_.aired_at) == ("2005-10-24", None)


@pytest.mark.parametrize(
    ("total", "status", "told", "aired"),
    [
        (12, AiringStatus.RELEASED, None, 12),
        (12, AiringStatus.RELEASED, 3, 12),
        (12, AiringStatus.RELEASED, 13, 13),
        (None, AiringStatus.RELEASED, 5, 5),
        (None, AiringStatus.RELEASED, 0, None),
        (12, AiringStatus.ANNOUNCED, None, 0),
        (12, AiringStatus.ONGOING, 4, 4),
        (12, AiringStatus.ONGOING, None, None),
        (12, None, 4, 4),
    ],
)
def test_one_rule_counts_aired_episodes(total, status, told, aired):
    """Of a released title all have aired, whatever a counter that was forgotten says."""
    assert episodes_aired(total, status, told) == aired


@pytest.mark.parametrize(
    ("rating", "guide", "maturity", "is_adult"),
    [
        ("PG", "Teens 13 or older", "pg_13", False),
        ("PG", "Children", "pg", False),
        ("PG", None, "pg", False),
        ("G", "All Ages", "g", False),
        ("R", "17+ (violence & profanity)", "r", False),
        ("R", "Mild Nudity", "r_plus", True),
        ("R", None, "r", None),
        ("R18", "", "rx", True),
        (None, "Mild Nudity", None, None),
    ],
)
def test_kitsus_guide_makes_its_rating_finer(rating, guide, maturity, is_adult):
    """Its four ratings stand for six; an R without a guide may be for adults."""
    (anime,) = kitsu.parse_file(kitsu_row(ageRating=rating, ageRatingGuide=guide, nsfw=False), "page", NOW)
    assert (anime.maturity, anime.is_adult) == (maturity, is_adult)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("He sails away. Source: ANN", "He sails away."),
        ("He sails away.\nSource: Daisuki.net", "He sails away."),
        ("He sails away. (Source: ANN)", "He sails away."),
        ('He said "No." Quelle: x', 'He said "No."'),
        ("He looks for the source: a spring that never ends.", "He looks for the source: a spring that never ends."),
        ("The source: water. He drinks.", "The source: water. He drinks."),
    ],
)
def test_the_credit_behind_a_description_of_anisearch_goes(text, clean):
    """Only behind the last sentence, on a line of its own or in brackets."""
    detail = Detail(id="1", name="Rei", description=text)
    assert anisearch.anime_from_detail(detail, NOW).description == clean


def test_anisearchs_question_mark_is_no_genre():
    """It stands where the site knows none."""
    detail = Detail(id="1", name="Rei", genres=[("main", "?"), ("tag", "?")], targets="?")
    anime = anisearch.anime_from_detail(detail, NOW)
    assert (anime.genres, anime.tags, anime.demographics) == ((), (), ())


def test_an_estimated_time_says_that_it_is_one():
    """Jikan's slot of the week is reckoned with; AniList publishes the time itself."""
    broadcast = {"day": "Mondays", "time": "21:00", "timezone": "Asia/Tokyo"}
    record = {"mal_id": 1, "title": "Rei", "status": "Currently Airing", "broadcast": broadcast}
    (estimated,) = jikan.items_from_titles([record], NOW)
    assert estimated.next_episode_at
    assert estimated.next_episode_is_estimated is True
    following = {"id": 1, "airingAt": 1_800_000_000, "episode": 3}
    told, *_ = anilist.items_from_media([{"id": 1, "title": {"romaji": "R"}, "nextAiringEpisode": following}], NOW)
    assert told.next_episode_is_estimated is False
    (neither,) = jikan.items_from_titles([{"mal_id": 1, "title": "Rei"}], NOW)
    assert (neither.next_episode_at, neither.next_episode_is_estimated) == (None, None)


def test_anidbs_tv_special_is_one():
    """It is no special of a disc."""
    titles = '<titles><title xml:lang="x-jat" type="main">Rei</title></titles>'
    (anime,) = anidb.parse_file(f'<anime id="1"><type>TV Special</type>{titles}</anime>'.encode(), "file", NOW)
    assert anime.kind == "tv_special"  # type: ignore[union-attr]
