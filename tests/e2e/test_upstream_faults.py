"""Upstreams that are slow, full, silent or away: waited for, asked again as often as is polite, continued later."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.support import Project, until

Exports = dict[str, bytes]
NewProject = Callable[..., Project]
SERVICES = ("kodik", "shikimori")
CRAWL = ("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")


def gaps_s(project: Project, service: str) -> list[float]:
    """Seconds between one request and the next as the upstream saw them."""
    entries = project.sandbox.get(f"/_sandbox/log?service={service}")
    return [later["monotonic"] - earlier["monotonic"] for earlier, later in pairwise(entries)]


def finish(project: Project, clean: Exports) -> None:
    """The same command against upstreams that are well again ends where an undisturbed run does."""
    project.calm()
    project.forget_waiting()
    done = project.crawl()
    assert done.returncode == 0, done.stderr
    assert project.exports() == clean


@pytest.mark.parametrize(
    ("answer", "least_s"),
    [
        ({"retry_after": "1"}, 1.0),
        pytest.param({"retry_after": "date", "seconds": 2}, 1.0, marks=pytest.mark.slow),
        pytest.param({}, 0.04, marks=pytest.mark.slow),
        ({"retry_after": "?"}, 0.04),
    ],
    ids=["seconds", "a date", "no header", "no sense"],
)
def test_a_429_is_waited_for_as_long_as_it_says(
    quick_project: Project, clean: Exports, answer: dict[str, Any], least_s: float
) -> None:
    """Seconds and dates are kept; without a usable header the back-off holds; nothing is missing in the end."""
    for service in SERVICES:
        quick_project.fault(service, "too_many", count=1, **answer)
    done = quick_project.crawl()
    assert done.returncode == 0, done.stderr
    for service in SERVICES:
        assert gaps_s(quick_project, service)[0] >= least_s
        assert quick_project.report()["counters"][service]["429"] == 1
    assert quick_project.exports() == clean


@pytest.mark.parametrize(("asked_s", "kept_s"), [("7200", 7200), ("90000", 86_400)])
def test_a_long_retry_after_is_kept_and_ends_the_run(
    quick_project: Project, clean: Exports, asked_s: str, kept_s: int
) -> None:
    """Two hours, or a day of what is more: exit 3, nothing more is asked, `status` says until when, and it goes on."""
    quick_project.fault("kodik", "too_many", retry_after=asked_s)
    assert [quick_project.crawl().returncode for _ in range(2)] == [3, 3]
    assert quick_project.requests_to("kodik") == 1
    (resting,) = json.loads(quick_project.run("status", "--json").stdout)["resting"]
    left = datetime.fromisoformat(resting["until"]) - datetime.now(UTC)
    assert (resting["upstream"], resting["why"]) == ("kodik", "Retry-After")
    assert kept_s - 600 < left.total_seconds() <= kept_s
    finish(quick_project, clean)


@pytest.mark.parametrize("status", [503, 520])
def test_a_burst_of_server_errors_is_outlasted(quick_project: Project, clean: Exports, status: int) -> None:
    """Three failures in a row with MAX_RETRIES=3: exit 0 and nothing missing."""
    for service in SERVICES:
        quick_project.fault(service, "status", status=status, count=3)
    done = quick_project.crawl(MAX_RETRIES="3")
    assert done.returncode == 0, done.stderr
    assert [quick_project.report()["counters"][service]["retries"] for service in SERVICES] == [3, 3]
    assert quick_project.exports() == clean


@pytest.mark.parametrize("keep_jobdir", [True, False], ids=["job directory kept", "job directory lost"])
def test_kodik_that_always_fails_is_asked_max_retries_plus_one_times(
    quick_project: Project, clean: Exports, keep_jobdir: bool
) -> None:
    """From the second page on: four attempts, exit 3, what came before is kept, and the next run completes it."""
    quick_project.fault("kodik", "status", status=503, skip=1)
    done = quick_project.crawl(MAX_RETRIES="3")
    assert done.returncode == 3, done.stderr
    assert quick_project.requests_to("kodik") == 1 + 4
    assert ("kodik", "server_error") in quick_project.problems()
    assert quick_project.records("players")
    if not keep_jobdir:
        quick_project.wipe_jobdir()
    finish(quick_project, clean)
    assert quick_project.requests_to("kodik") == 1  # the page that failed, and none before it


def test_while_shikimori_is_down_kodiks_data_is_delivered_and_completed_later(new_project: NewProject) -> None:
    """Exit 3 after few requests; every matched title is in the backend; afterwards its dump is a clean run's."""
    undisturbed, project = new_project("clean", titles=8), new_project("down", titles=8)
    assert undisturbed.crawl().returncode == 0
    project.fault("shikimori", "status", status=503)
    done = project.crawl(MAX_RETRIES="1")
    assert done.returncode == 3, done.stderr
    assert project.requests_to("shikimori") <= 4
    assert ("shikimori", "server_error") in project.problems()
    expected = undisturbed.dump()
    assert {row["source_id"] for row in project.dump()["anime"]} == {row["source_id"] for row in expected["anime"]}
    assert len(project.dump()["videos"]) == len(expected["videos"])
    project.calm()
    project.forget_waiting()
    assert project.crawl().returncode == 0
    assert (project.dump(), project.exports()) == (expected, undisturbed.exports())


