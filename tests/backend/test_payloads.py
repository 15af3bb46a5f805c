"""`posts_for` makes the full anime record, its episodes, and its players by priority from a title's state."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.backend.payloads import DEMOTED, anime_fields, player_priorities, posts_for, with_second_title
from anime_crawler.backend.schemas import episodes_body
from anime_crawler.catalogue.numbering import KnownEpisode
from anime_crawler.catalogue.outbox import LivePlayer, SentPlayer, TitleState
from anime_crawler.reference_backend.schemas import AnimeImport, EpisodesImport, VideoImport
from anime_crawler.reference_backend.slug import slugify
from tests.backend.support import SOURCE_PRIORITY, config_for

CONFIG = config_for("http://127.0.0.1:9")
LANGUAGES = ("romaji", "en", "ru")
FIRST = 200_019_389
"""Priority of team 610 with one episode: two preferences, one episode, 9,999 - 610."""
URL = "https://kodikplayer.com/seria/1/0123abcd/720p"


def state(**changes: Any) -> TitleState:
    """A title with one anime record, one episode, one player, and nothing delivered."""
    empty = TitleState(
        title_id="5114",
        version=1,
        anime={"shikimori": [{"titles": {"romaji": "Hagane no Renkinjutsushi"}}]},
        episodes=[(1, None)],
        players=[LivePlayer(1, URL, "610", "AniDUB", "voice")],
        delivered_anime=None,
        delivered_episodes={},
        delivered_players={},
        dead={},
    )
    whole = replace(empty, **changes)
    return replace(whole, episodes=[KnownEpisode(*known) for known in whole.episodes])


def sent(url: str = URL, number: int = 1, priority: int = FIRST, stage: str = "done") -> dict[Any, SentPlayer]:
    """A delivered player."""
    row = SentPlayer("5114", number, url, priority, stage, "2026-01-01T00:00:00.000000Z", "t")
    return {(number, url): row}


def fields(*records: dict[str, Any], languages=LANGUAGES) -> dict[str, Any]:
    return anime_fields("5114", records, languages)


def test_the_anime_payload_is_the_full_record_of_the_contract():
    """Every key of the contract, in its words; nothing that the backend would erase is left out."""
    record = {
        "titles": {"romaji": "Hagane", "ru": "Стальной", "en": "Fullmetal", "native": "鋼"},
        "alternative_titles": ["FMA", "Hagane"],
        "description": "Two\x00 brothers.\n\nOne goal.",
        "year": 2009,
        "status": "released",
        "poster": "https://shikimori.io/p.jpeg",
        "genres": ["Action", "Action", "Drama"],
    }
    posts = posts_for(state(anime={"shikimori": [record]}), CONFIG, SOURCE_PRIORITY)
    assert json.loads(posts.anime.body) == {
        "source_name": "kodik-shikimori",
        "source_id": "5114",
        "title": "Hagane",
        "alternative_titles": ["Стальной", "Fullmetal", "鋼", "FMA"],
        "description": "Two brothers.\n\nOne goal.",
        "year": 2009,
        "status": "completed",
        "poster": "https://shikimori.io/p.jpeg",
        "genres": ["Action", "Drama"],
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("announced", "upcoming"),
        ("ongoing", "ongoing"),
        ("released", "completed"),
        ("paused", None),
        ("discontinued", None),
        (None, None),
    ],
)
def test_the_airing_status_becomes_the_backends_word_or_null(status, word):
    """A status without a counterpart is never guessed."""
    assert fields({"titles": {}, "status": status})["status"] == word


def test_each_field_comes_from_the_first_source_that_knows_it():
    """A poor record of a trusted source does not erase what another knows."""
    trusted = {"titles": {"romaji": "A"}, "year": None, "genres": [], "description": "short"}
    other = {"titles": {"romaji": "B", "ru": "Б"}, "year": 2001, "genres": ["Drama"], "description": "long"}
    merged = fields(trusted, other)
    assert merged["title"] == "A"
    assert (merged["year"], merged["genres"], merged["description"]) == (2001, ["Drama"], "short")
    assert merged["alternative_titles"] == ["Б", "B"]


@pytest.mark.parametrize(
    ("titles", "languages", "title"),
    [
        ({"ru": "Р", "en": "E", "romaji": "R"}, ["romaji", "en", "ru"], "R"),
        ({"ru": "Р", "en": "E"}, ["romaji", "en", "ru"], "E"),
        ({"ru": "Р", "en": "E", "romaji": "R"}, ["ru"], "Р"),
        ({"native": "鋼"}, ["romaji"], "鋼"),
        ({"ru": "Р", "romaji": "R"}, ["en"], "R"),
    ],
)
def test_the_title_is_the_first_known_of_the_wanted_languages(titles, languages, title):
    """Without one of them, any known title is better than none."""
    assert fields({"titles": titles}, languages=languages)["title"] == title


def test_an_alternative_title_serves_when_there_is_no_main_title():
    """The last resort before the title is refused."""
    assert fields({"titles": {}, "alternative_titles": [" ", "Known as"]})["title"] == "Known as"


def test_a_russian_title_is_not_repeated_among_the_others():
    """The chosen title is no alternative to itself."""
    assert fields({"titles": {"ru": "Р", "en": "E"}}, languages=["ru"])["alternative_titles"] == ["E"]


@pytest.mark.parametrize(
    ("titles", "second", "title"),
    [
        ({"romaji": "Naruto", "ru": "Наруто"}, "ru", "Naruto / Наруто"),
        ({"romaji": "Naruto", "ru": "Наруто"}, None, "Naruto"),
        ({"romaji": "Naruto", "native": "ナルト"}, "native", "Naruto / ナルト"),
        ({"romaji": "Naruto", "ru": "Наруто: Ураганные хроники 2"}, "ru", "Naruto / Наруто: Ураганные хроники"),
        ({"romaji": "Naruto", "ru": "Наруто™ дубль"}, "ru", "Naruto / дубль"),
        ({"romaji": "Steins;Gate 0", "ru": "Врата;Штейна 0 [ТВ-1]"}, "ru", "Steins;Gate 0 / Врата;Штейна"),
        ({"romaji": "One Piece", "ru": "Ван-Пис"}, "ru", "One Piece / Ван-Пис"),
        ({"romaji": "B-PROJECT", "ru": "B-PROJECT"}, "ru", "B-PROJECT"),
        ({"romaji": "86", "ru": "86 2"}, "ru", "86"),
        ({"ru": "Наруто"}, "ru", "Наруто"),
        ({"romaji": "x" * 490, "ru": "Наруто " * 5}, "ru", "x" * 490),
        ({"romaji": "Naruto"}, "ru", "Naruto"),
    ],
)
def test_a_second_title_stands_behind_the_first(titles, second, title):
    """For a search that looks at titles alone; words that would move the address, and what says nothing, stay away."""
    found = anime_fields("1", [{"titles": titles}], LANGUAGES, second)
    assert found["title"] == title
    assert slugify(title) == slugify(anime_fields("1", [{"titles": titles}], LANGUAGES)["title"])


@given(st.text(min_size=1, max_size=30), st.text(max_size=30) | st.sampled_from(["№ 1", "½ кота", "Ⅱ сезон", "a_б"]))
def test_no_second_title_moves_an_address(title, second):
    """By the backend's own rule."""
    assert slugify(with_second_title(title, second)) == slugify(title)


