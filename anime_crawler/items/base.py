"""What all items share: identity, time of fetching, schema version, content checksum."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text with at least one visible character."""

HttpsUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[A-Za-z0-9.-]+(?::\d+)?(?:/[^\s<>\"'`\\\x00-\x1f\x7f]*)?$")
]
"""Absolute https address without blanks, quotes or control characters; no other scheme exists in our data."""


class Item(BaseModel):
    """One record as a source tells it. Unknown is ``None``, never 0 or an empty string."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: ClassVar[int] = 1
    """Version of the item's shape; raised when a field changes its meaning. Written beside every row."""

    volatile: ClassVar[frozenset[str]] = frozenset({"fetched_at"})
    """Fields that say when, not what: they do not count in the checksum."""

    source: NonBlank
    """Folder name of the upstream under ``sources/``."""
    source_id: NonBlank
    """The upstream's own id, as text, raw."""
    fetched_at: AwareDatetime
    """When the response that gave this was received; UTC."""

    @property
    def key(self) -> tuple[str, ...]:
        """Identity among items of the same kind."""
        return (self.source, self.source_id)

    @cached_property
    def content(self) -> bytes:
        """Canonical JSON of everything but the volatile fields; the same bytes on every machine."""
        return self.__pydantic_serializer__.to_json(self, exclude=set(self.volatile))

    @cached_property
    def digest(self) -> str:
        """`checksum`, computed once: the pipelines and the catalogue both ask for it."""
        return blake2b(self.content, digest_size=16).hexdigest()

    def checksum(self) -> str:
        """32 hex digits over `content`: equal if and only if nothing but the time of fetching differs."""
        return self.digest

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values; its checksum is its own."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("content", "digest"):
            copied.__dict__.pop(name, None)
        return copied


def utc_now() -> datetime:
    """The current time with its zone, as every item wants it."""
    return datetime.now(UTC)
