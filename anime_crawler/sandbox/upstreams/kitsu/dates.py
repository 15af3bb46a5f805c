"""Kitsu's dates, which are never partial, and the status that it computes from them."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from anime_crawler.sandbox.world.elsewhere import oddities
from anime_crawler.sandbox.world.works import Title

UPCOMING = timedelta(days=92)
"""What begins later is ``unreleased``."""


@dataclass(frozen=True)
class Dates:
    """What Kitsu shows of a broadcast."""

    start: str | None
    end: str | None
    tba: str | None
    """What is known of an unknown date: "2027", "October 2027", "tba"."""
    lags: bool
    """The answer is an old one of the server's own cache: its status has not followed the dates."""


def dates_of(title: Title, now: int) -> Dates:
    """The dates of a title at the moment `now`, seconds since 1970."""
    today, draw = datetime.fromtimestamp(now, UTC).date(), oddities("kitsu dates", title)
    if title.status == "anons":
        return _announced(title, today, is_near=draw.random() < 0.4)
    start = _first_day(title)
    if title.status == "ongoing":
        begun = min(start, today) if start else today
        return Dates(str(begun), None, None, lags=False)
    end = _last_day(title, start, today - timedelta(days=1))
    if draw.random() < 0.01:
        end = None  # nobody has entered it: `current` for ever
    lags = end is not None and draw.random() < 0.01
    return Dates(_typed(start, is_slip=draw.random() < 0.004), _typed(end), None, lags)


def _typed(day: date | None, *, is_slip: bool = False) -> str | None:
    """As an editor typed it: years like 0202 are slips."""
    return None if day is None else f"0202{day:-%m-%d}" if is_slip else str(day)


def _announced(title: Title, today: date, *, is_near: bool) -> Dates:
    """Placeholders for what is not known: the last day of the year or month, explained in ``tba``."""
    year, month, day = title.aired_on
    if is_near:
        return Dates(str(today + timedelta(days=40)), None, None, lags=False)
    if year is None:
        return Dates(None, None, "tba", lags=False)
    if month is None:
        return Dates(f"{year}-12-31", None, str(year), lags=False)
    last = calendar.monthrange(year, month)[1]
    name = None if day else f"{calendar.month_name[month]} {year}"
    return Dates(f"{date(year, month, day or last)}", None, name, lags=False)


def _first_day(title: Title) -> date | None:
    """What is unknown of a day that has been is 1."""
    year, month, day = title.aired_on
    return date(year, month or 1, day or 1) if year else None


def _last_day(title: Title, start: date | None, yesterday: date) -> date | None:
    year, month, day = title.released_on
    known = date(year, month, day) if year and month and day else None
    guessed = start + timedelta(weeks=max(0, title.episodes - 1)) if start else None
    end = known or guessed
    return min(end, yesterday) if end else None


def status_of(dates: Dates, today: date) -> str | None:
    """As the server computes it when it renders a row."""
    start, end = dates.start, dates.end
    if start is None and end is None:
        return "tba"
    if end is not None and end < str(today):
        return "finished"
    if start is None:
        return None
    if start <= str(today):
        return "current"
    return "upcoming" if start <= str(today + UPCOMING) else "unreleased"
