"""The table at the end of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from anime_crawler import output
from anime_crawler.run.report import RunReport

OUTCOMES = ("new", "changed", "unchanged", "failed")


def print_summary(report: RunReport, run: dict[str, Any] | None, delivery: Any) -> None:
    """Print what the run did: records by kind, requests by upstream, delivery, problems and what to do."""
    console = output.console(stderr=True)
    console.print(_records(report))
    console.print(_requests(report))
    if delivery is not None:
        console.print(f"Delivery: {delivery}")
    for problem in report.problems:
        hint = f". Set {problem['setting']}." if problem["setting"] else ""
        console.print(
            f"! {problem['service']}: {problem['kind']}: {(problem['message'] or '').rstrip('.')}{hint}", markup=False
        )
    if run is not None:
        letters = f", {run['dead_letters']} dead letters (scrapy deadletters list)" if run["dead_letters"] else ""
        console.print(
            f"Run {run['run']}: exit code {run['exit_code']}{letters}, "
            f"{run['wall_s']:.1f} s, peak memory {run['peak_memory_mb']:.0f} MB",
            markup=False,
        )


def _records(report: RunReport) -> Table:
    table = Table("records", *OUTCOMES)
    for group, names in sorted(report.counters.items()):
        if set(names) & set(OUTCOMES):
            table.add_row(group, *(str(names.get(outcome, 0)) for outcome in OUTCOMES))
    return table


def _requests(report: RunReport) -> Table:
    table = Table("upstream", "requests", "retries", "429s", "MB received")
    for group, names in sorted(report.counters.items()):
        if "requests" in names:
            received = names.get("bytes", 0) / 2**20
            table.add_row(group, *(str(names.get(n, 0)) for n in ("requests", "retries", "429")), f"{received:.1f}")
    return table


def write_report(run: dict[str, Any]) -> None:
    """Keep the run report as ``var/reports/run-<number>.json``, that of one of several workers with its name too."""
    worker = f"-{run['worker']}" if "worker" in run else ""
    path = Path("var/reports") / f"run-{run['run']}{worker}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
