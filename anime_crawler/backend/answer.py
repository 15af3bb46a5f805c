"""What is imported, and what the backend answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum


class Kind(StrEnum):
    """The three imports."""

    ANIME = "anime"
    EPISODES = "episodes"
    PLAYER = "video"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: str
    retry_after: str | None = None


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header (seconds or a date) asks for, at least 0; ``None``: none, or not readable."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
