"""``scrapy newsource``: the folder of a new source, working and tested from the first minute."""

from __future__ import annotations

import argparse
import keyword
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.utils.conf import closest_scrapy_cfg

from anime_crawler import sources

TEMPLATE = Path(str(files(__package__))) / "templates" / "source"
NEXT = """\
{folder} is written: a source whose upstream is a JSON list in pages.
The tables of anime_crawler/docs and .env.example have it too; nothing else is to be edited outside of this folder.
anime_crawler/docs/add_a_source.md goes on from here; `scrapy checksources {name}` tells what is still missing."""


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        return "NAME"

    def short_desc(self) -> str:
        return "Write the folder of a new source (for developers)"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name the source: scrapy newsource my_source")
        name = args[0]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
            raise UsageError(f"{name!r} is no name for a folder of Python: small letters, digits and underscores")
        folder = Path(sources.__path__[0]) / name
        if folder.exists():
            raise UsageError(f"there is a source {name} already: {folder}")
        write(folder, words_of(name))
        self.exitcode = write_docs()
        print(NEXT.format(folder=folder, name=name))


def write_docs() -> int:
    """Bring the tables of settings and sources up to date, in a process that knows the new source.

    Returns:
        Its exit code.
    """
    root = Path(closest_scrapy_cfg()).parent
    return subprocess.run([sys.executable, "-m", "scrapy", "docs"], cwd=root, check=False).returncode


def words_of(name: str) -> dict[str, str]:
    """The words that fill the templates' gaps for a source of this name."""
    parts = name.split("_")
    return {
        "name": name,
        "upper": name.upper(),
        "title": " ".join(part.capitalize() for part in parts),
        "cls": "".join(part.capitalize() for part in parts),
        "host": f"{name.replace('_', '-')}.example",
        "month": datetime.now(UTC).strftime("%Y-%m"),
    }


def write(folder: Path, words: dict[str, str]) -> None:
    """Fill in every template below the folder."""
    for template in sorted(TEMPLATE.rglob("*.tmpl")):
        target = folder / template.relative_to(TEMPLATE).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(template.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
