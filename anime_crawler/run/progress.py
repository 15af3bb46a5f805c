"""The live lines of a crawl: one per upstream and one for delivery; without a terminal, plain log lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from rich.live import Live
from rich.table import Table

from anime_crawler import output
from anime_crawler.base_spiders import SourceSpider
from anime_crawler.rate_limit.limits import Limits, limits_of

logger = logging.getLogger(__name__)

REFRESH_S = 0.5  # often enough to look alive, rare enough to cost nothing
LOG_EVERY_S = 30  # one line per upstream and half minute in a log file


class ProgressDisplay:
    """Shows a job's progress from entering to leaving the context."""

    def __init__(self, job: Any, spiders: Sequence[type[SourceSpider]]) -> None:
        self.job = job
        self.cards = [spider.card for spider in spiders]
        self.console = output.console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.task: asyncio.Task[None] | None = None

    def __enter__(self) -> ProgressDisplay:
        if self.live:
            for handler in logging.getLogger().handlers:  # lines of the log would tear the live ones
                handler.setLevel(max(handler.level, logging.WARNING))
            self.live.start()
        self.task = asyncio.ensure_future(self._run())
        return self

    def __exit__(self, *exc: object) -> None:
        if self.task:
            self.task.cancel()
        if self.live:
            self.live.update(self._table(), refresh=True)
            self.live.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S if self.live else LOG_EVERY_S)
            if self.live:
                self.console.width = output.width()  # the terminal may have another by now
                self.live.update(self._table(), refresh=True)
            else:
                for cells in self._rows():
                    logger.info(" · ".join(cell for cell in cells if cell))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for cells in self._rows():
            table.add_row(*cells)
        return table

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [self._upstream_row(card) for card in self.cards]
        if self.job.config.backend_base_url:
            rows.append(self._backend_row())
        return rows

    def _upstream_row(self, card: Any) -> tuple[str, ...]:
        report = self.job.report
        progress = report.progress.get(card.name)
        requests = report.counters[card.name]["requests"]
        limits = limits_of(self.job.config, card)
        done = f"{progress.done}/{progress.total or '?'}" if progress else "-"
        rate = f"{requests} requests, {requests / max(report.wall_s(), 1) * 60:.0f}/min (limit {limits})"
        return (card.name, done, rate, report.waiting.get(card.name, ""), _eta(progress, requests, limits))

    def _backend_row(self) -> tuple[str, ...]:
        counters = self.job.report.counters["backend"]
        progress = self.job.report.progress.get("backend")
        done = f"{progress.done}/{progress.total or '?'} titles" if progress else "-"
        sent = counters["anime"] + counters["episodes"] + counters["players"]
        posts = f"{sent} posts, {sent / max(self.job.report.wall_s(), 1):.0f}/s"
        return ("backend", done, posts, self.job.report.waiting.get("backend", ""), "")


def _eta(progress: Any, requests: int, limits: Limits) -> str:
    """Least time the rest takes under the limits: records left, at the records per request seen so far."""
    if not progress or not progress.total or not requests or not progress.done or not limits.windows:
        return ""
    requests_left = (progress.total - progress.done) / (progress.done / requests)
    slowest_s = max(window.seconds / window.count for window in limits.windows)
    return f"ETA {max(0, requests_left) * slowest_s / 60:.1f} min"
