"""``/_sandbox``: looking behind the services, and making the world move and misbehave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.sandbox.server.faults import Fault
from anime_crawler.sandbox.server.services import Services
from anime_crawler.sandbox.world import oracle
from anime_crawler.sandbox.world.elsewhere import SHARES
from anime_crawler.sandbox.world.mutation import MutationError


class RefusedError(Exception):
    """The control request is wrong; the message says how."""


class Control:
    """The control paths over one set of services."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def router(self) -> Router:
        """The paths below ``/_sandbox``."""
        return Router(
            [
                self._route("/", "GET", self.about),
                self._route("/log", "GET", self.log),
                self._route("/stats", "GET", self.stats),
                self._route("/oracle", "GET", self.oracle),
                self._route("/reset", "POST", self.reset),
                self._route("/mutate", "POST", self.mutate),
                self._route("/time", "POST", self.time),
                self._route("/limits", "POST", self.limits),
                self._route("/faults", "GET", self.faults),
                self._route("/faults", "POST", self.add_fault),
                self._route("/faults", "DELETE", self.clear_faults),
                self._route("/poison", "POST", self.poison),
            ]
        )

    def _route(self, path: str, method: str, handler: Callable[[dict[str, Any]], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                wish = dict(request.query_params) if method == "GET" else orjson.loads(await request.body() or b"{}")
                return Response(orjson.dumps(handler(wish)), media_type="application/json")
            except (RefusedError, MutationError, ValidationError, orjson.JSONDecodeError) as wrong:
                return Response(orjson.dumps({"error": str(wrong)}), 400, media_type="application/json")

        return Route(path, endpoint, methods=[method])

    def about(self, _wish: dict[str, Any]) -> Any:
        """The world in numbers."""
        world = self.services.world
        return {
            "seed": world.seed,
            "titles": len(world.titles),
            "materials": len(world.materials),
            "now": world.now,
            "version": world.version,
        }

    def log(self, wish: dict[str, Any]) -> Any:
        """Entries in order; `service` names one."""
        return [entry.as_dict() for entry in self.services.log.of(wish.get("service"))]

    def stats(self, _wish: dict[str, Any]) -> Any:
        """Counts per service, with what the limits have seen."""
        shown: dict[str, Any] = {name: dict(vars(figures)) for name, figures in self.services.log.figures.items()}
        for name, limiter in self.services.limiters.items():
            shown[name] |= limiter.figures()
        requests = {name: figures["requests"] for name, figures in shown.items()}
        violations = sum(limiter.violations for limiter in self.services.limiters.values())
        return {"requests": requests, "violations": violations} | shown

    def oracle(self, wish: dict[str, Any]) -> Any:
        """`what`: players, episodes, anime, unmatched, counts, dump, or `known`: the titles of `source`."""
        what, world = wish.get("what", "counts"), self.services.world
        if what == "known" and wish.get("source") in SHARES:
            return oracle.known(world, wish["source"])
        if what == "dump":
            return oracle.expected_dump(world)
        if what == "counts":
            return oracle.counts(world)
        if what not in oracle.VIEWS:
            views = f"dump, counts, {', '.join(oracle.VIEWS)}, and known with source={'|'.join(SHARES)}"
            raise RefusedError(f"what={what}: there are {views}")
        return oracle.VIEWS[what](world)

    def reset(self, wish: dict[str, Any]) -> Any:
        """Forget log and figures. With ``{"world": true}`` world and limits are made anew as well, without faults."""
        self.services.reset()
        if wish.get("world"):
            self.services.rebuild()
            self.services.calm()
        return self.about({})

    def mutate(self, wish: dict[str, Any]) -> Any:
        """One mutation, or `op` ``mutate_while_walking``: `per_request` of them before each list page from now on."""
        op = str(wish.pop("op", ""))
        if op != "mutate_while_walking":
            return self.services.mutator.apply(op, wish)
        self.services.per_request = int(wish.get("per_request", 1))
        return {"op": op, "per_request": self.services.per_request}

    def time(self, wish: dict[str, Any]) -> Any:
        """Set the world's present to `now`, seconds since 1970; it never goes back."""
        world, now = self.services.world, int(wish.get("now", 0))
        if now < world.now:
            raise RefusedError(f"the world is at {world.now} already")
        world.now = now
        return self.about({})

    def limits(self, wish: dict[str, Any]) -> Any:
        """Enforce `limits` (``4/day``) at `service` from now on, in place of its own."""
        limiter = self.services.limiters.get(wish.get("service", ""))
        if limiter is None:
            raise RefusedError(f"service={wish.get('service')}: there are {', '.join(self.services.limiters)}")
        try:
            limiter.replace(parse_limits(str(wish.get("limits", ""))))
        except ValueError as wrong:
            raise RefusedError(str(wrong)) from wrong
        return limiter.figures()

    def faults(self, _wish: dict[str, Any]) -> Any:
        """The faults in force."""
        return self.services.faults.shown()

    def add_fault(self, wish: dict[str, Any]) -> Any:
        """One more fault."""
        self.services.faults.active.append(Fault(**wish))
        return self.services.faults.shown()

    def clear_faults(self, _wish: dict[str, Any]) -> Any:
        """No more faults and poison, and no mutations while walking."""
        self.services.calm()
        return []

    def poison(self, wish: dict[str, Any]) -> Any:
        """Titles whose `field` (externalLinks) Shikimori cannot show: `ids`, or the first `count` (1) at Shikimori."""
        world = self.services.world
        known = [t.id for t in world.titles.values() if t.at_shikimori]
        ids = [int(i) for i in wish["ids"]] if "ids" in wish else known[: int(wish.get("count", 1))]
        world.poisoned |= dict.fromkeys(ids, str(wish.get("field", "externalLinks")))
        return {str(i): field for i, field in world.poisoned.items()}
