"""Workers that are killed on a schedule with a fixed seed: nothing lost, nothing twice, no limit broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.distributed.kills import Schedule, one_worker, with_leases
from tests.e2e.support import Project
from tests.sandboxes import running_sandbox

TWO_KILLS = Schedule(length_s=3, every_s=1.5, workers=3, last_s=2, is_restarting=False)
SHORT = ("-s", "WORKER_LEASE_S=6")  # what the dead held returns within the few seconds of the short form


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("schedule", "titles", "settings"),
    [
        pytest.param(TWO_KILLS, 40, SHORT, id="two kills"),
        pytest.param(Schedule(length_s=60, every_s=10), 1_000, (), id="a minute", marks=pytest.mark.slow),
        pytest.param(Schedule(length_s=300, every_s=10), 5_250, (), id="five minutes", marks=pytest.mark.soak),
    ],
)
def test_workers_that_are_killed_end_as_one_that_is_not(
    tmp_path: Path,
    redis_url: str,
    new_postgres_url: Callable[[], str],
    schedule: Schedule,
    titles: int,
    settings: tuple[str, ...],
) -> None:
    """What is asked for again is what the dead held, at most; the exports are byte for byte those of one worker."""
    environment = {"REDIS_URL": redis_url, "DATABASE_URL": new_postgres_url(), "BACKEND_BASE_URL": ""}
    with running_sandbox(titles=titles, limits="off") as sandbox:
        project = Project(tmp_path / "crew", sandbox, environment)
        outcome = with_leases(project, schedule, *settings)
        assert (outcome.lost, outcome.duplicates, outcome.violations) == (0, 0, 0), outcome
        assert outcome.kills == schedule.length_s / schedule.every_s
        assert outcome.refetched <= outcome.held
        assert set(outcome.exit_codes) == {0}
        assert project.exports() == one_worker(project)
