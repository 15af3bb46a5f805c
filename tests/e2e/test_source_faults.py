"""What befalls the main job's upstreams befalls every other source too: outlasted, or said, and completed later.

A further source is one more entry of `SOURCES`.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from anime_crawler.settings import CONCURRENT_REQUESTS
from tests.e2e.support import Project, kill_at_random, until
from tests.sandboxes import running_sandbox

Fault = tuple[str, dict[str, Any]]
"""Kind of a fault and its options; see ``anime_crawler/sandbox/server/damage.py``."""
MEMORY_MB = 250
"""The most that a run may use, see README; a body that is unpacked whole would need twice as much."""

OUTLASTED: tuple[Fault, ...] = (
    ("too_many", {"retry_after": "1"}),
    ("too_many", {}),
    ("status", {"status": 503}),
    ("status", {"status": 520, "body": "<html>", "content_type": "text/html"}),
    ("slow_body", {"delay_s": 60}),
    ("drop", {}),
    ("cut", {}),
)
"""Trouble that passes, whatever a source sends."""
REFUSED_JSON: Mapping[str, tuple[Fault, str]] = {
    "HTML with 200": (("html", {}), "not_json"),
    "null": (("body", {"body": "null"}), "wrong_shape"),
    "500 MB in half a megabyte of gzip": (("bomb", {"mb": 500}), "too_large"),
    "moved": (("redirect", {"location": "https://moved.example.org/"}), "moved"),
}
"""Answers that stay bad, and the kind of the problem that the report then names."""
REFUSED_JSON_TOO: Mapping[str, tuple[Fault, str]] = {
    "half of the JSON": (("truncated", {}), "not_json"),
    "a list": (("body", {"body": "[]"}), "wrong_shape"),
    "an empty body": (("body", {"body": ""}), "not_json"),
    "nested 5,000 deep": (("nested", {"depth": 5_000}), "not_json"),
    "100 MB": (("oversized", {"mb": 100}), "too_large"),
    "a challenge with 403": (("challenge", {"status": 403}), "blocked"),
    "a challenge with 200": (("challenge", {"status": 200}), "not_json"),
}
REFUSED_PAGES: Mapping[str, tuple[Fault, str]] = {
    "another page": (("html", {}), "wrong_shape"),
    "Cloudflare's challenge with 200": (("cloudflare", {"status": 200}), "blocked"),
}
"""The same of a site that is read page by page."""
REFUSED_PAGES_TOO: Mapping[str, tuple[Fault, str]] = {
    "half of the page": (("truncated", {}), "wrong_shape"),
    "an empty body": (("body", {"body": ""}), "wrong_shape"),
    "JSON": (("body", {"body": '{"error":"no"}'}), "wrong_shape"),
    "100 MB": (("oversized", {"mb": 100}), "too_large"),
    "500 MB in half a megabyte of gzip": (("bomb", {"mb": 500}), "too_large"),
    "Cloudflare's challenge": (("cloudflare", {}), "blocked"),
    "another guard's": (("challenge", {}), "blocked"),
    "moved": (("redirect", {"location": "https://moved.example.org/"}), "moved"),
}
KEPT = ("not_json", "wrong_shape")
"""Problems with answers that came; they are kept as dead letters."""


@dataclass(frozen=True)
class Source:
    """A source, and what is its own in each kind of trouble."""

    name: str
    """Of the source, its spider and the sandbox's service."""
    odd: tuple[tuple[str, Fault], ...]
    """Fields that are not understood: what the report says of one, and the fault that makes it, each on another page.
    """
    spoiled: tuple[tuple[str, Fault], ...] = ()
    """The same of records whose identity is not understood: a word of the reason."""
    titles: int = 230
    """Of the sandbox: more pages than there are faults to outlast, in the shortest list."""
    arguments: tuple[str, ...] = ()
    outlasted: tuple[Fault, ...] = OUTLASTED
    refused: Mapping[str, tuple[Fault, str]] = field(default_factory=dict)
    refused_too: Mapping[str, tuple[Fault, str]] = field(default_factory=dict)
    """Further ones, for the long form of the test."""
    served: int = 1
    """Pages that come before the one that is missed: without it there is nothing to do."""
    forms: int = 1
    """In how many forms a page is asked for before it is given up."""

    @property
    def crawl(self) -> tuple[str, ...]:
        return ("crawl", self.name, "-s", f"JOBDIR=var/jobs/{self.name}", *self.arguments)


