"""Asks for turns as fast as it may, from a process of its own; prints when it got them (Unix time, one a line).

python -m tests.rate_limit.budget_hammer FILE-OR-URL LIMITS SECONDS

It says that it is ready, and begins when it is sent a line.
"""

from __future__ import annotations

import subprocess
import sys
import time

from anime_crawler.rate_limit.limiter import Limiter
from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.rate_limit.middleware import LATE_S
from anime_crawler.rate_limit.redis_limiter import RedisLimiter
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.guard import ROOT, clean_environment
from tests.processes import start as start_process

AT_ONCE = 2  # requests of one worker that want a turn: more in all than one burst serves, so that some always wait


def hammer(limiter: Limiter, limits: str, seconds: float) -> list[float]:
    """Times of the turns that could be had in so many seconds."""
    windows, end = parse_limits(limits), time.time() + seconds
    places, times = [""] * AT_ONCE, []
    while time.time() < end:
        pause_s = 1.0
        for i, place in enumerate(places):
            asked_at = time.time()
            wait = limiter.acquire("hammered", windows, place)
            places[i] = wait.place if wait else ""
            pause_s = min(pause_s, wait.pause_s if wait else 0.0)
            if wait is None:
                times.append(time.time())
                late_s = times[-1] - asked_at
                if late_s > LATE_S:  # as the crawler tells of what may have arrived late
                    limiter.late("hammered", windows, late_s, late_s)
        time.sleep(pause_s)
    return times


def start(place: str, limits: str, processes: int, seconds: float) -> list[subprocess.Popen[str]]:
    """So many of them, ready to begin."""
    command = ["tests.rate_limit.budget_hammer", place, limits, seconds]
    options = {"cwd": ROOT, "env": clean_environment(), "warnings": ["error"]}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [start_process(*command, **options, **pipes) for _ in range(processes)]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * processes
    return running


def times_of(running: list[subprocess.Popen[str]]) -> list[list[float]]:
    """Let all begin together; when each got its turns."""
    begin(running)
    outputs = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return [[float(line) for line in output.split()] for output in outputs]


def begin(running: list[subprocess.Popen[str]]) -> None:
    """Now."""
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()


if __name__ == "__main__":
    where, limits, seconds = sys.argv[1:]
    limiter: Limiter = RedisLimiter(where) if "://" in where else SqliteLimiter(where)
    print("ready", flush=True)
    sys.stdin.readline()
    print(*hammer(limiter, limits, float(seconds)), sep="\n")
