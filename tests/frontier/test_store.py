"""What every store of the frontier must do, and what is peculiar to the SQLite form."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from anime_crawler.frontier.redis.membership import Membership
from anime_crawler.frontier.redis.store import RedisStore
from anime_crawler.frontier.sqlite_store import FILE, SqliteStore
from anime_crawler.frontier.store import FrontierError, JobDirHeld, Store

IDLE: dict[str, int] = {}


class RedisOwner(RedisStore):
    """A worker that has joined the crawl of a place, until it is closed."""

    def __init__(self, url: str, place: Path) -> None:
        self.client = Redis.from_url(url)
        self.membership = Membership(self.client, str(place), lease_s=30)
        super().__init__(self.client, f"test:{place}", self.membership)

    def open(self, generation: str) -> int:
        self.membership.join(generation, {})
        return super().open(generation)

    def close(self) -> None:
        if self.membership.me:
            super().close()
            self.membership.leave(is_incomplete=False)
            self.membership.me = ""
        self.client.close()


@pytest.fixture(params=["sqlite", "redis"])
def owner_at(request):
    """Gives a further owner, not yet opened, of what is kept at a place."""
    if request.param == "sqlite":
        return SqliteStore
    url = request.getfixturevalue("redis_url")
    return lambda place: RedisOwner(url, place)


@pytest.fixture
def new_owner(owner_at, tmp_path):
    """Gives another, not yet opened owner of the same requests; all are closed at the end."""
    owners = []

    def make() -> Store:
        owners.append(owner_at(tmp_path / "job"))
        return owners[-1]

    yield make
    for owner in owners:
        owner.close()


@pytest.fixture
def store(new_owner):
    """An open store."""
    store = new_owner()
    store.open("run 1")
    return store


def take(store: Store, active=IDLE) -> str | None:
    """Data of the next lease."""
    lease = store.pop(active)
    return lease.data.decode() if lease else None


def test_an_empty_store_gives_nothing(new_owner):
    """And says so."""
    store = new_owner()
    assert store.open("run 1") == 0
    assert (take(store), store.pending(), store.unfinished()) == (None, 0, 0)


def test_the_highest_priority_comes_first_and_the_oldest_of_it(store):
    """As Scrapy's own queue."""
    for data, priority in ((b"a", 0), (b"b", 5), (b"c", -1), (b"d", 5), (b"e", 0)):
        store.push(None, "host", priority, data)
    assert [take(store) for _ in range(6)] == ["b", "d", "a", "e", "c", None]


def test_a_busy_slot_does_not_hold_up_another(store):
    """The slot with the fewest transfers is served, whatever the priorities of the others."""
    for number in range(3):
        store.push(None, "slow", 9, b"slow %d" % number)
        store.push(None, "fast", 0, b"fast %d" % number)
    assert take(store, {"slow": 2, "fast": 1}) == "fast 0"
    assert take(store, {"slow": 0, "fast": 1}) == "slow 0"
    assert take(store, {"slow": 8}) == "fast 1"


def test_what_was_seen_is_not_taken_again(store):
    """Also after it is done; without a fingerprint everything is taken."""
    assert store.push(b"fp", "host", 0, b"a") is True
    assert store.push(b"fp", "host", 0, b"b") is False
    store.ack(store.pop(IDLE))
    assert store.push(b"fp", "host", 0, b"c") is False
    assert store.push(None, "host", 0, b"d") is True
    assert take(store) == "d"


def test_a_lease_is_given_once_and_counts_as_unfinished_until_it_is_acked(store):
    """Pending, leased, done."""
    store.push(None, "host", 0, b"a")
    assert (store.pending(), store.unfinished()) == (1, 1)
    lease = store.pop(IDLE)
    assert (store.pending(), store.unfinished()) == (0, 1)
    assert store.pop(IDLE) is None
    store.ack(lease)
    assert (store.pending(), store.unfinished()) == (0, 0)


def test_a_dead_owners_leases_are_pending_for_the_next_in_their_old_order(new_owner, store):
    """What was acked stays done, what was seen stays seen."""
    for number in range(4):
        store.push(b"%d" % number, "host", 0, b"%d" % number)
    store.pop(IDLE)
    store.ack(store.pop(IDLE))
    store.close()
    heir = new_owner()
    assert heir.open("run 1") == 3
    assert heir.push(b"1", "host", 0, b"again") is False
    assert [take(heir) for _ in range(4)] == ["0", "2", "3", None]


def test_another_run_begins_with_nothing(new_owner, store):
    """No request and no fingerprint of the last run."""
    store.push(b"fp", "host", 0, b"a")
    store.close()
    heir = new_owner()
    assert heir.open("run 2") == 0
    assert heir.push(b"fp", "host", 0, b"b") is True


