"""Errors of sources, named for what the caller does next.

SourceError
├── RecordError    set this record aside, go on with the next
└── ResponseError  the whole answer is not what was asked for: ask again, then keep it as a dead letter
    └── NotJsonError  it is no JSON at all
"""

from __future__ import annotations

from typing import ClassVar

from scrapy.exceptions import DropItem


class Settled(DropItem):
    """A pipeline of ours drops an item that needs nothing more: it is stored and no data, or the same again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, log_level="DEBUG")


class SourceError(Exception):
    """Anything a source could not understand."""


class RecordError(SourceError):
    """One record breaks a rule. The message names both: ``material_data.anime_kind: unknown value 'tv_99'``."""


class ResponseError(SourceError):
    """The shape of the whole response is wrong. The message says what was expected and what was there."""

    kind: ClassVar[str] = "wrong_shape"
    """Of the verdict on such an answer."""


class NotJsonError(ResponseError):
    """The body is no JSON, or cut short. The message holds no part of it."""

    kind = "not_json"
