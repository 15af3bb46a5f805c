"""Pull the plug: after any number of process deaths the same command ends where one undisturbed run does."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.crash import STEPS
from tests.e2e.support import Project, kill_at_random, until

NewProject = Callable[..., Project]
CRAWL = ("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")
JOBDIR = ["job directory kept", "job directory lost"]


def result(project: Project) -> tuple[Any, dict[str, bytes]]:
    """What the run left in the backend and in the catalogue."""
    return project.sandbox.get("/backend/_reference/dump"), project.exports()


def finish(project: Project) -> None:
    """Run the same command to its end, with short graces for players in doubt."""
    process = project.start(*CRAWL, module="tests.backend.hasty")
    assert process.wait(300) == 0, project.log()[-3000:]


def assert_nothing_went_twice(project: Project) -> None:
    stats = project.sandbox.get("/backend/_reference/stats")
    assert stats["same_key_in_flight"] == 0
    assert stats["duplicates"] == 0
    assert stats["rejected_children"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("keep_jobdir", [True, False], ids=JOBDIR)
def test_kills_at_random_instants_change_nothing(new_project: NewProject, keep_jobdir: bool) -> None:
    """Eight kills in an import of 60 titles: dump and exports are those of a clean run."""
    clean = new_project("clean", titles=60)
    finish(clean)
    killed = new_project("killed", titles=60)
    assert kill_at_random(killed, CRAWL, 8, random.Random(5), 1.5, keep_jobdir) >= 6
    finish(killed)
    assert result(killed) == result(clean)
    assert_nothing_went_twice(killed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("keep_jobdir", [True, False], ids=JOBDIR)
def test_a_hundred_kills_in_one_import_change_nothing(new_project: NewProject, keep_jobdir: bool) -> None:
    """A hundred kills in an import of 300 titles: dump and exports are those of a clean run."""
    clean = new_project("clean", titles=300)
    finish(clean)
    killed = new_project("killed", titles=300)
    slow = {"rules": [{"name": "slow", "delay_s": 0.03}]}  # so that the last kill still meets work
    killed.sandbox.post("/backend/_reference/faults", slow)
    met = kill_at_random(killed, CRAWL, 100, random.Random(7), 1.5, keep_jobdir)
    print(f"{met} of 100 kills met a living process")
    assert met >= 90
    killed.sandbox.delete("/backend/_reference/faults")
    finish(killed)
    assert result(killed) == result(clean)
    assert_nothing_went_twice(killed)


@pytest.fixture(scope="module")
def clean_result(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], Any]:
    """How often an undisturbed import of eight titles reaches each durable step, and what it leaves."""
    from tests.sandboxes import running_sandbox

    with running_sandbox(titles=8, limits="off") as sandbox:
        project = Project(tmp_path_factory.mktemp("counted"), sandbox)
        process = project.start("count", "steps.json", *CRAWL, module="tests.e2e.crash")
        assert process.wait(120) == 0, project.log()[-3000:]
        reached = json.loads((project.directory / "steps.json").read_text())
        return reached, result(project)


@pytest.mark.parametrize("keep_jobdir", [True, pytest.param(False, marks=pytest.mark.slow)], ids=JOBDIR)
@pytest.mark.parametrize(
    "position", [pytest.param(0.0, marks=pytest.mark.slow), 0.5, pytest.param(1.0, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=[pytest.mark.slow] * step.endswith("before")) for step in STEPS]
)
def test_a_kill_at_each_durable_step_changes_nothing(
    new_project: NewProject, clean_result: tuple[dict[str, int], Any], step: str, position: float, keep_jobdir: bool
) -> None:
    """Killed before or after the first, the middle or the last commit, POST or ack, the job still ends the same."""
    reached, expected = clean_result
    assert reached[step] > 0, f"{step} is never reached"
    nth = max(1, round(position * reached[step]))
    project = new_project(titles=8)
    process = project.start(step, str(nth), *CRAWL, module="tests.e2e.crash")
    # How often the last step is reached differs a little from run to run.
    ends = {-signal.SIGKILL, 0} if position == 1 else {-signal.SIGKILL}
    assert process.wait(120) in ends, project.log()[-3000:]
    if not keep_jobdir:
        project.wipe_jobdir()
    finish(project)
    assert result(project) == expected
    assert_nothing_went_twice(project)


@pytest.mark.exec
@pytest.mark.parametrize("signum", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_a_stop_signal_ends_the_run_and_the_next_run_completes_it(
    new_project: NewProject, signum: signal.Signals
) -> None:
    """Exit code 130, and in the end the result of a clean run."""
    clean = new_project("clean", titles=30)
    finish(clean)
    stopped = new_project("stopped", titles=30)
    for delay_s in (0.1, 0.5, 1):
        process = stopped.start_and_wait(*CRAWL)
        time.sleep(delay_s)
        process.send_signal(signum)
        assert process.wait(60) in (130, 0), stopped.log()[-3000:]
    finish(stopped)
    assert result(stopped) == result(clean)
    assert_nothing_went_twice(stopped)


@pytest.mark.slow
def test_a_job_directory_of_a_deleted_catalogue_or_of_a_dry_run_hides_nothing(new_project: NewProject) -> None:
    """Interrupted on its second page, dry or with a catalogue that is then deleted: the next run reads all pages."""
    clean = new_project("clean", titles=30)
    finish(clean)
    project = new_project("project", titles=30)
    for arguments in ((*CRAWL, "-s", "DRY_RUN=1"), CRAWL):
        project.sandbox.post("/_sandbox/faults", {"service": "kodik", "kind": "silence", "skip": 1})
        project.sandbox.post("/_sandbox/reset", {})
        process = project.start(*arguments)
        until(lambda: project.requests_to("kodik") == 2)
        assert process.poll() is None
        process.kill()
        process.wait()
        project.sandbox.delete("/_sandbox/faults")
        for file in project.directory.glob("var/anime.db*"):
            file.unlink()
    finish(project)
    assert project.exports() == clean.exports()


@pytest.mark.exec
def test_a_second_signal_ends_the_run_at_once(new_project: NewProject) -> None:
    """Exit code 130 although answers are still under way, and the next run completes."""
    project = new_project(titles=30)
    project.sandbox.post("/_sandbox/faults", {"service": "kodik", "kind": "silence", "count": 1})
    process = project.start_and_wait(*CRAWL)
    until(lambda: project.requests_to("kodik") == 1)
    process.send_signal(signal.SIGINT)
    until(lambda: "Once more" in project.log())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "Once more: stop at once." in project.log()
    assert "Run 1: exit code" not in project.log()  # it waited for nothing, not even to write its report
    finish(project)


@pytest.mark.exec
def test_a_second_start_exits_with_five_and_a_dead_owner_is_taken_over(new_project: NewProject) -> None:
    """While a run holds the lock another exits 5 and does nothing; after kill -9 of the owner it runs."""
    project = new_project(titles=30)
    project.sandbox.post("/_sandbox/faults", {"service": "kodik", "kind": "silence", "count": 1})
    owner = project.start_and_wait(*CRAWL)
    second = project.crawl()
    assert second.returncode == 5, second.stderr
    assert "holds" in second.stderr or "running" in second.stderr
    owner.kill()
    owner.wait()
    finish(project)


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_crawl_that_is_ended_at_a_locked_backend_leaves_no_duplicate(
    new_project: NewProject, clean_result: tuple[dict[str, int], Any], signum: signal.Signals
) -> None:
    """Its POSTs outlive it; the next crawl sends their players last, once others were stored."""
    project = new_project(titles=8)

    def set_faults(*rules: dict[str, Any]) -> None:
        project.sandbox.post("/backend/_reference/faults", {"rules": rules, "store_duplicates": True})

    def held() -> int:
        return int(project.sandbox.get("/backend/_reference/stats")["faults"].get("lock", 0))

    set_faults({"name": "lock", "route": "video", "skip": 5})
    first = project.start(*CRAWL, module="tests.backend.hasty")
    until(lambda: held() == 4, 60)
    first.send_signal(signum)
    first.wait(60)
    second = project.start(*CRAWL, module="tests.backend.hasty")
    until(lambda: held() == 8, 60)
    time.sleep(4)  # longer than an intent was trusted to be over
    set_faults()
    assert second.wait(120) == 0, project.log()[-3000:]
    assert result(project) == clean_result[1]
    assert_nothing_went_twice(project)
