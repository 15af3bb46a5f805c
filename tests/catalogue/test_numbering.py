"""One numbering for an anime over all its releases, whatever the order they came in."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime_crawler.catalogue import export, outbox
from anime_crawler.catalogue.numbering import NO_SEASON, SeasonCount, base_season, number_of, numbered_episodes
from anime_crawler.items import Checkpoint
from tests.catalogue.support import NOW, opened, player, release

FILM = NO_SEASON


@pytest.mark.parametrize(
    ("counts", "base"),
    [
        ([], 0),
        ([(FILM, 3, 3)], 0),
        ([(1, 1, 1), (2, 2, 2)], 2),
        ([(1, 2, 2), (2, 2, 2)], 1),
        ([(0, 9, 9), (4, 1, 1)], 4),
        ([(0, 2, 2)], 0),
        ([(1, 0, 5), (2, 1, 1)], 2),
        ([(0, 1, 1), (3, 0, 5)], 0),
        ([(1, 0, 1), (2, 0, 2), (0, 0, 9)], 2),
        ([(FILM, 5, 5), (2, 1, 1), (1, 1, 1)], 1),
    ],
)
def test_the_base_is_the_season_that_most_releases_have(counts, base):
    """Of equal ones the lowest; specials only alone; what is gone counts only where nothing is there."""
    assert base_season(SeasonCount(*count) for count in counts) == base


@given(
    st.integers(0, 9_999),
    st.sets(st.tuples(st.integers(0, 9_999), st.integers(0, 9_999)), max_size=20),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_no_two_episodes_share_a_number(base, episodes, near):
    """Whatever the base; the backend's numbers are int32."""
    episodes |= {(season, n) for season in near for n in (0, 1, 9_999)}
    numbers = {number_of(season, n, base) for season, n in episodes}
    assert len(numbers) == len(episodes)
    assert all(0 <= number < 2**31 for number in numbers)


def test_a_film_is_the_first_episode_and_has_the_title_that_either_has():
    """One team has it as a film, another as a serial of one episode."""
    rows = [(FILM, 1, None), (2, 1, "Начало"), (2, 2, None), (0, 1, None)]
    found = [tuple(known) for known in numbered_episodes(rows, 2)]
    assert found == [(1, "Начало", None, 1), (2, None, 2, 2), (990_001, None, 0, 1)]


SHAPES = st.dictionaries(
    st.sampled_from([0, 1, 2, 3, 120]), st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=3
)


def releases_of(title_id, shapes):
    """One release for each shape."""
    return [
        release(
            f"serial-{title_id}-{i}",
            title_id,
            [player(n, season_number=season) for season in sorted(shape) for n in sorted(shape[season])],
            translation_id=str(600 + i),
            fetched_at=NOW,
        )
        for i, shape in enumerate(shapes)
    ]


def seen(tables, title_id):
    """What an export and a delivery make of a title, without its id."""
    (state,) = tables.run(outbox.load_titles, [title_id])
    rows = tables.run(lambda conn: list(export.rows(conn, "players")))
    rows = [row for row in rows if row["title_id"] == title_id and not row["gone"]]
    players = [(row["number"], row["season_number"], row["source_number"], row["translation_id"]) for row in rows]
    assert [number for number, *_ in players] == sorted(player.number for player in state.players)
    episodes = tables.run(lambda conn: list(export.rows(conn, "episodes")))
    assert [row["number"] for row in episodes if row["title_id"] == title_id] == [
        known.number for known in state.episodes
    ]
    return state.base, players, [tuple(known) for known in state.episodes]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=st.lists(SHAPES, min_size=1, max_size=4), data=st.data())
def test_the_order_of_arrival_does_not_matter(tmp_path_factory, shapes, data):
    """Nor how many arrive at once, nor that one had other seasons before: numbers follow from what is there."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('orders')}/a.db") as tables:
        results = []
        for title_id in ("1", "2", "3"):
            items = releases_of(title_id, shapes)
            size = data.draw(st.integers(1, 4))
            order = data.draw(st.permutations(items))
            before = releases_of(title_id, [data.draw(SHAPES) for _ in items]) if title_id == "3" else []
            for some in [before, *(order[i : i + size] for i in range(0, len(order), size))]:
                tables.store(*some)
            base, players, episodes = seen(tables, title_id)
            there = {number for number, *_ in players}
            results.append((base, players, [e for e in episodes if e[0] in there]))
        assert results[0] == results[1] == results[2]


def test_a_release_that_goes_takes_its_vote_along(tables):
    """After a full walk that did not list it; its episodes stay, under the numbers of the new base."""
    first, *others = releases_of("20", [{1: [1], 2: [1]}, {1: [1]}, {2: [1], 1: [2]}, {2: [1]}])
    tables.store(first, *others, run=1)
    assert seen(tables, "20")[0] == 1
    end = Checkpoint(source="kodik", previous=None, state={"done": 1}, full_since=2)
    tables.store(first, others[1], others[2], run=2, listing_is_full=True)
    tables.store(end, run=2, listing_is_full=True)
    assert seen(tables, "20")[0] == 2


def test_an_unmatched_release_is_numbered_alone(tables):
    """Nobody knows which anime it belongs to, so no other release has a say."""
    one, other = releases_of(None, [{2: [1], 3: [1]}, {3: [1]}])
    tables.store(one, other)
    rows = tables.run(lambda conn: list(export.rows(conn, "players")))
    assert [(row["release_id"], row["number"]) for row in rows] == [
        ("serial-None-0", 1),
        ("serial-None-0", 10_001),
        ("serial-None-1", 1),
    ]
