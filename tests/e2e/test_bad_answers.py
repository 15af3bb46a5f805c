"""Answers that are not what was asked for: asked for again, kept as a dead letter, completed by the next run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.support import Project

Exports = dict[str, bytes]
SERVICES = ("kodik", "shikimori")

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "half of the JSON": ("truncated", {}, "not_json"),
    "HTML with 200": ("html", {}, "not_json"),
    "null": ("body", {"body": "null"}, "wrong_shape"),
    "a list": ("body", {"body": "[]"}, "wrong_shape"),
    "an empty body": ("body", {"body": ""}, "not_json"),
    "nested 5,000 deep": ("nested", {"depth": 5_000}, "not_json"),
    "100 MB": ("oversized", {"mb": 100}, "too_large"),
    "500 MB in half a megabyte of gzip": ("bomb", {"mb": 500}, "too_large"),
    "a challenge with 403": ("challenge", {"status": 403}, ""),
    "a challenge with 200": ("challenge", {"status": 200}, ""),
    "moved": ("redirect", {"location": "https://moved.example.org/"}, "moved"),
}
"""Name -> kind of fault, its options, kind of verdict (empty: each service has its own)."""
KEPT = ("not_json", "wrong_shape")
"""Verdicts on answers that came and are kept as dead letters."""
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


@pytest.mark.parametrize("service", ["kodik", pytest.param("shikimori", marks=pytest.mark.slow)])
def test_answers_that_stay_bad_end_each_run_and_cost_nothing(
    quick_project: Project, clean: Exports, service: str
) -> None:
    """Run after run another one: exit 3, said, retried where that can help, unreadable ones kept as a dead letter,
    never unpacked beyond the source card's limit. Then the same command ends like a clean run, nothing set aside.
    """
    for name, (fault, options, kind) in REFUSED.items():
        quick_project.calm()
        quick_project.forget_waiting()
        quick_project.fault(service, fault, **options)
        done = quick_project.crawl()
        report = quick_project.report()
        assert done.returncode == 3, (name, done.stderr)
        assert [p for p in report["problems"] if p["service"] == service and kind in ("", p["kind"])], name
        assert report["peak_memory_mb"] < MEMORY_MB, name
        if kind in KEPT:
            assert report["counters"][service][f"failed {kind}"] >= 2, name
            assert report["dead_letters"] == 1, name
    assert "moved.example.org" in done.stderr
    assert f"{service.upper()}_BASE_URL" in done.stderr
    finish(quick_project, clean)


@pytest.mark.parametrize("kind", ["truncated", "drop", "cut"])
def test_one_bad_answer_is_outlasted(quick_project: Project, clean: Exports, kind: str) -> None:
    """Half of the JSON, a connection cut before the first byte or in the body: asked again, nothing set aside."""
    for service in SERVICES:
        quick_project.fault(service, kind, count=1)
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    report = quick_project.report()
    assert [report["counters"][service]["retries"] for service in SERVICES] == [1, 1]
    assert report["dead_letters"] == 0
    assert quick_project.exports() == clean


def test_a_cache_keeps_no_unreadable_answer(quick_project: Project, clean: Exports) -> None:
    """With HTTPCACHE_ENABLED the further attempt goes to the upstream, and later runs meet the good answer only."""
    cached = ("-s", "HTTPCACHE_ENABLED=1")
    quick_project.fault("kodik", "truncated", count=1)
    quick_project.fault("shikimori", "status", status=503, count=1)
    done = quick_project.crawl(*cached)
    assert done.returncode == 0, done.stderr
    assert quick_project.exports() == clean
    quick_project.calm()
    assert quick_project.crawl(*cached, "-a", "mode=full").returncode == 0
    assert quick_project.requests_to("kodik") == 0


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [
        ("kodik", "results", "x"),
        pytest.param("kodik", "results", None, marks=pytest.mark.slow),
        pytest.param("shikimori", "data", [], marks=pytest.mark.slow),
        ("shikimori", "data.animes", 1),
    ],
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
    ("at_kodik", "at_shikimori"),
    [
        (("seasons", "x"), ("name", {"a": 1})),
        (("translation", None), ("status", "tv_99")),
        (("link", 5), ("genres", {"a": 1})),
        (("updated_at", "yesterday"), ("airedOn", {"year": 2020, "month": 13, "day": 1})),
    ],
)
def test_a_wrong_type_costs_one_record(
    quick_project: Project, at_kodik: tuple[str, Any], at_shikimori: tuple[str, Any]
) -> None:
    """A field costs itself, which is drift, or its record, which is a dead letter; both name it, all else is stored."""
    for service, (path, value) in zip(SERVICES, (at_kodik, at_shikimori), strict=True):
        quick_project.fault(service, "replaced", path=path, value=value, record=0, count=1)
    done = quick_project.crawl()
    listed, counters = letters(quick_project), quick_project.report()["counters"]
    assert done.returncode == int("dead letters" in listed and not listed.startswith("0 ")), done.stderr
    told = listed + str({name: counts for name, counts in counters.items() if name.startswith("drift")})
    assert at_kodik[0] in told
    assert at_shikimori[0] in told
    assert len(quick_project.records("players")) > 100
