"""What Kodik has of a title: one material per team, with seasons, gaps, specials and player links."""

from __future__ import annotations

from random import Random

from anime_crawler.sandbox.world.invented import DAY_S, chance
from anime_crawler.sandbox.world.words import COUNTRIES, QUALITIES, TEAMS
from anime_crawler.sandbox.world.works import Episode, Material, Title, Translation

MATERIALS_PER_TITLE = 5.7
"""40,000 materials at 7,000 titles; 1,140 (12 pages of 100) at 200."""
HOST = "kodikplayer.com"
OLD_HOSTS = ["aniqit.com", "kodik.cc", "kodik.info"]

TRANSLATIONS = [
    Translation(600 + 7 * i, name, "subtitles" if name.endswith("Sub") else "voice") for i, name in enumerate(TEAMS)
]

Shape = dict[int, list[int]]
"""Season number -> episode numbers of a complete release."""


def material_counts(rng: Random, titles: list[Title]) -> list[int]:
    """How many materials each title has: a few have very many, two in a hundred none; the sum is fixed."""
    weights = [0.0 if chance(rng, 2) else rng.lognormvariate(0, 0.6) for _ in titles]
    alive = sum(1 for w in weights if w)
    spare = max(0, round(MATERIALS_PER_TITLE * len(titles)) - alive)
    total, done, counts = sum(weights) or 1.0, 0.0, []
    given = 0
    for weight in weights:
        done += weight
        share = round(spare * done / total) - given
        given += share
        counts.append(min(share + 1, len(TRANSLATIONS)) if weight else 0)
    return counts


class MaterialMaker:
    """Makes materials; keeps the counters that number them and their links."""

    def __init__(self, rng: Random, now: int) -> None:
        self.rng = rng
        self.now = now
        self.numbers = {"serial": 100, "movie": 100}
        self.link_number = 170_000
        self.last_update = now - 400 * DAY_S

    def materials_of(self, title: Title, count: int) -> list[Material]:
        """`count` materials of one title in different translations; now and then one is a re-issue."""
        shape = self._shape(title)
        teams = self.rng.sample(TRANSLATIONS, count)
        if count > 1 and chance(self.rng, 3):
            teams[1] = teams[0]
        return [self.material(title, team, shape) for team in teams]

    def material(self, title: Title, team: Translation, shape: Shape | None) -> Material:
        """One material; `shape` ``None`` is a film."""
        rng = self.rng
        kind = "movie" if shape is None else "serial"
        self.numbers[kind] += rng.randint(1, 3)
        updated = self._updated(title)
        return Material(
            number=self.numbers[kind],
            title=title,
            translation=team,
            link=self.link("video" if shape is None else "serial", self.numbers[kind]),
            has_id=title.id_at_kodik and not chance(rng, 1),
            has_data=not chance(rng, 2),
            quality=rng.choice(QUALITIES),
            created_at=updated if shape is None else updated - rng.randint(1, 300) * DAY_S,
            updated_at=updated,
            blocked_countries=rng.sample(COUNTRIES, rng.randint(1, 2)) if chance(rng, 5) else [],
            blocked_seasons=self._blocked_seasons(shape),
            seasons=None if shape is None else self._seasons(shape),
        )

    def link(self, kind: str, number: int) -> str:
        """A player link in one of the forms that Kodik has sent over the years; mostly today's."""
        rng = self.rng
        host, scheme = HOST, ""
        if rng.random() < 0.02:
            host, scheme = rng.choice(OLD_HOSTS), rng.choice(["", "http:"])
        return f"{scheme}//{host}/{kind}/{number}/{rng.randbytes(16).hex()}/720p"

    def episode(self) -> Episode:
        """A new episode with its own link number."""
        self.link_number += 1
        title = "Спецвыпуск" if self.rng.random() < 0.005 else None
        return Episode(self.link("seria", self.link_number), title)

    def _updated(self, title: Title) -> int:
        """When it last moved; some share the second, as imports in bulk do."""
        if not chance(self.rng, 3):
            days = 10 if title.status == "ongoing" else 2500
            self.last_update = self.now - self.rng.randint(60, days * DAY_S)
        return self.last_update

    def _shape(self, title: Title) -> Shape | None:
        rng = self.rng
        if title.kind in ("movie", "music"):
            return None
        if title.status == "anons":
            return {title.franchise_season: []}
        count = title.aired if title.status == "ongoing" else max(title.episodes, 1)
        base = 0 if title.kind == "special" and chance(rng, 20) else title.franchise_season
        shape = {base: list(range(1, count + 1))}
        if count > 20 and chance(rng, 12):
            shape = {base: list(range(1, 13)), base + 1: list(range(1, count - 11))}
        self._odd_numbers(shape, base)
        return shape

    def _odd_numbers(self, shape: Shape, base: int) -> None:
        """Specials in season 0, an episode 0, a gap."""
        rng, numbers = self.rng, shape[base]
        if base and chance(rng, 3):
            shape[0] = list(range(1, rng.randint(2, 4)))
        if chance(rng, 2):
            numbers.insert(0, 0)
        if len(numbers) > 3 and chance(rng, 4):
            numbers.remove(rng.choice(numbers[1:-1]))

    def _seasons(self, shape: Shape) -> dict[int, dict[int, Episode]]:
        """The shape with links; one release in seven has only the beginning."""
        cut = self.rng.random() if chance(self.rng, 15) else 1.0
        return {
            season: {n: self.episode() for n in numbers[: max(1, round(len(numbers) * cut))]}
            for season, numbers in shape.items()
        }

    def _blocked_seasons(self, shape: Shape | None) -> object:
        """The three forms of the documentation; nearly always nothing."""
        if shape is None or not chance(self.rng, 3):
            return {}
        season = str(max(shape))
        return self.rng.choice(["all", {season: "all"}, {season: ["1", "2"]}])
