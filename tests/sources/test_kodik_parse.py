"""What samples cannot say of Kodik's parser: laws that hold for every number, link and cursor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.base_spiders import RecordError, ResponseError
from anime_crawler.items import Anime, Rejected, Release
from anime_crawler.sources.kodik.parse import items_from_results, parse_file, player_link, players
from anime_crawler.sources.kodik.schema import cursor_from_next_page, drift

BASE = "https://kodik-api.com"
HASH = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 5, 3, tzinfo=UTC)
LINK = f"https://kodikplayer.com/serial/1/{HASH}/720p"


def material(number: int, updated_at: str, **other: Any) -> dict[str, Any]:
    """A film of anime `number`."""
    return {
        "id": f"movie-{number}",
        "type": "anime",
        "link": f"//kodikplayer.com/video/{number}/{HASH}/720p",
        "title": f"Фильм {number}",
        "translation": {"id": 610, "title": "Прилив", "type": "voice"},
        "shikimori_id": str(number),
        "updated_at": updated_at,
        **other,
    }


def link(number: int) -> str:
    return f"//kodikplayer.com/seria/{number}/{HASH}/720p"


def sent(seasons: dict[int, set[int]]) -> dict[str, Any]:
    """Seasons as Kodik sends them."""
    return {str(s): {"link": "x", "episodes": {str(n): link(n) for n in ns}} for s, ns in seasons.items()}


@given(st.dictionaries(st.integers(0, 9_999), st.sets(st.integers(0, 9_999), max_size=6), max_size=5))
def test_episodes_keep_their_season_and_number(seasons):
    """In order, none twice; their numbers within the anime are the catalogue's affair."""
    read = players(sent(seasons), LINK)
    pairs = [(p["season_number"], p["source_number"]) for p in read.players]
    assert pairs == sorted((s, n) for s, numbers in seasons.items() for n in numbers)
    assert (read.link, read.unread, read.problems) == (LINK, [], [])


ODD = ["10000", "-1", "1.5", "1-2", "", " 1", "²", "١", "1e3", "SP1"]


@pytest.mark.parametrize("key", ODD)
def test_a_number_that_is_no_whole_number_is_set_aside_alone(key):
    """As an episode and as a season; the reason names it."""
    episodes = {"1": link(1), key: link(2), "3": link(3)}
    for seasons in ({"1": {"episodes": episodes}}, {"1": {"episodes": {"1": link(1), "3": link(3)}}, key: {}}):
        read = players(seasons, LINK)
        assert [p["source_number"] for p in read.players] == [1, 3]
        assert len(read.problems) == 1
        assert repr(key[:20]) in read.problems[0]


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        *(
            ("5v2", [5, 2]),
            ("2.5", [2, 5]),
            ("SP4", [4]),
            (" 5", [5]),
            ("\u0665", [5]),
            ("5-7", [5, 6, 7]),
            ("7-5", [5, 6, 7]),
        ),
        *(("3 - 5", [4, 5]), ("10000", []), ("final", [None]), ("", [None]), ("1-9999", [None]), ("4, 9", [4, 9])),
    ],
)
def test_what_an_odd_key_may_stand_for_is_named(key, numbers):
    """Of an episode that was stored under a number, and of a season: an upstream that writes the number in another way
    must not take it away. What is listed under its number is not doubtful."""
    listed = {"1": link(1), "3": link(3)}
    read = players({"1": {"episodes": {**listed, key: link(2)}}}, LINK)
    assert read.unread == sorted({(1, number) for number in numbers} - {(1, 3)}, key=str)
    read = players({"1": {"episodes": listed}, key: {"episodes": listed}}, LINK)
    assert set(read.unread) >= {(number, None) for number in numbers}


@pytest.mark.parametrize("kind", ["seria", "video"])
def test_a_serial_whose_seasons_have_odd_keys_is_no_film(kind):
    """Its own link is that of one episode."""
    with pytest.raises(RecordError):
        players({"Season 1": {"episodes": {"1": link(1)}}}, LINK.replace("/serial/", f"/{kind}/"))


