"""The same titles at the other sources."""

from __future__ import annotations

import pytest

from anime_crawler.sandbox.world.elsewhere import SHARES, appearances, cast, id_at, ids_elsewhere, known_at
from anime_crawler.sandbox.world.world import World

WORLD = World(seed=3, titles=400)


@pytest.mark.parametrize("source", SHARES)
def test_each_source_knows_about_its_share_of_the_titles_each_under_an_id_of_its_own(source: str) -> None:
    """Ids are unique at a source."""
    found = known_at(source, WORLD)
    assert abs(len(found) / 4 - SHARES[source]) < 8
    assert all(id_at(source, title) == number for number, title in found.items())


def test_the_same_seed_gives_the_same_ids_and_cast() -> None:
    """On every machine, in every process."""
    again = World(seed=3, titles=400)
    for number, title in WORLD.titles.items():
        assert ids_elsewhere(title) == ids_elsewhere(again.titles[number])
        assert cast(title) == cast(again.titles[number])


def test_main_characters_come_first_and_numbers_are_unique_in_the_world() -> None:
    """Some titles have no cast at all; a number that comes again is the same character."""
    casts = [cast(title) for title in WORLD.titles.values()]
    names = {(role.number, role.name) for roles in casts for role in roles}
    assert len({number for number, _ in names}) == len(names)
    assert [] in casts
    assert all([r.main for r in roles] == sorted((r.main for r in roles), reverse=True) for roles in casts)


def test_sequels_share_a_character_with_what_they_continue() -> None:
    """With the same number and name, in a smaller part and with another voice; numbers are unique within a cast."""
    shared = 0
    for title in WORLD.titles.values():
        roles = {role.number: role for role in cast(title)}
        assert len(roles) == len(cast(title))
        for number, role in roles.items():
            places = appearances(number, WORLD)
            assert (title, role) in places
            assert {other.name for _, other in places} == {role.name}
            shared += len(places) > 1
            if len(places) > 1:
                assert len({(other.main, other.voice) for _, other in places}) == len(places)
    assert shared > 10
