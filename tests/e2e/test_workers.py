"""Several workers share one crawl in Redis, and end as one careful worker does."""

from __future__ import annotations

import json
import pickle
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import redis
from sqlalchemy import select

from anime_crawler.catalogue.engine import connect
from anime_crawler.catalogue.status import read_status
from anime_crawler.catalogue.tables import checkpoint
from anime_crawler.frontier.redis.inspect import overview
from anime_crawler.frontier.redis.store import unpacked
from anime_crawler.sandbox.world.elsewhere import SHARES
from tests.e2e.support import Project, until
from tests.sandboxes import running_sandbox

NewProject = Callable[..., Project]
Start = Callable[..., Popen[str]]
CRAWL = ("crawl", "kodik")
SHORT = ("-s", "WORKER_LEASE_S=6")  # for those that wait for its end; a process at its start may be silent for seconds
TITLES = 40  # three list pages
KODIK = "anime_crawler:frontier:kodik"


@dataclass(frozen=True)
class Clean:
    """What one undisturbed process makes of the same titles."""

    exports: dict[str, bytes]
    dump: Any
    requests: dict[str, int]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    with running_sandbox(titles=TITLES, limits="off") as sandbox:
        project = Project(tmp_path_factory.mktemp("clean"), sandbox)
        assert project.crawl().returncode == 0
        requests = {service: project.requests_to(service) for service in ("kodik", "shikimori")}
        return Clean(project.exports(), project.dump(), requests)