def replaced(path: str, value: Any) -> Fault:
    return "replaced", {"path": path, "value": value, "record": 3}


def line(name: str, value: str) -> Fault:
    """Another value in a line of AniSearch's facts, on the next page after the index."""
    pattern = rf'(<div class="{name}"><span class="header">[^<]*</span>)[^<]*'
    return "rewritten", {"pattern": pattern, "text": rf"\1 {value}", "skip": 1}


def nameless() -> Fault:
    """No title anywhere on the next page after AniSearch's index: metadata, structured data, facts."""
    pattern = r'(?s)(og:title" content=")[^"]*(".*?"name":")[^"]*(".*?<strong[^>]*>)[^<]*'
    return "rewritten", {"pattern": pattern, "text": r"\1\2\3", "skip": 1}


def another_id(own: str) -> Fault:
    """Another id than was asked for on the next page after the index, and when it is asked for again."""
    return "rewritten", {"pattern": r'data-id="\d+"', "text": f'data-id="{own}"', "skip": 1, "count": 2}


SOURCES = [
    Source(
        name="kitsu",
        outlasted=(*OUTLASTED, ("truncated", {}), ("html", {}), ("body", {"body": "null"})),
        refused=REFUSED_JSON,
        refused_too=REFUSED_JSON_TOO,
        forms=2,  # 20 rows, then 10
        odd=(
            ("attributes.titles", replaced("attributes.titles", 5)),
            ("subtype", replaced("attributes.subtype", "hologram")),
            ("startDate", replaced("attributes.startDate", "yesterday")),
            ("attributes.episodeCount", replaced("attributes.episodeCount", {"a": 1})),
            ("posterImage", replaced("attributes.posterImage", "x")),
        ),
        spoiled=(
            ("attributes: ", replaced("attributes", 5)),
            ("type: ", replaced("type", "hologram")),
        ),
    ),
    Source(
        name="anisearch",
        titles=30,
        outlasted=(*OUTLASTED, ("truncated", {}), ("html", {}), ("body", {"body": ""}), ("body", {"body": "{}"})),
        refused=REFUSED_PAGES,
        refused_too=REFUSED_PAGES_TOO,
        served=0,
        odd=(
            ("type", line("type", "Hologram, 12")),
            ("status", line("status", "Dreaming")),
            ("released", line("released", "yesterday")),
        ),
        spoiled=(
            ("title: there is none", nameless()),
            ("not about the anime that was asked for", another_id("none")),
            ("not about the anime that was asked for", another_id("99999999")),
        ),
    ),
]


@dataclass(frozen=True)
class Place:
    """A source's sandbox, and what an undisturbed run makes of it."""

    source: Source
    sandbox: Any
    clean: dict[str, bytes]
    requests: int
    """Of that run."""


@pytest.fixture(scope="module", params=SOURCES, ids=lambda source: source.name)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests of a source: no test changes the sandbox's world."""
    with running_sandbox(titles=request.param.titles, limits="off") as sandbox:
        project = Project(tmp_path_factory.mktemp("clean"), sandbox, {"BACKEND_BASE_URL": ""})
        done = project.run(*request.param.crawl)
        assert done.returncode == 0, done.stderr
        yield Place(request.param, sandbox, project.exports(), project.requests_to(request.param.name))


