"""Headers that say when to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http.headers import Headers

from anime_crawler.rate_limit.headers import rate_limit_reset_s, retry_after_s

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("31536000", 31536000),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60),
        ("Wed, 21 Oct 2015 07:29:00", 60),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("Wed, 99 Oct 2015 07:29:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    """What is neither counts as absent."""
    assert retry_after_s(Headers({"Retry-After": text}), NOW) == seconds


def test_retry_after_may_be_absent():
    """Then nothing is asked for."""
    assert retry_after_s(Headers(), NOW) is None


def test_a_date_is_taken_against_the_servers_clock():
    """Ours is an hour wrong here."""
    headers = Headers({"Retry-After": "Wed, 21 Oct 2015 07:29:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:30 GMT"})
    assert retry_after_s(headers, NOW - 3600) == 30


@given(st.binary(max_size=80))
def test_no_retry_after_raises(value):
    """Whatever an upstream writes there; what is understood is not negative."""
    seconds = retry_after_s(Headers({"Retry-After": value}), NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [
        ("0", "30", 30),
        ("0", str(int(NOW) + 30), 30),
        ("0", str(int(NOW) - 30), 0),
        ("1", "30", None),
        ("0", "", None),
        ("0", "later", None),
        ("", "30", None),
        ("-1", "30", None),
        ("0", "0", None),
    ],
)
def test_a_spent_rate_limit_says_when_it_is_new(remaining, reset, seconds):
    """Seconds from now or Unix time; only when nothing remains."""
    headers = Headers({"X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset})
    assert rate_limit_reset_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [("2", "30", 30), ("3", "30", None), ("2", "", 60), ("0", "0", 60), ("3", "", None), ("", "", None)],
)
def test_a_reserve_is_kept_and_an_unsaid_time_is_the_caller_s(remaining, reset, seconds):
    """Two remaining are as good as none; without a reset it takes a minute."""
    headers = Headers({"X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset})
    assert rate_limit_reset_s(headers, NOW, reserve=2, unsaid_s=60) == seconds
