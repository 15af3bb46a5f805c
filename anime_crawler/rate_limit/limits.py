"""`Limits` are rate limits as data; as text, ``5/s,90/min,200/day`` is three windows that all hold at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from anime_crawler.host import PORTS, host_of, port_of

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
    """A `Window` allows at most `count` requests in any period of `seconds`."""

    count: int
    seconds: float

    def __str__(self) -> str:
        unit = {1: "s", 60: "min", 3600: "h", 86400: "day"}.get(int(self.seconds), f"{self.seconds:g}s")
        return f"{self.count}/{unit}"


@dataclass(frozen=True)
class Limits:
    """`Limits` are windows that all hold at once. Without a window there is no limit."""

    windows: tuple[Window, ...] = ()
    card_window_s: float = 0.0
    """Seconds of the longest window on the source's card. Other processes may still use these windows. So a setting
    that replaces them, even with `off`, does not shorten the time for which a request is remembered."""

    def __str__(self) -> str:
        return ",".join(map(str, self.windows)) or "off"


def parse_limits(text: str) -> Limits:
    """The limits that `text` states.

    Args:
        text: ``5/s,90/min`` or ``off``; ``1/4s`` is one request in four seconds.

    Raises:
        ValueError: if a part is not of the form count/unit; the message names the part.
    """
    if text.strip().lower() == "off":
        return Limits()
    windows = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d*)\s*([a-z]+)\s*", part.lower())
        if not match or match[3] not in UNITS_S or int(match[1]) < 1 or match[2] == "0":
            raise ValueError(
                f"{part.strip()!r} is not a limit: a count, a slash and s, min, h or day are wanted, or `off` for none"
            )
        windows.append(Window(int(match[1]), int(match[2] or 1) * UNITS_S[match[3]]))
    return Limits(tuple(windows))


def limits_of(config: Any, card: Any) -> Limits:
    """The limits that are in force for the source: those of the setting that its card names, or else the card's own.

    A rate in `RATE_LIMIT_RPS` is added as one more window.

    Args:
        config: a `Config`; `config.py` imports this module, so the type cannot be named here.
        card: a `SourceCard`.
    """
    of_card = parse_limits(card.limits)
    own: Limits | None = config.value(card.limits_setting) if card.limits_setting else None
    card_window_s = max((window.seconds for window in of_card.windows), default=0.0)
    limits = replace(own if own is not None else of_card, card_window_s=card_window_s)
    return with_rate(limits, config.rate_limit_rps)


def with_rate(limits: Limits, requests_per_second: float | None) -> Limits:
    """The limits with one more window for the rate: 2 means 2 requests in a second, 0.5 means 1 in two seconds."""
    if requests_per_second is None:
        return limits
    count = max(1, int(requests_per_second))
    return replace(limits, windows=(*limits.windows, Window(count, count / requests_per_second)))


def budget_of(name: str, address: str, usual_address: str = "") -> str:
    """The name under which the limiter keeps the budget of an upstream: ``kodik``, or ``kodik@127.0.0.1:8100``.

    Another host, such as a mirror or the sandbox, has a budget of its own, because the source's own host does not count
    its requests. The source's own host has the plain name. Older releases used the plain name for every host, so after
    an upgrade their requests count for the source's own host and no quota is forgotten.

    Args:
        address: the base address from the settings.
        usual_address: the base address of the source's card; empty if the card has none.
    """
    host = _host_of(address)
    return name if usual_address and host == _host_of(usual_address) else f"{name}@{host}"


def address_of(config: Any, card: Any) -> str:
    """The source's base address: that of the setting which its card names, or else the card's own."""
    address: str = config.value(card.base_url_setting) if card.base_url_setting else card.base_url
    return address


def _host_of(address: str) -> str:
    """``host``, or ``host:port`` if the port is not the scheme's usual one."""
    url = urlsplit(address)
    port = port_of(url)
    return host_of(url) if port in (0, PORTS.get(url.scheme)) else f"{host_of(url)}:{port}"
