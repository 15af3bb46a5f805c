"""Anime-Planet's site: the listing with its orders and its search, and the pages of anime and of characters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.anime_planet import lists
from anime_crawler.sandbox.upstreams.anime_planet.pages import SOURCE, detail, name_of
from anime_crawler.sandbox.world.elsewhere import appearances, id_at
from anime_crawler.sandbox.world.shelf import Shelf
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

FORBIDDEN = ("/users", "/login")
"""What its robots.txt forbids here. Nobody has published the real one; a crawler has no use for these."""
PAGE_SIZE = 35
NUMBER = re.compile(r".*-(\d+)")
"""The end of a slug, which stays when the title changes."""
ORDERS: dict[str | None, Callable[[Title], Any]] = {
    "title": lambda t: (name_of(t).casefold(), t.id),
    "recent": lambda t: t.id,
    None: lambda t: (-t.votes, t.id),
}
"""Unless told otherwise the listing goes by popularity."""


class AnimePlanet:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shelf = Shelf(SOURCE, world)

    def answer(self, call: Call) -> Reply:
        """What the real site would say. It never says 404: what there is not is searched for, and not found."""
        section, _, rest = call.path.removeprefix("/").partition("/")
        slug, _, part = rest.partition("/")
        if call.path == "/anime/all":
            return self.search(call) if "name" in call.params else page(self.listing(call.params))
        if section == "characters":
            return page(self.character(slug) or lists.nothing_found(slug))
        title = self.shelf.titles.get(slug)
        if title is None:
            return self.gone(call, slug)
        return page(lists.characters(title) if part == "characters" else detail(title, self.world))

    def listing(self, params: dict[str, str]) -> str:
        """One page of the listing; without cards behind its end."""
        number = int(params.get("page", 1))
        found = sorted(self.shelf.titles.values(), key=ORDERS.get(params.get("sort"), ORDERS[None]))
        if params.get("order") == "desc":
            found.reverse()
        return lists.listing(found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE], number, -(-len(found) // PAGE_SIZE))

    def search(self, call: Call) -> Reply:
        """Titles by name; a single one is shown at once, none is another page."""
        name = call.params["name"]
        found = {slug: t for slug, t in self.shelf.titles.items() if is_named(t, name)}
        if len(found) == 1:
            return moved(f"{call.base_url}/anime/{next(iter(found))}")
        return page(lists.listing([*found.values()][:PAGE_SIZE], 1, 1) if found else lists.nothing_found(name))

    def gone(self, call: Call, slug: str) -> Reply:
        """An earlier slug leads to the present one; any other is not found."""
        number = NUMBER.fullmatch(slug)
        title = self.world.titles.get(int(number[1])) if number else None
        now = id_at(SOURCE, title) if title else None
        return moved(f"{call.base_url}/anime/{now}") if now else page(lists.nothing_found(slug))

    def character(self, slug: str) -> str | None:
        """The page of one character."""
        number = int(found[1]) if (found := NUMBER.fullmatch(slug)) else 0
        parts = [(title, role) for title, role in appearances(number, self.world) if id_at(SOURCE, title)]
        return lists.character(parts) if parts else None


def is_named(title: Title, name: str) -> bool:
    """Whether the words are part of one of its names."""
    return name.casefold() in f"{name_of(title)}\n{title.romaji}".casefold()


def page(body: str) -> Reply:
    """A page of the site."""
    return Reply(200, body.encode(), "text/html; charset=utf-8")


def moved(to: str) -> Reply:
    """A redirect."""
    return Reply(301, b"", "text/html", {"location": to})
