"""Asks for turns as fast as it may, from a process of its own; prints when it got them (Unix time, one a line).

python -m tests.politeness.budget_hammer FILE-OR-URL LIMITS SECONDS

It says that it is ready, and begins when it is sent a line.
"""

from __future__ import annotations

import sys
import time

from anime_crawler.politeness.budget import Budgets, BudgetStorage
from anime_crawler.politeness.budget_redis import RedisBudgets
from anime_crawler.politeness.limits import parse_limits

AT_ONCE = 2  # requests of one worker that want a turn: more in all than one burst serves, so that some always wait


def hammer(budgets: BudgetStorage, limits: str, seconds: float) -> list[float]:
    """Times of the turns that could be had in so many seconds."""
    windows, end = parse_limits(limits), time.time() + seconds
    places, times = [""] * AT_ONCE, []
    while time.time() < end:
        pause_s = 1.0
        for i, place in enumerate(places):
            wait = budgets.reserve("hammered", windows, place)
            places[i] = wait.place if wait else ""
            pause_s = min(pause_s, wait.pause_s if wait else 0.0)
            if wait is None:
                times.append(time.time())
        time.sleep(pause_s)
    return times


if __name__ == "__main__":
    where, limits, seconds = sys.argv[1:]
    budgets: BudgetStorage = RedisBudgets(where) if "://" in where else Budgets(where)
    print("ready", flush=True)
    sys.stdin.readline()
    print(*hammer(budgets, limits, float(seconds)), sep="\n")
