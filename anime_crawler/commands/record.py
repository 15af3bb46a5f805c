"""``scrapy record``: ask a source once and keep the answer as a sample, without any token."""

from __future__ import annotations

import argparse
import json
import mimetypes
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from anime_crawler.base_spiders import Probe, SourceCard, SourceSpider
from anime_crawler.commands import complain, config_from, source_spiders
from anime_crawler.commands.probes import Answer, NoAnswerError, call, missing_secret, source_request, wait_for_budget
from anime_crawler.commands.source_checks import draft_expected
from anime_crawler.config import Config, ConfigError
from anime_crawler.rate_limit.limiter import LIMITER_FILE, LimiterError, open_limiter
from anime_crawler.run.job import Exit

LOOK = """\
Now say in meta.json (`says`) what the sample shows, compare expected.json with the response, and delete its line
`draft`. While that line stands, `scrapy checksources --write` drafts the file anew from what the parser gives."""


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "SOURCE --case NAME [--path PATH]"

    def short_desc(self) -> str:
        return "Save a source's answer as a sample for its parser, without tokens (for developers)"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--case", required=True, help="name of the sample: small letters, digits, underscores")
        parser.add_argument("--path", help="what to GET below the source's address, /anime?page=2; default: its probe")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        spiders = source_spiders(self.settings)
        if len(args) != 1 or args[0] not in spiders:
            raise UsageError(f"name one source of: {', '.join(spiders)}")
        if not re.fullmatch(r"[a-z0-9_]+", opts.case):
            raise UsageError("--case is made of small letters, digits and underscores")
        try:
            config = config_from(self.settings)
            self.exitcode = record(spiders[args[0]], opts.case, opts.path, config, self.settings["USER_AGENT"])
        except LimiterError as error:
            self.exitcode = complain(error, error.exit_code)
        except ConfigError as error:
            self.exitcode = complain(error, Exit.CONFIGURATION)
        except NoAnswerError as error:
            self.exitcode = complain(error, Exit.UPSTREAM)


def record(spider: type[SourceSpider], case: str, path: str | None, config: Config, user_agent: str) -> int:
    """Exit code of asking once and writing the sample: the response, meta.json, and a draft of expected.json.

    Args:
        path: what to GET below the source's address; ``None``: what its probe asks for.

    Raises:
        ConfigError: a credential is missing, or there is a sample of that name already.
        NoAnswerError: the source could not be asked.
    """
    card = spider.card
    missing = missing_secret(card, config)
    if missing:
        raise ConfigError(missing)
    folder = Path(str(files(spider.__module__.rpartition(".")[0]))) / "samples" / case
    if folder.exists():
        raise ConfigError(f"there is a sample {case} of {card.title} already: {folder}")
    wait = wait_for_budget(card, config, open_limiter(config, LIMITER_FILE))
    if wait:
        raise NoAnswerError(f"{card.title} was not asked because of {wait.reason}; run again in {wait.seconds:.0f} s")
    if path is not None:
        card = replace(card, probe=Probe(path))
    method, url, arguments = source_request(card, config, user_agent)
    answer = call(method, url, config, card.max_body_bytes, **arguments)
    folder.mkdir(parents=True)
    content_type = answer.response.headers.get("Content-Type", "").partition(";")[0]
    extension = mimetypes.guess_extension(content_type) or ".json"
    (folder / f"response{extension}").write_bytes(without_secrets(answer.body, card, config))
    meta = json.dumps(about(f"{method} {card.probe.path}", answer), ensure_ascii=False, indent=1)
    (folder / "meta.json").write_text(meta + "\n", encoding="utf-8")
    draft_expected(folder)
    print(f"status {answer.response.status_code}, {len(answer.body)} bytes: {folder}\n{LOOK}")
    return Exit.DONE


def about(endpoint: str, answer: Answer) -> dict[str, Any]:
    """``meta.json`` of a recorded answer: what was asked and when. A person adds what the answer shows."""
    return {
        "says": "",
        "origin": "recorded",
        "endpoint": endpoint,
        "status": answer.response.status_code,
        "fetched_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def without_secrets(body: bytes, card: SourceCard, config: Config) -> bytes:
    """The body with the setting's name in place of each credential: Kodik repeats the token in its page links."""
    for secret in card.secrets:
        value = config.value(secret.setting).get_secret_value()
        body = body.replace(value.encode(), f"<{secret.setting}>".encode())
    return body
