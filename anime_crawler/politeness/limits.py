"""Rate limits as text and as data: ``5/s,90/min,200/day`` are three windows that hold together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

UNITS_S = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "m": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}


@dataclass(frozen=True)
class Window:
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float

    def __str__(self) -> str:
        unit = {1: "s", 60: "min", 3600: "h", 86400: "day"}.get(int(self.seconds), f"{self.seconds:g}s")
        return f"{self.count}/{unit}"


@dataclass(frozen=True)
class Limits:
    """Windows that hold together; none at all means no limit."""

    windows: tuple[Window, ...] = ()

    def __str__(self) -> str:
        return ",".join(map(str, self.windows)) or "off"


def parse_limits(text: str) -> Limits:
    """The limits that `text` states.

    Args:
        text: ``5/s,90/min`` or ``off``.

    Raises:
        ValueError: naming the part that is not of the form count/unit.
    """
    if text.strip().lower() == "off":
        return Limits()
    windows = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*([a-z]+)\s*", part.lower())
        if not match or match[2] not in UNITS_S or int(match[1]) < 1:
            raise ValueError(
                f"{part.strip()!r} is not a limit: a count, a slash and s, min, h or day are wanted, or `off` for none"
            )
        windows.append(Window(int(match[1]), UNITS_S[match[2]]))
    return Limits(tuple(windows))


def limits_of(config: Any, card: Any) -> Limits:
    """The limits in force for the source: the setting that its card names, else the card's own; and `RATE_LIMIT_RPS`.

    Args:
        config: a `Config`; this module is below it.
        card: a `SourceCard`.
    """
    own: Limits | None = config.value(card.limits_setting) if card.limits_setting else None
    return with_rate(own if own is not None else parse_limits(card.limits), config.rate_limit_rps)


def with_rate(limits: Limits, requests_per_second: float | None) -> Limits:
    """The limits and, on top of them, a window that holds the rate: 2 is 2 in a second, 0.5 is 1 in two seconds."""
    if requests_per_second is None:
        return limits
    count = max(1, int(requests_per_second))
    return Limits((*limits.windows, Window(count, count / requests_per_second)))
