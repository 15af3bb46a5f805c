"""Pauses between attempts, and limits from settings and card."""

from __future__ import annotations

import pytest

from anime_crawler.base_spiders import SourceCard
from anime_crawler.config import Config
from anime_crawler.download.handler import is_below
from anime_crawler.download.retry import backoff_s
from anime_crawler.rate_limit.limits import Limits, Window, limits_of, parse_limits, with_rate


@pytest.mark.parametrize(("base", "longest"), [(1.0, 60.0), (0.2, 3.0), (5.0, 5.0), (10.0, 4.0)])
def test_pauses_double_with_jitter_between_floor_and_maximum(base, longest):
    """10,000 samples: base·2^k·(1±0.1), never above the maximum, never below the floor."""
    config = Config.load({"BACKOFF_BASE_SECONDS": base, "BACKOFF_MAX_SECONDS": longest})
    for attempt in range(1, 11):
        samples = [backoff_s(attempt, config) for _ in range(1000)]
        middle = base * 2 ** (attempt - 1)
        assert min(samples) >= min(0.9 * middle, longest)
        assert max(samples) <= min(1.1 * middle, longest)
        if 1.1 * middle < longest:
            assert len(set(samples)) > 900


@pytest.mark.parametrize(
    ("rate", "window"), [(2, Window(2, 1)), (0.5, Window(1, 2)), (2.5, Window(2, 0.8)), (1, Window(1, 1))]
)
def test_a_rate_is_a_window(rate, window):
    """`RATE_LIMIT_RPS` holds beside the other windows."""
    assert with_rate(parse_limits("90/min"), rate) == Limits((Window(90, 60), window))


def test_no_rate_changes_nothing():
    """`RATE_LIMIT_RPS` is unset by default."""
    assert with_rate(parse_limits("90/min"), None) == parse_limits("90/min")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "30/min"),
        ({"KODIK_LIMITS": "5/s"}, "5/s"),
        ({"KODIK_LIMITS": "off"}, "off"),
        ({"KODIK_LIMITS": "off", "RATE_LIMIT_RPS": "2"}, "2/s"),
        ({"RATE_LIMIT_RPS": "2"}, "30/min,2/s"),
    ],
)
def test_a_setting_replaces_the_cards_limits(given, expected):
    """`off` too; the rate comes on top."""
    card = SourceCard("x", "X", "", "http://x", "30/min", "", (), limits_setting="KODIK_LIMITS")
    assert str(limits_of(Config.load(given), card)) == expected


@pytest.mark.parametrize("text", ["", "5", "5/fortnight", "0/s", "-1/s", "5/s,", "5 per s", "1.5/s"])
def test_what_is_not_a_limit_is_refused(text):
    """Naming the part that is wrong."""
    with pytest.raises(ValueError, match="is not a limit"):
        parse_limits(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.test/v1/list", True),
        ("https://api.test/v1", True),
        ("https://API.test:443/v1/list?x=1", True),
        ("https://api.test/v10/list", False),
        ("https://api.test/", False),
        ("https://api.test/v1/../admin", False),
        ("https://api.test/v1/%2e%2e/admin", False),
        ("http://api.test/v1/list", False),
        ("https://api.test:8443/v1/list", False),
        ("https://api.test.evil.test/v1/list", False),
        ("https://api.test@evil.test/v1/list", False),
        ("https://user@api.test/v1/list", False),
        ("https://evil.test/https://api.test/v1/list", False),
    ],
)
def test_secrets_go_only_below_the_configured_address(url, expected):
    """Scheme, host, port and path; no tricks with dots or user names."""
    assert is_below(url, "https://api.test/v1") is expected
