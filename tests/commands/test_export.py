"""``scrapy export`` as a user types it."""

from __future__ import annotations

import csv
import json

import pytest

from tests.catalogue.support import anime, opened, release


@pytest.fixture
def filled(project):
    """A catalogue with one title, where the settings expect it."""
    with opened(f"sqlite:///{project}/var/anime.db") as tables:
        tables.store(anime(), release())
    return project


def test_a_file_is_complete_or_not_there(scrapy, filled):
    """Made with its folder, in one step; nothing else is left beside it."""
    done = scrapy("export", "--kind", "players", "--format", "csv", "-o", "out/игроки.csv")
    assert (done.returncode, done.stdout) == (0, "2 players written to out/игроки.csv\n")
    (path,) = (filled / "out").iterdir()
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["number"] for row in csv.DictReader(file)] == ["1", "2"]


def test_a_dash_is_standard_output_and_nothing_else_is_on_it(scrapy, filled):
    """For pipes."""
    done = scrapy("export", "--kind", "anime", "-o", "-")
    assert json.loads(done.stdout)["title_ru"] == "Наруто"


@pytest.mark.parametrize(("option", "valid"), [("--kind", "unmatched"), ("--format", "csv")])
def test_an_unknown_kind_or_format_names_the_valid_ones(scrapy, filled, option, valid):
    """Exit code 2, no file."""
    options = {"--kind": "anime", "--format": "jsonl", "-o": "x", option: "nonsense"}
    done = scrapy("export", *(word for pair in options.items() for word in pair))
    assert done.returncode == 2
    assert valid in done.stderr
    assert not (filled / "x").exists()


def test_a_catalogue_that_is_not_there_is_not_made(scrapy, project):
    """Exit code 2 and where it was looked for."""
    done = scrapy("export", "--kind", "anime", "-o", "x.jsonl", DATABASE_URL="sqlite:///typo.db")
    assert done.returncode == 2
    assert "typo.db" in done.stderr
    assert not (project / "typo.db").exists()
    assert not (project / "x.jsonl").exists()


def test_a_file_that_was_there_stays_when_the_catalogue_is_damaged(scrapy, filled):
    """Old or new, never half."""
    (filled / "old.jsonl").write_text("old")
    database = filled / "var" / "anime.db"
    database.write_bytes(database.read_bytes()[:5000])
    done = scrapy("export", "--kind", "players", "-o", "old.jsonl")
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert (filled / "old.jsonl").read_text() == "old"
