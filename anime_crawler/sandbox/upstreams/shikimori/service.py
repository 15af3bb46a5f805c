"""Shikimori's API: GraphQL ``animes`` with its silent limits and hidden filters, and the REST that GraphQL lacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from graphql import GraphQLError

from anime_crawler.sandbox.server.wire import Call, Reply, html_reply, json_reply
from anime_crawler.sandbox.upstreams.graphql_query import Selection, names_in, parse_query, project
from anime_crawler.sandbox.upstreams.shikimori.json import anime_object, full_object, moscow, short_object
from anime_crawler.sandbox.upstreams.shikimori.schema import SCHEMA, check_size
from anime_crawler.sandbox.world.shelf import LastList
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sandbox.world.world import World

MAX_LIMIT = 50
"""More is clamped without a word."""

UNRESOLVED = "Types::Enums::ExternalLink::KindEnum::UnresolvedValueError"


class PoisonedError(Exception):
    """A selected field of one title cannot be shown: the whole page fails."""


class Shikimori:
    """The service over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._last: LastList[Title] = LastList(world)

    def answer(self, call: Call) -> Reply:
        """What the real service would say."""
        agent = call.headers.get("user-agent", "").strip()
        if not agent or agent.startswith("Mozilla"):
            return html_reply(403, "DDOS-GUARD")
        if call.path == "/api/graphql" and call.method == "POST":
            return self.graphql(call)
        if call.method == "GET":
            return self.rest(call)
        return not_found()

    def graphql(self, call: Call) -> Reply:
        """One GraphQL request; errors of the query are answered with 200."""
        try:
            request = orjson.loads(call.body)
            text, variables = request["query"], request.get("variables") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return json_reply({"errors": [{"message": "No query string was present"}]})
        try:
            text = re.sub(r"(\$\w+\s*:\s*)Int\b", r"\1PositiveInt", text)  # the server rewrites Int too
            return json_reply({"data": self._data(parse_query(text, SCHEMA).selection(variables), call)})
        except GraphQLError as wrong:
            return json_reply({"errors": [wrong.formatted]})
        except PoisonedError as wrong:
            return json_reply({"errors": [{"exception": UNRESOLVED, "message": str(wrong)}]}, 500)

    def _data(self, selection: Selection, call: Call) -> dict[str, Any]:
        check_size(selection)
        data = {}
        for field in selection:
            call.summary |= field.arguments
            titles = self.listed(field.arguments)
            self._fail_if_poisoned(titles, names_in(field.below))
            data[field.shown] = project(field.below, [anime_object(title) for title in titles])
        return data

    def _fail_if_poisoned(self, titles: list[Title], selected: set[str]) -> None:
        for index, title in enumerate(titles):
            field = self.world.poisoned.get(title.id)
            if field in selected:
                raise PoisonedError(
                    f'`Anime.{field}` returned `"ivi"` at `animes.{index}.{field}.0.kind`, '
                    "but this isn't a valid value for `ExternalLinkKindEnum`."
                )

    def listed(self, arguments: dict[str, Any]) -> list[Title]:
        """The page that the arguments ask for; unknown ids are left out, no row repeats."""
        page, limit = positive(arguments["page"]), min(positive(arguments["limit"]), MAX_LIMIT)
        filters = {name: value for name, value in arguments.items() if name not in ("page", "limit")}
        found = self._last.rows(filters, lambda: self._ordered(filters))
        return found[(page - 1) * limit : page * limit]

    def _ordered(self, arguments: dict[str, Any]) -> list[Title]:
        found = [t for t in self._candidates(arguments) if t.at_shikimori and wanted(t, arguments)]
        return sorted(found, key=ORDERS.get(arguments["order"], ORDERS["ranked"]))

    def _candidates(self, arguments: dict[str, Any]) -> list[Title]:
        titles = self.world.titles
        if arguments.get("ids"):
            return [titles[i] for i in sorted(integers(arguments["ids"])) if i in titles]
        return list(titles.values())

    def rest(self, call: Call) -> Reply:
        """The REST endpoints that a crawler has a use for."""
        one = re.fullmatch(r"/api/animes/[a-z]*(\d+)(?:-.*)?", call.path)
        if one:
            title = self.world.titles.get(int(one[1]))
            return json_reply(full_object(title)) if title and title.at_shikimori else not_found()
        if call.path == "/api/calendar":
            return json_reply(self.calendar())
        if call.path == "/api/topics/updates":
            return json_reply(self.updates(min(int(call.params.get("limit", "5")), 30)))
        return not_found()

    def calendar(self) -> list[dict[str, Any]]:
        """Upcoming episodes by time; here the duration is in seconds."""
        soon = sorted((t for t in self._running() if t.next_episode_at), key=lambda t: (t.next_episode_at, t.id))
        return [
            {
                "next_episode": title.aired + 1,
                "next_episode_at": moscow(title.next_episode_at or 0),
                "duration": title.duration * 60 or None,
                "anime": short_object(title),
            }
            for title in soon
        ]

    def updates(self, limit: int) -> list[dict[str, Any]]:
        """Newest events; one more than asked for, as the real one."""
        newest = sorted(self._running(), key=lambda t: (-t.updated_at, t.id))[: limit + 1]
        return [
            {
                "id": title.updated_at,
                "linked": short_object(title),
                "event": "episode",
                "episode": title.aired,
                "created_at": moscow(title.updated_at),
                "url": f"/animes/{title.id}",
            }
            for title in newest
        ]

    def _running(self) -> list[Title]:
        return [t for t in self.world.titles.values() if t.at_shikimori and t.status == "ongoing"]


