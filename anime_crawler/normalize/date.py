"""Dates that are known in part, and what follows from them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

SEASONS = ("winter", "spring", "summer", "fall")
BORDER = timedelta(days=9)
"""Seasons begin nine days before their month: a title of 28 December is next year's winter (Shikimori, MyAnimeList)."""


def partial_date(year: int | None, month: int | None = None, day: int | None = None) -> str | None:
    """``2027``, ``2027-04`` or ``2027-04-09``: as much as is known from the left; ``None`` without a year.

    Raises:
        ValueError: there is no such date.
    """
    if not year:
        return None
    checked = date(year, month or 1, day or 1).isoformat()
    return checked if month and day else checked[:7] if month else checked[:4]


ISO_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ].*)?)?)?", re.ASCII | re.DOTALL)


def read_date(text: str | None) -> str | None:
    """As much as is known of a date written as ``2027-04-09``, ``2027-04`` or ``2027``; a time behind it is not read.

    Zeros stand for what is unknown: ``2027-04-00`` is ``2027-04``. ``None`` for nothing, and for ``0000-00-00``.

    Raises:
        ValueError: there is no such date, or it is written in another way.
    """
    if not text or not text.strip():
        return None
    match = ISO_DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a date: {text[:40]!r}")
    year, month, day = (int(part or 0) for part in match.groups())
    return partial_date(year, month, day)


def season_of(partial: str | None) -> str | None:
    """Cour of a first airing day: ``winter``, ``spring``, ``summer``, ``fall``; ``None`` when the month is unknown.

    With the day it begins nine days before its month (`BORDER`); where only the month is known, with the month.
    """
    if partial is None or len(partial) < 7:
        return None
    month = int(partial[5:7])
    if len(partial) == 10:  # in whichever year: ten days after the last one there is no year any more
        month = (date(2000, month, int(partial[8:])) + BORDER).month
    return SEASONS[(month - 1) // 3]


def cour_of(
    aired_from: str | None, stated: str | None = None, year: int | None = None, *, derived: str | None = None
) -> tuple[str | None, int | None]:
    """(season, year of the season) of a work: the one rule for all sources.

    A winter that begins in December is the next year's, whatever year the source gives: a title of 28 December 2024 is
    one of winter 2025, as all that start in January. From 23 December on (`BORDER`) it is winter, unless the source
    states another season; before that day the source's own months decide, on which the sources do not agree.

    Args:
        aired_from: first airing day, as much as is known of it.
        stated, year: season and its year as the source states them; ``None``: it does not.
        derived: season of the first airing day by the months of this source. ``None``: it says none.
    """
    is_december = aired_from is not None and aired_from[5:7] == "12"
    is_late = is_december and season_of(aired_from) == "winter"
    season = stated or ("winter" if is_late else derived)
    began = int(aired_from[:4]) if aired_from else None
    if season is None:
        return None, None
    if season == "winter" and is_december and began:
        return season, began + 1
    return season, year or began


def utc_stamp(text: Any) -> str | None:
    """A moment as ISO 8601 in UTC, so that stamps compare as text; ``None`` for what is no moment with a zone."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return moment.astimezone(UTC).isoformat() if moment and moment.tzinfo else None
    except (ValueError, OverflowError):  # the first and the last day there is begin and end elsewhere than in UTC
        return None
