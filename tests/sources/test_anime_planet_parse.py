"""Anime-Planet's values: any text is understood or set aside; status around New Year; pages that are none."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anime_crawler.base_spiders import RecordError, ResponseError
from anime_crawler.items import Absent, Anime, Character, Rejected
from anime_crawler.sandbox.upstreams.anime_planet.lists import listing
from anime_crawler.sandbox.upstreams.anime_planet.pages import detail
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources import anime_planet
from anime_crawler.sources.anime_planet.parse import alternative_titles, anime_from_entry, parse_file, type_fields
from anime_crawler.sources.anime_planet.schema import Entry, JsonLd, revealed

BASE = "https://www.anime-planet.com"
WORLD = World(titles=20)
TITLE = next(iter(known_at("anime_planet", WORLD).values()))
NOW = datetime(2026, 5, 3, tzinfo=UTC)
SAMPLES = Path(anime_planet.__file__).parent / "samples"


@given(st.text())
def test_any_text_for_a_type_is_understood_or_set_aside(text):
    """Never another exception."""
    try:
        found = type_fields(text)
    except RecordError:
        return
    assert not found or found["kind"] is None or text.strip()


@given(st.integers(1, 99_999), st.booleans(), st.none() | st.integers(1, 999))
def test_every_type_line_of_the_known_form_gives_its_numbers(episodes, is_open, minutes):
    """An open count is what has aired; a closed one is the total."""
    length = f" x {minutes} min" if minutes else ""
    line = f"TV\n  ({episodes}{'+' if is_open else ''} ep{'s' if episodes > 1 else ''}{length})"
    found = type_fields(line)
    assert found["duration_min"] == minutes
    assert (found["episodes_total"], found["episodes_aired"]) == ((None, episodes) if is_open else (episodes, None))


@given(years=st.text() | st.from_regex(r"\d{4}( - (\d{4}|\?))?", fullmatch=True), start=st.text() | st.dates().map(str))
@example(years="𑓒000", start="")  # digits of another script
def test_any_years_and_dates_give_an_anime_or_are_set_aside(years, start):
    """A record's error, or an item whose dates are what was said, at most less exact."""
    try:
        anime = anime_from_entry(Entry(slug="x", name="X", years=years, data=JsonLd(startDate=start)), NOW)
    except (RecordError, ValueError):
        return
    assert anime.aired_from is None or start.startswith(anime.aired_from) or years.strip().startswith(anime.aired_from)


@pytest.mark.parametrize(
    ("years", "start", "end", "day", "expected"),
    [
        ("TBA", None, None, "2026-05-03", "announced"),
        ("2027", None, None, "2026-12-31", "announced"),
        ("2027", None, None, "2027-01-01", None),
        ("2026", "2026-12-31", None, "2026-12-31", "ongoing"),
        ("2026", "2027-01-05", None, "2026-12-31", "announced"),
        ("2026", None, None, "2026-12-31", None),
        ("2026", None, None, "2027-01-01", "released"),
        ("2025 - 2026", None, "2026-03-01", "2026-05-03", "released"),
        ("2025 - 2026", "2025-10-01", "2026-06-01", "2026-05-03", "ongoing"),
        ("2025 - ?", None, None, "2026-01-01", "ongoing"),
        ("2026 - ?", None, None, "2026-05-03", None),
        ("2026 - ?", "2026-04-01", None, "2026-05-03", "ongoing"),
        (None, None, None, "2026-05-03", None),
        ("2026", "2026-01-01", None, "2026-05-03", None),  # 1 January is no day that anybody knows
    ],
)
def test_status_around_new_year(years, start, end, day, expected):
    """Years that have passed, or exact dates; otherwise nobody knows."""
    entry = Entry(slug="x", name="X", years=years, data=JsonLd(startDate=start, endDate=end))
    status = anime_from_entry(entry, datetime.fromisoformat(f"{day}T12:00:00Z")).status
    assert (status and status.value) == expected


def test_a_film_of_this_year_has_been_shown_or_will_be():
    """Its only date is start and end."""
    for day, expected in (("2026-04-01", "released"), ("2026-06-01", "announced"), ("2026-05-03", None)):
        entry = Entry(slug="x", name="X", years="2026", data=JsonLd(datePublished=day))
        status = anime_from_entry(entry, NOW).status
        assert (status and status.value) == expected


@given(st.text(min_size=1), st.integers(0, 255))
def test_what_cloudflare_hides_is_revealed(text, key):
    """The code is the text under a key of one byte."""
    plain = text.encode("utf-8", "ignore")
    code = bytes([key, *(byte ^ key for byte in plain)]).hex().encode()
    assert html.unescape(revealed(code).decode()) == html.unescape(html.escape(plain.decode()))
    assert revealed(b"zz00") == revealed(b"") == b""


@given(st.text())
def test_a_line_of_alternative_titles_never_fails(text):
    """One title, several, or none."""
    assert alternative_titles(f"Alt title: {text}") == [f" {text}"]
    assert ", ".join(alternative_titles(f"Alt titles: {text}")) == f" {text}"
    assert alternative_titles(None) == []


@given(st.binary(max_size=300))
def test_any_bytes_are_no_exception(body):
    """Items, or the sentence that there are none."""
    try:
        assert all(isinstance(item, Anime | Character | Absent | Rejected) for item in parse_file(body, "file", NOW))
    except ResponseError as error:
        assert len(str(error)) > 10


@pytest.mark.parametrize("sample", ["detail__full", "list__cards", "character__page", "characters__page"])
def test_a_page_that_breaks_off_anywhere_is_no_exception(sample):
    """Cut at every hundredth byte."""
    body = (SAMPLES / sample / "response.html").read_bytes()
    for end in range(0, len(body), 100):
        try:
            list(parse_file(body[:end], f"{BASE}/anime/paper-moon-harbour", NOW))
        except ResponseError as error:
            assert str(error)


def test_pages_without_items_say_what_they_are():
    """A search with results, a challenge, something else, nothing."""
    for body, words in (
        ("<h1>You searched for moon</h1><h3>Results</h3>", "result of a search"),
        ("<title>Just a moment...</title>", "challenge of Cloudflare"),
        ("<h1>Forum</h1>", "no page of an anime"),
        ("", "no page of an anime"),
    ):
        with pytest.raises(ResponseError, match=words):
            parse_file(body.encode(), "page.html", NOW)


def test_the_address_tells_where_the_page_does_not_name_itself():
    """``--url`` of a page without a canonical link."""
    page = re.sub('<link rel="canonical"[^>]*>', "", detail(TITLE, WORLD)).encode()
    anime, *_ = parse_file(page, f"{BASE}/anime/some-title?x=1", NOW)
    assert anime.source_id == "some-title"
    (unnamed,) = parse_file(page, "file.html", NOW)
    assert isinstance(unnamed, Rejected)


def test_a_listing_past_its_end_holds_nothing():
    """No item, and no sentence that the page is none."""
    assert list(parse_file(listing([], 2, 1).encode(), "page.html", NOW)) == []
