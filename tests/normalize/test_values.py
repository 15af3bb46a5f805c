"""Addresses, dates and ids."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.normalize.date import partial_date, season_of, utc_stamp
from anime_crawler.normalize.ids import normalize_shikimori_id
from anime_crawler.normalize.url import normalize_https_url


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://st.kp.yandex.net/a.jpg?x=1#y", "https://st.kp.yandex.net/a.jpg?x=1"),
        ("//Shikimori.IO/a.jpg", "https://shikimori.io/a.jpg"),
        ("https://example.org", "https://example.org/"),
        (" https://example.org/a ", "https://example.org/a"),
    ],
)
def test_an_https_address_of_a_public_host_is_kept(url, clean):
    """Host in lower case, no fragment, a path at least."""
    assert normalize_https_url(url) == clean


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.org/a",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.org/",
            "file:///etc/passwd",
        ),
        *("/a.jpg", "a.jpg", "", None, "https://", "https:///a", "https://[", "https://example.org:99999/"),
        *(
            "https://127.0.0.1/a",
            "https://169.254.169.254/",
            "https://[::1]/",
            "https://0x7f000001/",
            "https://2130706433/",
        ),
        *("https://localhost/", "https://nas.local/", "https://x.internal/", "https://user:pw@example.org/"),
        *("https://example.org:8443/", "https://example.org/a b", 'https://example.org/"x', "https://example.org/\x00"),
        *("https://exa\u202emple.org/", "https://example.org\\@evil.example/", "java\nscript:alert(1)"),
    ],
)
def test_every_other_address_is_none(url):
    """Other schemes, addresses instead of names, private names, credentials, what breaks out of an attribute."""
    assert normalize_https_url(url) is None


@given(st.text())
def test_any_text_is_an_https_address_or_none(text):
    """Never an exception."""
    assert (normalize_https_url(text) or "https://").startswith("https://")


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_dates_keep_their_precision(day):
    """As much as is known, from the left."""
    assert partial_date(day.year, day.month, day.day) == day.isoformat()
    assert partial_date(day.year, day.month) == day.isoformat()[:7]
    assert partial_date(day.year) == partial_date(day.year, None, day.day) == day.isoformat()[:4]
    assert partial_date(None, day.month, day.day) is None


@pytest.mark.parametrize(
    "parts", [(2021, 13, 1), (2021, 2, 30), (2021, 0, 40), (-5, 1, 1), (99999, 1, 1), (2021, -1, 1)]
)
def test_dates_that_do_not_exist_are_refused(parts):
    """Whatever part is wrong."""
    with pytest.raises(ValueError):
        partial_date(*parts)


@pytest.mark.parametrize(
    ("partial", "season"),
    [
        ("2025-12-23", "winter"),
        ("2025-12-22", "fall"),
        ("2025-03-22", "winter"),
        ("2025-03-23", "spring"),
        ("2025-07-01", "summer"),
        ("2025-10", "fall"),
        ("2025", None),
        (None, None),
    ],
)
def test_a_season_begins_nine_days_before_its_month(partial, season):
    """As the site itself counts; unknown without a month."""
    assert season_of(partial) == season


@pytest.mark.parametrize(
    ("text", "digits"), [("20", "20"), ("z20", "20"), ("az20-naruto", "20"), (" x0011597 ", "11597")]
)
def test_letters_and_words_around_an_id_are_no_part_of_it(text, digits):
    """The forms in which others write it down."""
    assert normalize_shikimori_id(text) == digits


@pytest.mark.parametrize("text", ["", "naruto", "0", "z", "-5", "20 21", "²", "1" * 30, "20.5"])
def test_what_is_no_id_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(ValueError):
        normalize_shikimori_id(text)


def test_moments_compare_as_text_in_one_spelling():
    """Zones are undone; what has none is no moment."""
    assert utc_stamp("2026-05-03T03:00:00+03:00") == utc_stamp("2026-05-03T00:00:00Z") == "2026-05-03T00:00:00+00:00"
    assert utc_stamp("2026-05-03T00:00:00") is utc_stamp("soon") is utc_stamp(5) is utc_stamp(None) is None
