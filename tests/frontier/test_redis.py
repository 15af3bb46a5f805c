"""What is peculiar to the Redis form: many owners, and a server that can be away."""

from __future__ import annotations

import asyncio
import pickle
import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis
from scrapy.settings import Settings

from anime_crawler import settings as project_settings
from anime_crawler.config import Config
from anime_crawler.frontier.redis.buffered_store import BufferedStore
from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.session import WorkerSession
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.frontier.store import FrontierAway, FrontierError, JobDirHeld, LeaseLost
from anime_crawler.rate_limit.redis_client import async_redis_client, redis_client
from anime_crawler.run.shared_run import redis_of
from tests.frontier.own_redis import OwnRedis
from tests.services import free_port

IDLE: dict[str, int] = {}
KEY = "anime_crawler:frontier:kodik"
LEASE_S = 2.0


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def join(client: Any) -> Callable[..., tuple[Membership, RedisStore]]:
    """A further worker of a crawl, and its store."""

    def join(run: str = "run", lease_s: float = 30) -> tuple[Membership, RedisStore]:
        membership = Membership(client, "kodik", lease_s)
        membership.join(run, {})
        store = RedisStore(client, KEY, membership)
        store.open(run)
        return membership, store

    return join


def let_expire(client: Any, membership: Membership) -> None:
    """As if the worker's lease had run out this moment."""
    client.zadd("anime_crawler:crawl:kodik:alive", {membership.me: 0})


def test_no_client_makes_a_call_again_whose_answer_was_lost(redis_url: str) -> None:
    """It may have been done; and three attempts, the library's own habit, would hold up the event loop for as long."""
    settings = Settings()
    settings.setmodule(project_settings)
    shared = redis_of(Config.load({"REDIS_URL": redis_url}), settings)
    for client in (shared, redis_client(redis_url), async_redis_client(redis_url)):
        assert client.connection_pool.make_connection().retry.get_retries() == 0


# --- several owners ---------------------------------------------------------------------------------


def test_what_one_has_leased_the_others_do_not_get_but_wait_for(join):
    """It is pending again when its owner leaves."""
    (_, a), (_, b) = join(), join()
    a.push(b"fp", "host", 0, b"1")
    assert a.pop(IDLE).data == b"1"
    assert (b.pop(IDLE), b.pending(), b.leased_elsewhere(), a.leased_elsewhere()) == (None, 0, 1, 0)
    assert b.push(b"fp", "host", 0, b"1") is False
    a.close()
    assert b.pop(IDLE).data == b"1"


def test_a_worker_whose_lease_ran_out_can_do_nothing_with_what_others_have_taken_over(client, join):
    """Neither ack nor keep nor add; the lease of its heir stands."""
    (sleeper, old), (heir, new) = join(), join()
    old.push(None, "host", 0, b"1")
    lease = old.pop(IDLE)
    let_expire(client, sleeper)
    heir.renew({})
    new.reclaim([])
    again = new.pop(IDLE)
    for attempt in (
        lambda: old.ack(lease),
        lambda: old.keep(lease),
        lambda: old.push(None, "host", 0, b"2"),
        lambda: old.pop(IDLE),
        lambda: sleeper.renew({}),
    ):
        with pytest.raises(LeaseLost):
            attempt()
    assert (again.data, new.unfinished()) == (b"1", 1)
    new.ack(again)
    assert new.unfinished() == 0


def test_a_worker_that_nobody_missed_goes_on(client, join):
    """Late is not lost while no other worker has looked."""
    membership, store = join()
    store.push(None, "host", 0, b"1")
    lease = store.pop(IDLE)
    let_expire(client, membership)
    membership.renew({})
    store.ack(lease)
    assert store.unfinished() == 0


def test_what_was_leased_in_a_call_whose_answer_was_lost_is_pending_again(join):
    """The worker says what it knows that it holds."""
    _, store = join()
    for data in (b"1", b"2"):
        store.push(None, "host", 0, data)
    known = store.pop(IDLE)
    store.pop(IDLE)
    store.reclaim([known])
    assert store.pop(IDLE).data == b"2"


