"""How fast recorded answers become items, on one core; beside it what merely reading their HTML or JSON takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
from lxml import html

from anime_crawler import sources
from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Anime, utc_now
from tests.guard import ROOT

PAGES = ("anisearch", "anime_planet")
"""Sources of which a title is a page; of the others, a record in a list."""
ROUNDS, ROUND_S = 7, 0.5
"""The fastest round counts: what else the machine does only makes one slower."""
RECORDED = ROOT.parent / "shared" / "samples"
"""Real answers, where they are at hand; else our own small samples, which are quicker to read."""


@dataclass(frozen=True)
class Answer:
    """A recorded answer with anime in it."""

    name: str
    body: bytes
    anime: int


@dataclass(frozen=True)
class Speed:
    """Of one source."""

    answers: int
    """Different ones, each read as often as the others."""
    kb: float
    """Their mean size."""
    anime_per_s: float
    """Of the processor's time."""
    bare_per_s: float
    """The same bytes, only read by lxml or orjson."""


def has_recordings() -> bool:
    return RECORDED.is_dir()


def parse_speed(source: str) -> Speed:
    """Anime a second, over all recorded answers that hold any; of pages, those of one anime only."""
    parse = import_module(f"{sources.__name__}.{source}.parse").parse_file
    answers = list(filter(None, (answer_from(parse, path) for path in recorded(source))))
    if source in PAGES:
        answers = [answer for answer in answers if answer.anime == 1]
    read: Callable[[bytes], Any] = html.document_fromstring if source in PAGES else orjson.loads
    now = utc_now()
    return Speed(
        answers=len(answers),
        kb=sum(len(answer.body) for answer in answers) / len(answers) / 1000,
        anime_per_s=per_second(answers, lambda answer: list(parse(answer.body, answer.name, now))),
        bare_per_s=per_second(answers, lambda answer: read(answer.body)),
    )


def recorded(source: str) -> list[Path]:
    """Files that may be answers."""
    kind = "html" if source in PAGES else "json"
    if has_recordings():
        return sorted((RECORDED / source).rglob(f"*.{kind}"))
    return sorted((ROOT / "anime_crawler" / "sources" / source / "samples").glob(f"*/response.{kind}"))


def answer_from(parse: Callable[..., Any], path: Path) -> Answer | None:
    """``None``: errors, expected values, and what holds no anime."""
    body = path.read_bytes()
    try:
        items = list(parse(body, path.name, utc_now()))
    except ResponseError:
        return None
    anime = sum(isinstance(item, Anime) for item in items)
    return Answer(path.name, body, anime) if anime else None


def per_second(answers: list[Answer], work: Callable[[Answer], Any]) -> float:
    """Anime in a second of this process's time, in the fastest of some rounds."""
    return max(one_round(answers, work) for _ in range(ROUNDS))


def one_round(answers: list[Answer], work: Callable[[Answer], Any]) -> float:
    began, done, spent = time.process_time(), 0, 0.0
    while spent < ROUND_S:
        for answer in answers:
            work(answer)
            done += answer.anime
        spent = time.process_time() - began
    return done / spent
