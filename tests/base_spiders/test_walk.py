"""The shared walk over lists that move: what was there throughout is read, it ends, and complete means complete."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anime_crawler.base_spiders.walk import Page, Paging, Place, Proof, WalkError

Change = tuple[str, int]
"""``add`` a row with this number, or ``remove`` it; ``die``: the process is killed before it keeps what it has read."""
Kinds = Callable[[list[Change]], list[Change]]
"""Which of the planned changes happen."""
changes = st.lists(st.tuples(st.sampled_from(["add", "remove", "die"]), st.integers(1, 150)), max_size=6)
plans = st.lists(changes, max_size=12)
"""What happens before each request."""
LISTS = {
    "by offset": Paging(7, Proof.OVERLAP, most=400, by_offset=True),
    "by pages of a size that is chosen": Paging(7, Proof.OVERLAP, most=400),
    "with a total": Paging(7, Proof.TOTAL, most=400),
    "without anything": Paging(7, Proof.PASSES, most=400),
}


class MovingList:
    """Rows with ascending numbers, of which a page is a window; changes come before each request, as planned."""

    def __init__(self, rows: set[int], plan: list[list[Change]], *, kinds: Kinds) -> None:
        self.rows = set(rows)
        self.throughout = set(rows)
        self.plan = [kinds(changes) for changes in plan]
        self.requests = 0
        self.is_killed = False
        self.stood_still_in_last_pass = False

    def page(self, place: Place, paging: Paging) -> Page:
        self.requests += 1
        self.is_killed = False
        if not place.pages:
            self.stood_still_in_last_pass = not self.plan
        for change, number in self.plan.pop(0) if self.plan else ():
            self.is_killed = self.is_killed or change == "die"
            if change == "add":
                self.rows.add(number)
            elif change == "remove":
                self.rows.discard(number)
                self.throughout.discard(number)
        window, listed = place.window(paging), sorted(self.rows)
        assert window.size <= paging.size
        assert paging.by_offset or window.start % window.size == 0
        shown = listed[window.start : window.start + window.size]
        total = len(listed) if paging.proof is Proof.TOTAL else None
        has_next = window.start + window.size < len(listed)
        return Page(shown, [*map(str, shown)], has_next, [(row,) for row in shown], total)


def walk(moving: MovingList, paging: Paging) -> tuple[set[int], Place]:
    """Everything that was read, and the place in the end."""
    place, found = Place(), set()
    while not (place.is_read or place.given_up):
        page = moving.page(place, paging)
        if not moving.is_killed:
            found.update(place.news(page, paging))
            place = Place.model_validate_json(place.after(page, paging).model_dump_json())
    return found, place


def all_changes(changes: list[Change]) -> list[Change]:
    return changes


def one_direction(changes: list[Change]) -> list[Change]:
    """Only additions, or only removals: a total does not show what compensates."""
    kept = changes[0][0] if changes else "die"
    return [change for change in changes if change[0] == kept]


@pytest.mark.parametrize("name", ["by offset", "by pages of a size that is chosen"])
@settings(max_examples=200)
@given(rows=st.sets(st.integers(1, 150), max_size=90), plan=plans)
def test_pages_that_overlap_skip_nothing_whatever_moves_and_dies(name, rows, plan):
    """Every row that was there throughout is read, in few requests more than the list has pages."""
    moving = MovingList(rows, plan, kinds=all_changes)
    found, place = walk(moving, LISTS[name])
    assert moving.throughout <= found
    assert place.is_read
    assert moving.requests <= 200


@settings(max_examples=200)
@given(rows=st.sets(st.integers(1, 150), max_size=90), plan=plans)
def test_a_total_shows_what_was_removed(rows, plan):
    """The pages before are read again; nothing that was there throughout is skipped, or the list is not called read."""
    moving = MovingList(rows, plan, kinds=one_direction)
    found, place = walk(moving, LISTS["with a total"])
    assert moving.throughout <= found
    assert place.is_read
    assert moving.requests <= 200


@settings(max_examples=200)
@given(rows=st.sets(st.integers(1, 150), max_size=90), plan=plans)
def test_a_list_without_totals_is_read_until_a_pass_brings_nothing_new(rows, plan):
    """Whatever moved in the passes before: a list that stood still in its last pass was found whole."""
    moving = MovingList(rows, plan, kinds=all_changes)
    found, place = walk(moving, LISTS["without anything"])
    if place.is_read and moving.stood_still_in_last_pass:
        assert moving.throughout <= found
    assert place.is_read or place.given_up
    assert moving.requests <= 200


@pytest.mark.parametrize(("name", "requests"), [("by offset", 17), ("with a total", 15), ("without anything", 30)])
def test_an_undisturbed_list_costs_few_requests_more_than_it_has_pages(name, requests):
    """100 rows of 7 a page: 15 pages."""
    moving = MovingList(set(range(1, 101)), [], kinds=all_changes)
    found, place = walk(moving, LISTS[name])
    assert found == set(range(1, 101))
    assert place.is_read
    assert moving.requests == requests


@pytest.mark.parametrize("size", [20, 25, 50, 100])
def test_pages_of_a_size_that_is_chosen_cost_a_third_more_at_most(size):
    """A list of one page is one request."""
    paging = Paging(size, Proof.OVERLAP)
    for rows, most in ((size, 1), (60 * size, 82)):
        moving = MovingList(set(range(1, rows + 1)), [], kinds=all_changes)
        assert walk(moving, paging)[0] == set(range(1, rows + 1))
        assert moving.requests <= most


@pytest.mark.parametrize("name", LISTS)
def test_a_server_that_ignores_the_page_is_found_out(name):
    """The first page for every number; pages that overlap may come again once, when rows have moved down."""
    first = Page([1, 2, 3, 4, 5, 6, 7], list("1234567"), True, [(n,) for n in range(1, 8)], 100)
    place, paging = Place(), LISTS[name]
    with pytest.raises(WalkError, match="the same page"):
        for _ in range(3):
            place = place.after(first, paging)
    assert place.pages == (2 if LISTS[name].proof is Proof.OVERLAP else 1)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_never_ends_is_given_up_and_read_from_its_beginning_one_day(name):
    """New rows on every page, whatever is asked for."""
    place, paging = Place(), Paging(7, LISTS[name].proof, most=20)
    number = 0
    while not place.given_up:
        shown = range(number, number + 8)
        number += 7
        keys = [(n,) for n in shown]
        place = place.after(Page([*shown], [*map(str, shown)], True, keys, 10**6), paging)
    assert (place.given_up[0], place.row, number) == ("endless_list", 0, 7 * 20)


def test_a_total_that_flaps_is_not_followed_for_ever():
    """Two servers that count otherwise: the list is read to its end, again and again, and at last not called read."""
    place, paging, requests = Place(), LISTS["with a total"], 0
    while not (place.is_read or place.given_up):
        requests += 1
        window = place.window(paging)
        rows = [*range(window.start, min(window.start + 7, 90))]
        total = 90 - requests % 2
        place = place.after(Page(rows, [*map(str, rows)], window.start + 7 < total, total=total), paging)
    assert place.given_up is not None
    assert place.given_up[0] == "unstable_list"
    assert requests < 400


@pytest.mark.parametrize(("says", "given_up"), [(37, None), (1000, "short_list")])
def test_a_list_that_ends_before_its_total_says(says, given_up):
    """By less than a page it is read, once the page behind its end was empty twice; by more it is not all."""
    place, paging, asked = Place(), Paging(18, Proof.TOTAL), []
    while not (place.is_read or place.given_up):
        window = place.window(paging)
        asked.append(window.page)
        rows = [*range(window.start, min(window.start + 18, 36))]
        place = place.after(Page(rows, [*map(str, rows)], bool(rows), total=says if rows else None), paging)
    assert asked == [1, 2, 3, 2, 3]
    assert (place.given_up and place.given_up[0]) == given_up


def test_hundreds_of_rows_that_vanish_at_once_are_found_out_in_few_steps():
    """A walk that comes back after a month stands far behind the end of its list."""
    paging = Paging(20, Proof.OVERLAP, by_offset=True)
    moving = MovingList(set(range(1, 701)), [], kinds=all_changes)
    place = Place(row=1000, last=(650,))
    requests = 0
    while not place.is_read:
        page = moving.page(place, paging)
        found = place.news(page, paging)
        place, requests = place.after(page, paging), requests + 1
    assert requests <= 40
    assert 700 in found
