"""What one of the other sources has of the world, by its ids: looked up once per change of the world."""

from __future__ import annotations

from anime_crawler.sandbox.elsewhere import known_at
from anime_crawler.sandbox.model import Title
from anime_crawler.sandbox.world import World


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