@pytest.mark.parametrize(
    ("languages", "genres"),
    [(["romaji", "en"], ["Action", "Drama", "Mystery", "Pirates"]), (["ru"], ["Экшен", "Драма", "Тайна", "Pirates"])],
)
def test_genres_are_in_one_language_and_unknown_ones_are_told(languages, genres):
    """Kinopoisk's small letters, Shikimori's two languages; a word that nobody knows is sent as it is, and counted."""
    record = {
        "source": "kodik",
        "titles": {"romaji": "x"},
        "genres": ["аниме", "боевик", "Экшен", "Drama", "детектив", "Pirates"],
    }
    posts = posts_for(
        state(anime={"kodik": [record]}), config_for("http://127.0.0.1:9", TITLE_LANGUAGES=languages), SOURCE_PRIORITY
    )
    assert json.loads(posts.anime.body)["genres"] == genres
    assert posts.unknown_genres == ["Pirates"]
    delivered = state(anime={"kodik": [record]}, delivered_anime=posts.anime.checksum)
    again = posts_for(delivered, config_for("http://127.0.0.1:9", TITLE_LANGUAGES=languages), SOURCE_PRIORITY)
    assert (again.anime, again.unknown_genres) == (None, [])


def test_a_title_without_a_name_is_refused_and_none_of_its_children_are_sent():
    """The reason names the field; episodes without their anime would get 404."""
    posts = posts_for(state(anime={"shikimori": [{"titles": {}}]}), CONFIG, SOURCE_PRIORITY)
    assert (posts.anime, list(posts.episodes), list(posts.players)) == (None, [], [])
    assert [(r.kind, r.key) for r in posts.refused] == [("anime", "5114")]
    assert posts.refused[0].reason.startswith("title: ")


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"titles": {"romaji": "x" * 501}}, "title"),
        ({"titles": {"romaji": "x"}, "year": 1899}, "year"),
        ({"titles": {"romaji": "x"}, "poster": "javascript:alert(1)"}, "poster"),
        ({"titles": {"romaji": "x"}, "poster": "http://x.com/p.jpg"}, "poster"),
        ({"titles": {"romaji": "x"}, "description": "x" * 100_001}, "description"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(record, field):
    """The backend's 422 names none, so ours must."""
    posts = posts_for(state(anime={"shikimori": [record]}), CONFIG, SOURCE_PRIORITY)
    assert posts.anime is None
    assert posts.refused[0].reason.startswith(f"{field}: ")


def test_a_title_id_that_is_no_number_is_refused():
    """The backend takes any text for an id and would make another anime of it."""
    posts = posts_for(state(title_id="x1"), CONFIG, SOURCE_PRIORITY)
    assert posts.refused[0].reason.startswith("source_id: ")


def test_a_record_refused_before_with_the_same_content_is_left_alone():
    """A dead letter blocks its content, not the record."""
    poor = state(anime={"shikimori": [{"titles": {}}]})
    first = posts_for(poor, CONFIG, SOURCE_PRIORITY).refused[0]
    again = posts_for(replace(poor, dead={("anime", "5114"): first.checksum}), CONFIG, SOURCE_PRIORITY)
    assert (again.anime, list(again.refused)) == (None, [])


def test_a_dead_letter_of_other_content_is_obsolete():
    """What was set aside once goes when the record is different, and can be delivered."""
    posts = posts_for(state(dead={("anime", "5114"): "old"}), CONFIG, SOURCE_PRIORITY)
    assert posts.anime
    assert list(posts.obsolete) == [("anime", "5114", "old")]


def test_an_episode_is_available_while_a_link_lives():
    """The union over releases; an episode that lost its links stays, hidden."""
    posts = posts_for(state(episodes=[(0, "Zero"), (1, None)]), CONFIG, SOURCE_PRIORITY)
    assert [json.loads(entry.body) for entry in posts.episodes] == [
        {"source_episode_id": "5114:0", "number": 0, "title": "Zero", "is_available": False},
        {"source_episode_id": "5114:1", "number": 1, "title": None, "is_available": True},
    ]


def test_a_player_is_the_body_of_the_contract():
    """Type, address, source and priority as the contract fixes them."""
    posts = posts_for(state(), CONFIG, SOURCE_PRIORITY)
    assert json.loads(posts.players[0].body) == {
        "source_name": "kodik-shikimori",
        "source_episode_id": "5114:1",
        "player": {"type": "iframe", "url": URL, "source_name": "kodik", "priority": FIRST},
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://kodikplayer.com/seria/1/a/720p",
        "//kodikplayer.com/seria/1/a/720p",
        "https://KodikPlayer.com/seria/1/a/720p",
        "https://kodikplayer.com/seria/1/a/720p?translations=false",
        "https://kodikplayer.com/seria/1/a/720p#x",
        "https://user@kodikplayer.com/seria/1",
        "javascript:alert(1)",
        "https://kodikplayer.com/a\nb",
        "https://kodikplayer.com/" + "x" * 2000,
        "",
    ],
)
def test_a_link_that_is_not_canonical_is_refused(url):
    """The text is the player's identity: another spelling would be another player, for ever."""
    posts = posts_for(state(players=[LivePlayer(1, url, "610", "AniDUB", "voice")]), CONFIG, SOURCE_PRIORITY)
    assert not posts.players
    assert [r.kind for r in posts.refused] == ["player"]
    assert posts.refused[0].reason.startswith("url: ")


