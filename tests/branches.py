"""How many branches of each folder the tests reached: ``python -m tests.branches``, after ``pytest --cov``.

Exit code 1 when a folder reaches fewer than it must.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table

LEAST = dict.fromkeys(("frontier", "rate_limit", "cache", "download", "catalogue", "backend"), 95)
"""Per cent of a folder's branches: where a fault loses data, or sends what must not be sent."""


def main() -> int:
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    total: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for path, file in report["files"].items():
        folder, _, module = path.removeprefix("anime_crawler/").partition("/")
        name = folder if module else "(no folder)"
        total[name] += file["summary"]["num_branches"]
        reached[name] += file["summary"]["covered_branches"]
    table = Table("folder", "branches", "reached", "must be")
    too_few = []
    for name in sorted(total):
        share = 100 * reached[name] / (total[name] or 1)
        table.add_row(name, str(total[name]), f"{share:.1f} %", f">= {LEAST[name]} %" if name in LEAST else "")
        if share < LEAST.get(name, 0):
            too_few.append(name)
    Console().print(table)
    if too_few:
        print(f"too few branches are reached in {', '.join(too_few)}", file=sys.stderr)
    return bool(too_few)


if __name__ == "__main__":
    sys.exit(main())
