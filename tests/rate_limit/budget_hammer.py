"""Asks for turns as fast as it may, from a process of its own; prints when it got each, a line at once.

python -m tests.rate_limit.budget_hammer FILE-OR-URL LIMITS

The times are Unix times by the clock of the file or of Redis: how late this process is told, on a busy machine, is not
in them. It says that it is ready, begins when it is sent a line, and ends when its input is closed.
"""

from __future__ import annotations

import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Thread

from anime_crawler.rate_limit.clock import SharedClock, SystemClock
from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.rate_limit.middleware import LATE_S
from anime_crawler.rate_limit.redis_limiter import RedisLimiter
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.guard import ROOT, clean_environment
from tests.processes import start as start_process

Turns = list[list[float]]
"""Of each process, when it got them."""

AT_ONCE = 2  # requests of one worker that want a turn: more in all than one burst serves, so that some always wait


class Told(SharedClock):
    """Remembers what it told last."""

    latest = 0.0

    def now(self, db: sqlite3.Connection) -> float:
        self.latest = super().now(db)
        return self.latest


class FileLimiter(SqliteLimiter):
    """That of a file, whose time is known."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._clock: Told = Told(SystemClock())

    def told(self) -> float:
        """The time of the last answer."""
        return self._clock.latest


class ServerLimiter(RedisLimiter):
    """That of a Redis, whose time is known."""

    def told(self) -> float:
        """The time of the last answer."""
        return self._seen / 1e6


def hammer(limiter: FileLimiter | ServerLimiter, limits: str) -> None:
    """Print the times of all turns that can be had until the input is closed."""
    windows, places = parse_limits(limits), [""] * AT_ONCE
    pause_s = 0.0
    while not select.select([sys.stdin], [], [], pause_s)[0]:
        pause_s = 1.0
        for i, place in enumerate(places):
            asked_at = time.time()
            wait = limiter.acquire("hammered", windows, place)
            places[i] = wait.place if wait else ""
            pause_s = min(pause_s, wait.pause_s if wait else 0.0)
            if wait is None:
                print(limiter.told(), flush=True)
                late_s = time.time() - asked_at
                if late_s > LATE_S:  # as the crawler tells of what may have arrived late
                    limiter.late("hammered", windows, late_s, late_s)


def start(place: str, limits: str, processes: int) -> list[subprocess.Popen[str]]:
    """So many of them, ready to begin."""
    options = {"cwd": ROOT, "env": clean_environment(), "warnings": ["error"]}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [
        start_process("tests.rate_limit.budget_hammer", place, limits, **options, **pipes) for _ in range(processes)
    ]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * processes
    return running


def turns_of(running: list[subprocess.Popen[str]], enough: Callable[[Turns], bool]) -> Turns:
    """Let all begin together, and go on until they have got enough."""
    turns: Turns = [[] for _ in running]

    def listen(process: subprocess.Popen[str], own: list[float]) -> None:
        with process.stdout as lines:
            for line in lines:
                own.append(float(line))

    listeners = [Thread(target=listen, args=pair, daemon=True) for pair in zip(running, turns, strict=True)]
    for listener in listeners:
        listener.start()
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    while not enough(turns) and all(process.poll() is None for process in running):
        time.sleep(0.05)
    for process in running:
        process.stdin.close()
    for listener in listeners:
        listener.join()
    assert [process.wait() for process in running] == [0] * len(running)
    return turns


def for_seconds(seconds: float) -> Callable[[Turns], bool]:
    """For `turns_of`: after this time they have got enough."""
    end = time.monotonic() + seconds
    return lambda _: time.monotonic() > end


if __name__ == "__main__":
    where, limits = sys.argv[1:]
    limiter = ServerLimiter(where) if "://" in where else FileLimiter(where)
    print("ready", flush=True)
    sys.stdin.readline()
    hammer(limiter, limits)
