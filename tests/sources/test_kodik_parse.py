"""What samples cannot say of Kodik's parser: laws that hold for every number, link and cursor."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.base_spiders import RecordError, ResponseError
from anime_crawler.items import Anime, Rejected, Release
from anime_crawler.sources.kodik.parse import items_from_results, parse_file, player_link, players
from anime_crawler.sources.kodik.schema import cursor_from_next_page, drift
from tests.sources.fake_kodik import BASE, HASH, material

NOW = datetime(2026, 5, 3, tzinfo=UTC)
LINK = f"https://kodikplayer.com/serial/1/{HASH}/720p"


def link(number: int) -> str:
    return f"//kodikplayer.com/seria/{number}/{HASH}/720p"


def numbered(seasons: dict[int, set[int]]) -> dict[tuple[int, int], int]:
    """(season, episode) -> our number, by the parser."""
    sent = {str(s): {"link": "x", "episodes": {str(n): link(n) for n in ns}} for s, ns in seasons.items()}
    found = players(sent, LINK, "serial")
    assert [p["number"] for p in found] == sorted({p["number"] for p in found})
    return {(p["season_number"], p["source_number"]): p["number"] for p in found}


def rule(seasons: dict[int, set[int]]) -> dict[tuple[int, int], int]:
    """The same by the rule, written the other way round."""
    base = min([s for s in seasons if s] or [0])
    first = {s: 990_000 if s == 0 != base else 10_000 * (s - base) for s in seasons}
    return {(s, n): first[s] + n for s, numbers in seasons.items() for n in numbers}


@given(
    st.integers(1, 2100).flatmap(
        lambda first: st.dictionaries(
            st.just(0) | st.integers(first, first + 98), st.sets(st.integers(0, 9999), max_size=6), max_size=5
        )
    )
)
def test_episodes_are_numbered_by_the_rule(seasons):
    """The lowest season keeps its numbers, the others have places of their own: no number twice."""
    if len({s for s in seasons if s}) == 0 and 0 not in seasons:
        return
    found = numbered(seasons)
    assert found == rule(seasons)
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("key", ["10000", "-1", "1.5", "1-2", "", " 1", "²", "١", "1e3", "SP1"])
def test_a_number_that_is_no_whole_number_is_refused(key):
    """As an episode and as a season."""
    with pytest.raises(RecordError):
        players({"1": {"episodes": {key: link(1)}}}, LINK, "serial")
    with pytest.raises(RecordError):
        players({key: {"episodes": {"1": link(1)}}}, LINK, "serial")


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


def test_a_long_record_is_cut_and_says_so():
    """A dead letter is bounded."""
    (rejected,) = items_from_results([material(1, "2026-01-01T00:00:00Z", title=None, x="й" * 100_000)], NOW)
    assert isinstance(rejected, Rejected)
    assert len(rejected.raw) == 65_536
    assert re.search(r"… cut, \d+ characters in all$", rejected.raw)


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
