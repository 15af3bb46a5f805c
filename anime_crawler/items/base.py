"""All items share identity, time of fetching, schema version and content checksum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text with at least one visible character."""

HttpsUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[A-Za-z0-9.-]+(?::\d+)?(?:/[^\s<>\"'`\\\x00-\x1f\x7f]*)?$")
]
"""Absolute https address without blanks, quotes or control characters; no other scheme exists in our data."""


ABOUT_ANSWER = frozenset({"untold", "not_understood", "unread"})
"""Fields of an item that are about the answer it came with, and no content."""


class Item(BaseModel):
    """One record as a source tells it. Unknown is ``None``, never 0 or an empty string."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

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
    untold: frozenset[str] = Field(frozenset(), exclude=True)
    """Fields that this answer does not tell, though the source may know more: relations, in a list of titles. What is
    stored of them stays. About the answer, not the record: neither content nor kept. Empty: it tells everything."""
    not_understood: tuple[str, ...] = Field((), exclude=True)
    """Fields of the source's record that could not be understood and are unknown here, by their path in its words, with
    the reason: ``format: unknown value 'TV_99'``. The run counts each as drift. Neither content nor kept."""

    unread: frozenset[str] = Field(frozenset(), exclude=True)
    """Those of `untold` that are empty because something of the record was not understood, or may be. Not kept."""

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

    def noting(self, problems: Iterable[str]) -> Self:
        """The item of a record in which `problems` could not be understood.

        Any field that the item leaves empty may be empty for that reason, so it is untold: what is stored stays.
        """
        problems = tuple(dict.fromkeys(problems))
        if not problems:
            return self
        names = type(self).model_fields.keys() - ABOUT_ANSWER - self.untold
        unread = self.unread | {name for name in names if _is_empty(getattr(self, name))}
        problems = self.not_understood + problems
        return self.model_copy(update={"not_understood": problems, "unread": unread, "untold": self.untold | unread})

    def completed_by(self, other: Self) -> Self:
        """With what it does not tell as another version told it; of ids and names by language, those of both."""
        told = {name: _completed(getattr(self, name), getattr(other, name)) for name in self.untold}
        left = self.untold & other.untold
        return self.model_copy(update={**told, "untold": left, "unread": self.unread & left})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values; its checksum is its own."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("content", "digest"):
            copied.__dict__.pop(name, None)
        return copied


def _is_empty(value: Any) -> bool:
    """Whether a field holds nothing; of names by language: not one for each."""
    if isinstance(value, BaseModel):
        return None in dict(value).values()
    return value is None or value == () or isinstance(value, dict)


def _completed(value: Any, other: Any) -> Any:
    if isinstance(value, BaseModel):
        return other.model_copy(update={name: own for name, own in value if own is not None})
    return {**other, **value} if isinstance(value, dict) else other


def utc_now() -> datetime:
    """The current time with its zone, as every item wants it."""
    return datetime.now(UTC)
