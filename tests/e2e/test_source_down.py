"""A source that is away ends its own run, whichever it is: exit code 3, a plain sentence, nothing lost, none harmed."""

from __future__ import annotations

import pytest

from anime_crawler.sandbox.world.elsewhere import SHARES, ids_elsewhere
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources import cards
from tests.e2e.support import Project
from tests.services import free_port

QUICK = {"MAX_RETRIES": "0", "BACKOFF_BASE_SECONDS": "0.05", "BACKOFF_MAX_SECONDS": "0.1"}

WORK = {"shikimori": ("-a", "ids=1")}
"""What there is to do for one that does nothing by itself in an empty catalogue."""
EXAMPLES = ("kitsu", "anisearch")
"""Sources for the short form of a test."""


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


def known_everywhere() -> dict[str, str]:
    """Ids of a title of `one_sandbox` that all seven metadata sources know."""
    titles = map(ids_elsewhere, World(titles=20).titles.values())
    return next(ids for ids in titles if ids.keys() == SHARES.keys())


@pytest.mark.parametrize(
    ("sources", "down"),
    [(EXAMPLES, down) for down in EXAMPLES]
    + [pytest.param(tuple(SHARES), down, marks=pytest.mark.slow) for down in SHARES],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} sources",
)
def test_a_source_that_is_down_never_fails_the_title(
    quick_project: Project, sources: tuple[str, ...], down: str
) -> None:
    """All that the others know of it is there; only the report of the one that is missing names a trouble: its own."""
    ids = known_everywhere()
    quick_project.fault(down, "status", status=503)
    for source in sources:
        done = quick_project.run("crawl", source, "-a", f"ids={ids[source]}", **QUICK)
        assert done.returncode == (3 if source == down else 0), done.stderr
        assert {service for service, _ in quick_project.problems()} == ({down} if source == down else set())
    found = {(row["source"], row["source_id"]) for row in quick_project.records("anime")}
    assert found == {(source, ids[source]) for source in sources if source != down}
