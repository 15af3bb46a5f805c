"""The oracle's own rules, on materials made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from anime_crawler.sandbox.world import oracle
from anime_crawler.sandbox.world.works import Episode
from anime_crawler.sandbox.world.world import World

MATERIAL = next(m for m in World(titles=5).materials.values() if m.seasons is not None)


def numbers(*releases: dict[int, list[int]] | None) -> list[list[int]]:
    materials = [
        dataclasses.replace(
            MATERIAL,
            seasons=seasons
            and {s: {n: Episode("//h/seria/1/a/720p") for n in episodes} for s, episodes in seasons.items()},
        )
        for seasons in releases
    ]
    base = oracle.base_of(materials)
    return [[number for _, _, number, _ in oracle.numbered(material, base)] for material in materials]


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        ([None], [[1]]),
        ([{4: [0, 1, 3]}], [[0, 1, 3]]),
        ([{0: [1, 2]}], [[1, 2]]),
        ([{0: [1], 2: [1]}], [[990_001, 1]]),
        ([{2: [12], 3: [1], 5: [2]}], [[12, 10_001, 30_002]]),
        ([{1: []}], [[]]),
        ([{1: [1, 10_000]}], [[1]]),
        ([{1: [1], 2: [1]}, {2: [1]}, {2: [1]}], [[1_010_001, 1], [1], [1]]),
        ([{1: [1], 2: [1]}, {2: [1]}, {1: [1]}], [[1, 10_001], [10_001], [1]]),
        ([{0: [1]}, {0: [1]}, {3: [1]}], [[990_001], [990_001], [1]]),
    ],
)
def test_numbering(releases, expected):
    """The rule of the module's docstring, case by case."""
    assert numbers(*releases) == expected


@pytest.mark.parametrize(
    "link",
    ["//KODIK.cc/seria/1/a/720p", "http://kodik.cc/seria/1/a/720p?season=1", "https://kodik.cc/seria/1/a/720p#x"],
)
def test_links_have_one_form(link):
    """https, host in lower case, nothing behind the path."""
    assert oracle.canonical(link) == "https://kodik.cc/seria/1/a/720p"


def test_the_dump_is_the_union_over_releases():
    """Sorted; every player's episode and every episode's anime is there."""
    dump = oracle.expected_dump(World(titles=40))
    episodes = {source for source, _ in dump["episodes"]}
    assert {source for source, _ in dump["players"]} == episodes
    assert {source.split(":")[0] for source in episodes} <= set(dump["anime"])
    assert dump["players"] == sorted(dump["players"])