@pytest.mark.parametrize(
    ("seasons", "unread"),
    [
        ({"1": {"episodes": {"1": link(1), "2": "//"}}}, [(1, 2)]),
        ({"1": {"episodes": {"1": link(1), "2": {"title": 5, "link": link(2)}}}}, [(1, 2)]),
        ({"1": {"episodes": {"1": link(1)}}, "2": 5}, [(2, None)]),
        ({"1": {"episodes": {"1": link(1)}}, "2": {"episodes": 5}}, [(2, None)]),
        ({"1": {"episodes": {"1": link(1), "01": "//"}}}, []),
    ],
)
def test_what_is_listed_and_not_understood_is_named(seasons, unread):
    """What was stored of it before must not be taken for gone."""
    read = players(seasons, LINK)
    assert ([p["source_number"] for p in read.players], read.unread, len(read.problems)) == ([1], unread, 1)


@pytest.mark.parametrize("seasons", [5, {"1": {"episodes": {"1": "//"}}}, {"x": {}}, {"1": 5}])
def test_a_material_of_which_nothing_is_understood_is_set_aside_whole(seasons):
    """So nothing of it is stored, and nothing that was stored is taken away."""
    with pytest.raises(RecordError):
        players(seasons, LINK)


def test_one_bad_thing_costs_itself_and_is_one_letter_of_the_material():
    """Kept with the whole material, so that it can be replayed once it is understood."""
    seasons = {"1": {"episodes": {"1": link(1), "2.5": link(2), "1-2": link(3), "4": "//", "5": link(5), "x": "y"}}}
    record = material(7, "2026-01-01T00:00:00Z", seasons=seasons, link="javascript:alert(1)")
    items = list(items_from_results([record], NOW))
    (release,) = [item for item in items if isinstance(item, Release)]
    (letter,) = [item for item in items if isinstance(item, Rejected)]
    assert [p.source_number for p in release.players] == [1, 5]
    assert (release.url, release.unread_players) == (None, ((1, 2), (1, 4), (1, None)))
    assert (letter.kind, letter.source_id) == ("player", record["id"])
    assert letter.reason.startswith("link: ")
    assert "'2.5'" in letter.reason
    assert "and 2 more" in letter.reason
    assert [type(item) for item in parse_file(letter.raw.encode(), "letter", NOW)] == [type(item) for item in items]


@given(
    scheme=st.sampled_from(["//", "http://", "https://"]),
    host=st.sampled_from(["kodik.info", "Aniqit.com", "KODIKPLAYER.COM", "a.b.kodik.cc"]),
    kind=st.sampled_from(["video", "serial", "season", "seria"]),
    number=st.integers(1, 10**9),
    query=st.sampled_from(["", "?season=1&episode=2", "#x", "?a#b"]),
)
def test_a_player_link_is_https_with_a_lower_case_host_and_its_path_unchanged(scheme, host, kind, number, query):
    """Whatever scheme, host and query it came with; the canonical form is its own canonical form."""
    canonical, found = player_link(f"{scheme}{host}/{kind}/{number}/{HASH}/720p{query}", "link")
    assert canonical == f"https://{host.lower()}/{kind}/{number}/{HASH}/720p"
    assert found == kind
    assert player_link(canonical, "link") == (canonical, kind)


@given(st.text() | st.from_regex(r"(javascript|data|ftp|file):.*", fullmatch=True))
def test_nothing_but_a_player_is_a_player_link(text):
    """Any other text is refused, or is https."""
    try:
        canonical, _ = player_link(text, "link")
    except RecordError:
        return
    assert canonical.startswith("https://")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "localhost", "router.lan", "kodik.info.", "x", "[::1]"]
)
def test_a_player_on_no_public_host_is_refused(host):
    """Addresses and names inside somebody's network."""
    with pytest.raises(RecordError):
        player_link(f"https://{host}/seria/1/{HASH}/720p", "link")