@pytest.fixture
def project(place: Place, tmp_path: Path) -> Project:
    """An empty project; the upstream behaves and its requests are counted anew."""
    project = Project(tmp_path / "project", place.sandbox, {"BACKEND_BASE_URL": "", "MAX_RETRIES": "1"})
    project.calm()
    return project


def finish(project: Project, place: Place, *arguments: str) -> None:
    """The same command against an upstream that is well again ends where an undisturbed run does."""
    project.calm()
    project.forget_waiting()
    done = project.run(*place.source.crawl, *arguments)
    assert done.returncode == 0, done.stderr
    assert project.report()["dead_letters"] == 0
    assert project.exports() == place.clean


def anime(exports: Mapping[str, bytes]) -> set[str]:
    """Ids of the anime in an export."""
    return {json.loads(line)["source_id"] for line in exports["anime"].splitlines()}


def test_trouble_that_passes_is_outlasted(project: Project, place: Place) -> None:
    """Page for page another kind, each asked for once more; a 429 is waited for as long as it says."""
    name = place.source.name
    for passing, (kind, options) in enumerate(place.source.outlasted):
        project.fault(name, kind, count=1, skip=passing, **options)  # the request between two faults passes
    done = project.run(*place.source.crawl, HTTP_TIMEOUT_SECONDS="6")
    assert done.returncode == 0, done.stderr
    counters = project.report()["counters"][name]
    assert (counters["retries"], counters["429"], counters["failed timeout"]) == (len(place.source.outlasted), 2, 1)
    arrivals = [entry["monotonic"] for entry in project.sandbox.get(f"/_sandbox/log?service={name}")]
    assert arrivals[1] - arrivals[0] >= 1.0
    assert project.report()["dead_letters"] == 0
    assert project.exports() == place.clean


@pytest.mark.parametrize(
    "keep_jobdir", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["job directory kept", "job directory lost"]
)
def test_an_upstream_that_always_fails_is_asked_max_retries_plus_one_times(
    project: Project, place: Place, keep_jobdir: bool
) -> None:
    """From one page on: exit 3, what came before is kept, and the next run asks for what is missing only."""
    source = place.source
    project.fault(source.name, "status", status=503, skip=source.served)
    done = project.run(*source.crawl)
    assert done.returncode == 3, done.stderr
    assert project.requests_to(source.name) == source.served + source.forms * 2
    assert (source.name, "server_error") in project.problems()
    if not keep_jobdir:
        project.wipe_jobdir()
    finish(project, place)
    assert project.requests_to(source.name) <= place.requests + source.forms - 1


def assert_refused(project: Project, place: Place, refused: Mapping[str, tuple[Fault, str]]) -> None:
    """Run after run another bad answer: exit 3, said, never unpacked whole, unreadable ones kept as a dead letter."""
    name = place.source.name
    for case, ((fault, options), kind) in refused.items():
        project.calm()
        project.forget_waiting()
        project.fault(name, fault, **options)
        done = project.run(*place.source.crawl)
        report = project.report()
        assert done.returncode == 3, (case, done.stderr)
        assert (name, kind) in project.problems(), case
        assert report["peak_memory_mb"] < MEMORY_MB, case
        assert report["dead_letters"] == 1 or kind not in KEPT, case
    finish(project, place)


@pytest.mark.slow
def test_answers_that_stay_bad_end_each_run_and_cost_nothing(project: Project, place: Place) -> None:
    """Then the same command ends like a clean run, nothing set aside."""
    assert_refused(project, place, place.source.refused)


@pytest.mark.slow
def test_further_answers_that_stay_bad_end_each_run_and_cost_nothing(project: Project, place: Place) -> None:
    """The rest of those that the main job is tried with."""
    assert_refused(project, place, place.source.refused_too)


def spoil(project: Project, place: Place, faults: tuple[tuple[str, Fault], ...]) -> CompletedProcess[str]:
    """A crawl in which each of the faults befalls one record."""
    for _, (kind, options) in faults:
        project.fault(place.source.name, kind, **{"count": 1, **options})
    return project.run(*place.source.crawl)


