"""Workers of one crawl that are killed again and again: what is lost, what comes twice, what is asked for again.

Jikan's whole catalogue with the characters of each title is walked: each list page leads to 25 requests of its own, so
that all workers have work at once. (Kodik's walk is a chain: one worker asks, the others wait.) Limits are set, and
enforced by the sandbox, so that the walk lasts as long as the kills go on.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from subprocess import Popen
from typing import Any

import redis

from anime_crawler.frontier.redis.inspect import overview
from tests.e2e.support import Project, until

SOURCE = "jikan"
WALK = ("crawl", SOURCE, "-a", "mode=full", "-a", "characters=1")
PAGE_SIZE = 25  # titles of a list page
SEED = 7
PAUSE_S = 1.0  # from a kill to the start of the next worker
SILENT_S = 30.0  # nothing asked for so long: a stock crawl is over; its workers, as they come, wait for ever
MOST_S = 1800.0  # a walk that lasts longer than this has failed

Start = Callable[[int], Popen[str]]
"""Start the worker of that number."""


@dataclass(frozen=True)
class Schedule:
    """Kill one worker every `every_s` for `length_s`, counted from the first request, and start it again."""

    length_s: float
    every_s: float
    workers: int = 4
    last_s: float = 20.0
    """The walk goes on for so long after the last kill, so that the new worker joins it."""
    is_restarting: bool = True
    """False: who was killed stays dead."""


@dataclass(frozen=True)
class Outcome:
    """What came of a walk with kills."""

    seconds: float
    kills: int
    held: int
    """Requests that the killed ones had leased when they died."""
    titles: int
    """That the upstream knows."""
    lost: int
    """Titles that are missing, or whose characters are."""
    duplicates: int
    """Rows that are there twice."""
    violations: int
    refetched: int
    """Requests beyond the first for the same."""
    exit_codes: tuple[int, ...]
    """Of the workers that ended by themselves."""


def run_and_kill(
    start: Start,
    schedule: Schedule,
    has_begun: Callable[[], bool],
    held_by: Callable[[int], int] = lambda _: 0,
    is_over: Callable[[], bool] = lambda: False,
) -> tuple[int, int, tuple[int, ...]]:
    """(Kills, what the dead held, exit codes of the others), when all workers have ended.

    Args:
        has_begun: whether anything has been asked for.
        held_by: what the worker with that process id has leased.
        is_over: whether nothing more comes of workers that do not end by themselves.
    """
    chance, kills, held = random.Random(SEED), 0, 0
    workers = [start(number) for number in range(schedule.workers)]
    try:
        until(has_begun, 120)
        began = time.monotonic()
        for round_ in range(1, int(schedule.length_s / schedule.every_s) + 1):
            victims = _alive_at(workers, began + round_ * schedule.every_s)
            if not victims or is_over():
                break
            number = chance.choice(victims)
            workers[number].kill()
            workers[number].wait()
            kills, held = kills + 1, held + held_by(workers[number].pid)
            if schedule.is_restarting:
                time.sleep(PAUSE_S)
                workers[number] = start(number)
        until(lambda: is_over() or not _alive_at(workers, 0), MOST_S)
        codes = (process.poll() for process in workers)
        return kills, held, tuple(code for code in codes if code not in (None, -signal.SIGKILL))
    finally:
        for process in workers:
            process.kill()
            process.wait()


def _alive_at(workers: list[Popen[str]], moment: float) -> list[int]:
    """Numbers of the workers that live at that time; none as soon as all have ended."""
    while True:
        alive = [number for number, process in enumerate(workers) if process.poll() is None]
        if not alive or time.monotonic() >= moment:
            return alive
        time.sleep(0.1)


def rate_for(titles: int, schedule: Schedule) -> int:
    """Requests a second at which the walk outlasts the kills."""
    return max(1, int((titles + titles / PAGE_SIZE) / (schedule.length_s + schedule.last_s)))


def begin(project: Project, schedule: Schedule) -> tuple[set[str], int]:
    """Ids of the titles that the upstream knows, and the requests a second that it allows from now on."""
    project.sandbox.post("/_sandbox/reset", {})
    rows = project.sandbox.get(f"/_sandbox/oracle?what=known&source={SOURCE}")
    rate = rate_for(len(rows), schedule)
    project.sandbox.post("/_sandbox/limits", {"service": SOURCE, "limits": limits(rate)})
    return {row["source_id"] for row in rows}, rate


def limits(rate: int) -> str:
    """Two windows, as Jikan has them."""
    return f"{rate}/s,{rate * 60}/min"


def with_leases(project: Project, schedule: Schedule, *settings: str) -> Outcome:
    """Our workers; `project` has REDIS_URL and DATABASE_URL.

    Args:
        settings: further words of the command line.
    """
    known, rate = begin(project, schedule)
    workers = [replace(project, directory=project.directory / str(number)) for number in range(schedule.workers)]

    def start(number: int) -> Popen[str]:
        return workers[number].start(*WALK, *settings, JIKAN_LIMITS=limits(rate))

    began = time.monotonic()
    with redis.Redis.from_url(project.environment["REDIS_URL"]) as server:
        kills, held, codes = run_and_kill(start, schedule, lambda: asks(project), lambda pid: leases_of(server, pid))
    seconds = time.monotonic() - began
    asked = requests_seen(project)
    found = Counter(row["source_id"] for row in project.records("anime"))
    cast = Counter((row["anime_id"], row["source_id"]) for row in project.records("characters"))
    unasked = known - {key.split("/")[2] for key in asked if key.endswith("/characters")}
    return Outcome(
        seconds=seconds,
        kills=kills,
        held=held,
        titles=len(known),
        lost=len((known - found.keys()) | unasked),
        duplicates=found.total() - len(found) + cast.total() - len(cast),
        violations=violations(project),
        refetched=asked.total() - len(asked),
        exit_codes=codes,
    )


def asks(project: Project) -> bool:
    """Whether the first worker is at work."""
    return project.requests_to(SOURCE) > 0


def silence(project: Project) -> Callable[[], bool]:
    """Tells whether nothing has been asked for a while, each time it is called."""
    last, since = 0, time.monotonic()

    def is_silent() -> bool:
        nonlocal last, since
        if last != (seen := project.requests_to(SOURCE)):
            last, since = seen, time.monotonic()
        return time.monotonic() - since > SILENT_S

    return is_silent


def leases_of(server: Any, pid: int) -> int:
    """How many requests the worker of that process has leased."""
    return sum(len(worker["holds"]) for worker in overview(server)["workers"] if worker["pid"] == pid)


def one_worker(project: Project) -> dict[str, bytes]:
    """The exports of one undisturbed worker without Redis, on the same titles without limits."""
    project.sandbox.post("/_sandbox/limits", {"service": SOURCE, "limits": "off"})
    alone = Project(project.directory / "alone", project.sandbox, {"BACKEND_BASE_URL": ""})
    done = alone.run(*WALK, timeout=MOST_S)
    assert done.returncode == 0, done.stderr[-3000:]
    return alone.exports()


def with_stock_queue(project: Project, schedule: Schedule) -> Outcome:
    """scrapy-redis as it comes; each worker is told its part of the rate, which is more care than it takes itself."""
    known, rate = begin(project, schedule)
    url = project.environment["REDIS_URL"]

    def start(_: int) -> Popen[str]:
        delay_s = schedule.workers / rate
        command = [sys.executable, "-m", "tests.benchmarks.distributed.stock_spider", url, str(delay_s)]
        with (project.directory / "stock.log").open("a") as log:
            return Popen(command, env=project.env(), cwd=project.directory, stdout=log, stderr=log, text=True)

    began = time.monotonic()
    with redis.Redis.from_url(url) as server:
        server.lpush("stock:start_urls", json.dumps({"url": f"{project.sandbox.url}/{SOURCE}{FIRST_PAGE}"}))
        kills, _, codes = run_and_kill(start, schedule, lambda: asks(project), is_over=silence(project))
        rows = [json.loads(row) for row in server.lrange("stock:items", 0, -1)]
    asked = requests_seen(project)
    kinds = [Counter(row[kind] for row in rows if kind in row) for kind in ("anime", "cast")]
    return Outcome(
        seconds=time.monotonic() - began,
        kills=kills,
        held=0,
        titles=len(known),
        lost=len(known - (kinds[0].keys() & kinds[1].keys())),
        duplicates=sum(kind.total() - len(kind) for kind in kinds),
        violations=violations(project),
        refetched=asked.total() - len(asked),
        exit_codes=codes,
    )


FIRST_PAGE = f"/anime?order_by=mal_id&sort=asc&limit={PAGE_SIZE}&page=1"


def requests_seen(project: Project) -> Counter[str]:
    """How often each was asked for since the log began."""
    entries = project.sandbox.get(f"/_sandbox/log?service={SOURCE}")
    return Counter(f"{entry['path']} {entry['summary'].get('page', '')}".strip() for entry in entries)


def violations(project: Project) -> int:
    """Requests that broke a limit."""
    return int(project.sandbox.get("/_sandbox/stats")["violations"])
