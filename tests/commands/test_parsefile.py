"""`scrapy parsefile`: items of a recorded answer, and an exit code that tells the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anime_crawler.commands.source_checks import expected_of, responses_of, samples_of
from tests.test_source_contract import FOLDERS


def sample(source: str, case: str) -> str:
    return str(FOLDERS[source] / "samples" / case / "response.json")


def sound_samples(source: str) -> Iterator[tuple[Path, list[Any]]]:
    """Answers of samples of which everything is understood, and their items."""
    for response in (response for sample in samples_of(source) for response in responses_of(sample)):
        items = expected_of(response).get("items")
        if items and all(item["item"] != "Rejected" for item in items):
            yield response, items


@pytest.mark.parametrize("source", sorted(FOLDERS))
def test_items_are_printed_as_json_lines(scrapy, source):
    """The items of a sample, one line each; on stderr only fields that were not understood."""
    response, expected = next(sound_samples(source))
    done = scrapy("parsefile", source, str(response))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["item"], line["source_id"]) for line in lines] == [(i["item"], i["source_id"]) for i in expected]
    assert all(line.startswith("not understood: ") for line in done.stderr.splitlines())


def test_what_was_set_aside_is_said_on_stderr(scrapy):
    """Record and reason; the others are printed, so the exit code is 0."""
    done = scrapy("parsefile", "kodik", sample("kodik", "material__dummy_links"))
    assert done.returncode == 0
    assert "set aside: material serial-16: link: not a player link" in done.stderr
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("content", [None, b"", b"[]"])
def test_a_file_that_gives_nothing_exits_1(scrapy, project, content):
    """Missing, empty, not JSON, an error; an empty list holds nothing to understand."""
    if content is not None:
        (project / "file.json").write_bytes(content)
    done = scrapy("parsefile", "shikimori", "file.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing understood" in done.stderr


def test_an_answer_of_bad_records_only_exits_1(scrapy, project):
    """Nothing of it was understood."""
    page = json.loads(Path(sample("kodik", "list_page__two_translations")).read_bytes())
    for material in page["results"]:
        del material["id"]
    (project / "file.json").write_text(json.dumps(page))
    done = scrapy("parsefile", "kodik", "file.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("set aside") == len(page["results"])


def test_an_answer_without_records_is_understood(scrapy):
    """Nothing found is no error."""
    done = scrapy("parsefile", "kodik", sample("kodik", "list_page__empty"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "holds no records" in done.stderr


def test_an_unknown_source_exits_2_and_names_those_there_are(scrapy):
    """All folders below sources."""
    done = scrapy("parsefile", "narutopedia", "x.json")
    assert done.returncode == 2
    assert all(name in done.stderr for name in FOLDERS)


def test_control_characters_of_a_file_do_not_reach_the_terminal(scrapy, project):
    """A reason may quote the record."""
    (project / "x.json").write_text(json.dumps({"error": "\x1b[2Jgone"}))
    assert "\x1b" not in scrapy("parsefile", "kodik", "x.json").stderr
