"""Ids of one world at all sources."""

from __future__ import annotations

import pytest

from anime_crawler.sandbox.identity import SHARES, id_at, ids_of
from anime_crawler.sandbox.world import World


@pytest.fixture(scope="module")
def titles():
    return list(World(titles=1000).titles.values())


@pytest.mark.parametrize("source", SHARES)
def test_a_source_knows_its_share_and_no_id_twice(titles, source):
    """Within five percent, and the same each time."""
    known, again = ([its for title in titles if (its := id_at(source, title))] for _ in range(2))
    assert abs(len(known) - 10 * SHARES[source]) < 50
    assert len(set(known)) == len(known)
    assert known == again


def test_sources_differ_in_what_they_know(titles):
    """Some titles are everywhere, some are missing at each."""
    known = [set(ids_of(title)) for title in titles]
    assert sum(its == set(SHARES) for its in known) > 100
    assert len({frozenset(its) for its in known}) > 30
