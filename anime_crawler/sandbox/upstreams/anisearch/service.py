"""AniSearch's site: index, search, and the pages of an anime, its characters and its episodes."""

from __future__ import annotations

import re

from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.anisearch import lists
from anime_crawler.sandbox.upstreams.anisearch.pages import SOURCE, detail, missing
from anime_crawler.sandbox.world.elsewhere import appearances, id_at
from anime_crawler.sandbox.world.shelf import Shelf
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

FORBIDDEN = ("/usercp", "/login")
"""What its robots.txt forbids here. Nobody has published the real one; a crawler has no use for these."""
LARGEST_PAGE = 100
ANIME = re.compile(r"/anime/(\d+)[^/]*(?:/(characters|episodes))?")
INDEX = re.compile(r"/anime/index(?:/(?:page-(\d+))?)?")


class AniSearch:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shelf = Shelf(SOURCE, world)

    def answer(self, call: Call) -> Reply:
        """What the real site would say; an id that is gone or never was is 404."""
        body = self._page(call) if call.method == "GET" else None
        return Reply(200 if body else 404, (body or missing()).encode(), "text/html; charset=utf-8")

    def _page(self, call: Call) -> str | None:
        if index := INDEX.fullmatch(call.path):
            return self.index(call.params, int(index[1] or call.params.get("page", 1)))
        if character := re.fullmatch(r"/character/(\d+)[^/]*", call.path):
            return self.character(int(character[1]))
        found = ANIME.fullmatch(call.path)
        title = self.shelf.titles.get(found[1]) if found else None
        if found is None or title is None:
            return None
        if found[2] == "characters":
            return lists.characters(title)
        return lists.episodes(title) if found[2] else detail(title, self.world)

    def index(self, params: dict[str, str], number: int) -> str:
        """One page of the index, or of what a search finds; empty behind the end.

        By date the newest come first. Here those are the highest ids: a world's new titles are its latest, whenever
        they were first shown.
        """
        size = min(int(params.get("limit", LARGEST_PAGE)), LARGEST_PAGE)
        found = [title for title in self.shelf.titles.values() if is_named(title, params.get("text", ""))]
        found.sort(key=(lambda t: t.id) if params.get("sort") == "date" else (lambda t: (t.romaji.casefold(), t.id)))
        if params.get("order") == "desc":
            found.reverse()
        return lists.index(found[(number - 1) * size : number * size], number, -(-len(found) // size))

    def character(self, number: int) -> str | None:
        """The page of one character of a title that the site knows."""
        known = (role for title, role in appearances(number, self.world) if id_at(SOURCE, title))
        role = next(known, None)
        return lists.character(role) if role else None


def is_named(title: Title, text: str) -> bool:
    """Whether the text is part of one of its names."""
    names = (title.romaji, title.english or "", title.japanese or "", *title.synonyms)
    return any(text.casefold() in name.casefold() for name in names)
