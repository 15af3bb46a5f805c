"""``scrapy docs`` writes the tables of settings and sources, and ``.env.example``, from the code itself."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic.fields import FieldInfo
from scrapy.commands import ScrapyCommand
from scrapy.settings import BaseSettings
from scrapy.utils.conf import closest_scrapy_cfg

from anime_crawler.base_spiders import SourceCard
from anime_crawler.commands import source_spiders
from anime_crawler.config import Config


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def short_desc(self) -> str:
        return "Write the settings and sources into anime_crawler/docs and .env.example (for developers)"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when they are out of date")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        root = Path(closest_scrapy_cfg()).parent
        stale = [(path, text) for path, text in documents(root, self.settings) if not _is(path, text)]
        for path, text in stale:
            if not opts.check:
                path.write_text(text, encoding="utf-8")
            print("out of date:" if opts.check else "written:", path.relative_to(root))
        self.exitcode = int(bool(stale) and opts.check)


def documents(root: Path, settings: BaseSettings) -> Iterator[tuple[Path, str]]:
    """Each generated file and the text it should have."""
    cards = (spider.card for spider in source_spiders(settings).values())
    for name, table in (("settings", settings_table()), ("sources", sources_table(cards))):
        page = root / "anime_crawler" / "docs" / f"{name}.md"
        yield page, replace_block(page.read_text(encoding="utf-8"), name, table)
    yield root / ".env.example", env_example()


def replace_block(text: str, name: str, content: str) -> str:
    """The text with `content` between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: the text has no such block.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    new: Callable[[re.Match[str]], str] = lambda _: f"{begin}\n{content}{end}"  # noqa: E731
    text, count = re.subn(f"{begin}.*?{end}", new, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"one block {begin} … {end} is wanted, {count} found")
    return text


def settings_table() -> str:
    """The table of ``docs/settings.md``."""
    rows = [
        (f"`{name.upper()}`", _code(default_of(field)) or "unset", field.description or "")
        for name, field in Config.model_fields.items()
    ]
    return _table(("setting", "default", "what it does"), rows)


def sources_table(cards: Iterable[SourceCard]) -> str:
    """The table of ``docs/sources.md``."""
    rows = [(f"`{card.name}`", f"[{card.title}]({card.base_url})", card.limits, card.limits_origin) for card in cards]
    return _table(("source", "what it is", "limits", "who says so"), rows)


def env_example() -> str:
    """Every setting as a comment: copying the file changes nothing until a line is uncommented."""
    parts = ["# Copy to .env and uncomment what you need. The environment wins over this file.\n"]
    for name, field in Config.model_fields.items():
        about = textwrap.fill(field.description or "", 118, initial_indent="# ", subsequent_indent="# ")
        value = default_of(field)
        note = "" if value else "# Unset by default; an example:\n"
        parts.append(f"{about}\n{note}#{name.upper()}={value or (field.examples or [''])[0]}\n")
    return "\n".join(parts)


def default_of(field: FieldInfo) -> str:
    """The default as one would write it in ``.env``; empty: unset."""
    default = field.default
    return "" if default is None else ",".join(default) if isinstance(default, list) else str(default)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
