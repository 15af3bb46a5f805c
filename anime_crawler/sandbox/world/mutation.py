"""How the world moves on: one change at a time, chosen by the caller or drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from anime_crawler.sandbox.world.invented import invent_one
from anime_crawler.sandbox.world.releases import TRANSLATIONS
from anime_crawler.sandbox.world.works import Episode, Material, Title
from anime_crawler.sandbox.world.world import World

Wish = dict[str, Any]

SILENT_LOSSES = {"remove_material", "remove_title", "change_host"}
"""What a list sorted by update time cannot show; left out of mutations while somebody walks."""


class MutationError(Exception):
    """The wish cannot be fulfilled; the message says why."""


class Mutator:
    """Applies changes to a world.

    A wish may name ``material`` (id) or ``shikimori_id``, ``season`` and ``number``; what it does not name is drawn.
    Every method gives back what it changed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = Random(world.seed + 1)  # noqa: S311 - repeatable changes
        self.ops: dict[str, Callable[[Wish], Wish]] = {
            "new_episode": self.new_episode,
            "new_title": self.new_title,
            "new_material": self.new_material,
            "remove_material": self.remove_material,
            "remove_title": self.remove_title,
            "change_link": self.change_link,
            "change_host": self.change_host,
            "drop_episode": self.drop_episode,
            "touch": self.touch,
            "status": self.status,
            "rename": self.rename,
        }

    def apply(self, op: str, wish: Wish) -> Wish:
        """One change.

        Raises:
            MutationError: unknown operation, or nothing that fits the wish.
        """
        if op not in self.ops:
            raise MutationError(f"there is no mutation {op!r}; there are: {', '.join(self.ops)}")
        return {"op": op} | self.ops[op](wish)

    def draw(self) -> Wish:
        """One change at random, of those that a walk by update time can see."""
        names = [name for name in self.ops if name not in SILENT_LOSSES]
        return self.apply(self.rng.choice(names), {})

    def new_episode(self, wish: Wish) -> Wish:
        """The next episode in one translation; unless `number` says otherwise, one that no translation has yet."""
        material = self._material(wish, in_order)
        assert material.seasons is not None
        title = material.title
        season = int(wish.get("season", max(material.seasons)))
        known = [m.seasons.get(season, {}) for m in self.world.materials_of(title) if m.seasons is not None]
        number = int(wish.get("number", max((n for episodes in known for n in episodes), default=0) + 1))
        material.seasons.setdefault(season, {})[number] = self.world.maker.episode()
        title.aired = max(title.aired, number)
        return self._touched(material) | {"season": season, "number": number}

    def new_title(self, wish: Wish) -> Wish:
        """A title nobody knew, with `materials` (2) translations."""
        world = self.world
        taken = {title.romaji for title in world.titles.values()}
        title = invent_one(world.rng, taken, max(world.titles, default=0) + 1, world.now)
        world.titles[title.id] = title
        materials = world.maker.materials_of(title, int(wish.get("materials", 2)))
        added = self._added(materials) | {"shikimori_id": str(title.id)}
        self._title_moves(title)
        return added

    def new_material(self, wish: Wish) -> Wish:
        """One more translation of a title, with the episodes that another one has."""
        model = self._material(wish)
        used = {m.translation for m in self.world.materials_of(model.title)}
        team = self.rng.choice([t for t in TRANSLATIONS if t not in used] or TRANSLATIONS)
        shape = None if model.seasons is None else {s: list(episodes) for s, episodes in model.seasons.items()}
        return self._added([self.world.maker.material(model.title, team, shape)])

    def remove_material(self, wish: Wish) -> Wish:
        """A translation disappears."""
        material = self._material(wish)
        self.world.remove(material)
        return shown(material)

    def remove_title(self, wish: Wish) -> Wish:
        """A title disappears everywhere, with its translations; what it is related to still names it."""
        found = [title for title in self.world.titles.values() if wish.get("shikimori_id") in (None, str(title.id))]
        if not found:
            raise MutationError(f"no title fits {wish}")
        title = self.rng.choice(found)
        del self.world.titles[title.id]
        for material in self.world.materials_of(title):
            self.world.remove(material)
        self.world.version += 1
        return {"shikimori_id": str(title.id)}

    def change_link(self, wish: Wish) -> Wish:
        """One episode's link becomes another."""
        material = self._material(wish, lambda m: bool(m.seasons and any(m.seasons.values())))
        season, number = self._episode(material, wish)
        assert material.seasons is not None
        old = material.seasons[season][number]
        material.seasons[season][number] = Episode(self.world.maker.episode().link, old.title)
        return self._touched(material) | {"season": season, "number": number}

    def change_host(self, wish: Wish) -> Wish:
        """All links of a material, or with `all` of every one, move to `host`. `touch` false: updated_at stays."""
        materials = list(self.world.materials.values()) if wish.get("all") else [self._material(wish)]
        host = wish.get("host", "kodikplayer.example.org")
        for material in materials:
            material.link = moved(material.link, host)
            for episodes in (material.seasons or {}).values():
                for episode in episodes.values():
                    episode.link = moved(episode.link, host)
            if wish.get("touch", True):
                self.world.touch(material)
            else:
                self.world.repaint(material)
        return {"materials": len(materials), "host": host}

    def drop_episode(self, wish: Wish) -> Wish:
        """One translation loses an episode."""
        material = self._material(wish, lambda m: bool(m.seasons and any(m.seasons.values())))
        season, number = self._episode(material, wish)
        assert material.seasons is not None
        del material.seasons[season][number]
        return self._touched(material) | {"season": season, "number": number}

    def touch(self, wish: Wish) -> Wish:
        """A material says it has changed, and has not."""
        return self._touched(self._material(wish))

    def status(self, wish: Wish) -> Wish:
        """A title's airing status becomes `status` (or the next one of its life)."""
        material = self._material(wish)
        title = material.title
        following = {"anons": "ongoing", "ongoing": "released", "released": "ongoing", None: "released"}
        title.status = wish.get("status", following[title.status])
        if title.status != "ongoing":
            title.next_episode_at = None
        return self._touched(material) | {"status": title.status}

    def rename(self, wish: Wish) -> Wish:
        """A title gets `name` (or its name with a number) as its romaji name."""
        material = self._material(wish)
        title = material.title
        title.romaji = wish.get("name", f"{title.romaji} {self.rng.randint(100, 999)}")
        return self._touched(material) | {"name": title.romaji}

    def _material(self, wish: Wish, fits: Callable[[Material], bool] = lambda m: True) -> Material:
        found = [m for m in self.world.materials.values() if fits(m) and _named(m, wish)]
        if not found:
            raise MutationError(f"no material fits {wish}")
        return self.rng.choice(found)

    def _episode(self, material: Material, wish: Wish) -> tuple[int, int]:
        assert material.seasons is not None
        found = [
            (season, number)
            for season, episodes in material.seasons.items()
            for number in episodes
            if wish.get("season") in (None, season) and wish.get("number") in (None, number)
        ]
        if not found:
            raise MutationError(f"{material.id} has no episode that fits {wish}")
        return self.rng.choice(found)

    def _touched(self, material: Material) -> Wish:
        self.world.touch(material)
        self._title_moves(material.title)
        return shown(material)

    def _added(self, materials: list[Material]) -> Wish:
        for material in materials:
            material.updated_at = material.created_at = self.world.tick(self.rng.randint(1, 60))
        self.world.add(materials)
        return shown(materials[0]) | {"materials": [m.id for m in materials]}

    def _title_moves(self, title: Title) -> None:
        title.updated_at = self.world.now


def in_order(material: Material) -> bool:
    """A series that both services know well: a change in it changes nothing else."""
    return material.seasons is not None and material.has_id and material.has_data and material.title.at_shikimori


def _named(material: Material, wish: Wish) -> bool:
    wanted_id, wanted_title = wish.get("material"), wish.get("shikimori_id")
    return wanted_id in (None, material.id) and wanted_title in (None, str(material.title.id), material.title.id)


def moved(link: str, host: str) -> str:
    """The link on another host."""
    scheme, _, rest = link.partition("//")
    return f"{scheme}//{host}/{rest.partition('/')[2]}"


def shown(material: Material) -> Wish:
    """What a caller needs to know of a changed material."""
    return {"material": material.id, "shikimori_id": material.shikimori_id, "updated_at": material.updated_at}
