"""What one of the other sources has of the world, looked up once per change of the world: by id, and in one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

Row = TypeVar("Row")


class Shelf:
    """The titles that a source knows. Drawing 30,000 of them anew for each request would take half a second."""

    def __init__(self, source: str, world: World) -> None:
        self.source = source
        self.world = world
        self._titles: dict[str, Title] = {}
        self._version = -1

    @property
    def titles(self) -> dict[str, Title]:
        """By the source's id, in order of the world's."""
        if self._version != self.world.version:
            self._titles, self._version = known_at(self.source, self.world), self.world.version
        return self._titles


class LastList(Generic[Row]):
    """The list that was asked for last: a walk asks for page after page of the same."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._wish: Any = None
        self._rows: list[Row] = []

    def rows(self, wish: Any, make: Callable[[], list[Row]]) -> list[Row]:
        """All its rows, made anew when the wish is another or the world has moved."""
        wish = (wish, self.world.version, self.world.now)
        if wish != self._wish:
            self._wish, self._rows = wish, make()
        return self._rows
