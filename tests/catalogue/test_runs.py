"""Runs, checkpoints, and whom to ask."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import combinations, pairwise

from sqlalchemy import NullPool, create_engine, text

from anime_crawler.catalogue import runs
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.wanted import wanted
from anime_crawler.items import Checkpoint
from tests.catalogue.support import NOW, absent, anime, opened, release
from tests.e2e.support import until


def test_an_interrupted_run_is_continued_by_the_same_arguments(tables):
    """Keys in any order; other arguments begin a run of their own."""
    assert tables.run(runs.begin_run, "kodik", {"a": "1", "b": "2"}, "full") == (1, True)
    assert tables.run(runs.begin_run, "kodik", {"b": "2", "a": "1"}, "full") == (1, False)
    assert tables.run(runs.begin_run, "kodik", {}, "full") == (2, True)
    assert tables.run(runs.begin_run, "shikimori", {}, "ids") == (3, True)
    assert tables.rows(t.run, "id", "starts") == [(1, 2), (2, 1), (3, 1)]


def test_a_run_is_not_continued_when_another_crawled_since_but_a_delivery_does_no_harm(tables):
    """Under its lower number its changes would look older than what the other run asked for."""
    tables.run(runs.begin_run, "kodik", {}, "full")
    tables.run(runs.begin_run, "deliver", {}, "deliver")
    assert tables.run(runs.begin_run, "kodik", {}, "full") == (1, False)
    tables.run(runs.begin_run, "shikimori", {}, "ids")
    assert tables.run(runs.begin_run, "kodik", {}, "full") == (4, True)


def test_a_worker_joins_the_run_that_is_under_way_whatever_was_crawled_since(tables):
    """Its number is that of the workers who are at it."""
    tables.run(runs.begin_run, "kodik", {}, "full")
    tables.run(runs.begin_run, "jikan", {}, "full")
    assert tables.run(runs.begin_run, "kodik", {}, "full", joins=True) == (1, False)


def test_each_delivery_is_a_run_of_its_own_and_a_killed_one_is_interrupted(url):
    """On PostgreSQL several live at once; on SQLite the lock of the delivery says that there is one."""
    with opened(url) as one:
        assert one.run(runs.begin_delivery) == 1
        with opened(url) as two:
            assert two.run(runs.begin_delivery) == 2
            is_shared = two.conn.dialect.name == "postgresql"
            assert one.rows(t.run, "state")[0] == ("running" if is_shared else "interrupted",)
        if is_shared:  # the server ends a session a moment after its client has gone
            living = text(f"SELECT count(*) FROM {runs.LIVING}")
            until(lambda: one.run(lambda conn: conn.scalar(living)) == 1)
        assert one.run(runs.begin_delivery) == 3
        assert one.rows(t.run, "id", "state")[1:] == [(2, "interrupted"), (3, "running")]
        one.run(runs.finish_run, 3, 0, {}, finished=True)
        assert one.rows(t.run, "state")[2] == ("finished",)


def test_deliveries_of_two_catalogues_in_one_database_know_nothing_of_each_other(postgres_url):
    """Each is a schema, and counts its runs from 1: neither waits for the other, nor takes the other's run for its own
    that was killed."""
    with create_engine(postgres_url, poolclass=NullPool).begin() as conn:
        conn.execute(text("CREATE SCHEMA one"))
        conn.execute(text("CREATE SCHEMA two"))
    options = "options=-clock_timeout%3D5s%20-csearch_path%3D"
    one_url, two_url = f"{postgres_url}?{options}one", f"{postgres_url}?{options}two"
    with opened(one_url) as one:
        assert one.run(runs.begin_delivery) == 1
        with opened(two_url) as killed:
            assert killed.run(runs.begin_delivery) == 1
        with opened(two_url) as two:
            assert two.run(runs.begin_delivery) == 2
            assert two.rows(t.run, "state") == [("interrupted",), ("running",)]


def test_two_runs_never_have_the_same_key(tables):
    """Not even when the catalogue was deleted and its numbers begin anew, but a job directory was kept."""
    run_id, _ = tables.run(runs.begin_run, "kodik", {}, "full")
    assert tables.run(runs.run_key, run_id) == f"1 {tables.rows(t.run, 'started_at')[0][0]}"


def test_after_a_finished_run_a_new_one_begins(tables):
    """The report and the exit code are kept; an unfinished end leaves the run open."""
    tables.run(runs.begin_run, "kodik", {}, "full")
    tables.run(runs.finish_run, 1, 3, {"ж": 1}, finished=False)
    assert tables.run(runs.begin_run, "kodik", {}, "full") == (1, False)
    tables.run(runs.finish_run, 1, 0, {"ж": 2}, finished=True)
    assert tables.rows(t.run, "state", "exit_code", "report") == [("finished", 0, '{"ж":2}')]
    assert tables.run(runs.begin_run, "kodik", {}, "incremental") == (2, True)


def test_an_older_interrupted_run_is_not_dug_out_after_a_finished_one(tables):
    """Only the newest run of these arguments counts."""
    tables.run(runs.begin_run, "kodik", {}, "full")
    with tables.conn.begin():
        tables.conn.execute(
            t.run.insert().values(id=5, spider="kodik", arguments="{}", mode="", state="finished", started_at="")
        )
    assert tables.run(runs.begin_run, "kodik", {}, "full")[1]


def checkpoint(previous, state, **fields):
    return Checkpoint(source="kodik", previous=previous, state=state, **fields)


def test_a_checkpoint_moves_the_walk_only_from_where_it_stands(tables):
    """A page that is read again after a crash, or late, moves nothing."""
    one, two = {"cursor": "а", "n": 1}, {"n": 2, "cursor": None}
    assert tables.run(runs.load_checkpoint, "kodik") is None
    tables.store(checkpoint({"cursor": "elsewhere"}, two))
    assert tables.run(runs.load_checkpoint, "kodik") is None
    tables.store(checkpoint(None, one))
    tables.store(checkpoint(None, two))
    assert tables.run(runs.load_checkpoint, "kodik") == one
    tables.store(checkpoint({"n": 1, "cursor": "а"}, two), checkpoint(two, {"n": 3}), run=4)
    tables.store(checkpoint(one, two), run=5)
    assert tables.rows(t.checkpoint, "state", "run_id") == [('{"n":3}', 4)]


def test_a_refused_checkpoint_is_counted_unless_a_later_one_was_stored(tables):
    """Page 2 comes before page 1, as from two workers of which one is slow: the walk stands at page 1 from then on. A
    page that is read again after a crash, and whose next page is stored, costs nothing."""
    pages = [{"n": n} for n in range(5)]
    tables.store(checkpoint(None, pages[0]))
    assert tables.store(checkpoint(pages[1], pages[2])) == {("checkpoint", "refused"): 1}
    assert tables.store(checkpoint(pages[0], pages[1])) == {}
    late = checkpoint(pages[2], pages[3]), checkpoint(pages[3], pages[4], full_since=1)
    assert tables.store(*late) == {("checkpoint", "refused"): 2}
    assert tables.run(runs.load_checkpoint, "kodik") == pages[1]
    assert tables.store(checkpoint(pages[0], {"n": 1, "changed": True}), checkpoint(pages[1], pages[2])) == {}
    assert tables.store(checkpoint(pages[1], pages[2])) == {}


def test_an_older_place_never_overwrites_a_newer_one_in_whatever_order_two_workers_write(url):
    """Both have read the same pages; whichever checkpoint comes when, the walk never goes back, and ends at the end."""
    places = [None, *({"n": number} for number in range(1, 4))]
    pages = [checkpoint(previous, state) for previous, state in pairwise(places)]
    with opened(url) as one, opened(url) as two:
        for of_one in combinations(range(2 * len(pages)), len(pages)):
            one.run(lambda conn: conn.execute(t.checkpoint.delete()))
            left, reached = {one: list(pages), two: list(pages)}, 0
            for turn in range(2 * len(pages)):
                worker = one if turn in of_one else two
                worker.store(left[worker].pop(0))
                held = places.index(worker.run(runs.load_checkpoint, "kodik"))
                assert held >= reached
                reached = held
            assert reached == len(pages)


def test_a_checkpoint_waits_for_that_of_another_session_and_is_refused_when_it_is_older(url):
    """The second session looks where the walk stands only when the first has committed, so that it cannot miss it."""
    one, two, three = {"n": 1}, {"n": 2}, {"n": 3}
    is_open, may_store, done = threading.Event(), threading.Event(), []

    def late() -> None:
        with opened(url) as session:
            is_open.set()
            may_store.wait()
            done.append(session.store(checkpoint(None, one), checkpoint(one, {"n": 2, "changed": True})))

    with opened(url) as tables:
        other = threading.Thread(target=late)
        other.start()
        is_open.wait()
        with tables.conn.begin():
            for previous, state in pairwise([None, one, two, three]):
                assert runs.store_checkpoint(tables.conn, 1, checkpoint(previous, state))
            may_store.set()
            other.join(0.3)
            assert done == []
        other.join()
        assert done == [{("checkpoint", "refused"): 2}]
        assert tables.run(runs.load_checkpoint, "kodik") == three


def test_a_checkpoint_that_moves_nothing_marks_nothing_gone(tables):
    """The walk's end came already, and what was gone then may be back."""
    tables.store(release("a"), checkpoint(None, {"n": 1}))
    tables.store(checkpoint(None, {"n": 1}, full_since=2), run=2)
    assert tables.rows(t.release, "gone_at") == [(None,)]