@pytest.mark.parametrize(
    ("preferences", "order"),
    [
        (["voice", "subtitles"], ["7", "610", "8"]),
        (["subtitles", "voice"], ["8", "7", "610"]),
        (["610", "ANILIBRIA", "voice", "subtitles"], ["610", "7", "8"]),
        (["AniDUB"], ["610", "7", "8"]),
        (["nobody"], ["7", "8", "610"]),
        ([], ["7", "8", "610"]),
        ([*(f"nobody {n}" for n in range(40)), "610", "8", *map(str, range(100, 140))], ["610", "8", "7"]),
    ],
)
def test_priorities_follow_the_preferences(preferences, order):
    """By id, by name whatever its case, by kind; the first preference is shown first, of equals the lower id."""
    translations = [("610", "AniDUB", "voice"), ("7", "AniLibria", "voice"), ("8", "SubTeam", "subtitles")]
    players = [LivePlayer(1, f"https://x.com/{t[0]}", *t) for t in translations]
    assert teams_in_order(players, preferences) == order


def teams_in_order(players: list[LivePlayer], preferences: Sequence[str] = ("voice", "subtitles")) -> list[str]:
    """Ids of the teams of the first episode as a viewer sees them."""
    priorities = player_priorities(players, preferences)
    first = sorted((p for p in players if p.number == 1), key=lambda p: -priorities[p.number, p.url])
    return [p.translation_id for p in first]


