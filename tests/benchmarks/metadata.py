"""What the metadata sources cost: requests of a whole walk and of the next one, and their time under the limits."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from anime_crawler.rate_limit.limits import parse_limits
from anime_crawler.sandbox.server.process import running_sandbox
from anime_crawler.sources import cards
from tests.benchmarks.simulated import SimulatedUpstream
from tests.e2e.support import Project

WALKS = {"anilist": "full", "shikimori": "incremental", "kitsu": "full", "jikan": "full"}
"""The mode that lists everything: Shikimori's first look for changes does."""
AGAIN = {"shikimori": ("-a", "mode=incremental")}
"""Arguments of the next run; the others look for news by themselves."""
CORE = ("titles", "kind", "status", "episodes_total", "aired_from", "season", "score")
"""Fields of an anime. What is only announced has no score; what is no series, no season."""
SETTINGS = {"BACKEND_BASE_URL": "", "ANILIST_MASS_COLLECTION": "1"}


@dataclass(frozen=True)
class Walks:
    """What real walks through a sandbox without limits came to."""

    first: dict[str, int]
    """Requests of the walk through everything, by source."""
    second: dict[str, int]
    """Of the next one, when nothing has changed."""
    told: dict[str, set[str]]
    """Core fields that at least one source has told, by title."""

    def filled(self) -> Counter[str]:
        """In how many titles each core field is told."""
        return Counter(name for names in self.told.values() for name in names)

    def under_limits(self) -> dict[str, tuple[float, int]]:
        """(minutes, violations) of each first walk under the limits of its card; each has one request under way."""
        found = {}
        for source, count in self.first.items():
            upstream = SimulatedUpstream(source, parse_limits(cards()[source].limits))
            found[source] = (upstream.ask(count) / 60, upstream.violations())
        return found


def real_walks(titles: int) -> Walks:
    """Two walks of each source, one after the other, into one catalogue."""
    today = int(time.time())
    with (
        tempfile.TemporaryDirectory() as directory,
        running_sandbox(titles=titles, limits="off", now=today) as sandbox,
    ):
        place = Project(Path(directory) / "project", sandbox, SETTINGS)
        first = {source: requests(place, source, "-a", f"mode={mode}") for source, mode in WALKS.items()}
        second = {source: requests(place, source, *AGAIN.get(source, ())) for source in WALKS}
        return Walks(first, second, told_fields(place))


def requests(place: Project, source: str, *arguments: str) -> int:
    """Run the source's spider to its end; how often it asked."""
    place.sandbox.post("/_sandbox/reset", {})
    done = place.run("crawl", source, *arguments, timeout=3600)
    if done.returncode != 0 or place.report()["dead_letters"]:
        raise SystemExit(f"{source}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return place.requests_to(source)


def told_fields(place: Project) -> dict[str, set[str]]:
    """Core fields that at least one source tells, by the title's number in the world, which is Shikimori's."""
    titles = {}
    for source in WALKS.keys() - {"shikimori"}:
        rows = place.sandbox.get(f"/_sandbox/oracle?what=known&source={source}")
        titles |= {(source, row["source_id"]): row["title_id"] for row in rows}
    told: defaultdict[str, set[str]] = defaultdict(set)
    with closing(sqlite3.connect(place.directory / "var" / "anime.db")) as db:
        for source, own, data in db.execute("SELECT source, source_id, data FROM anime"):
            record = orjson.loads(data)
            told[titles.get((source, own), own)].update(name for name in CORE if record.get(name))
    return told
