"""First stage: rules across the fields of an item, which its model alone does not hold.

What breaks one is set aside as a dead letter and never stored: the rest of its page goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from operator import ge
from typing import Any

from scrapy.exceptions import DropItem

from anime_crawler.catalogue.dead_letters import key_of
from anime_crawler.items import (
    Airing,
    Anime,
    Character,
    Checkpoint,
    Episode,
    Item,
    Player,
    Rejected,
    Release,
    Titles,
    cut_raw,
)
from anime_crawler.normalize.url import is_public_host

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""C0, DEL and C1: what moves a terminal's cursor or changes its colours, and NUL, which PostgreSQL refuses."""
CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""The same for texts of several lines, which have tabs and line feeds."""
INTEGER_MAX = 2_147_483_647
"""What an integer column of PostgreSQL holds."""


class ValidationPipeline:
    """Lets sound items pass, turns the others into `Rejected`, and drops what is no item of ours."""

    def process_item(self, item: Any) -> Item | Checkpoint | Rejected:
        if isinstance(item, Checkpoint | Rejected):
            return item
        if not isinstance(item, Item):
            raise DropItem(f"{type(item).__name__} is not an item of this project")
        return validated(item)


def validated(item: Item) -> Item | Rejected:
    """The item, or its dead letter."""
    problem = next(problems(item), None)
    return rejected(item, problem) if problem else item


def problems(item: Item) -> Iterator[str]:
    """Which field breaks which rule, one sentence each; nothing for a sound item."""
    yield from _control_characters("source_id or identity", [item.source_id, *item.key])
    if isinstance(item, Release):
        yield from _of_release(item)
    elif isinstance(item, Anime):
        yield from _of_anime(item)
    elif isinstance(item, Episode | Airing):
        yield from _of_episode(item)
    elif isinstance(item, Character):
        yield from _of_character(item)


def rejected(item: Item, problem: str) -> Rejected:
    """The dead letter of an item that breaks a rule."""
    return Rejected(
        stage="validate",
        source=item.source,
        kind=type(item).__name__.lower(),
        source_id=key_of(item),
        reason=problem,
        raw=cut_raw(item.model_dump_json()),
        fetched_at=item.fetched_at,
    )


def _of_anime(item: Anime) -> Iterator[str]:
    names = (*_names(item.titles), *item.alternative_titles, *item.genres, *item.studios)
    yield from _control_characters("titles, genres or studios", names)
    yield from _control_characters("external_ids", item.external_ids.values())
    if item.description and CONTROL_IN_TEXT.search(item.description):
        yield "description: holds a control character"


def _of_episode(item: Episode | Airing) -> Iterator[str]:
    if item.number > INTEGER_MAX or (isinstance(item, Episode) and (item.season_number or 0) > INTEGER_MAX):
        yield f"number: a season or number above {INTEGER_MAX}"
    if isinstance(item, Episode):
        yield from _control_characters("titles", _names(item.titles))


def _of_character(item: Character) -> Iterator[str]:
    voices = (text for actor in item.voice_actors for text in (actor.name, actor.language))
    yield from _control_characters(
        "names, role or voice actors", (*_names(item.names), item.anime_id, item.role, *voices)
    )


def _names(titles: Titles) -> tuple[str | None, ...]:
    return titles.ru, titles.en, titles.romaji, titles.native


def _of_release(item: Release) -> Iterator[str]:
    names = (item.title, item.title_original, item.translation_title, item.translation_id, item.anime_id, item.quality)
    yield from _control_characters("title or translation", names)
    yield from _control_characters("external_ids", item.external_ids.values())
    yield from _of_players(item.players)


def _of_players(players: tuple[Player, ...]) -> Iterator[str]:
    numbers = [player.number for player in players]
    if any(map(ge, numbers, numbers[1:])):
        yield "players: their numbers must rise"
    if any(player.source_number > INTEGER_MAX or (player.season_number or 0) > INTEGER_MAX for player in players):
        yield f"players: a season or number above {INTEGER_MAX}"
    # The model has made sure of https://host; a whole release is on one host or two.
    for host in sorted({player.url.split("/", 3)[2] for player in players}):
        if not is_public_host(host.partition(":")[0].lower()):
            yield f"players.url: {host} is not a public name"
    yield from _control_characters("players.title", [player.title for player in players])


def _control_characters(where: str, texts: Iterable[str | None]) -> Iterator[str]:
    if CONTROL.search("".join(filter(None, texts))):
        yield f"{where}: holds a control character"
