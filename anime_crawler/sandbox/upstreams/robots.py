"""The host's robots.txt: one for all sites on it, with their mount points before each path."""

from __future__ import annotations

from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.anime_planet import service as anime_planet
from anime_crawler.sandbox.upstreams.anisearch import service as anisearch

ROBOTS = "robots"
"""Its name as a service: a fault may put another text in its place, or a 500."""
SITES = {"anisearch": anisearch.FORBIDDEN, "anime_planet": anime_planet.FORBIDDEN}


class Robots:
    """The service."""

    def answer(self, _call: Call) -> Reply:
        """Everything that no site forbids is allowed."""
        lines = [f"Disallow: /{site}{path}" for site, paths in SITES.items() for path in paths]
        return Reply(200, "\n".join(["User-agent: *", *lines, ""]).encode(), "text/plain")