@pytest.mark.slow
def test_an_open_breaker_lets_one_probe_through_in_a_rest(quick_project: Project, clean: Exports) -> None:
    """Five failures in a row open it; another start sends nothing while it rests."""
    quick_project.fault("kodik", "status", status=503)
    process = quick_project.start(*CRAWL, MAX_RETRIES="9")
    until(lambda: quick_project.requests_to("kodik") == 5)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130, quick_project.log()
    again = quick_project.start(*CRAWL, MAX_RETRIES="9")
    until(lambda: "Spider opened" in quick_project.log().split("Closing spider")[-1])
    time.sleep(1)
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 130, quick_project.log()
    assert quick_project.requests_to("kodik") == 5
    finish(quick_project, clean)


def test_silence_is_a_timeout(new_project: NewProject, clean: Exports) -> None:
    """Before the first byte and between bytes, each cut after HTTP_TIMEOUT_SECONDS; outlasted where it passes.

    The runs of the three kinds wait beside each other.
    """
    environment = {"BACKEND_BASE_URL": "", "MAX_RETRIES": "1", "HTTP_TIMEOUT_SECONDS": "6"}
    kinds = ("silence", "slow_start", "slow_body")
    projects = [new_project(kind, environment=environment) for kind in kinds]
    for project, kind in zip(projects, kinds, strict=True):
        for service in SERVICES:
            project.fault(service, kind, count=1)
    runs = [project.start(*CRAWL) for project in projects]
    for project, run in zip(projects, runs, strict=True):
        assert run.wait(120) == 0, project.log()
        assert [project.report()["counters"][service]["failed timeout"] for service in SERVICES] == [1, 1]
        assert project.exports() == clean


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: further ones are neither accepted nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


def test_silence_at_connect_is_a_timeout_and_a_new_address_is_taken_by_the_next_run(
    quick_project: Project, clean: Exports
) -> None:
    """Exit 3, resumable with another KODIK_BASE_URL."""
    with deaf_port() as port:
        url = f"http://127.0.0.1:{port}/kodik"
        done = quick_project.crawl(HTTP_TIMEOUT_SECONDS="1", KODIK_BASE_URL=url)
    assert done.returncode == 3, done.stderr
    assert quick_project.report()["counters"]["kodik"]["failed timeout"] == 2
    finish(quick_project, clean)


def test_a_host_that_refuses_connections_is_named_as_such(quick_project: Project, clean: Exports) -> None:
    """Exit 3 after MAX_RETRIES+1 attempts, resumable."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/kodik"
        done = quick_project.crawl(KODIK_BASE_URL=url)
    assert done.returncode == 3, done.stderr
    assert ("kodik", "connection_refused") in quick_project.problems()
    finish(quick_project, clean)
