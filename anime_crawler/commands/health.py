"""``scrapy health``: whether the run on this machine is alive and gets on; for container health checks."""

from __future__ import annotations

import argparse
import time

from scrapy.commands import ScrapyCommand

from anime_crawler.extensions.heartbeat import HEARTBEAT, HEARTBEAT_S

STALLED_S = 6 * HEARTBEAT_S  # a busy loop may miss some beats; one that misses six is stuck
STANDSTILL_S = 900  # longer than one request may take at the largest HTTP_TIMEOUT_SECONDS, and a pause after it


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Exit 0 while the run gets on or the last one has ended, 1 when it is stuck"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if not HEARTBEAT.exists():
            print("healthy: no run in progress")
            return
        silent_s, idle_s = time.time() - HEARTBEAT.stat().st_mtime, int(HEARTBEAT.read_text() or 0)
        self.exitcode = int(silent_s > STALLED_S or idle_s > STANDSTILL_S)
        state = "stuck" if self.exitcode else "healthy"
        print(f"{state}: last sign of life {silent_s:.0f} s ago, last progress {silent_s + idle_s:.0f} s ago")