def test_one_worker_makes_the_first_requests_and_another_when_it_dies(client, join):
    """Start of a crawl is elected."""
    (first, a), (_, b) = join(), join()
    assert [a.elect(), b.elect(), a.elect()] == ["start", "wait", "start"]
    client.zrem("anime_crawler:crawl:kodik:alive", first.me)
    assert b.elect() == "start"
    b.started()
    assert b.elect() == "done"


def test_a_run_that_finds_its_first_requests_made_continues(join):
    """And begins anew where nothing of them is left to do."""
    membership, store = join()
    store.elect()
    store.push(b"fp", "host", 0, b"1")
    store.started()
    membership.leave(False)
    membership, store = join()
    assert store.elect() == "done"
    store.ack(store.pop(IDLE))
    membership.leave(False)
    assert join()[1].elect() == "start"


def test_workers_of_another_run_are_kept_out_while_one_is_alive(join):
    """Two catalogues must not share a Redis."""
    membership, _ = join("run 1")
    with pytest.raises(JobDirHeld, match="another run"):
        join("run 2")
    membership.leave(False)
    join("run 2")


def test_the_last_one_out_knows_it_and_hears_of_all_troubles(join):
    """Until a new session begins."""
    (a, _), (b, _) = join(), join()
    assert a.leave(True) == (False, True)
    assert b.leave(False) == (True, True)
    assert join()[0].leave(False) == (True, False)


@pytest.mark.parametrize("left", ["kept", "leased", "pending"])
@pytest.mark.parametrize("key", [KEY, "anime_crawler:frontier:shikimori"])
def test_the_last_one_out_hears_of_what_a_dead_worker_left_in_any_frontier(client, join, left, key):
    """Then the run is not over, and its next worker has the request."""
    (a, _), (b, _) = join(), join()
    store = RedisStore(client, key, a)
    store.open("run")
    store.push(b"1" * 20, "slot", 0, b'{"url": "x"}')
    lease = None if left == "pending" else store.pop(IDLE)
    if left == "kept":
        store.keep(lease)
    let_expire(client, a)
    assert b.leave(False) == (True, True)
    membership, _ = join()
    again = RedisStore(client, key, membership)
    assert again.open("run") == 1
    again.ack(again.pop(IDLE))
    assert membership.leave(False) == (True, False)


def test_a_trouble_that_was_told_outlives_its_worker(client, join):
    """It dies before it can leave."""
    (a, _), (b, _) = join(), join()
    a.renew({}, is_incomplete=True)
    let_expire(client, a)
    assert b.leave(False) == (True, True)


def test_ids_are_leased_by_one_living_worker(client, join):
    """And free again when it is done with them, or dead."""
    (first, a), (_, b) = join(), join()
    assert a.lease_ids(["1", "2"]) == ["1", "2"]
    assert (b.lease_ids(["2", "3"]), b.ids_leased_elsewhere()) == (["3"], ["1", "2"])
    a.release_ids(["1"])
    assert b.lease_ids(["1", "2"]) == ["1"]
    client.zrem("anime_crawler:crawl:kodik:alive", first.me)
    assert b.lease_ids(["2"]) == ["2"]


@pytest.mark.parametrize("size", [590, 1800])
def test_a_pending_request_takes_less_than_a_kilobyte(client, join, size):
    """Its fingerprint and order included: the longest that is not compressed, and a GraphQL batch."""
    _, store = join()
    query = "id malId name russian english japanese synonyms kind rating origin score status episodes airedOn year day "
    for number in range(2000):
        body = f"{number} {secrets.token_hex(60)} {query * 20}"[: size - 11]
        store.push(number.to_bytes(20), "kodik-api.com", 0, orjson.dumps({"body": body}))
    used = sum(client.memory_usage(key, samples=0) for key in client.scan_iter(f"{KEY}*"))  # others use the server too
    assert used / 2000 < 1024
    assert len(store.pop(IDLE).data) == size


@pytest.mark.parametrize("planted", [pickle.dumps([1]), zlib.compress(bytes(10**8)), zlib.compress(b"[1]"), b"", b"{"])
def test_what_is_no_request_stays_none_and_costs_little(client, join, planted):
    """A pickle, a bomb, damage: given as they are, or cut."""
    _, store = join()
    store.push(None, "host", 0, b"{}")
    client.hset(f"{KEY}:requests", client.zrange(f"{KEY}:pending:host", 0, 0)[0], planted)
    lease = store.pop(IDLE)
    assert len(lease.data) <= 2**20
    store.refuse(lease)
    assert (client.hvals(f"{KEY}:refused"), store.unfinished()) == ([planted], 0)


