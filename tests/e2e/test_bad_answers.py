"""Answers that are not what was asked for: asked for again, kept as a dead letter, completed by the next run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.support import Project

Exports = dict[str, bytes]
SERVICES = ("kodik", "shikimori")

UNREADABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "half of the JSON": ("truncated", {}, "not_json"),
    "HTML with 200": ("html", {}, "not_json"),
    "null": ("body", {"body": "null"}, "wrong_shape"),
    "a list": ("body", {"body": "[]"}, "wrong_shape"),
    "an empty body": ("body", {"body": ""}, "not_json"),
    "nested 5,000 deep": ("nested", {"depth": 5_000}, "not_json"),
}
"""Name -> kind of fault, its options, kind of verdict."""
TOO_LARGE = {"100 MB": ("oversized", {"mb": 100}), "500 MB in half a megabyte of gzip": ("bomb", {"mb": 500})}
MEMORY_MB = 250
"""The most that a run may use, see README; a body that is unpacked whole would need twice as much."""


def finish(project: Project, clean: Exports) -> None:
    """The same command against upstreams that are well again: exit 0, nothing set aside, a clean run's catalogue."""
    project.calm()
    project.forget_waiting()
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert project.report()["dead_letters"] == 0
    assert project.exports() == clean


def letters(project: Project) -> str:
    """What `scrapy deadletters list` prints."""
    done = project.run("deadletters", "list")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_answer_is_retried_kept_and_completed_by_the_next_run(
    quick_project: Project, clean: Exports, service: str, name: str
) -> None:
    """Every attempt fails: exit 3, one dead letter of the page; then the same command ends like a clean run."""
    fault, options, kind = UNREADABLE[name]
    quick_project.fault(service, fault, **options)
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    report = quick_project.report()
    assert (service, kind) in quick_project.problems()
    assert report["counters"][service][f"failed {kind}"] >= 2
    assert report["dead_letters"] == 1
    finish(quick_project, clean)


@pytest.mark.parametrize("service", SERVICES)
def test_one_unreadable_answer_is_outlasted(quick_project: Project, clean: Exports, service: str) -> None:
    """The next attempt is good: exit 0, nothing set aside."""
    quick_project.fault(service, "truncated", count=1)
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.report()["dead_letters"] == 0
    assert quick_project.exports() == clean


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [("kodik", "results", "x"), ("kodik", "results", None), ("shikimori", "data", []), ("shikimori", "data.animes", 1)],
)
def test_a_wrong_shape_on_a_later_page_keeps_what_came_before(
    quick_project: Project, clean: Exports, service: str, path: str, value: Any
) -> None:
    """The reason names the place; the page is a dead letter that can be shown, without any token."""
    quick_project.fault(service, "wrong_shape", path=path, value=value, skip=1 if service == "kodik" else 0)
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    assert quick_project.records("players")
    listed = letters(quick_project)
    assert f"parse  {service} page" in listed
    assert path in listed
    shown = quick_project.run("deadletters", "show", listed.split()[0]).stdout
    assert "wrong_shape" in shown
    assert quick_project.sandbox.kodik_token not in shown
    finish(quick_project, clean)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["drop", "cut"])
def test_a_cut_connection_is_tried_again(quick_project: Project, clean: Exports, service: str, kind: str) -> None:
    """Before the first byte and in the middle of the body."""
    quick_project.fault(service, kind, count=1)
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.report()["counters"][service]["retries"] == 1
    assert quick_project.exports() == clean


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_body_beyond_the_source_cards_limit_is_refused_in_bounded_memory(
    quick_project: Project, clean: Exports, service: str, name: str
) -> None:
    """Announced in the header or hidden in gzip: exit 3, said, and never unpacked whole."""
    kind, options = TOO_LARGE[name]
    quick_project.fault(service, kind, **options)
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    assert (service, "too_large") in quick_project.problems()
    assert quick_project.report()["peak_memory_mb"] < MEMORY_MB
    finish(quick_project, clean)


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("service", SERVICES)
def test_a_challenge_page_ends_the_run_resumable(
    quick_project: Project, clean: Exports, service: str, status: int
) -> None:
    """DDoS-Guard's page instead of the API: exit 3, said."""
    quick_project.fault(service, "challenge", status=status)
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    assert {problem for problem in quick_project.problems() if problem[0] == service}
    finish(quick_project, clean)


@pytest.mark.parametrize("service", SERVICES)
def test_an_upstream_that_moved_is_named_and_not_followed(quick_project: Project, clean: Exports, service: str) -> None:
    """301: exit 3, the new host and the setting are said, nothing is sent there."""
    quick_project.fault(service, "redirect", location="https://moved.example.org/")
    done = quick_project.crawl()
    assert done.returncode == 3, done.stderr
    problem = next(p for p in quick_project.report()["problems"] if p["service"] == service)
    assert (problem["kind"], problem["setting"]) == ("moved", f"{service.upper()}_BASE_URL")
    assert "moved.example.org" in problem["message"]
    finish(quick_project, clean)


def test_a_wrong_record_is_set_aside_and_its_page_goes_on(quick_project: Project, clean: Exports) -> None:
    """Exit 1; list, show and replay know the record; corrected upstream it comes by itself."""
    quick_project.fault("kodik", "replaced", path="title", value={"a": 1}, record=3, skip=1)
    done = quick_project.crawl()
    assert done.returncode == 1, done.stderr
    listed = letters(quick_project)
    assert "title: " in listed
    assert "1 dead letters" in listed
    players = {(row["title_id"], row["number"], row["url"]) for row in quick_project.records("players")}
    all_players = [json.loads(line) for line in clean["players"].splitlines()]
    missing = {(row["title_id"], row["number"], row["url"]) for row in all_players} - players
    assert 0 < len(missing) < len(all_players)
    number = listed.split()[0]
    shown = quick_project.run("deadletters", "show", number).stdout
    assert "schema_version: " in shown
    assert '"title":{"a":1}' in shown
    replayed = quick_project.run("deadletters", "replay", number)
    assert replayed.returncode == 1
    assert "still not understood" in replayed.stdout
    quick_project.calm()
    done = quick_project.crawl("-a", "mode=full")
    assert done.returncode == 0, done.stderr
    assert quick_project.exports() == clean


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [
        ("kodik", "seasons", "x"),
        ("kodik", "translation", None),
        ("kodik", "link", 5),
        ("kodik", "updated_at", "yesterday"),
        ("shikimori", "name", None),
        ("shikimori", "status", "tv_99"),
        ("shikimori", "genres", {"a": 1}),
        ("shikimori", "airedOn", {"year": 2020, "month": 13, "day": 1}),
    ],
)
def test_one_wrong_type_costs_one_record(quick_project: Project, service: str, path: str, value: Any) -> None:
    """Exit 1, one dead letter whose reason names the field, everything else of the page stored."""
    quick_project.fault(service, "replaced", path=path, value=value, record=0, count=1)
    done = quick_project.crawl()
    assert done.returncode == 1, done.stderr
    listed = letters(quick_project)
    assert "1 dead letters" in listed
    assert path in listed
    assert len(quick_project.records("players")) > 100
