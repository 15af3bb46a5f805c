"""What one full import of the main job leaves behind. Each test names the row of the checklist, and changes nothing."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from anime_crawler import __version__
from tests.acceptance.support import Day


def test_every_failure_is_one_event_of_one_schema(day: Day) -> None:
    """S0-08: two 503 of Kodik and one of the backend, with service, kind, status, attempt and address."""
    told = [(f.service, f.kind, f.status, f.attempt) for f in day.failures if f.url]
    assert told == [
        ("kodik", "server_error", 503, 1),
        ("kodik", "server_error", 503, 2),
        ("backend", "unavailable", 503, 1),
    ]


def test_clients_close_themselves(day: Day) -> None:
    """S0-09: no warning of a connection, socket or transport left open, with all warnings on."""
    unclosed = [line for line in day.done.stderr.splitlines() if "unclosed" in line.lower()]
    assert [line for line in unclosed if "unclosed event loop" not in line] == []  # the one Scrapy replaces by uvloop
    assert "never retrieved" not in day.done.stderr


def test_what_kodik_says_of_a_release_is_kept(day: Day) -> None:
    """S0-25, S0-47: quality, translation kind, season and times are in the typed item, with its schema version."""
    releases = [item for item in day.feed if item["item"] == "Release"]
    assert {r["translation_kind"] for r in releases} == {"voice", "subtitles"}
    assert all(r["schema_version"] == 1 and r["quality"] and r["created_at"] and r["updated_at"] for r in releases)
    assert any(player["season_number"] for r in releases for player in r["players"])


def test_metrics_have_stable_names(day: Day) -> None:
    """S0-50: `scrapy status --prometheus` parses, and says what `--json` says."""
    text = day.project.run("status", "--prometheus").stdout
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert set(families) == {
        "anime_crawler_catalogue_rows",
        "anime_crawler_dead_letters",
        "anime_crawler_to_deliver",
        "anime_crawler_last_exit_code",
        "anime_crawler_drift_total",
    }
    rows = {sample.labels["kind"]: sample.value for sample in families["anime_crawler_catalogue_rows"]}
    assert rows == day.status["counts"]


def test_the_version_is_the_packages(day: Day) -> None:
    """S0-55: `scrapy version` begins with ours."""
    assert day.project.run("version").stdout.startswith(f"anime_crawler {__version__}\n")


def test_airing_titles_say_when_the_next_episode_comes(day: Day) -> None:
    """S0-61, S0-30: status, episodes aired and next time are in the catalogue and in no payload of the backend."""
    rows = [row for row in day.project.records("anime") if row["source"] == "shikimori"]
    assert any(row["episodes_aired"] is not None for row in rows if row["status"] == "ongoing")
    assert all(row["next_episode_at"] is None for row in rows if row["status"] == "released")
    assert {"next_episode_at", "duration_min", "score", "rating"}.isdisjoint(day.project.dump()["anime"][0])


def test_the_reports_numbers_are_the_sandboxes(day: Day) -> None:
    """S0-64: requests, retries, bytes and POSTs as the other side counted them; records as the catalogue has them."""
    counters = day.report["counters"]
    for service in ("kodik", "shikimori"):
        assert counters[service]["requests"] == day.stats["requests"][service]
    assert counters["kodik"]["retries"] == 2
    posts = day.backend_stats["posts"]
    assert counters["backend"]["anime"] == posts["anime"] - 1  # the 503
    assert counters["backend"]["players"] == posts["video"]
    assert counters["player"]["new"] == day.status["counts"]["players"]
    assert counters["release"]["new"] == day.status["counts"]["releases"]
    assert "records" in day.done.stderr
    assert f"Run {day.report['run']}: exit code 0" in day.done.stderr


@pytest.mark.parametrize("missing", ["KODIK_API_TOKEN", "INTERNAL_TOKEN"])
def test_a_missing_token_is_named_and_nothing_is_asked(day: Day, missing: str) -> None:
    """S1-17, S1-18: exit 2, "… is required", and no further request at the sandbox."""
    before = day.project.sandbox.get("/_sandbox/stats")["requests"]["kodik"]
    done = day.project.run("crawl", "kodik", **{missing: ""})
    assert done.returncode == 2
    assert f"{missing} is required" in done.stderr
    assert day.project.sandbox.get("/_sandbox/stats")["requests"]["kodik"] == before


def test_debug_shows_every_component_and_no_secret(day: Day) -> None:
    """S1-26, T3: DEBUG lines of ours and Scrapy's; no token in the log or in any file that is left."""
    assert " DEBUG: " in day.done.stderr
    tokens = (day.project.sandbox.kodik_token, day.project.sandbox.internal_token)
    files = [path.read_bytes() for path in day.project.directory.rglob("*") if path.is_file()]
    for token in tokens:
        assert token not in day.done.stderr + day.done.stdout
        assert not [1 for content in files if token.encode() in content]


def test_the_state_can_be_read(day: Day) -> None:
    """S1-30: the cursor and watermark, counts of what is processed, and the last run with its times."""
    (watermark,) = [w for w in day.status["watermarks"] if w["spider"] == "kodik"]
    assert watermark["state"]["complete"]
    assert watermark["state"]["watermark"]
    assert day.status["counts"]["titles"] == len(day.project.dump()["anime"])
    assert day.status["runs"][0]["exit_code"] == 0
    assert day.status["runs"][0]["finished_at"] > day.status["runs"][0]["started_at"]


def test_levels_tell_progress_and_trouble(day: Day) -> None:
    """S1-33: INFO for the course, WARNING for what is tried again, ERROR for nothing that passes."""
    assert " INFO: Spider opened" in day.done.stderr
    assert ' WARNING: failure {"service":"kodik"' in day.done.stderr
    assert " ERROR: " not in day.done.stderr
