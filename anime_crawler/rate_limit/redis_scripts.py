"""These Lua scripts, in ``lua/``, are the calls of `RedisLimiter`. Redis runs each one as a single step.

Times are whole microseconds. Every script gets the same keys and the same first two arguments.
"""

from __future__ import annotations

from importlib.resources import files

PREFIX = "anime_crawler:budget:"
PARTS = ("sent", "line", "due", "state")
"""Each upstream has these four keys. ``sent``: times of requests. ``line``: places in the queue, by arrival. ``due``:
until when each place is kept. ``state``: penalty and breaker."""

CLOCK = "redis.call('TIME')"
"""The scripts ask for the time with this call; tests replace it by a clock of their own."""


def _lua(name: str) -> str:
    """The script that consists of ``lua/common.lua`` and the file of that name."""
    folder = files("anime_crawler.rate_limit").joinpath("lua")
    return "".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))


ACQUIRE = _lua("acquire")
LATE = _lua("late")
PENALIZE = _lua("penalize")
RECORD_FAILURE = _lua("record_failure")
RECORD_SUCCESS = _lua("record_success")
LOOK = _lua("look")
FULL = _lua("full")