def test_of_teams_of_one_kind_the_one_that_covers_most_episodes_comes_first():
    """So that the first player of an episode is the same team's from one episode to the next."""
    covered = {"7": 3, "610": 12, "12": 12, "9": 1}
    players = [LivePlayer(1, f"https://x.com/{t}", t, t, "voice", t, count) for t, count in covered.items()]
    assert teams_in_order(players) == ["12", "610", "7", "9"]


def test_two_releases_of_one_team_are_two():
    """The fuller one first; of equal ones the lower id."""
    players = [
        LivePlayer(1, f"https://x.com/{release}", team, team, "voice", release, covered)
        for team, release, covered in [("5", "a", 9), ("3", "d", 2), ("3", "c", 12), ("3", "b", 2)]
    ]
    priorities = player_priorities(players, ["voice"])
    assert sorted(priorities, key=lambda key: -priorities[key]) == [
        (1, f"https://x.com/{r}") for r in ("c", "a", "b", "d")
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "9", "10", "9999", "10000", "123456", "AniDUB", "ж", ""]),
            st.integers(0, 12_000),
            st.sampled_from(["voice", "subtitles"]),
        ),
        max_size=30,
    ),
    st.lists(st.sampled_from(["voice", "subtitles", "9", "AniDUB"]), max_size=30),
    st.randoms(use_true_random=False),
)
def test_no_two_releases_are_ever_equal_and_their_order_depends_on_nothing_else(teams, preferences, random):
    """The backend leaves equal ones in no order; the order of rows in the database must not matter either."""
    players = [
        LivePlayer(1, f"https://x.com/{n}", team, team, kind, f"serial-{n}", covered)
        for n, (team, covered, kind) in enumerate(teams)
    ]
    priorities = player_priorities(players, preferences)
    assert len(set(priorities.values())) == len(players)
    assert all(DEMOTED < priority < 2**31 for priority in priorities.values())
    random.shuffle(players)
    assert player_priorities(players, preferences) == priorities


