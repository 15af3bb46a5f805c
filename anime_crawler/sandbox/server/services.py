"""The simulated services and everything they share, for one set of options."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from anime_crawler.sandbox.server.faults import Fault, Faults
from anime_crawler.sandbox.server.limits import LIMITERS, Limiter
from anime_crawler.sandbox.server.log import Log
from anime_crawler.sandbox.server.wire import Call, Reply
from anime_crawler.sandbox.upstreams.anidb.service import Anidb
from anime_crawler.sandbox.upstreams.anilist.service import Anilist
from anime_crawler.sandbox.upstreams.anime_planet.service import AnimePlanet
from anime_crawler.sandbox.upstreams.animeschedule.service import AnimeSchedule
from anime_crawler.sandbox.upstreams.anisearch.service import AniSearch
from anime_crawler.sandbox.upstreams.jikan.service import Jikan
from anime_crawler.sandbox.upstreams.kitsu.service import Kitsu
from anime_crawler.sandbox.upstreams.kodik.service import Kodik
from anime_crawler.sandbox.upstreams.robots import ROBOTS, Robots
from anime_crawler.sandbox.upstreams.shikimori.service import Shikimori
from anime_crawler.sandbox.world.dataset import titles_from
from anime_crawler.sandbox.world.mutation import MutationError, Mutator
from anime_crawler.sandbox.world.world import NOW, World

TOKEN_SETTINGS = {"kodik": "KODIK_API_TOKEN", "animeschedule": "ANIMESCHEDULE_TOKEN"}
"""Upstreams that want a token, and the setting that a crawl takes it from."""
TOKENS = {source: f"sandbox-{source}-token" for source in TOKEN_SETTINGS}
"""They open nothing but the sandbox."""
INTERNAL_TOKEN = "sandbox-internal-token"  # noqa: S105 - opens nothing but the sandbox


class Upstream(Protocol):
    """A simulated upstream over one world."""

    def answer(self, call: Call) -> Reply:
        """What the real one would say; limits and faults come before."""


@dataclass
class Options:
    """What a sandbox is started with."""

    titles: int = 200
    seed: int = 1
    enforced: bool = True
    """Whether limits are."""
    now: int = NOW
    catalogue: Path | None = None
    """Real titles from a data set file instead of invented ones."""
    log: Path | None = None
    faults: list[Fault] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=lambda: dict(TOKENS))
    """By upstream."""
    internal_token: str = INTERNAL_TOKEN
    backend_database: str | None = None
    """``None``: a SQLite file that goes when the sandbox goes."""


class Services:
    """All upstreams over one world, with log, limits, faults and mutations."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.log = Log((*LIMITERS, ROBOTS, "backend"), options.log)
        self.faults = Faults()
        self.faults.active += options.faults
        self.per_request = 0
        """Mutations before each list page."""
        self.rebuild()

    def rebuild(self) -> None:
        """The world as it was in the beginning, and nobody who has asked it anything."""
        options = self.options
        self.limiters = {name: limiter(options.enforced) for name, limiter in LIMITERS.items()}
        self.limiters[ROBOTS] = Limiter([], enforced=False, names_wait=False)
        given = titles_from(options.catalogue, options.titles, options.seed, options.now) if options.catalogue else None
        self.world = World(options.seed, options.titles, options.now, given)
        self.mutator = Mutator(self.world)
        kodik = Kodik(self.world, options.tokens["kodik"])
        kodik.walking = self._mutate_while_walking
        self.upstreams: dict[str, Upstream] = {
            "kodik": kodik,
            "shikimori": Shikimori(self.world),
            "jikan": Jikan(self.world),
            "anilist": Anilist(self.world),
            "kitsu": Kitsu(self.world),
            "animeschedule": AnimeSchedule(self.world, options.tokens["animeschedule"]),
            "anisearch": AniSearch(self.world),
            "anime_planet": AnimePlanet(self.world),
            ROBOTS: Robots(),
            "anidb": Anidb(self.world),
        }

    def reset(self) -> None:
        """Forget what was seen. Limits go on: nobody may ask more because somebody looked."""
        self.log.clear()
        for limiter in self.limiters.values():
            limiter.clear()

    def calm(self) -> None:
        """No faults, no poison, no mutations by themselves."""
        self.faults.take_away()
        self.world.poisoned.clear()
        self.per_request = 0

    def _mutate_while_walking(self) -> None:
        for _ in range(self.per_request):
            with suppress(MutationError):  # a small world may have nothing that fits
                self.mutator.draw()
