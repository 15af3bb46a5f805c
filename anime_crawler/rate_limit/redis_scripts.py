"""The Redis form of the budgets as Lua, in ``lua/``: each script is one step that nothing comes between.

Times are whole microseconds. Every script gets the same keys and the same first two arguments.
"""

from __future__ import annotations

from importlib.resources import files

PREFIX = "anime_crawler:budget:"
PARTS = ("sent", "line", "due", "state")
"""Of one upstream: when requests were sent; who waits, by arrival; until when each is waited for; penalty, breaker."""

CLOCK = "redis.call('TIME')"
"""How a script asks for the time; tests put a clock of their own there."""


def _lua(name: str) -> str:
    """The script of that name, after what all scripts share."""
    folder = files("anime_crawler.rate_limit").joinpath("lua")
    return "".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))


ACQUIRE = _lua("acquire")
LATE = _lua("late")
PENALIZE = _lua("penalize")
RECORD_FAILURE = _lua("record_failure")
RECORD_SUCCESS = _lua("record_success")
LOOK = _lua("look")
FULL = _lua("full")
