"""The simulated world: every title and material, and the order in which Kodik lists them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from anime_crawler.sandbox.world.invented import invent_titles
from anime_crawler.sandbox.world.releases import MaterialMaker, material_counts
from anime_crawler.sandbox.world.works import Material, Title

NOW = 1_793_491_200
"""2026-11-01T00:00:00Z: the world's present unless told otherwise; it moves with mutations only."""

Position = tuple[Any, str]
"""Sort value and material id: what a cursor points at."""


class World:
    """Titles and materials. The same seed and number of titles give the same world on every machine.

    Args:
        seed: what everything is drawn from.
        titles: how many.
        now: seconds since 1970.
        given: titles to use instead of invented ones; `titles` is then ignored.
    """

    def __init__(self, seed: int = 1, titles: int = 200, now: int = NOW, given: list[Title] | None = None) -> None:
        self.seed = seed
        self.now = now
        self.rng = Random(seed)  # noqa: S311 - a catalogue to play with, not a secret
        self.titles: dict[int, Title] = {}
        self.materials: dict[str, Material] = {}
        self.version = 0
        self.poisoned: dict[int, str] = {}
        """Title id -> GraphQL field whose selection makes Shikimori fail for the whole page."""
        self.maker = MaterialMaker(self.rng, now)
        self._orders: dict[tuple[Any, ...], list[tuple[Position, Material]]] = {}
        self._listed = -1
        with _no_collection():
            self._fill(invent_titles(self.rng, titles, now) if given is None else given)

    def _fill(self, titles: list[Title]) -> None:
        for title, count in zip(titles, material_counts(self.rng, titles), strict=True):
            self.titles[title.id] = title
            self.add(self.maker.materials_of(title, count))

    def add(self, materials: Iterable[Material]) -> None:
        """Put new materials into the list."""
        for material in materials:
            self.materials[material.id] = material
        self.version += 1

    def remove(self, material: Material) -> None:
        """Take a material out of the list."""
        del self.materials[material.id]
        self.version += 1

    def tick(self, seconds: int) -> int:
        """Let `seconds` pass; gives back the new present."""
        self.now += seconds
        return self.now

    def touch(self, material: Material) -> None:
        """The material has changed: it moves to the end of the ascending list."""
        material.updated_at = self.tick(self.rng.randint(1, 60))
        self.repaint(material)

    def repaint(self, material: Material) -> None:
        """The material has changed without saying so: what is shown is made anew."""
        material.rendered.clear()
        material.title.rendered = None
        self.version += 1

    def materials_of(self, title: Title) -> list[Material]:
        """The title's materials, in order of their making."""
        return [m for m in self.materials.values() if m.title is title]

    def ordered(
        self, name: tuple[Any, ...], key: Callable[[Material], Any], wanted: Callable[[Material], bool]
    ) -> list[tuple[Position, Material]]:
        """Wanted materials by (key, id), ascending.

        Args:
            name: what stands for `key` and `wanted`; the same name gives the kept list until the world changes.
        """
        if self._listed != self.version:
            self._orders, self._listed = {}, self.version
        if name not in self._orders:
            found = [((key(m), m.id), m) for m in self.materials.values() if wanted(m)]
            self._orders[name] = sorted(found, key=lambda pair: pair[0])
        return self._orders[name]


class _no_collection:  # noqa: N801 - reads as a statement
    """Generating makes half a million objects that all stay: looking for garbage among them doubles the time."""

    def __enter__(self) -> None:
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.freeze()
        gc.enable()
