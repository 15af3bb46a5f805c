"""Several runs in one directory: each has a heartbeat of its own, and `scrapy health` looks at all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from anime_crawler.run.heartbeat import HEARTBEAT
from tests.guard import ROOT, clean_environment

BEAT = """
import asyncio, sys
from anime_crawler.run.heartbeat import Heartbeat
from anime_crawler.run.report import RunReport

async def main():
    with Heartbeat(RunReport()):
        await asyncio.sleep(0)
        print("beats", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


def begin(project: Path) -> subprocess.Popen[str]:
    """A run that is alive until it is told to end."""
    run = subprocess.Popen(
        [sys.executable, "-c", BEAT],
        cwd=project,
        env=clean_environment({"PYTHONPATH": str(ROOT)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout and run.stdout.readline() == "beats\n"
    return run


def test_health_looks_at_each_run_and_forgets_those_that_were_killed(project, scrapy):
    """The end of one does not hide that another is stuck, and one that is well does not either."""
    one, two, three = (begin(project) for _ in range(3))
    all_well = scrapy("health")
    assert (all_well.returncode, all_well.stdout.count("healthy: process")) == (0, 3)
    assert three.communicate("end\n") == ("", None)
    (stuck,) = (project / HEARTBEAT).glob(f"*-{one.pid}")
    two.kill()
    two.communicate()
    os.utime(stuck, (time.time() - 6000, time.time() - 6000))
    found = scrapy("health")
    assert found.returncode == 1
    assert found.stdout.startswith(f"stuck: process {one.pid}, last sign of life 60")
    assert found.stdout.count("process") == 1
    assert one.communicate("end\n") == ("", None)
    assert scrapy("health").stdout == "healthy: no run in progress\n"
    assert not (project / HEARTBEAT).exists()