ORDERS: dict[str, Callable[[Title], Any]] = {
    "id": lambda t: t.id,
    "id_desc": lambda t: -t.id,
    "ranked": lambda t: (-t.score, t.id),
    "popularity": lambda t: (-t.votes, t.id),
    "name": lambda t: (t.romaji, t.id),
    "created_at": lambda t: (t.created_at, t.id),
    "created_at_desc": lambda t: (-t.created_at, t.id),
    "updated_at": lambda t: (t.updated_at, t.id),
    "updated_at_desc": lambda t: (-t.updated_at, t.id),
    "aired_on": lambda t: (-(t.aired_on[0] or 0), t.id),
    "episodes": lambda t: (-t.episodes, t.id),
}
"""Every order ends with the id, so that pages are stable."""


def not_found() -> Reply:
    """Unknown id and unknown route look the same."""
    return json_reply({"message": "Страница не найдена", "code": 404}, 404)


def positive(value: int) -> int:
    """``PositiveInt``.

    Raises:
        GraphQLError: 0 or below.
    """
    if not isinstance(value, int) or value < 1:
        raise GraphQLError(f"{value!r} is not a positive integer")
    return value


def integers(text: str) -> set[int]:
    """The plain integers of a comma list; anything else (``z20``) matches nothing."""
    return {int(part) for part in text.split(",") if part.strip().isdigit()}


def wanted(title: Title, arguments: dict[str, Any]) -> bool:
    """Whether the filters let the title through, the hidden ones too."""
    if title.id in integers(arguments.get("excludeIds") or ""):
        return False
    if arguments.get("score") and title.score < arguments["score"]:
        return False
    if arguments.get("search") and arguments["search"].lower() not in f"{title.romaji} {title.russian}".lower():
        return False
    if arguments.get("franchise") and title.franchise not in arguments["franchise"].split(","):
        return False
    lists = ((title.kind, "kind"), (title.status, "status"), (title.rating, "rating"))
    return shown_by_policy(title, arguments) and all(in_list(value, arguments.get(name)) for value, name in lists)


def in_list(value: str | None, text: str | None) -> bool:
    """A comma list of wanted values; ``!`` before one means all but it."""
    if not text:
        return True
    names = text.split(",")
    refused = {name[1:] for name in names if name.startswith("!")}
    return value not in refused if refused else value in names


def shown_by_policy(title: Title, arguments: dict[str, Any]) -> bool:
    """Censored titles and music stay out unless something in the query lets them in."""
    if any(arguments.get(name) for name in ("ids", "search", "franchise")) or arguments.get("censored") is False:
        return True
    names_music = "music" in (arguments.get("kind") or "").split(",")
    names_adult = bool({"rx", "r_plus"} & set((arguments.get("rating") or "").split(",")))
    return (not title.censored or names_adult) and (title.kind != "music" or names_music)
