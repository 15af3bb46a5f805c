"""Items: identity, checksum, and what they refuse to hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from anime_crawler.items import (
    Absent,
    Airing,
    Anime,
    Character,
    Episode,
    Player,
    Release,
    Snapshot,
    Titles,
    without_tokens,
)

NOW = datetime(2026, 5, 3, tzinfo=UTC)
LATER = datetime(2026, 5, 4, tzinfo=UTC)


def anime(**other: Any) -> Anime:
    return Anime(**{"source": "kodik", "source_id": "20", "fetched_at": NOW, "titles": Titles(ru="Маяк"), **other})


def test_a_checksum_is_of_what_and_not_of_when():
    """Other times give the same checksum, other content another."""
    assert anime().checksum() == anime(fetched_at=LATER, source_updated_at=LATER).checksum()
    assert anime().checksum() != anime(year=2021).checksum()
    assert len(anime().checksum()) == 32


def test_the_checksum_of_an_item_is_the_same_on_every_machine():
    """Fixed here: another value would make every stored row look changed."""
    assert Absent(source="shikimori", source_id="1", fetched_at=NOW).checksum() == "edc93d00fd093c501b1f96db666c88b0"


def test_each_kind_has_its_own_identity():
    """Source first, then what tells its records apart."""
    about = {"source": "x", "source_id": "1", "fetched_at": NOW}
    assert anime().key == ("kodik", "20")
    assert Character(**about, names=Titles()).key == ("x", "1")
    assert Episode(**about, anime_id="5", season_number=2, number=0).key == ("x", "5", "2", "0")
    assert Airing(**about, anime_id="5", number=3, kind="dub", airs_at=NOW).key == ("x", "5", "3", "dub")
    assert Snapshot(**about, snapshot_type="top", day=NOW.date()).key == ("x", "1", "top", "2026-05-03")


@pytest.mark.parametrize(
    "wrong",
    [
        {"poster": "http://example.org/a.jpg"},
        {"poster": "javascript:alert(1)"},
        {"url": "https://example.org/a b"},
        {"score": 0},
        {"score": 11},
        {"episodes_total": 0},
        {"duration_min": 0},
        {"year": 1},
        {"aired_from": "2027-4"},
        {"titles": {"ru": " "}},
        {"genres": ("",)},
        {"fetched_at": datetime(2026, 5, 3)},
        {"novelty": 1},
        {"source_id": ""},
    ],
)
def test_unknown_is_none_and_never_zero_or_empty(wrong):
    """Values that would stand for "unknown", other schemes, and fields nobody declared are refused."""
    with pytest.raises(ValidationError):
        anime(**wrong)


def test_players_are_https_and_films_have_no_season():
    """The smallest player, and one that is refused."""
    player = Player(source_number=1, url="https://kodikplayer.com/video/1/a/720p")
    assert player.season_number is None
    with pytest.raises(ValidationError):
        Player(source_number=1, url="//kodikplayer.com/video/1/a/720p")
    assert "players" in Release.model_fields


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"next_page":"https://x/?token=canary&next=a"}', '{"next_page":"https://x/?token=REDACTED&next=a"}'),
        ("token=canary", "token=REDACTED"),
        ("https://x/?token=canary\\u0026next=a", "https://x/?token=REDACTED\\u0026next=a"),
    ],
)
def test_a_raw_record_is_kept_without_tokens(text, kept):
    """Kodik puts them into its addresses."""
    assert without_tokens(text) == kept