@pytest.fixture
def workers(new_project: NewProject, redis_url: str, postgres_url: str, tmp_path: Path) -> list[Project]:
    """Two machines with one Redis, one PostgreSQL and one sandbox, without a backend."""
    shared = {"REDIS_URL": redis_url, "DATABASE_URL": postgres_url, "BACKEND_BASE_URL": ""}
    first = new_project("first", shared, titles=TITLES)
    return [first, replace(first, directory=tmp_path / "second")]


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a worker; what a failed test leaves is killed."""
    processes: list[Popen[str]] = []

    def crawl(worker: Project, *settings: str, command: tuple[str, ...] = CRAWL) -> Popen[str]:
        processes.append(worker.start(*command, *settings))
        return processes[-1]

    yield crawl
    for process in processes:
        process.kill()
        process.wait()


def ends_well(process: Popen[str], worker: Project) -> None:
    assert process.wait(100) == 0, worker.log()[-3000:]


def hold_page(worker: Project, number: int) -> None:
    """Let the first answer for the list page of that number wait for `let_go`."""
    worker.fault("kodik", "held", skip=number - 1, count=1)


def let_go(worker: Project) -> None:
    """Send the answer that waits."""
    worker.sandbox.delete("/_sandbox/faults")


def until_page(worker: Project, number: int, server: redis.Redis) -> None:
    """Wait until the page has been asked for, and those before it are stored: it alone is leased."""
    until(lambda: worker.requests_to("kodik") == number and server.hlen(f"{KODIK}:leases") == 1, 60)


def states(worker: Project) -> list[str]:
    """Of all runs."""
    with connect(worker.environment["DATABASE_URL"]) as conn:
        return [run["state"] for run in read_status(conn)["runs"]]


def asked_before(worker: Project) -> set[str]:
    """Ids that the spiders' checkpoints say were asked for: AniDB's, which bans who asks twice in a day."""
    with connect(worker.environment["DATABASE_URL"]) as conn:
        states = conn.execute(select(checkpoint.c.state)).scalars()
        return {own for state in states for own in json.loads(state).get("asked", ())}


def dumped(server: redis.Redis) -> bytes:
    """Every key and value, unpacked."""
    read = {
        b"hash": lambda key: [part for item in server.hgetall(key).items() for part in item],
        b"zset": lambda key: server.zrange(key, 0, -1),
        b"set": server.smembers,
        b"string": lambda key: [server.get(key)],
    }
    found = list(server.scan_iter())
    found += [value for key in [*found] if (kind := server.type(key)) in read for value in read[kind](key)]
    return b"\n".join(unpacked(part) for part in found if part)


def test_two_workers_crawl_each_page_once_and_store_what_one_does(
    workers: list[Project], clean: Clean, server: redis.Redis, start: Start
) -> None:
    """The backend holds the same; keys of a stock scrapy-redis stay; nothing at any time holds a token."""
    workers[0].environment.pop("BACKEND_BASE_URL")  # the second has the same
    server.zadd("kodik:requests", {pickle.dumps({"url": "http://a.test"}): 0})
    hold_page(workers[0], 1)
    processes = [start(worker) for worker in workers]
    until(lambda: server.zcard("anime_crawler:crawl:kodik:alive") == 2)
    until_page(workers[0], 1, server)
    assert {worker["pid"] for worker in overview(server)["workers"]} == {process.pid for process in processes}
    during = dumped(server)
    let_go(workers[0])
    for process, worker in zip(processes, workers, strict=True):
        ends_well(process, worker)
    assert workers[0].exports() == clean.exports
    assert workers[0].dump() == clean.dump
    assert {service: workers[0].requests_to(service) for service in clean.requests} == clean.requests
    assert server.exists("kodik:requests")
    assert b"cb_kwargs" in during
    for token in (workers[0].sandbox.kodik_token, workers[0].sandbox.internal_token):
        assert token.encode() not in during + dumped(server)


@pytest.mark.exec
def test_a_killed_workers_page_is_fetched_again_by_another(
    workers: list[Project], clean: Clean, server: redis.Redis, start: Start
) -> None:
    """One page, the one that was leased; the run that the dead one began is finished."""
    hold_page(workers[0], 2)
    dead = start(workers[0], *SHORT)
    until_page(workers[0], 2, server)
    heir = start(workers[1], *SHORT)
    until(lambda: server.zcard("anime_crawler:crawl:kodik:alive") == 2)
    dead.kill()
    ends_well(heir, workers[1])
    assert workers[1].exports() == clean.exports
    assert workers[1].requests_to("kodik") == clean.requests["kodik"] + 1
    assert states(workers[1]) == ["finished"]


def test_a_worker_that_slept_beyond_its_lease_neither_stores_nor_acks(
    workers: list[Project], clean: Clean, server: redis.Redis, start: Start
) -> None:
    """Another has taken over; the sleeper wakes with the answer in its hands, drops it, and ends with 3."""
    hold_page(workers[0], 2)
    sleeper = start(workers[0], *SHORT)
    until_page(workers[0], 2, server)
    sleeper.send_signal(signal.SIGSTOP)
    let_go(workers[0])
    ends_well(start(workers[1], *SHORT), workers[1])
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(100) == 3, workers[0].log()[-3000:]
    assert workers[0].report()["counters"]["release"] == {"new": 100}
    assert workers[1].exports() == clean.exports
    assert states(workers[1]) == ["finished"]


def test_a_planted_pickle_is_refused_and_reported_and_nothing_is_lost(
    workers: list[Project], clean: Clean, server: redis.Redis, start: Start
) -> None:
    """Exit code 1; it is kept for people to look at."""
    planted = pickle.dumps(Path("planted"))
    hold_page(workers[0], 1)
    process = start(workers[0])
    until_page(workers[0], 1, server)
    server.hset(f"{KODIK}:requests", "000000000000", planted)
    server.zadd(f"{KODIK}:pending:127.0.0.1", {"000000000000": -9})
    server.sadd(f"{KODIK}:slots", "127.0.0.1")
    let_go(workers[0])
    assert process.wait(100) == 1, workers[0].log()[-3000:]
    assert ("kodik", "refused_request") in workers[0].problems()
    assert server.hvals(f"{KODIK}:refused") == [planted]
    assert workers[0].exports() == clean.exports


def test_a_run_without_redis_is_kept_out(workers: list[Project], server: redis.Redis, start: Start) -> None:
    """Exit code 5 while a worker is at it."""
    hold_page(workers[0], 1)
    start(workers[0])
    until_page(workers[0], 1, server)
    assert workers[1].run(*CRAWL, REDIS_URL="").returncode == 5


EXTRAS = {
    "jikan": ("-a", "characters=1"),
    "anisearch": ("-a", "characters=1", "-a", "episodes=1"),
    "anidb": ("-a", "characters=1"),
}
"""Arguments of walks that ask for more than lists."""


@dataclass(frozen=True)
class Walk:
    """Everything that a source has, with what one worker makes of it, and two that have not begun."""

    source: str
    command: tuple[str, ...]
    exports: dict[str, bytes]
    asked: set[str]
    requests: int
    workers: list[Project]


@pytest.fixture(params=sorted(SHARES))
def walk(
    request: Any, new_project: NewProject, redis_url: str, new_postgres_url: Callable[[], str], tmp_path: Path
) -> Walk:
    """Of every source but the two that the main job asks."""
    source = request.param
    command = ("crawl", source, *EXTRAS.get(source, ("-a", "mode=full")))
    common = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}
    one = new_project("one", {**common, "DATABASE_URL": new_postgres_url()}, titles=TITLES)
    if source == "anidb":
        rows = one.sandbox.get("/_sandbox/oracle?what=known&source=anidb")
        command += ("-a", f"ids={','.join(row['source_id'] for row in rows)}")
    assert one.run(*command).returncode == 0
    exports, requests = one.exports(), one.requests_to(source)
    assert len(one.records("anime")) > TITLES / 2
    one.sandbox.post("/_sandbox/reset", {"world": True})
    environment = {**common, "DATABASE_URL": new_postgres_url(), "REDIS_URL": redis_url}
    environment["HTTP_TIMEOUT_SECONDS"] = "600"  # an answer that a test holds is waited for, not asked for again
    two = [replace(one, directory=tmp_path / name, environment=environment) for name in ("first", "second")]
    return Walk(source, command, exports, asked_before(one), requests, two)


@pytest.mark.slow
def test_two_workers_walk_a_source_as_one_does(walk: Walk, start: Start) -> None:
    """Everything, with as many requests; each waits for its answer, so that both have work."""
    walk.workers[0].fault(walk.source, "slow_start", delay_s=0.3)
    processes = [start(worker, command=walk.command) for worker in walk.workers]
    for process, worker in zip(processes, walk.workers, strict=True):
        ends_well(process, worker)
    assert walk.workers[0].exports() == walk.exports
    assert asked_before(walk.workers[0]) == walk.asked
    assert walk.workers[0].requests_to(walk.source) == walk.requests


@pytest.mark.slow
def test_another_worker_ends_the_walk_of_one_that_was_killed(walk: Walk, server: redis.Redis, start: Start) -> None:
    """Everything again, with at most one request more for each that the dead one was at; the heir had come before."""
    first, second = walk.workers
    at = walk.requests // 2
    first.fault(walk.source, "held", skip=at)
    dead = start(first, *SHORT, command=walk.command)
    until(lambda: first.requests_to(walk.source) > at)
    heir = start(second, *SHORT, command=walk.command)
    until(lambda: server.zcard(f"anime_crawler:crawl:{walk.source}:alive") == 2)
    for process in (dead, heir):  # so that nothing is leased, acked or taken over while we look
        process.send_signal(signal.SIGSTOP)
    [holds] = [worker["holds"] for worker in overview(server)["workers"] if worker["pid"] == dead.pid]
    dead.kill()
    heir.send_signal(signal.SIGCONT)
    let_go(first)
    ends_well(heir, second)
    assert second.exports() == walk.exports
    assert asked_before(second) == walk.asked
    assert walk.requests <= second.requests_to(walk.source) <= walk.requests + len(holds)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_killed_again_and_again_end_as_one_does(
    new_project: NewProject, redis_url: str, new_postgres_url: Callable[[], str], start: Start
) -> None:
    """300 titles, three workers, twelve kills, each with a new worker: nothing lost, nothing twice."""
    clean = new_project("clean", {"DATABASE_URL": new_postgres_url()}, titles=300)
    assert clean.crawl().returncode == 0
    environment = {"REDIS_URL": redis_url, "DATABASE_URL": new_postgres_url()}
    first = new_project("worker", environment, titles=300)
    first.fault("kodik", "slow_start", delay_s=1)
    first.fault("shikimori", "slow_start", delay_s=1)
    projects = [replace(first, directory=first.directory / str(number)) for number in range(3)]
    chance = random.Random(11)
    processes = [start(worker, *SHORT) for worker in projects]
    met = 0
    for _ in range(12):
        time.sleep(chance.uniform(0.5, 4))
        victim = chance.randrange(3)
        met += processes[victim].poll() is None
        processes[victim].kill()
        processes[victim].wait()
        processes[victim] = start(projects[victim], *SHORT)
    assert met >= 10  # else the kills met nothing
    assert {process.wait(300) for process in processes} <= {0, 3}
    ends_well(start(first, *SHORT), first)
    assert first.exports() == clean.exports()
    assert first.dump() == clean.dump()
    stats = first.sandbox.get("/backend/_reference/stats")
    assert (stats["same_key_in_flight"], stats["duplicates"], stats["rejected_children"]) == (0, 0, 0)
