"""What a command imports is what it uses: a start costs little more than one of bare Scrapy."""

from __future__ import annotations

import re

import pytest

SLOW = {
    *("sqlalchemy", "alembic.command", "pydantic_settings", "rich.table", "redis"),
    *(
        "prometheus_client",
        "aiohttp",
        "starlette",
        "fastapi",
        "uvicorn",
        "requests",
        "anime_crawler.sandbox.world.world",
    ),
    *("scrapy_redis", "anime_crawler.sources.anilist.schema", "anime_crawler.run.job", "anime_crawler.commands.crawl"),
}
"""Each costs a start 0.02 to 0.3 s of processor time."""


def imported(trace: str) -> set[str]:
    """Names of modules that Python's report of imports tells."""
    return set(re.findall(r"^import time:.*\| +(\S+)$", trace, re.MULTILINE))


@pytest.mark.parametrize(
    ("command", "used"),
    [
        ("version", set()),
        ("status", {"sqlalchemy", "pydantic_settings", "rich.table", "anime_crawler.run.job"}),
        ("health", {"sqlalchemy", "pydantic_settings"}),
    ],
)
def test_a_command_imports_what_it_uses(scrapy, command, used):
    scrapy("status")  # makes the catalogue, with a library that only that needs
    done = scrapy(command, PYTHONPROFILEIMPORTTIME="1")
    assert imported(done.stderr) & SLOW <= used
    assert "scrapy" in imported(done.stderr)


def test_help_lists_every_command(scrapy):
    """That one needs them all."""
    listed = scrapy("-h").stdout
    assert [name for name in ("crawl", "deliver", "status", "sandbox", "version") if f"\n  {name} " not in listed] == []
