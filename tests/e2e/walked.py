"""What the tests of one metadata source share: its walks against the sandbox, killed or not."""

from __future__ import annotations

import signal
from typing import Any

from tests.e2e.support import Project


def walk(project: Project, source: str, *arguments: str) -> None:
    """Run the source's spider to its end; nothing may go wrong."""
    done = project.run("crawl", source, *arguments, "-s", f"JOBDIR=var/jobs/{source}", timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    report = project.report()
    assert (report["dead_letters"], report["problems"]) == (0, [])
    assert [group for group in report["counters"] if group.startswith("drift ")] == []


def killed_walk(project: Project, source: str, step: str, nth: int, *arguments: str) -> None:
    """The same, killed with SIGKILL when it comes to a durable step for the n-th time; see `crash`."""
    words = ("crawl", source, *arguments, "-s", f"JOBDIR=var/jobs/{source}")
    process = project.start(step, str(nth), *words, module="tests.e2e.crash")
    assert process.wait(120) == -signal.SIGKILL, project.log()[-3000:]


def known(project: Project, source: str) -> list[str]:
    """Ids of all titles that the source knows, in order."""
    rows = project.sandbox.get(f"/_sandbox/oracle?what=known&source={source}")
    return sorted(row["source_id"] for row in rows)


def found(project: Project) -> list[str]:
    """Ids of all anime in the catalogue, in order; each is there as often as it is stored."""
    return sorted(row["source_id"] for row in project.records("anime"))


def states(project: Project) -> dict[str, tuple[Any, ...]]:
    """What mutations change of each anime, by its id."""
    return {row["source_id"]: (row["title_romaji"], row["status"]) for row in project.records("anime")}


def changed(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> set[str]:
    """Ids of what is new or another."""
    return {number for number, state in after.items() if before.get(number) != state}


def mutate(project: Project, op: str, title_id: str, **wish: Any) -> None:
    """Change a title of the world."""
    project.sandbox.post("/_sandbox/mutate", {"op": op, "shikimori_id": title_id, **wish})


def new_title(project: Project, source: str) -> str:
    """Id of a new title that the source knows."""
    while True:
        before = set(known(project, source))
        project.sandbox.post("/_sandbox/mutate", {"op": "new_title"})
        if fresh := set(known(project, source)) - before:
            return fresh.pop()
