"""``make bench-distributed``: prints each figure beside its baseline. Redis and PostgreSQL are private ones.

``python -m tests.benchmarks.distributed FIGURE …`` prints some: ``kills`` (15 minutes), ``two_workers``, ``overhead``,
``windows``, ``resume``. Counts are what matters; seconds and rates are those of this machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from tests.benchmarks.distributed import kills as killing
from tests.benchmarks.distributed import overhead as comparing
from tests.benchmarks.distributed import resume as resuming
from tests.benchmarks.distributed import windows as using
from tests.benchmarks.distributed.servers import Servers, servers
from tests.e2e.support import Project

Row = tuple[str, str, str, str]
"""What was measured, ours, the baseline, what it must be."""
TITLES = 5_250  # in the world; Jikan knows 96 % of them
SCHEDULE = killing.Schedule(length_s=300, every_s=10)
FEWER = 600  # titles for those that measure a rate
LATENCY_S = 0.2


def kills(servers: Servers) -> Iterator[Row]:
    """Four workers, one of them killed every 10 s, and the same with stock scrapy-redis on the same pages."""
    with servers.project(titles=TITLES, limits="off") as project:
        ours = killing.with_leases(project, SCHEDULE)
        is_same = project.exports() == killing.one_worker(project)
        stock = killing.with_stock_queue(project, SCHEDULE)
    name = f"{SCHEDULE.workers} workers, {ours.kills} kills in {ours.seconds:.0f} s, {ours.titles:,} titles"
    yield (f"{name}: lost", f"{ours.lost:,}", f"{stock.lost:,} ({stock.kills} kills)", "0")
    yield ("exports are those of one worker", "yes" if is_same else "no", "-", "yes")
    yield ("rows that are there twice", str(ours.duplicates), str(stock.duplicates), "0")
    yield ("limits broken", str(ours.violations), str(stock.violations), "0")
    yield ("asked for again / leased by the dead", f"{ours.refetched} / {ours.held}", "never", "first <= second")


def two_workers(servers: Servers) -> Iterator[Row]:
    """Answers that take 200 ms, no limits."""
    rates = []
    for count in (1, 2):
        with servers.project(titles=FEWER, limits="off") as project:
            project.fault(killing.SOURCE, "slow_start", delay_s=LATENCY_S)
            rates.append(titles_per_second(project, count))
    one, two = rates
    ours = f"{two:.1f} titles/s = {two / one:.2f}x"
    yield ("2 workers, 200 ms latency, no limits", ours, f"1 worker: {one:.1f} titles/s", ">= 1.8x")


def titles_per_second(project: Project, workers: int) -> float:
    """From the first request to the last answer."""
    projects = [replace(project, directory=project.directory / str(number)) for number in range(workers)]
    codes = [process.wait(900) for process in [worker.start(*killing.WALK) for worker in projects]]
    assert set(codes) == {0}, codes
    entries = project.sandbox.get(f"/_sandbox/log?service={killing.SOURCE}")
    seconds = max(entry["wall"] + entry["duration_s"] for entry in entries) - entries[0]["wall"]
    return len(project.records("anime")) / float(seconds)


def overhead(servers: Servers) -> Iterator[Row]:
    """One worker, the same spider and pages."""
    stock, ours = comparing.rates(servers)
    ours_said = f"{ours:.0f} = {ours / stock - 1:+.0%}"
    yield ("requests/s of one worker, leases and acks", ours_said, f"scrapy-redis: {stock:.0f}", ">= -15 %")


def windows(servers: Servers) -> Iterator[Row]:
    """Every source's windows."""
    for figures, how in ((using.measured(servers), f"{using.SECONDS:.0f} s"), (using.simulated(servers), "simulated")):
        for figure in figures:
            most = ", ".join(f"{most} of {window}" for window, most in figure.most.items())
            ours = f"{figure.share:.1%}, most {most}" + ("" if figure.is_kept else ": BROKEN")
            yield (
                f"4 workers at {figure.source}, {how}: used",
                ours,
                "no shared budget: 400 % (computed)",
                ">= 95 %, none above",
            )


def resume(servers: Servers) -> Iterator[Row]:
    """100,000 requests in Redis, and a worker that starts."""
    with servers.project(titles=FEWER, limits="off") as project:
        empty, full = resuming.first_requests(project)
    name = f"{resuming.PENDING:,} pending"
    yield (f"{name}: first request", str(full), f"none pending: {empty}", "<= 2 s after start")
    yield (f"{name}: peak memory", f"{full.peak_mb:.0f} MB", "-", "<= 200 MB")


FIGURES: tuple[Callable[[Servers], Iterator[Row]], ...] = (kills, two_workers, overhead, windows, resume)


def main() -> None:
    """Print the table of all figures, or of those named on the command line."""
    console = Console(width=140)
    table = Table("figure", "ours", "baseline", "must be")
    with servers() as started:
        for figure in FIGURES:
            if not sys.argv[1:] or figure.__name__ in sys.argv[1:]:
                for row in figure(started):
                    console.print(" · ".join(row), style="dim")
                    table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