@given(st.text(st.characters(codec="ascii", exclude_characters="&#"), min_size=1))
def test_a_cursor_comes_out_of_next_page_as_it_went_in(cursor):
    """Opaque: with plus, slash, equals and everything else."""
    url = f"{BASE}/list?token=canary&limit=2&next={quote(cursor, safe='')}&x=1"
    assert cursor_from_next_page(url) == cursor


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{BASE}/list?token=t&next=WzFd==", "WzFd=="),
        (f"{BASE}/list?next=a+b", "a+b"),
        ("https://KODIK-API.com/list?next=a", "a"),
        ("/list?next=a", "a"),
        ("?next=a", "a"),
        ("https://another.example/list?token=t&next=a", "a"),
    ],
)
def test_cursors_are_found_in_the_ways_they_are_written(url, expected):
    """Unescaped base64, other case, relative addresses, another host: only the cursor is taken."""
    assert cursor_from_next_page(url) == expected


@pytest.mark.parametrize("url", [f"{BASE}/list?limit=2", f"{BASE}/list?next=", f"{BASE}/list?prev=a", ""])
def test_a_next_page_without_a_cursor_is_refused(url):
    """Nothing is guessed."""
    with pytest.raises(ResponseError):
        cursor_from_next_page(url)


def test_the_anime_of_a_page_is_described_by_its_material_changed_last():
    """One anime item for any number of translations; one without metadata never replaces one with."""
    rich = {"anime_title": "Богатый"}
    records = [
        material(1, "2026-01-02T00:00:00Z", shikimori_id="5", material_data=rich),
        material(2, "2026-01-03T00:00:00Z", shikimori_id="5"),
        material(3, "2026-01-01T00:00:00Z", shikimori_id="5", material_data={"anime_title": "Старый"}),
    ]
    found = list(items_from_results(records, NOW))
    anime = [item for item in found if isinstance(item, Anime)]
    assert [(a.titles.ru, a.source_updated_at) for a in anime] == [("Богатый", datetime(2026, 1, 2, tzinfo=UTC))]
    assert len([item for item in found if isinstance(item, Release)]) == 3
    poor = next(item for item in items_from_results(records[1:2], NOW) if isinstance(item, Anime))
    assert poor.source_updated_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_fields_nobody_knows_and_fields_that_vanished_are_counted():
    """Per path, at every level; a page of fewer than 20 materials proves no field gone."""
    record = material(1, "2026-01-01T00:00:00Z", novelty=1, material_data={"anime_title": "x", "anime_mood": "sad"})
    record["translation"]["logo"] = "x"
    record["seasons"] = {"1": {"link": "x", "colour": 1, "episodes": {"1": {"link": "x", "length": 24}}}}
    page = {"results": [record] * 20, "next_page": None, "total": 20, "weather": "fine"}
    counts = drift(page)
    assert counts["weather", "unknown"] == 1
    for path in ("novelty", "translation.logo", "material_data.anime_mood", "seasons.*.colour"):
        assert counts[path, "unknown"] == 20
    assert counts["seasons.*.episodes.*.length", "unknown"] == 20
    assert counts["quality", "vanished"] == counts["material_data.anime_kind", "vanished"] == 20
    assert ("shikimori_id", "vanished") not in counts
    assert not [change for _, change in drift({**page, "results": [record] * 19}) if change == "vanished"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"5", b"{}", b'{"error":"x"}', b'[{"id":1}]', b"\xff"])
def test_a_file_of_something_else_is_refused(body):
    """With a message, not with an empty list."""
    with pytest.raises(ResponseError):
        parse_file(body, "file", NOW)


@pytest.mark.parametrize("updated_at", [None, "", "0000-00-00", "yesterday", {"x": 1}])
def test_a_time_of_change_that_is_none_costs_itself(updated_at):
    """The release and its players are there; when it was changed is unknown."""
    found = list(items_from_results([material(1, updated_at)], NOW))
    (release,) = (item for item in found if isinstance(item, Release))
    assert (release.updated_at, len(release.players), release.anime_id) == (None, 1, "1")
    assert release.not_understood or updated_at is None
    assert not any(isinstance(item, Rejected) for item in found)


@pytest.mark.parametrize("own", [{"x": 1}, ["20"], True, 1.5, "naruto", 0])
def test_an_anime_s_id_that_is_not_understood_costs_the_record(own):
    """Without it the release would leave its title, with all its players."""
    (letter,) = items_from_results([material(1, "2026-01-01T00:00:00Z", shikimori_id=own)], NOW)
    assert isinstance(letter, Rejected)
    assert letter.reason.startswith("shikimori_id: ")
