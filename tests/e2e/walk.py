"""A source's whole walk against the sandbox: started, killed, and compared with what the sandbox knows."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import Project, until

NO_BACKEND = {"BACKEND_BASE_URL": ""}


@dataclass
class Walked:
    """A project after an undisturbed walk."""

    project: Project
    exports: dict[str, bytes]
    asked: Counter[str]
    """How often each path was."""


def walked(source: str, sandbox: Any, directory: Path) -> Walked:
    """A full walk through a world as it was in the beginning."""
    project = begin(sandbox, directory)
    walk(project, source, "-a", "mode=full")
    return Walked(project, project.exports(), asked(project, source))


def begin(sandbox: Any, directory: Path, **environment: str) -> Project:
    """An empty project on the sandbox, whose world, faults and counts are as in the beginning."""
    sandbox.post("/_sandbox/reset", {"world": True})
    return Project(directory, sandbox, NO_BACKEND | environment)


def command(source: str, *arguments: str) -> list[str]:
    return ["crawl", source, "-s", f"JOBDIR=var/jobs/{source}", *arguments]


def crawl(project: Project, source: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The source's crawl with a job directory. 3,000 pages take half a minute on a quiet machine."""
    return project.run(*command(source, *arguments), timeout=400, **env)


def walk(project: Project, source: str, *arguments: str) -> None:
    """The same to its end; nothing may go wrong."""
    done = crawl(project, source, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    report = project.report()
    assert (report["dead_letters"], report["problems"], drift_in(project)) == (0, [], [])


def finish(project: Project, source: str, clean: Walked, *arguments: str) -> None:
    """The same command when all is well again ends where an undisturbed walk does."""
    project.calm()
    project.forget_waiting()
    done = crawl(project, source, *arguments)
    assert done.returncode == 0, done.stderr
    assert project.exports() == clean.exports


def kill_at(project: Project, source: str, requests: int) -> None:
    """Start a full walk and kill it when the sandbox has counted so many requests of all walks."""
    process = project.start(*command(source, "-a", "mode=full"))
    until(lambda: project.requests_to(source) >= requests or process.poll() is not None)
    process.kill()
    assert process.wait() == -9, project.log()[-3000:]


def killed_walk(project: Project, source: str, step: str, nth: int, *arguments: str) -> None:
    """A walk killed with SIGKILL when it comes to a durable step for the n-th time; see `crash`."""
    process = project.start(step, str(nth), *command(source, *arguments), module="tests.e2e.crash")
    assert process.wait(120) == -signal.SIGKILL, project.log()[-3000:]


def drift_in(project: Project) -> list[str]:
    """Groups of the newest report that count fields nobody knows."""
    return [group for group in project.report()["counters"] if group.startswith("drift")]


def known(project: Project, source: str) -> set[str]:
    """Ids of the titles that the source has."""
    return {row["source_id"] for row in project.sandbox.get(f"/_sandbox/oracle?what=known&source={source}")}


def found(project: Project) -> list[str]:
    """Ids of all anime in the catalogue, in order; each is there as often as it is stored."""
    return sorted(row["source_id"] for row in project.records("anime"))


def asked(project: Project, source: str) -> Counter[str]:
    """How often each path was asked for since the log began."""
    return Counter(entry["path"] for entry in project.sandbox.get(f"/_sandbox/log?service={source}"))


def add_title(project: Project, source: str) -> str:
    """Id of a new title that the source knows."""
    before = known(project, source)
    while not (new := known(project, source) - before):
        project.sandbox.post("/_sandbox/mutate", {"op": "new_title"})
    return new.pop()


def mutate(project: Project, op: str, title_id: str, **wish: Any) -> None:
    """Change a title of the world."""
    project.sandbox.post("/_sandbox/mutate", {"op": op, "shikimori_id": title_id, **wish})


def states(project: Project) -> dict[str, tuple[Any, ...]]:
    """What mutations change of each anime, by its id."""
    return {row["source_id"]: (row["title_romaji"], row["status"]) for row in project.records("anime")}


def changed(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> set[str]:
    """Ids of what is new or another."""
    return {number for number, state in after.items() if before.get(number) != state}
