"""First stage: rules across the fields of an item, which its model alone does not hold.

What breaks one is set aside as a dead letter and never stored: the rest of its page goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from operator import ge
from typing import Any, Self

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from anime_crawler.base_spiders import json_text
from anime_crawler.catalogue.dead_letters import key_of
from anime_crawler.items import (
    LONGEST_KEY,
    UNSTORABLE,
    Airing,
    Anime,
    Checkpoint,
    Episode,
    Item,
    Player,
    Rejected,
    Release,
    replaced,
    storable,
    without_tokens,
)
from anime_crawler.normalize.url import is_public_host
from anime_crawler.run.report import RunReport

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that cannot be stored, and all of C0, DEL and C1: they move a terminal's cursor or change its colours."""
CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""The same for texts of several lines, which have tabs and line feeds."""
ESCAPE = re.compile(rb"\\[bfnrtu]")
C1 = re.compile(rb"\xc2[\x80-\x9f]")
TEXTS = {"description": CONTROL_IN_TEXT}
"""Fields of several lines, beside `AS_SENT`; all others are lines."""
AS_SENT = "description_raw"
"""The source's own text, kept for people to look at: what cannot be stored in it is replaced, not refused."""
TEXTLESS = frozenset((type(None), bool, int, float, datetime))
"""Types of values that hold no text."""
NUMBER_MAX = 9_999
"""Highest season and number of a player: beyond it, numbers within the anime would meet."""
LONGEST_URL = 1_500
"""Characters of a player's address: with its title it is a key of PostgreSQL, as `LONGEST_KEY` says."""
INTEGER_MAX = 2_147_483_647
"""The highest number in an integer column of PostgreSQL."""


class ValidationPipeline:
    """Lets sound items pass, turns the others into `Rejected`, and drops what is no item of ours.

    What a source's parser did not understand of a record is counted here, as drift.
    """

    def __init__(self, report: RunReport) -> None:
        self._report = report

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.job.report)  # type: ignore[attr-defined]

    def process_item(self, item: Any) -> Item | Checkpoint | Rejected:
        if isinstance(item, Checkpoint):
            return storable(_without_long_ids(item))
        if isinstance(item, Rejected):
            return storable(item)
        if not isinstance(item, Item):
            raise DropItem(f"{type(item).__name__} is not an item of this project")
        for problem in item.not_understood:
            self._report.count(f"drift {item.source}", f"unknown {problem}")
        return validated(item)


def validated(item: Item) -> Item | Rejected:
    """The item, repaired where that costs no meaning, or its dead letter."""
    if isinstance(item, Anime) and item.description_raw and UNSTORABLE.search(item.description_raw):
        item = item.model_copy(update={AS_SENT: replaced(item.description_raw)})
    problem = next(problems(item), None)
    return rejected(item, problem) if problem else item


def problems(item: Item) -> Iterator[str]:
    """Which field breaks which rule, one sentence each; nothing for a sound item."""
    yield from _characters(item)
    if "\ufffd" in "".join((item.source_id, *item.key)):
        yield "source_id or identity: a character of it was lost"
    yield from _lengths(item)
    if isinstance(item, Release):
        yield from _of_players(item.players)
    elif isinstance(item, Episode | Airing):
        yield from _of_episode(item)


def _lengths(item: Item) -> Iterator[str]:
    """Ids that are too long for a key."""
    # Not getattr: where there is none, a model takes ten times as long to say so.
    values = item.__dict__
    external: dict[str, str] = values.get("external_ids", {})
    if max(map(len, (*item.key, values.get("anime_id") or "", *external))) > LONGEST_KEY:
        yield f"source_id, anime_id or identity: more than {LONGEST_KEY} characters"
    if external and max(map(len, external.values())) > LONGEST_KEY:
        yield f"external_ids: one of more than {LONGEST_KEY} characters"


def _without_long_ids(point: Checkpoint) -> Checkpoint:
    """Leave long ids out of a checkpoint: a record with such an id is never stored."""
    ids = (*point.listed, *point.asked)
    if all(len(own) <= LONGEST_KEY for own in ids):
        return point
    short = {name: tuple(i for i in getattr(point, name) if len(i) <= LONGEST_KEY) for name in ("listed", "asked")}
    return point.model_copy(update=short)


def rejected(item: Item, problem: str) -> Rejected:
    """The dead letter of an item that breaks a rule, or that a pipeline failed on."""
    letter = Rejected(
        stage="validate",
        source=item.source,
        kind=type(item).__name__.lower(),
        source_id=key_of(item),
        reason=problem,
        raw=without_tokens(json_text(item.model_dump())),
        fetched_at=item.fetched_at,
    )
    return storable(letter)


def _characters(item: Item) -> Iterator[str]:
    """Fields with a character that may not be in them, however deep they lie.

    The item's JSON, which its checksum needs anyway, shows at a glance that nearly every item has none.
    """
    try:
        if not _is_suspect(item.content, _line_ends(item) if isinstance(item, Anime) else 0):
            return
    except PydanticSerializationError:
        pass
    for path, text in _strings(item, ""):
        pattern = UNSTORABLE if path == AS_SENT else TEXTS.get(path, CONTROL)
        if pattern.search(text):
            yield f"{path}: holds a control character or half a character"


def _is_suspect(content: bytes, allowed: int) -> bool:
    """Whether any of these characters is in an item's JSON: as an escape, as itself, or as U+FFFD for half of one in a
    key. Four looks for single bytes take a quarter of the time of one search for everything.

    Args:
        allowed: how many escapes are of characters that may be where they are.
    """
    return (
        (b"\\" in content and len(ESCAPE.findall(content)) != allowed)
        or b"\x7f" in content
        or (b"\xc2" in content and C1.search(content) is not None)
        or (b"\xef" in content and b"\xef\xbf\xbd" in content)
    )


def _line_ends(item: Anime) -> int:
    """How many line ends and tabs its texts of several lines have: nearly every description has some."""
    text, raw = item.description or "", item.description_raw or ""
    return sum(map(text.count, "\n\t")) + sum(map(raw.count, "\n\t\r"))


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """All texts within a value, keys too, each with the names that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, path)
            yield from _strings(inner, path)
    elif isinstance(value, tuple | list | set | frozenset):
        for inner in value:
            yield from _strings(inner, path)
    elif isinstance(value, BaseModel) or is_dataclass(value):
        names = type(value).model_fields if isinstance(value, BaseModel) else [field.name for field in fields(value)]
        for name in names:
            inner = getattr(value, name)
            if type(inner) not in TEXTLESS:
                yield from _strings(inner, f"{path}.{name}" if path else name)


def _of_episode(item: Episode | Airing) -> Iterator[str]:
    if item.number > INTEGER_MAX or (isinstance(item, Episode) and (item.season_number or 0) > INTEGER_MAX):
        yield f"number: a season or number above {INTEGER_MAX}"


def _of_players(players: tuple[Player, ...]) -> Iterator[str]:
    if not players:
        return
    numbers = [(player.season_number or 0, player.source_number) for player in players]
    urls = [player.url for player in players]
    if any(map(ge, numbers, numbers[1:])):
        yield "players: their seasons and numbers must rise"
    if max(map(max, numbers)) > NUMBER_MAX:
        yield f"players: a season or number above {NUMBER_MAX}"
    if max(map(len, urls)) > LONGEST_URL:
        yield f"players.url: more than {LONGEST_URL} characters"
    # The model has made sure of https://host; a whole release is on one host or two.
    for host in sorted({url.split("/", 3)[2] for url in urls}):
        if not is_public_host(host.partition(":")[0].lower()):
            yield f"players.url: {host} is not a public name"
