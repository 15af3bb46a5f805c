"""``scrapy workers``: who shares a crawl by REDIS_URL, what each is at, and what is still to do."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from scrapy.commands import ScrapyCommand

from anime_crawler import output
from anime_crawler.commands import complain, config_from, refuse_words
from anime_crawler.commands.status import budget, politeness, table
from anime_crawler.config import ConfigError
from anime_crawler.frontier.redis.inspect import overview
from anime_crawler.frontier.store import FrontierError
from anime_crawler.rate_limit.limiter import LimiterError
from anime_crawler.run.shared_run import redis_of


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[--json]"

    def short_desc(self) -> str:
        return "Who shares a crawl by REDIS_URL, what each is at, and what is still to do"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        refuse_words(args)
        assert self.settings is not None
        try:
            config = config_from(self.settings)
            if not config.redis_url:
                raise ConfigError(
                    "REDIS_URL is required: without it no crawl is shared; example: redis://localhost:6379/1"
                )
            found = overview(redis_of(config, self.settings))
            found["budgets"] = politeness(config)["budgets"]
        except ConfigError as error:
            self.exitcode = complain(error, 2)
        except (FrontierError, LimiterError) as error:
            self.exitcode = complain(error, error.exit_code)
        else:
            show(found, opts.as_json)


def show(found: dict[str, Any], as_json: bool) -> None:
    """Print what `overview` gives, and the budgets."""
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    console = output.console()
    sent = sum((Counter(worker["requests"]) for worker in found["workers"]), Counter())
    for heading, rows in (
        ("Workers", [_worker(worker, sent) for worker in found["workers"]]),
        ("Frontiers", [_frontier(name, frontier) for name, frontier in found["frontiers"].items()]),
        ("Budgets used by all", [budget(name, used) for name, used in found["budgets"].items() if name in sent]),
    ):
        console.print(table(heading, rows) if rows else f"{heading}: none")


def _worker(worker: dict[str, Any], sent: Counter[str]) -> dict[str, Any]:
    """A row; `sent`: requests of all workers, by upstream."""
    shares = {name: worker["requests"].get(name, 0) / count for name, count in sent.items() if count}
    rates = [f"{name} {rate:g}/min ({shares.get(name, 0):.0%} of all)" for name, rate in worker["per_minute"].items()]
    waits = [f"{name}: {why}" for name, why in worker["waiting"].items()]
    return {
        "worker": worker["worker"][:8],
        "crawl": f"{worker['crawl']}, run {worker['run']}",
        "where": f"{worker['host']}, process {worker['pid']}",
        "since": datetime.fromtimestamp(worker["started_at"], UTC).isoformat(" ", "minutes")[:16],
        "sends": ", ".join(rates),
        "holds": "\n".join([*worker["holds"], *waits]),
        "lease": f"{worker['lease_s']:g} s",
    }


def _frontier(name: str, frontier: dict[str, Any]) -> dict[str, Any]:
    return {
        "spider": name,
        "pending": "\n".join(f"{count} for {slot}" for slot, count in frontier["pending"].items()) or 0,
        "leased": len(frontier["leases"]),
        **{what: frontier[what] for what in ("kept", "refused", "claimed", "seen")},
    }
