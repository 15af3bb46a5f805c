"""Models of the three bodies of the import contract, with every rule of the backend and some of our own.

The backend's 422 never names the field, so a body is checked by these models first. The backend accepts every body
that passes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from anime_crawler.items import HttpsUrl

SOURCE_NAME: Final = "kodik-shikimori"
"""Name of the anime's source at the backend. It is part of every identity there, so it must never change."""
PLAYER_SOURCE_NAME: Final = "kodik"

_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates. NUL is a 500 at the backend, and escapes are a danger in terminals."""
_CONTROL = r"[^\x00-\x1f\x7f-\x9f]"

Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]
Line = Annotated[str, StringConstraints(pattern=rf"^{_CONTROL}*$", strip_whitespace=True, min_length=1)]
TITLE_MAX = 500
Title = Annotated[Line, StringConstraints(max_length=TITLE_MAX)]
"""A title of at most 500 characters. The backend's index takes some 2,690 bytes, and 500 characters of four bytes each
stay below that."""
Int32 = Annotated[int, Field(strict=True, ge=-(2**31), le=2**31 - 1)]
EpisodeNumber = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
PlayerUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?/[^\s?#<>\"'`\\\x00-\x20\x7f-\x9f]+$", max_length=2000
    ),
]
"""A canonical address: https, host in lower case, no query or fragment. The text is the player's identity at the
backend."""


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def body(self) -> bytes:
        """The payload as UTF-8 JSON with keys in the contract's order: the same content gives the same bytes."""
        return self.__pydantic_serializer__.to_json(self)


class AnimePayload(_Payload):
    """Body of ``POST import/anime``. It is always the full record: a missing or null field erases the stored value."""

    source_name: Literal["kodik-shikimori"] = SOURCE_NAME
    source_id: Digits
    title: Title
    alternative_titles: list[Line] | None
    description: Annotated[str, StringConstraints(max_length=100_000)] | None
    """The longest real description has some 8,000 characters; more than 100,000 would be a mistake of ours."""
    year: int | None = Field(ge=1900, le=2100)
    status: Literal["ongoing", "completed", "upcoming"] | None
    poster: HttpsUrl | None
    genres: list[Line] | None


class EpisodePayload(_Payload):
    """One entry in the body of ``POST import/episodes``."""

    source_episode_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}:[0-9]+$")]
    number: EpisodeNumber
    title: Line | None
    is_available: bool


class PlayerLink(BaseModel):
    """The ``player`` object of a video import."""

    type: Literal["iframe"] = "iframe"
    url: PlayerUrl
    source_name: Literal["kodik"] = PLAYER_SOURCE_NAME
    priority: Int32


class VideoPayload(_Payload):
    """Body of ``POST import/video``. The player's identity is its episode, exact address and player source."""

    source_name: Literal["kodik-shikimori"] = SOURCE_NAME
    source_episode_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}:[0-9]+$")]
    player: PlayerLink


def episodes_body(title_id: str, entries: Iterable[bytes]) -> bytes:
    """The body of one ``POST import/episodes``.

    Args:
        entries: bodies of `EpisodePayload`, at least one, no number twice.
    """
    head = f'{{"source_name":"{SOURCE_NAME}","anime_source_id":"{title_id}","episodes":['
    return head.encode() + b",".join(entries) + b"]}"


def clean_line(text: str | None) -> str | None:
    """The text on one line without invisible characters; ``None`` when nothing is left."""
    return " ".join(_INVISIBLE.sub("", text).split()) or None if text else None


def clean_text(text: str | None) -> str | None:
    """The text with its lines, without invisible characters; ``None`` when nothing is left."""
    return _INVISIBLE.sub("", text).strip() or None if text else None


def explain(error: ValidationError) -> str:
    """Text that names each field and the rule that it breaks: ``player.url: String should match pattern …``."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
