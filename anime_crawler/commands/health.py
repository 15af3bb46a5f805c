"""``scrapy health``: whether the run on this machine is alive; for container health checks."""

from __future__ import annotations

import argparse
import time

from scrapy.commands import ScrapyCommand

from anime_crawler.extensions.heartbeat import HEARTBEAT, HEARTBEAT_S

STALLED_S = 6 * HEARTBEAT_S  # a busy loop may miss some beats; one that misses six is stuck


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Exit 0 while the run's event loop is alive or the last run has ended, 1 when it is stuck"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if not HEARTBEAT.exists():
            print("healthy: no run in progress")
            return
        age_s = time.time() - HEARTBEAT.stat().st_mtime
        self.exitcode = int(age_s > STALLED_S)
        print(f"{'stuck' if self.exitcode else 'healthy'}: last sign of life {age_s:.0f} s ago")
