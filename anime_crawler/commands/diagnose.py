"""``scrapy diagnose``: each setting with its origin, one cheap call per service, and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.settings import BaseSettings

from anime_crawler import __version__, output
from anime_crawler.base_spiders import SourceCard, SourceSpider
from anime_crawler.commands import complain, config_from, source_spiders
from anime_crawler.commands.probes import Finding, check_backend, check_catalogue, check_source, cleaner
from anime_crawler.config import Config, ConfigError
from anime_crawler.rate_limit.limiter import LIMITER_FILE, LimiterError, open_limiter
from anime_crawler.run.job import Exit


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "[SOURCE …] [--json]"

    def short_desc(self) -> str:
        return "Show each setting and where it comes from, and ask each service once whether it is well"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        try:
            config = config_from(self.settings)
        except ConfigError as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)
            return
        known = list(source_spiders(self.settings))
        if unknown := sorted(set(args) - set(known)):
            raise UsageError(f"there is no source {', '.join(unknown)}; there are: {', '.join(known)}")
        findings = check_all(config, self.settings, args or in_use(config, self.settings))
        self.exitcode = exit_code(findings)
        report = {
            "version": __version__,
            "settings": settings_of(config),
            "services": [asdict(finding) for finding in findings],
            "exit_code": self.exitcode,
        }
        if opts.as_json:
            print(json.dumps(report, ensure_ascii=False, indent=2))
        else:
            show(report)


def check_all(config: Config, settings: BaseSettings, names: Iterable[str]) -> list[Finding]:
    """One finding per service: the catalogue, each source of `names`, the backend; safe to print."""
    spiders = source_spiders(settings)
    sources = check_sources([spiders[name] for name in names], config, settings["USER_AGENT"])
    findings = [check_catalogue(config), *sources, check_backend(config)]
    clean = cleaner(config)
    return [replace(f, you_see=clean(f.you_see), what_happened=clean(f.what_happened)) for f in findings]


def check_sources(spiders: Iterable[type[SourceSpider]], config: Config, user_agent: str) -> list[Finding]:
    """One finding per source, and one for Redis where the budgets are there: without them nothing is asked."""
    address = config.shown("redis_url") or str(LIMITER_FILE)
    try:
        limiter = open_limiter(config, LIMITER_FILE)
    except LimiterError as error:
        do = "start it, or set REDIS_URL" if config.redis_url else "see what is said of the file"
        return [Finding("budgets", address, str(error), "no source was asked", do, Exit(error.exit_code))]
    shared = [Finding("budgets", address, "opened", "fine")] if config.redis_url else []
    return shared + [check_source(spider, config, user_agent, limiter) for spider in spiders]


def in_use(config: Config, settings: BaseSettings) -> list[str]:
    """The sources of the main job, and those that somebody has set something for."""
    companions = settings.getdict("COMPANIONS")
    main = {*companions, *(name for names in companions.values() for name in names)}
    return [name for name, spider in source_spiders(settings).items() if name in main or is_set_up(spider.card, config)]


def is_set_up(card: SourceCard, config: Config) -> bool:
    """Whether a setting of the source comes from anywhere but its default."""
    named = [card.base_url_setting, card.limits_setting]
    named += [setting.name for setting in card.settings] + [secret.setting for secret in card.secrets]
    return any(config.origin_of(name) != "default" for name in named if name)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when all is fine, else the most urgent: a setting (2), an upstream (3), the backend (4)."""
    return min((int(f.exit_code) for f in findings if f.exit_code), default=0)


def settings_of(config: Config) -> list[dict[str, str]]:
    """Name, value for people and origin of each setting."""
    return [
        {"setting": name.upper(), "value": config.shown(name), "origin": config.origin_of(name)}
        for name in Config.model_fields
    ]


def show(report: dict[str, Any]) -> None:
    """Print the report as two tables that fit a narrow terminal."""
    settings = Table("setting", "value", "origin", title="Settings", title_justify="left")
    for row in report["settings"]:
        settings.add_row(row["setting"], row["value"], row["origin"])
    services = Table("service", "", title="Services", title_justify="left", show_lines=True, show_header=False)
    for finding in report["services"]:
        services.add_row(finding["service"], _explained(finding))
    console = output.console()
    console.print(f"anime_crawler {report['version']}")
    console.print(settings, services, sep="\n")


def _explained(finding: dict[str, str]) -> str:
    lines = [
        ("address", "address"),
        ("you see", "you_see"),
        ("what happened", "what_happened"),
        ("what to do", "what_to_do"),
    ]
    return "\n".join(f"{words}: {finding[key]}" for words, key in lines if finding[key])
