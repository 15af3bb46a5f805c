"""A spider yields these beside data: progress, absences, and records that it could not understand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime_crawler.items.base import Item, NonBlank, utc_now
from anime_crawler.items.metadata import Character, Episode

TOKEN = re.compile(r"(token=)[^&\"'\\\s]+")
"""A credential inside an address, as in Kodik's ``next_page``."""


def without_tokens(text: str) -> str:
    """The record as it may be kept."""
    return TOKEN.sub(r"\1REDACTED", text)


UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""NUL, which PostgreSQL refuses, also escaped in JSON; halves of characters, which are no UTF-8."""
LONGEST_KEY = 300
"""Characters of an id; the longest that we know, a page's name made of a title, have some 200. PostgreSQL refuses rows
whose key has more than 2,704 bytes, and with one row it would refuse the whole batch."""
Word = TypeVar("Word", bound=BaseModel)


def storable(word: Word) -> Word:
    """The object with U+FFFD for each character that cannot be stored, which must neither lose it nor end a batch."""
    changed = {name: replaced(value) for name, value in word if value and replaced(value) != value}
    return word.model_copy(update=changed) if changed else word


def replaced(value: Any) -> Any:
    """The value with U+FFFD for each such character in its texts, however deep they lie."""
    if isinstance(value, str):
        return UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {replaced(key): replaced(inner) for key, inner in value.items()}
    return type(value)(map(replaced, value)) if isinstance(value, list | tuple) else value


class Checkpoint(BaseModel):
    """How far a walk has come. Yielded after all items of a page and before the request for the next.

    The catalogue stores it in the same order as items, and only while `previous` is what it holds: an
    earlier page that is processed late cannot move the walk, and nothing is skipped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    volatile: ClassVar[frozenset[str]] = frozenset({"read_at"})
    """Names within a state that say when a page was read, not how far the walk is: a page that is read again after a
    crash comes to the same place at another time."""

    source: NonBlank
    """Folder name of the upstream under ``sources/``; each has one walk."""
    previous: dict[str, Any] | None
    """State before this page; ``None``: the walk starts here."""
    state: dict[str, Any]
    """State after it, plain JSON, opaque to everyone but the spider. Never holds a token."""
    full_since: int | None = None
    """Only on the last checkpoint of a walk that listed everything: the run in which that walk began. Releases and
    anime of the source that no run since then has seen are gone. ``None``: on all others."""
    listed: tuple[NonBlank, ...] = ()
    """In a walk that lists everything: ids of the anime that its page listed, where the page itself gives no items.
    They are there, whether or not their own pages can be read. Empty: none."""
    asked: tuple[NonBlank, ...] = ()
    """Ids of anime whose details the source was asked for, whatever it answered: `Run.wanted` leaves them out in this
    run, and until they are old. Empty: none."""


def place_of(state: Any) -> Any:
    """A checkpoint's state without what is `volatile` in it, however deep: equal for the same place of a walk."""
    if isinstance(state, dict):
        return {name: place_of(value) for name, value in state.items() if name not in Checkpoint.volatile}
    return [place_of(value) for value in state] if isinstance(state, list) else state


class Absent(Item):
    """The source was asked for this anime and does not know it."""

    renamed_to: str | None = Field(None, exclude=True)
    """The id under which the source gave the anime instead. Told, not kept. ``None``: it has no such anime at all."""


class Listed(Item):
    """Which episodes or characters the source lists of one anime, in a list that was read to its end: others are gone.

    `source_id` is the anime's. Yielded after the items, and only when all of the list was understood.
    """

    kind: Literal["episode", "character"]
    """The kind of the records that are listed."""
    members: tuple[str, ...]
    """Of an episode its season number and number (`member_of`), of a character its id."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.kind, self.source_id)


def member_of(item: Episode | Character) -> str:
    """How a `Listed` names an episode or a character."""
    return "/".join(item.key[2:]) if isinstance(item, Episode) else item.source_id


def members_of(items: Iterable[Item | Rejected], before: Sequence[str] | None = ()) -> list[str] | None:
    """The members of a list whose pages gave `before` and now these items; ``None``: it was not understood wholly.

    Where a record was not understood, nobody knows which episode or character it was, so that none may be called gone.
    """
    found = list(items)
    if before is None or any(isinstance(item, Rejected) for item in found):
        return None
    return [*before, *(member_of(item) for item in found if isinstance(item, Episode | Character))]


def listing(
    kind: Literal["episode", "character"], anime_id: str, members: Iterable[str] | None, source: str
) -> Iterator[Listed]:
    """The `Listed` of a complete list of one anime; none where `members_of` does not know what it listed."""
    if members is not None:
        found = tuple(dict.fromkeys(members))
        yield Listed(source=source, source_id=anime_id, fetched_at=utc_now(), kind=kind, members=found)


class Rejected(BaseModel):
    """A record that could not be understood; becomes a dead letter. The rest of its page goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    schema_version: ClassVar[int] = 1
    """As at `Item`."""

    stage: Literal["parse", "validate"] = "parse"
    """The stage that refused it: the source's parser, or the validation or another item pipeline."""
    source: NonBlank
    """Folder name of the upstream under ``sources/``."""
    kind: NonBlank
    """The kind that it should have become: ``material``, ``anime``, ``page``."""
    source_id: str | None
    """The record's id at the source. ``None``: it cannot be told."""
    reason: NonBlank
    """Which field breaks which rule, without the value of secrets."""
    raw: str
    """The record as received, whole, so that it can be replayed: JSON text, or the body. No answer is longer than the
    card's ``max_body_bytes``, so no record is. A body that is no UTF-8 stands as ``base64:`` and its bytes."""
    request: dict[str, Any] = {}
    """How to ask for it again: what the spider's ``replay_request`` needs; no token. Empty: nobody knows."""
    fetched_at: AwareDatetime
    """When the response that gave it was received; UTC."""