def test_fields_of_a_wrong_type_cost_themselves(project: Project, place: Place) -> None:
    """Their records are stored, the report counts each as drift; corrected upstream they come when asked for."""
    done = spoil(project, place, place.source.odd)
    assert done.returncode == 0, done.stderr
    assert project.report()["dead_letters"] == 0
    exports = project.exports()
    assert anime(exports) == anime(place.clean)
    drift = "; ".join(project.report()["counters"][f"drift {place.source.name}"])
    assert all(word in drift for word, _ in place.source.odd), drift
    odd = set(exports["anime"].splitlines()) - set(place.clean["anime"].splitlines())
    assert len(odd) == len(place.source.odd)
    ids = anime({"anime": b"\n".join(odd)})
    # A lookup may use the answers of the crawl for a day.
    no_cache = ("-s", f"{place.source.name.upper()}_CACHE_TTL_SECONDS=0")
    finish(project, place, *no_cache, "-a", f"ids={','.join(sorted(ids))}")


def test_records_whose_identity_is_not_understood_are_set_aside_and_their_pages_go_on(
    project: Project, place: Place
) -> None:
    """Exit 1, one dead letter each whose reason names the field; corrected upstream they come by themselves."""
    done = spoil(project, place, place.source.spoiled)
    assert done.returncode == 1, done.stderr
    assert project.report()["dead_letters"] == len(place.source.spoiled)
    missing = anime(place.clean) - anime(project.exports())
    assert len(missing) == len(place.source.spoiled)
    listed = project.run("deadletters", "list").stdout
    assert all(word in listed for word, _ in place.source.spoiled), listed
    finish(project, place, "-a", "mode=full")


@pytest.mark.slow
def test_an_open_breaker_lets_nothing_through_while_it_rests(project: Project, place: Place) -> None:
    """Five failures in a row open it; another start sends nothing while it rests."""
    source = place.source
    project.fault(source.name, "status", status=503)
    for _ in range(2):
        process = project.start_and_wait(*source.crawl, MAX_RETRIES="9")
        until(lambda: project.requests_to(source.name) == 5)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130, project.log()
        assert project.requests_to(source.name) == 5
    finish(project, place)


def kill_some(project: Project, source: Source, kills: int, keep_jobdir: bool = True) -> int:
    """How many kills met a living process; each answer takes a tenth of a second, so that the walk is under way."""
    project.fault(source.name, "slow_start", delay_s=0.1)
    met = kill_at_random(project, source.crawl, kills, random.Random(11), 1, keep_jobdir)
    project.sandbox.delete("/_sandbox/faults")
    return met


def test_three_kills_change_nothing(project: Project, place: Place) -> None:
    """The exports are those of a clean run, and no more was asked for again than what was under way.

    That is as many requests as there may be at once: on their way, or answered and being stored.
    """
    met = kill_some(project, place.source, 3)
    assert met
    done = project.run(*place.source.crawl)
    assert done.returncode == 0, done.stderr
    assert project.exports() == place.clean
    assert project.requests_to(place.source.name) <= place.requests + CONCURRENT_REQUESTS * met


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("keep_jobdir", [True, False], ids=["job directory kept", "job directory lost"])
def test_forty_kills_change_nothing(place: Place, tmp_path: Path, keep_jobdir: bool) -> None:
    """In a list of ten times as many titles."""
    with running_sandbox(titles=10 * place.source.titles, limits="off") as sandbox:
        clean, killed = (Project(tmp_path / name, sandbox, {"BACKEND_BASE_URL": ""}) for name in ("clean", "killed"))
        assert clean.run(*place.source.crawl).returncode == 0
        assert kill_some(killed, place.source, 40, keep_jobdir) > 10
        assert killed.run(*place.source.crawl).returncode == 0
        assert killed.exports() == clean.exports()