# --- a server that can be away ----------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


class Site:
    """A worker at its one post, and how its run was ended."""

    def __init__(self, own: OwnRedis, patience_s: float) -> None:
        self.ends: list[tuple[str, int]] = []
        self.client = own.client()
        membership = Membership(self.client, "kodik", LEASE_S)
        end = lambda message, code: self.ends.append((message, code))  # noqa: E731
        self.session = WorkerSession(membership, "run", dict, end, lambda: False, patience_s)
        self.store = BufferedStore(RedisStore(self.client, KEY, membership), self.session)
        self.session.listeners.append(self.store)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():
                await asyncio.sleep(0.02)


def at_work(own: OwnRedis, use: Callable[[Site], Awaitable[None]], patience_s: float = 60) -> Site:
    """`use` a site with one request leased, one pending."""
    site = Site(own, patience_s)

    async def main() -> None:
        async with site.session:
            site.store.open("run")
            assert site.store.opened()
            for data in (b"1", b"2"):
                site.store.push(data, "host", 0, data)
            await use(site)

    asyncio.run(main())
    site.client.close()
    return site


async def go_on_without(site: Site) -> None:
    """What a crawl does while Redis is away: nothing new is begun, what is done is remembered, nothing ends."""
    assert site.store.push(b"3", "host", 0, b"3") is True
    assert site.store.pop(IDLE) is None
    assert site.store.leased_elsewhere() > 0
    assert not site.session.is_working


async def all_is_there(site: Site) -> None:
    """Once Redis is back, in order, each once."""
    await site.until(lambda: site.session.is_working)
    assert [site.store.pop(IDLE).data for _ in range(2)] == [b"2", b"3"]
    assert site.store.push(b"3", "host", 0, b"3") is False
    assert site.store.unfinished() == 2


@pytest.mark.parametrize("trouble", ["killed", "full", "read-only"])
def test_what_is_done_while_redis_is_away_is_there_when_it_is_back(own, trouble):
    """Killed and restarted with its file; out of memory; a replica whose master is gone."""

    async def use(site: Site) -> None:
        lease = site.store.pop(IDLE)
        with own.client() as admin:
            if trouble == "killed":
                own.kill()
            elif trouble == "full":
                admin.config_set("maxmemory", 1)
            else:
                admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
            await go_on_without(site)
            site.store.ack(lease)
            await asyncio.sleep(2 * LEASE_S)
            if trouble == "killed":
                own.start()
            elif trouble == "full":
                admin.config_set("maxmemory", 0)
            else:
                admin.execute_command("REPLICAOF", "NO", "ONE")
        await all_is_there(site)
        assert await site.session.may_store()

    assert at_work(own, use).ends == []


def test_an_ack_is_told_with_the_next_request_or_a_moment_later(own):
    """Until then the request is leased: a kill costs that one, and no other."""

    async def use(site: Site) -> None:
        first = site.store.pop(IDLE)
        site.store.ack(first)
        assert site.client.hkeys(f"{KEY}:leases") == [first.id.encode()]
        second = site.store.pop(IDLE)
        assert site.client.hkeys(f"{KEY}:leases") == [second.id.encode()]
        site.store.ack(second)
        await site.until(lambda: site.client.hlen(f"{KEY}:leases") == 0)
        assert site.store.unfinished() == 0

    at_work(own, use)


def test_acks_of_one_moment_are_told_together_and_in_no_turn_twice(own):
    """Two requests end before Redis is told of either; a third is kept for the next process, and stays unfinished."""

    async def use(site: Site) -> None:
        site.store.push(b"3", "host", 0, b"3")
        first, second, third = (site.store.pop(IDLE) for _ in range(3))
        site.store.ack(first)
        site.store.ack(second)
        site.store.keep(third)
        await site.until(lambda: site.client.hlen(f"{KEY}:leases") == 0)
        assert (site.store.pending(), site.store.unfinished()) == (0, 1)

    assert at_work(own, use).ends == []


