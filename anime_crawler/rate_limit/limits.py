"""Rate limits as text and as data: ``5/s,90/min,200/day`` are three windows that hold together."""

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
    card_window_s: float = 0.0
    """The longest window of the source's card. A setting that replaces the card's windows, even `off`, does not shorten
    for how long a request is remembered: other processes keep the card's."""

    def __str__(self) -> str:
        return ",".join(map(str, self.windows)) or "off"


def parse_limits(text: str) -> Limits:
    """The limits that `text` states.

    Args:
        text: ``5/s,90/min`` or ``off``; ``1/4s`` is one in four seconds.

    Raises:
        ValueError: naming the part that is not of the form count/unit.
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
    """The limits in force for the source: the setting that its card names, else the card's own; and `RATE_LIMIT_RPS`.

    Args:
        config: a `Config`; this module is below it.
        card: a `SourceCard`.
    """
    of_card = parse_limits(card.limits)
    own: Limits | None = config.value(card.limits_setting) if card.limits_setting else None
    card_window_s = max((window.seconds for window in of_card.windows), default=0.0)
    limits = replace(own if own is not None else of_card, card_window_s=card_window_s)
    return with_rate(limits, config.rate_limit_rps)


def with_rate(limits: Limits, requests_per_second: float | None) -> Limits:
    """The limits and, on top of them, a window that holds the rate: 2 is 2 in a second, 0.5 is 1 in two seconds."""
    if requests_per_second is None:
        return limits
    count = max(1, int(requests_per_second))
    return replace(limits, windows=(*limits.windows, Window(count, count / requests_per_second)))


def budget_of(name: str, address: str, usual_address: str = "") -> str:
    """The name under which the budget of an upstream is kept: ``kodik``, or ``kodik@127.0.0.1:8100``.

    What is sent to another host, a mirror or the sandbox, is not what the source's own host counts. The plain name is
    that of the usual host. It was everybody's name before hosts were told apart: what an older release noted counts for
    the source's own host, so that no quota is forgotten over an upgrade.

    Args:
        address: that is asked, from the settings.
        usual_address: of the source's card; empty: it has none.
    """
    host = _host_of(address)
    return name if usual_address and host == _host_of(usual_address) else f"{name}@{host}"


def address_of(config: Any, card: Any) -> str:
    """The source's base address: the setting on its card, else the card's default."""
    address: str = config.value(card.base_url_setting) if card.base_url_setting else card.base_url
    return address


def _host_of(address: str) -> str:
    """``host``, or ``host:port`` where the port is not the usual one."""
    url = urlsplit(address)
    port = port_of(url)
    return host_of(url) if port in (0, PORTS.get(url.scheme)) else f"{host_of(url)}:{port}"