def test_a_run_with_nothing_pending_may_begin_anew(new_owner, store):
    """Else its first request, seen already, would be dropped and the run would end with nothing done."""
    store.push(b"fp", "host", 0, b"a")
    store.ack(store.pop(IDLE))
    store.close()
    heir = new_owner()
    assert heir.open("run 1") == 0
    assert heir.push(b"fp", "host", 0, b"b") is True


def test_clear_forgets_everything(store):
    """Requests, leases and fingerprints."""
    store.push(b"fp", "host", 0, b"a")
    store.push(None, "host", 0, b"b")
    store.pop(IDLE)
    store.clear()
    assert (take(store), store.pending(), store.unfinished()) == (None, 0, 0)
    assert store.push(b"fp", "host", 0, b"a") is True


def test_what_was_given_up_is_pending_for_the_next_process_only(new_owner, store):
    """It counts as unfinished until then; nobody else works at it."""
    store.push(b"fp", "host", 0, b"a")
    store.keep(store.pop(IDLE))
    assert (take(store), store.pending(), store.leased_elsewhere(), store.unfinished()) == (None, 0, 0, 1)
    store.close()
    heir = new_owner()
    assert heir.open("run 1") == 1
    assert take(heir) == "a"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["push", "push", "pop", "ack", "keep", "restart"]), max_size=60))
def test_nothing_is_lost_and_nothing_done_comes_back(owner_at, steps):
    """Any order of steps: what was pushed and not acked can be had, once; what was acked cannot."""
    with tempfile.TemporaryDirectory() as directory:
        store = owner_at(Path(directory))
        store.open("run")
        pushed, leased, done = 0, [], set()
        for step in [*steps, "restart"]:
            if step == "push":
                store.push(b"%d" % pushed, f"slot {pushed % 3}", pushed % 2, b"%d" % pushed)
                pushed += 1
            elif step == "pop" and (lease := store.pop(IDLE)):
                leased.append(lease)
            elif step == "ack" and leased:
                lease = leased.pop(0)
                store.ack(lease)
                done.add(int(lease.data))
            elif step == "keep" and leased:
                store.keep(leased.pop(0))
            elif step == "restart":
                store.close()
                leased, store = [], owner_at(Path(directory))
                assert store.open("run") == pushed - len(done)
        rest = Counter(iter(lambda: take(store), None))
        store.close()
    assert rest == Counter(str(number) for number in range(pushed) if number not in done)


# --- the SQLite form --------------------------------------------------------------------------------


def test_a_second_owner_is_refused_while_the_first_lives(tmp_path):
    """By name of the directory; afterwards it may."""
    first, second = SqliteStore(tmp_path / "job"), SqliteStore(tmp_path / "job")
    first.open("run 1")
    with pytest.raises(JobDirHeld, match="job"):
        second.open("run 1")
    first.close()
    assert second.open("run 1") == 0
    second.close()


def test_without_a_job_directory_requests_are_kept_in_memory():
    """Same order, no file."""
    store = SqliteStore()
    store.open("run 1")
    store.push(None, "host", 0, b"a")
    store.push(None, "host", 1, b"b")
    assert [take(store), take(store)] == ["b", "a"]
    store.close()


@pytest.mark.parametrize("damage", [b"nonsense" * 1000, None])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage):
    """Not a database at all, or one with a page overwritten: never an empty run."""
    path = tmp_path / FILE
    if damage is None:
        store = SqliteStore(tmp_path)
        store.open("run 1")
        for number in range(500):
            store.push(b"%d" % number, "host", 0, bytes(200))
        store.close()
        content = bytearray(path.read_bytes())
        content[8192:40960] = b"\xff" * (40960 - 8192)
        damage = bytes(content)
    path.write_bytes(damage)
    with pytest.raises(FrontierError, match="delete it") as caught:
        SqliteStore(tmp_path).open("run 1")
    assert str(path) in str(caught.value)


def test_a_file_of_another_version_is_refused(tmp_path):
    """A later project may write it differently."""
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(FrontierError, match="version 99"):
        SqliteStore(tmp_path).open("run 1")


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    """Here it is a file."""
    (tmp_path / "job").write_text("")
    with pytest.raises(FrontierError, match="JOBDIR"):
        SqliteStore(tmp_path / "job").open("run 1")


def test_a_full_disk_is_an_error_and_costs_nothing_that_was_kept(tmp_path):
    """SQLite says that the disk is full where it may not grow; everything pushed before is there."""
    store = SqliteStore(tmp_path)
    store.open("run 1")
    store._db.execute("PRAGMA max_page_count = 20")
    kept = 0
    with pytest.raises(FrontierError, match="disk is full"):
        while store.push(b"%d" % kept, "host", 0, bytes(1000)):
            kept += 1
    assert 0 < kept == store.pending()
    store.close()
    heir = SqliteStore(tmp_path)
    assert heir.open("run 1") == kept
    assert heir.push(b"%d" % kept, "host", 0, b"its fingerprint was not kept either") is True
    heir.close()