def test_who_learns_with_a_request_that_others_took_over_ends_at_once(own):
    """What is done is not acked, nothing is added, and nothing more is asked for; exit code 3."""

    async def use(site: Site) -> None:
        lease = site.store.pop(IDLE)
        heir = Membership(site.client, "kodik", LEASE_S)
        heir.join("run", {})
        let_expire(site.client, site.session.membership)
        heir.renew({})
        assert site.store.push(b"3", "host", 0, b"3") is False
        assert site.store.push(b"4", "host", 0, b"4") is False
        site.store.ack(lease)
        assert (site.store.pop(IDLE), site.session.lease_valid()) == (None, False)
        assert await site.session.may_store() is False

    ((message, code),) = at_work(own, use).ends
    assert (code, "others may have taken over" in message) == (3, True)


def test_who_learns_by_asking_for_a_request_that_others_took_over_gets_none(own):
    """A question ends the run as an addition does."""

    async def use(site: Site) -> None:
        heir = Membership(site.client, "kodik", LEASE_S)
        heir.join("run", {})
        let_expire(site.client, site.session.membership)
        heir.renew({})
        assert site.store.pop(IDLE) is None

    ((_, code),) = at_work(own, use).ends
    assert code == 3


def test_a_redis_that_takes_a_right_away_ends_the_run_with_what_is_missing(own):
    """Exit code 2: waiting would not help."""

    async def use(site: Site) -> None:
        site.client.execute_command("ACL", "SETUSER", "default", "-@scripting")
        await site.until(lambda: site.ends != [])
        site.client.execute_command("ACL", "SETUSER", "default", "+@scripting")

    ((message, code),) = at_work(own, use).ends
    assert (code, "grant it" in message) == (2, True)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_trouble_is_told_at_once_or_not_at_all(own, is_there):
    """The last one out hears of it; a Redis that is away breaks nothing."""

    async def use(site: Site) -> None:
        other = Membership(site.client, "kodik", 60)
        other.join("run", {})
        if not is_there:
            own.kill()
        site.session.report_incomplete()
        if not is_there:
            own.start()
        site.client.delete(f"{KEY}:requests")
        site.session.leave(is_incomplete=False)
        assert other.leave(is_incomplete=False) == (True, True)

    assert at_work(own, use).ends == []


def test_a_redis_that_comes_back_empty_ends_the_run_and_nothing_in_flight_is_stored(own):
    """Exit code 3: the same command continues from the catalogue's checkpoint."""

    async def use(site: Site) -> None:
        lease = site.store.pop(IDLE)
        own.kill()
        own.forget()
        own.start()
        await site.until(lambda: site.ends != [])
        site.store.ack(lease)
        assert not await site.session.may_store()
        assert not site.session.lease_valid()

    ((message, code),) = at_work(own, use).ends
    assert (code, "The same command continues" in message) == (3, True)


def test_a_redis_that_stays_away_ends_the_run(own):
    """Exit code 3, after the worker's patience."""

    async def use(site: Site) -> None:
        own.kill()
        await site.until(lambda: site.ends != [])

    message, code = at_work(own, use, patience_s=0.5).ends[0]
    assert (code, "Redis of REDIS_URL" in message) == (3, True)


def test_whether_a_silent_worker_may_store_is_asked_of_redis(own):
    """Not guessed: it waits until it knows."""

    async def use(site: Site) -> None:
        own.kill()
        await asyncio.sleep(1.5 * LEASE_S)
        asked = asyncio.ensure_future(site.session.may_store())
        await asyncio.sleep(0.3)
        assert not asked.done()
        own.start()
        assert await asked

    at_work(own, use)


def test_a_redis_that_throws_keys_away_is_refused(own):
    """Requests would be lost without a word."""
    with own.client() as admin, pytest.raises(FrontierError, match="noeviction"):
        admin.config_set("maxmemory-policy", "allkeys-lru")
        Membership(admin, "kodik", 1).join("run", {})


def test_a_redis_that_never_was_there_and_one_that_refuses_us_are_told_apart(own):
    """Exit codes 3 and 2."""
    with Redis.from_url(f"redis://127.0.0.1:{free_port()}") as nobody, pytest.raises(FrontierAway):
        Membership(nobody, "kodik", 1).join("run", {})
    with own.client() as admin:
        admin.config_set("requirepass", "x")
    with own.client() as stranger, pytest.raises(FrontierError) as caught:
        Membership(stranger, "kodik", 1).join("run", {})
    assert caught.value.exit_code == 2
