"""A source that is away ends its own run, whichever it is: exit code 3, a plain sentence, nothing lost."""

from __future__ import annotations

import pytest

from anime_crawler.sources import cards
from tests.services import free_port

QUICK = {"MAX_RETRIES": "0", "BACKOFF_BASE_SECONDS": "0.05", "BACKOFF_MAX_SECONDS": "0.1"}

WORK = {"shikimori": ("-a", "ids=1")}
"""What there is to do for one that does nothing by itself in an empty catalogue."""


@pytest.mark.parametrize("name", list(cards()))
def test_an_upstream_that_nobody_serves_is_exit_3(scrapy, project, name):
    """Connection refused: the report names the source, no traceback, and the next run may try again."""
    card = cards()[name]
    settings = {card.base_url_setting: f"http://127.0.0.1:{free_port()}"}
    settings |= {secret.setting: "fedcba9876543210" for secret in card.secrets}
    done = scrapy("crawl", name, "-s", "COMPANIONS={}", *WORK.get(name, ()), **settings, **QUICK)
    assert done.returncode == 3, done.stderr
    assert name in done.stderr.lower().replace("-", "_")
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((project / "var").glob("*.tmp"))
