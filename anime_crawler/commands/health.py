"""``scrapy health``: whether the runs on this machine are alive and get on; for container health checks."""

from __future__ import annotations

import argparse
import time

from scrapy.commands import ScrapyCommand

from anime_crawler.commands import refuse_words
from anime_crawler.run.heartbeat import HEARTBEAT_S, heartbeats

STALLED_S = 6 * HEARTBEAT_S  # a busy loop may miss some beats; one that misses six is stuck
STANDSTILL_S = 900  # longer than one request may take at the largest HTTP_TIMEOUT_SECONDS, and a pause after it


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Exit 0 while each run gets on or has ended, 1 when one is stuck"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        is_any = False
        for beat in heartbeats():
            try:
                silent_s, idle_s = time.time() - beat.stat().st_mtime, int(beat.read_text() or 0)
            except FileNotFoundError:  # the run has just ended
                continue
            is_any = True
            is_stuck = silent_s > STALLED_S or idle_s > STANDSTILL_S
            self.exitcode = max(self.exitcode, int(is_stuck))
            state = "stuck" if is_stuck else "healthy"
            process = beat.name.rpartition("-")[2]
            print(
                f"{state}: process {process}, last sign of life {silent_s:.0f} s ago, "
                f"last progress {silent_s + idle_s:.0f} s ago"
            )
        if not is_any:
            print("healthy: no run in progress")
