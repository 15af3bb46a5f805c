"""Hostile values from both upstreams: nothing that runs or leads astray survives, and nobody else is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from anime_crawler.sandbox.world import malice
from tests.e2e.support import Project
from tests.sandboxes import running_sandbox

NewProject = Callable[..., Project]

RUNS_IN_A_BROWSER = re.compile(
    r"<\s*/?\s*(?:script|img|svg|a|iframe|b)\b|javascript:|data:text|onerror\s*=|onload\s*=", re.I
)
MOVES_A_TERMINAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
INNER = re.compile(r"169\.254|\[::1\]|127\.0\.0\.1|localhost|user:secret|/etc/passwd")
LINKS = ("url", "poster", "player", "link", "poster_url")


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, keys too, with its place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield path, name
            yield from texts(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, path)
    elif isinstance(value, str):
        yield path, value


def hostile(value: Any) -> list[tuple[str, str]]:
    """What a viewer, a terminal or a link could be harmed by."""
    found = []
    for path, text in texts(value):
        is_raw = path.endswith("description_raw")  # kept as received for a later parser; no export or POST has it
        is_bad = not is_raw and any(pattern.search(text) for pattern in (RUNS_IN_A_BROWSER, MOVES_A_TERMINAL, INNER))
        is_link = bool(text) and path.rsplit(".", 1)[-1] in LINKS
        if is_bad or (is_link and urlsplit(text).scheme != "https"):
            found.append((path, text))
    return found


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project after a run that got the corpus in all titles of Shikimori's and a page of Kodik's materials."""
    with running_sandbox(titles=30, limits="off", faults=["kodik.malice:count=1", "shikimori.malice"]) as sandbox:
        project = Project(tmp_path_factory.mktemp("attacked"), sandbox)
        project.first = project.crawl("-O", "feed.jsonl", "-L", "DEBUG")  # type: ignore[attr-defined]
        yield project


def test_the_search_finds_the_corpus() -> None:
    """Else the other tests would prove nothing."""
    harmless = {'=HYPERLINK("http://example.org")'}  # a text like any other, but for spreadsheets; see the CSV export
    for text in {*malice.SCRIPTS, *malice.NAMES} - harmless:
        assert hostile({"title": text}) or "[url=" in text, text
    for link in malice.LINKS:
        assert hostile({"url": link}), link


def test_the_run_ends_and_sets_aside_what_it_cannot_take(attacked: Project) -> None:
    """Exit 1: materials with hostile player links are dead letters; the others of their pages are stored."""
    done = attacked.first  # type: ignore[attr-defined]
    assert done.returncode == 1, done.stderr[-3000:]
    assert attacked.records("players")
    assert len(attacked.records("anime")) >= 16


def test_no_export_holds_anything_hostile(attacked: Project) -> None:
    """All kinds as JSON lines; and CSV cells that a spreadsheet would run are text."""
    for kind in attacked.exports():
        assert [(kind, *found) for row in attacked.records(kind) for found in hostile(row)] == []
    done = attacked.run("export", "--kind", "anime", "--format", "csv", "-o", "anime.csv")
    assert done.returncode == 0, done.stderr
    assert not re.search(r'(?:^|,)"?[=+@]', (attacked.directory / "anime.csv").read_text(), re.M)


def test_no_feed_holds_anything_hostile(attacked: Project) -> None:
    """What `-O` wrote went through the same stages."""
    lines = (attacked.directory / "feed.jsonl").read_text().splitlines()
    assert len(lines) > 16
    assert [found for line in lines for found in hostile(json.loads(line))] == []


def test_nothing_hostile_reaches_the_backend(attacked: Project) -> None:
    """Titles, descriptions, posters, genres and players of every row."""
    dumped = attacked.dump()
    assert dumped["anime"]
    assert dumped["videos"]
    assert hostile(dumped) == []


def test_nothing_hostile_reaches_the_terminal(attacked: Project) -> None:
    """Output at DEBUG and the dead letters, which hold the raw records, print no control character."""
    done = attacked.first  # type: ignore[attr-defined]
    listed = attacked.run("deadletters", "list")
    numbers = re.findall(r"^\s*(\d+)  ", listed.stdout, re.M)
    assert numbers
    shown = [attacked.run("deadletters", "show", number) for number in numbers[:3]]
    outputs = [done.stdout, done.stderr, listed.stdout, *(run.stdout for run in shown)]
    own_colours = re.compile(r"\x1b\[[\d;]*m(?=[┏━┃│└┡╇┳┴])")
    for text in outputs:
        assert not MOVES_A_TERMINAL.search(own_colours.sub("", text)), text


def test_nobody_but_the_configured_services_is_asked(new_project: NewProject) -> None:
    """Posters and links name a server on this machine that listens; it hears nothing."""
    trap, project = new_project("trap", titles=8), new_project("project", titles=8)
    address = trap.sandbox.url
    for service, path in (
        ("kodik", "material_data.poster_url"),
        ("kodik", "link"),
        ("shikimori", "poster.originalUrl"),
    ):
        project.fault(service, "replaced", path=path, value=address, count=1)
    project.crawl()
    project.crawl("-a", "mode=full")
    assert trap.sandbox.get("/_sandbox/log") == []