def test_a_team_that_comes_changes_the_priority_of_no_other():
    """A first import would send everything again with each release that comes."""
    players = [LivePlayer(1, f"https://x.com/{t}", str(t), "x", "voice", str(t), 12) for t in range(1, 60)]
    few = player_priorities(players[::7], ["voice"])
    assert few.items() <= player_priorities(players, ["voice"]).items()


@pytest.mark.parametrize(
    ("languages", "titles"),
    [
        (["romaji", "en", "ru"], ["Special 1", "Season 2, episode 3"]),
        (["ru", "en"], ["Спецвыпуск 1", "Сезон 2, серия 3"]),
        (["native", "romaji"], ["Special 1", "Season 2, episode 3"]),
        (["romaji", "ru"], ["Спецвыпуск 1", "Сезон 2, серия 3"]),
    ],
)
def test_an_episode_outside_the_base_is_called_by_its_season(languages, titles):
    """Its number within the title says nothing to a viewer; one that has a title keeps it, the base has none."""
    episodes = [(1, None, 1, 1), (10_003, None, 2, 3), (10_004, "Finale", 2, 4), (990_001, None, 0, 1), (2, None)]
    config = config_for("http://127.0.0.1:9", TITLE_LANGUAGES=languages)
    posts = posts_for(state(episodes=episodes, base=1), config, SOURCE_PRIORITY)
    assert [entry["title"] for entry in map(json.loads, (e.body for e in posts.episodes))] == [
        None,
        titles[1],
        "Finale",
        titles[0],
        None,
    ]


def test_a_number_that_no_episode_has_any_more_is_hidden():
    """After another season became the base; nothing can be deleted at the backend."""
    posts = posts_for(state(delivered_episodes={10_001: "x"}), CONFIG, SOURCE_PRIORITY)
    hidden = json.loads(posts.episodes[-1].body)
    assert (hidden["number"], hidden["is_available"]) == (10_001, False)
    again = state(delivered_episodes={10_001: posts.episodes[-1].checksum})
    assert [e.number for e in posts_for(again, CONFIG, SOURCE_PRIORITY).episodes] == [1]


def test_a_link_of_two_teams_is_one_player_with_the_higher_priority():
    """De-duplicated before sending; two POSTs of one player would break it."""
    players = [LivePlayer(1, URL, "8", "SubTeam", "subtitles"), LivePlayer(1, URL, "610", "AniDUB", "voice")]
    assert player_priorities(players, ["voice", "subtitles"]) == {(1, URL): FIRST}


def test_what_was_delivered_and_is_the_same_is_not_sent_again():
    """A run that changes nothing sends nothing."""
    first = posts_for(state(), CONFIG, SOURCE_PRIORITY)
    delivered = state(
        delivered_anime=first.anime.checksum,
        delivered_episodes={entry.number: entry.checksum for entry in first.episodes},
        delivered_players=sent(),
    )
    again = posts_for(delivered, CONFIG, SOURCE_PRIORITY)
    assert (again.anime, list(again.episodes), list(again.players)) == (None, [], [])


def test_a_changed_link_is_posted_and_the_old_one_demoted():
    """First the old one with a priority far below zero: it may be of another episode; then the new one."""
    old = "https://kodikplayer.com/seria/1/old/720p"
    posts = posts_for(state(delivered_players=sent(old)), CONFIG, SOURCE_PRIORITY)
    assert [(post.url, post.priority) for post in posts.players] == [(old, DEMOTED), (URL, FIRST)]


def test_a_demoted_link_is_not_demoted_again():
    """Only what changed."""
    posts = posts_for(state(players=[], delivered_players=sent(priority=DEMOTED)), CONFIG, SOURCE_PRIORITY)
    assert not posts.players


def test_a_link_that_returns_gets_its_priority_back():
    """A release that was gone and is there again."""
    posts = posts_for(state(delivered_players=sent(priority=DEMOTED)), CONFIG, SOURCE_PRIORITY)
    assert [post.priority for post in posts.players] == [FIRST]


def test_a_player_in_doubt_is_sent_again():
    """Its intent was written, its receipt was not."""
    posts = posts_for(state(delivered_players=sent(stage="sending")), CONFIG, SOURCE_PRIORITY)
    assert [post.before.state for post in posts.players] == ["sending"]