def test_new_titles_are_wanted_first_then_changed_ones_then_those_due(tables):
    """Each once; in the order of first sight, the due ones by how long they are."""
    tables.store(*(release(f"r{i}", str(i)) for i in range(1, 7)))
    tables.store(*(anime(str(i), status="ongoing" if i == 4 else None) for i in range(1, 6)), run=1)
    tables.store(release("r3", "3", numbers=[1, 2, 3]), release("r1", "1", numbers=[1]), run=2)
    soon, later = NOW + timedelta(days=2), NOW + timedelta(days=31)
    assert tables.run(wanted, 3, soon, 50, frozenset()) == ["6", "1", "3", "4"]
    assert tables.run(wanted, 3, later, 50, frozenset()) == ["6", "1", "3", "4", "2", "5"]
    assert tables.run(wanted, 3, later, 3, frozenset({"1", "4"})) == ["6", "3", "2"]


def test_a_title_is_asked_about_once_a_run(tables):
    """Also when it changes again in the run, or is unknown."""
    tables.store(release("a", "1"), release("b", "2"))
    tables.store(anime("1"), absent("2"), run=1)
    tables.store(release("a", "1", numbers=[1, 2, 3]), run=1)
    assert tables.run(wanted, 1, NOW + timedelta(days=100), 50, frozenset()) == []
    assert tables.run(wanted, 2, NOW, 50, frozenset()) == []


def test_a_page_that_is_read_again_comes_to_the_same_place_at_another_time(tables):
    """When a page was read is no place: neither the page nor those after it are refused."""
    tables.run(runs.begin_run, "jikan", {}, "full")

    def put(page: int, minute: int, before: tuple[int, int] | None) -> bool:
        state = {"place": {"row": page, "read_at": f"2026-01-01T00:{minute:02}:00Z"}}
        previous = {"place": {"row": before[0], "read_at": f"2026-01-01T00:{before[1]:02}:00Z"}} if before else None
        return tables.run(runs.store_checkpoint, 1, Checkpoint(source="jikan", previous=previous, state=state))

    assert put(1, 0, None)
    assert put(2, 1, (1, 0))
    assert put(2, 5, (1, 0))
    assert put(3, 6, (2, 5))
    assert not put(2, 7, (1, 0))
