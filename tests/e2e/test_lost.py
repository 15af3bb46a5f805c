"""What fails in a component is no mere line in the log: the run says so, does not end with 0, and loses nothing."""

from __future__ import annotations

import json

import pytest

from anime_crawler import settings
from tests.e2e.support import Project

Exports = dict[str, bytes]


def with_pipeline(name: str) -> tuple[str, str]:
    """The option that puts one of `faulty` after the validation."""
    return "-s", "ITEM_PIPELINES=" + json.dumps({**settings.ITEM_PIPELINES, f"tests.e2e.faulty.{name}": 150})


def test_an_item_that_a_pipeline_fails_on_is_set_aside_and_can_be_replayed(
    quick_project: Project, clean: Exports
) -> None:
    """Exit 1, one letter that names the pipeline and holds the record; nothing is missing after the replay."""
    done = quick_project.crawl(*with_pipeline("FailingPipeline"))
    assert done.returncode == 1, done.stderr
    assert ("kodik", "item_error") in quick_project.problems()
    assert "FailingPipeline raised RuntimeError: a fault in a pipeline" in done.stderr
    assert len(quick_project.records("players")) < clean["players"].count(b"\n")
    replayed = quick_project.run("deadletters", "replay")
    assert "understood, 1 items stored" in replayed.stdout, replayed.stdout + replayed.stderr
    assert quick_project.exports() == clean
    assert quick_project.crawl().returncode == 0


def test_an_item_whose_dead_letter_cannot_be_stored_is_not_lost(quick_project: Project, clean: Exports) -> None:
    """The catalogue is read-only from then on: exit 2, and the same command without the fault misses nothing."""
    done = quick_project.crawl(*with_pipeline("ReadOnlyCatalogue"))
    assert done.returncode == 2, done.stderr
    text = " ".join(done.stderr.split())
    assert "attempt to write a readonly database" in text
    assert "DATABASE_URL" in text
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.exports() == clean


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (with_pipeline("FailingOnCheckpoints"), "unfinished"),
        (with_pipeline("DroppingCheckpoints"), "unfinished"),
        (("-s", 'DOWNLOADER_MIDDLEWARES={"tests.e2e.faulty.FailingMiddleware": 540}'), "bug"),
    ],
    ids=["checkpoint fails", "checkpoint dropped", "middleware fails"],
)
def test_a_run_with_a_request_that_is_not_done_is_not_over(
    quick_project: Project, clean: Exports, options: tuple[str, str], kind: str
) -> None:
    """Exit 3; the same command without the fault goes on, and ends where an undisturbed run does."""
    done = quick_project.crawl(*options)
    assert done.returncode == 3, done.stderr
    assert ("kodik", kind) in quick_project.problems()
    (run,) = json.loads(quick_project.run("status", "--json").stdout)["runs"]
    assert run["state"] == "running"
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.exports() == clean


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("-s", 'EXTENSIONS={"tests.e2e.faulty.FailingExtension": 0}'), 1),
        (("-O", "feed.jsonl", "-s", 'FEED_EXPORTERS={"jsonl": "tests.e2e.faulty.FailingExporter"}'), 2),
    ],
    ids=["extension", "exporter"],
)
def test_a_fault_that_scrapy_only_logs_is_no_exit_0(
    quick_project: Project, options: tuple[str, ...], code: int
) -> None:
    """Whoever it is that failed."""
    done = quick_project.crawl(*options)
    assert done.returncode == code, done.stderr
    assert quick_project.problems() & {("run", "bug"), ("run", "fatal")}


@pytest.mark.parametrize("name", ["FailingBeforeStoring", "FailingAfterStoring"])
def test_a_fault_around_the_storing_of_a_page_ends_the_run_which_is_not_over(
    quick_project: Project, clean: Exports, name: str
) -> None:
    """Exit 2, as when the catalogue fails; the same command without the fault goes on and misses nothing."""
    done = quick_project.crawl("-s", f'EXTENSIONS={{"tests.e2e.faulty.{name}": 0}}')
    assert done.returncode == 2, done.stderr
    assert "items could not be stored: OSError('no file descriptors are left')" in " ".join(done.stderr.split())
    (run,) = json.loads(quick_project.run("status", "--json").stdout)["runs"]
    assert run["state"] == "running"
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    assert quick_project.exports() == clean


def test_a_record_that_a_filter_drops_is_counted(quick_project: Project) -> None:
    """Dropping is what such a pipeline is for."""
    done = quick_project.crawl(*with_pipeline("DroppingPipeline"))
    assert done.returncode == 0, done.stderr
    assert quick_project.report()["counters"]["release"]["dropped"] == 1
