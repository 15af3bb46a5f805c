"""The kinds of records that the importer sends, and the backend's answers to them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from scrapy.http import Headers

from anime_crawler.rate_limit.headers import retry_after_s


class Kind(StrEnum):
    """The three imports."""

    ANIME = "anime"
    EPISODES = "episodes"
    PLAYER = "video"


@dataclass(frozen=True, slots=True)
class Answer:
    """An `Answer` is the backend's response to one POST."""

    status: int
    text: str
    retry_after: str | None = None
    """The header; bytes that are no UTF-8 stand in it as aiohttp leaves them, escaped."""

    @property
    def asked_s(self) -> float | None:
        """Seconds from now that the header asks for, at least 0; ``None``: there is none, or none that can be read."""
        said = (self.retry_after or "").encode("utf-8", "surrogateescape")
        return retry_after_s(Headers({"Retry-After": said}), time.time())
