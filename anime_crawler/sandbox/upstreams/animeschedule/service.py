"""AnimeSchedule's API: a list of 18 a page that fails where it ends, single anime, and timetables by week."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anime_crawler.sandbox.server.wire import Call, Reply, json_reply
from anime_crawler.sandbox.upstreams.animeschedule.json import SOURCE, STATUSES, show
from anime_crawler.sandbox.upstreams.animeschedule.week import Airing, airings_in, row
from anime_crawler.sandbox.world.elsewhere import ids_elsewhere
from anime_crawler.sandbox.world.shelf import Shelf
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

PAGE_SIZE = 18
KINDS = {"raw": ("raw",), "sub": ("sub",), "dub": ("dub",), "all": ("raw", "sub", "dub")}
ORDERS: dict[str, Callable[[Title], Any]] = {
    "popularity": lambda t: (-t.votes, t.id),
    "score": lambda t: (-t.score, t.id),
    "alphabetic": lambda t: (t.romaji.casefold(), t.id),
    "releaseDate": lambda t: (-(t.aired_on[0] or 0), -(t.aired_on[1] or 0), t.id),
}
FILTERS: dict[str, Callable[[Title], str | None]] = {
    "mal-ids": lambda t: (t.mal_id and str(t.mal_id)) or None,
    "anilist-ids": lambda t: ids_elsewhere(t).get("anilist"),
    "anidb-ids": lambda t: ids_elsewhere(t).get("anidb"),
    "airing-statuses": lambda t: STATUSES[t.status].lower(),
    "seasons": lambda t: t.season.split("_")[0] if t.season else None,
    "years": lambda t: str(t.aired_on[0]),
}
"""Value of a title for each filter; a filter that is given several times lets each of its values through."""


class AnimeSchedule:
    """The service over one world."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self.token = token
        self.shelf = Shelf(SOURCE, world)

    def answer(self, call: Call) -> Reply:
        """What the real service would say. Lists answer without a token too, "for internal use"."""
        call.summary |= call.params
        authorization = call.headers.get("authorization")
        is_timetable = call.path.startswith("/timetables")
        if authorization not in (f"Bearer {self.token}", None) or (authorization is None and is_timetable):
            return text(401, "Unauthorized")
        if call.method != "GET":
            return text(404, "Not Found")
        if call.path == "/anime":
            return self.list_page(call)
        return self.timetable(call) if is_timetable else self.one(call.path)

    def list_page(self, call: Call) -> Reply:
        """One page of the list or of a search; where there is nothing, the server fails."""
        number = call.params.get("page", "1")
        titles = self._listed(call)
        first = (int(number) - 1) * PAGE_SIZE if number.isdigit() else -1
        shown = titles[first : first + PAGE_SIZE] if first >= 0 else []
        if not shown:
            return text(500, "Something went wrong")
        found = [show(title, self.world) for title in shown]
        return json_reply({"page": int(number), "totalAmount": len(titles), "anime": found})

    def _listed(self, call: Call) -> list[Title]:
        found = [t for t in self.shelf.titles.values() if is_wanted(t, call)]
        wanted = call.params.get("q", "").casefold()
        if wanted:
            found = [t for t in found if is_named(t, wanted)] or [t for t in found if is_of(t, wanted)]
        return sorted(found, key=ORDERS.get(call.params.get("st", ""), ORDERS["popularity"]))

    def one(self, path: str) -> Reply:
        """``/anime/{slug}``."""
        found = re.fullmatch(r"/anime/([^/]+)", path)
        title = self.shelf.titles.get(found[1]) if found else None
        return json_reply(show(title, self.world)) if title else text(404, "Not Found")

    def timetable(self, call: Call) -> Reply:
        """The rows of a week in order of time; a week without any is 404."""
        found = re.fullmatch(r"/timetables(?:/(raw|sub|dub|all))?", call.path)
        monday, zone = self._monday(call.params), zone_of(call.params.get("tz", "Europe/London"))
        if found is None or monday is None or zone is None:
            return text(404 if found is None else 400, "Not Found" if found is None else "Bad Request")
        airings = [
            airing
            for title in self.shelf.titles.values()
            for kind in KINDS[found[1] or "all"]
            for airing in airings_in(title, kind, monday)
        ]
        now = datetime.fromtimestamp(self.world.now, UTC)
        rows = [row(airing, now, zone) for airing in sorted(airings, key=_place)]
        return json_reply(rows) if rows else text(404, "Not Found")

    def _monday(self, params: dict[str, str]) -> datetime | None:
        """Beginning of the week that is asked for, by default the present one; ``None``: there is no such week."""
        try:
            if "week" not in params and "year" not in params:
                year, week, _ = datetime.fromtimestamp(self.world.now, UTC).isocalendar()
            else:
                year, week = int(params["year"]), int(params["week"])
            return datetime.combine(date.fromisocalendar(year, week, 1), time(), UTC)
        except (KeyError, ValueError):
            return None


def _place(airing: Airing) -> tuple[datetime, int, str]:
    return airing.at, airing.title.id, airing.kind


def is_wanted(title: Title, call: Call) -> bool:
    """Whether the filters let the title through. ``years`` without ``seasons`` leaves out what has a season."""
    wishes = {name: {v for n, v in call.pairs if n == name} for name in FILTERS if name in call.params}
    if "years" in wishes and "seasons" not in wishes and title.season:
        return False
    return all(FILTERS[name](title) in values for name, values in wishes.items())


def is_named(title: Title, wanted: str) -> bool:
    """Whether the text is part of one of its names."""
    names = (title.romaji, title.english, title.japanese, *title.synonyms)
    return any(wanted in name.casefold() for name in names if name)


def is_of(title: Title, wanted: str) -> bool:
    """Whether the text is its genre, studio or source."""
    words = [*(GENRES[number][0] for number in title.genres), *title.studios, title.origin]
    return any(wanted == word.casefold() for word in words)


def zone_of(name: str) -> tzinfo | None:
    """The time zone; ``None``: there is none of that name."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def text(status: int, words: str) -> Reply:
    """Errors are plain text."""
    return Reply(status, words.encode(), "text/plain; charset=utf-8")
