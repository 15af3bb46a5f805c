"""The run report counts what a run did: for the progress lines, the summary table and the report's file."""

from __future__ import annotations

import re
import resource
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Progress:
    """How far one walk is."""

    done: int
    total: int | None


@dataclass
class RunReport:
    """Counters of one process of one run, by group (an item kind, an upstream, ``backend``) and name."""

    counters: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    waiting: dict[str, str] = field(default_factory=dict)
    """Upstream -> why it is waiting just now; absent: it is not."""
    progress: dict[str, Progress] = field(default_factory=dict)
    problems: list[dict[str, str | None]] = field(default_factory=list)
    """Problems of the run, told to a person: ``{"service", "kind", "message", "setting"}``; no secrets."""
    walk_s: dict[str, float] = field(default_factory=dict)
    """Spider -> seconds from its start to its end."""
    started: float = field(default_factory=time.monotonic)

    def count(self, group: str, name: str, n: int = 1) -> None:
        """Add `n` to one counter."""
        self.counters[group][name] += n

    def problem(self, service: str, kind: str, message: str, setting: str | None = None) -> None:
        """Note something that a person must know; the same thing is noted once."""
        entry = {"service": service, "kind": kind, "message": message, "setting": setting}
        if entry not in self.problems:
            self.problems.append(entry)

    def wall_s(self) -> float:
        """Seconds since the process began the run."""
        return time.monotonic() - self.started

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "counters": {group: dict(sorted(names.items())) for group, names in sorted(self.counters.items())},
            "problems": self.problems,
            "walk_s": self.walk_s,
            "wall_s": round(self.wall_s(), 3),
            "peak_memory_mb": round(peak_memory_mb(), 1),
        }


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB.

    Linux: VmHWM, because ru_maxrss there starts at the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**10  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