def test_players_of_a_refused_episode_are_not_sent():
    """They would get 404."""
    first = posts_for(state(), CONFIG, SOURCE_PRIORITY)
    refused = state(dead={("episode", "5114:1"): first.episodes[0].checksum})
    posts = posts_for(refused, CONFIG, SOURCE_PRIORITY)
    assert (list(posts.episodes), list(posts.players)) == ([], [])


any_text = st.text(max_size=40) | st.just("\x00\x1b[31m") | st.just("\ud800x")
records = st.fixed_dictionaries(
    {"titles": st.dictionaries(st.sampled_from(["ru", "en", "romaji", "native"]), any_text | st.none())},
    optional={
        "alternative_titles": st.lists(any_text, max_size=4),
        "description": any_text | st.none(),
        "year": st.none() | st.integers(1890, 2110),
        "status": st.sampled_from([None, "announced", "ongoing", "released", "paused", "discontinued"]),
        "poster": st.none() | st.sampled_from(["https://x.com/a.jpg", "data:image/png;base64,x", "http://x.com/a"]),
        "genres": st.lists(any_text, max_size=4),
    },
)
players = st.builds(
    LivePlayer,
    st.integers(-1, 2**31),
    st.sampled_from([URL, URL + "x", "http://bad", "https://x.com/é"]),
    st.sampled_from(["610", "7"]),
    any_text,
    st.sampled_from(["voice", "subtitles"]),
)


@given(
    st.dictionaries(st.sampled_from(["shikimori", "kodik", "other"]), st.lists(records, min_size=1, max_size=2)),
    st.lists(players, max_size=6),
    st.dictionaries(st.integers(0, 2**31), st.none() | any_text, max_size=4),
)
def test_whatever_the_catalogue_holds_the_backend_accepts_what_is_sent(anime, live, episodes):
    """The backend's own models accept every body, and no control character is in any."""
    title = state(anime=anime, players=live, episodes=sorted(episodes.items(), key=lambda pair: pair[0]))
    posts = posts_for(title, CONFIG, SOURCE_PRIORITY)
    if posts.anime:
        AnimeImport.model_validate_json(posts.anime.body)
        assert not re.search(r"[\x00-\x08\x0e-\x1f]|\\u00[01]", posts.anime.body.decode())
    if posts.episodes:
        EpisodesImport.model_validate_json(episodes_body("5114", (entry.body for entry in posts.episodes)))
    for post in posts.players:
        VideoImport.model_validate_json(post.body)
    assert len({(post.number, post.url) for post in posts.players}) == len(posts.players)
    assert all(refused.reason and refused.raw.isprintable() for refused in posts.refused)
    assert bool(posts.refused) or posts.anime


def test_an_anime_that_was_set_aside_is_not_made_again_while_its_content_is_the_same():
    """A new episode of the title sends no anime; another title of it does."""
    content = {"shikimori": [{"titles": {"romaji": "Odd"}, "external_ids": {}}]}
    state = TitleState("1", 1, content, [], [], None, {}, {}, {})
    post = posts_for(state, CONFIG, SOURCE_PRIORITY).anime
    assert post is not None
    dead = replace(state, dead={("anime", "1"): post.checksum})
    assert posts_for(dead, CONFIG, SOURCE_PRIORITY).anime is None
    mended = replace(dead, anime={"shikimori": [{"titles": {"romaji": "Mended"}, "external_ids": {}}]})
    assert posts_for(mended, CONFIG, SOURCE_PRIORITY).anime is not None


def test_an_episode_that_no_rule_allows_is_refused_alone():
    """A number that the backend's column does not hold: the others are sent."""
    episodes = [KnownEpisode(1, None), KnownEpisode(2**31, None)]
    state = TitleState("1", 1, {"shikimori": [{"titles": {"romaji": "A"}}]}, episodes, [], None, {}, {}, {})
    posts = posts_for(state, CONFIG, SOURCE_PRIORITY)
    assert [entry.number for entry in posts.episodes] == [1]
    assert [(refused.kind, refused.key) for refused in posts.refused] == [("episode", f"1:{2**31}")]
