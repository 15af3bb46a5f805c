"""`make bench`: every figure of the main job beside its baseline, in one run.

    python -m tests.benchmarks [NAME…]     all figures, or those named

Machines are noisy: ratios and counts of requests are the figures, seconds only explain them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from anime_crawler.sandbox.server.process import running_sandbox
from tests import processes
from tests.benchmarks.cached import cache_seconds, fetches_of_three_processes, first_lookup_seconds, result_seconds
from tests.benchmarks.metadata import real_walks
from tests.benchmarks.parsing import PAGES, has_recordings, parse_speed
from tests.benchmarks.simulated import full_import_minutes
from tests.e2e.support import Project
from tests.guard import ROOT

LARGE = 7_000  # titles; with about 40,000 materials and 450,000 players the size of the real thing
SLOW_S = 0.012  # of one POST at a backend that takes 300/s from four at once; the rest is the way
WORLD = 30_000  # titles; about all that any of the catalogues has
OLD_200 = "328 / 340"  # requests to Kodik / Shikimori that the old importer sends for 200 titles
OLD_7000 = "7,400 / 7,000"  # its design: one search and one metadata request for each title

Row = tuple[str, str, str, str]
"""What was measured, ours, the baseline, what it must be."""


@contextmanager
def project(titles: int, backend: bool = False) -> Iterator[Project]:
    """A fresh project beside a fresh sandbox without limits."""
    with tempfile.TemporaryDirectory() as directory, running_sandbox(titles=titles, limits="off") as sandbox:
        environment = {} if backend else {"BACKEND_BASE_URL": ""}
        yield Project(Path(directory) / "project", sandbox, environment)


def crawl(place: Project, *arguments: str) -> dict[str, Any]:
    """Run the main job and give its run report, with the seconds the whole process took."""
    began = time.monotonic()
    done = place.run("crawl", "kodik", *arguments, timeout=3600)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"exit {done.returncode}\n{done.stderr[-3000:]}")
    newest = max((place.directory / "var/reports").glob("run-*.json"), key=lambda p: p.stat().st_mtime)
    return {**json.loads(newest.read_text()), "process_s": seconds}


def requests(place: Project) -> str:
    """Requests the sandbox saw, Kodik / Shikimori."""
    seen = place.sandbox.get("/_sandbox/stats")["requests"]
    return f"{seen.get('kodik', 0)} / {seen.get('shikimori', 0)}"


def players(place: Project) -> int:
    """Players in the catalogue."""
    count: int = json.loads(place.run("status", "--json").stdout)["counts"]["players"]
    return count


def requests_of_small_import() -> Iterator[Row]:
    """200 titles, and the two runs after it."""
    with project(200, backend=True) as place:
        crawl(place)
        yield ("200 titles: requests Kodik / Shikimori", requests(place), OLD_200, "<= 12 / <= 5")
        place.sandbox.post("/_sandbox/reset", {})
        again = crawl(place)
        posts = sum(again["counters"].get("backend", {}).get(kind, 0) for kind in ("anime", "episodes", "players"))
        ours = f"{requests(place)}, {posts} POSTs, {again['process_s']:.1f} s"
        yield ("nothing changed", ours, "freezes titles or posts all again", "<= 2 / 0, 0 POSTs, <= 3 s")
        place.sandbox.post("/_sandbox/mutate", {"op": "new_episode"})
        place.sandbox.post("/_sandbox/reset", {})
        one = crawl(place)["counters"]["backend"]
        ours = f"{requests(place)}, {one.get('episodes', 0)} episodes + {one.get('players', 0)} video POST"
        yield ("one new episode", ours, "never seen", "<= 2 / <= 1, 1 + 1 POST")


def large_import() -> Iterator[Row]:
    """7,000 titles without limits: requests, and memory beside 700 titles."""
    with project(LARGE // 10) as small:
        little = crawl(small)
    with project(LARGE) as place:
        report = crawl(place)
        count = players(place)
        yield (f"{LARGE:,} titles: requests Kodik / Shikimori", requests(place), OLD_7000, "<= 420 / <= 150")
    peak, small_peak = report["peak_memory_mb"], little["peak_memory_mb"]
    yield (f"peak memory, {count:,} players", f"{peak:.0f} MB", f"700 titles: {small_peak:.0f} MB", "<= 250 MB")
    yield ("its growth with ten times the titles", f"{peak / small_peak:.2f}x", "1x", "<= 1.3x")


def command_start() -> Iterator[Row]:
    """Processor time of a command from start to end, the least of five, beside `scrapy version` outside a project."""
    with project(1) as place, tempfile.TemporaryDirectory() as outside:
        place.run("status")  # makes the catalogue
        commands = {"": (Path(outside), "version"), "version": (place.directory, "version")}
        commands["status"] = (place.directory, "status")
        spent_s = dict.fromkeys(commands, float("inf"))
        for _ in range(5):
            for name, (directory, command) in commands.items():  # in turn, so that a busy moment is everybody's
                spent_s[name] = min(spent_s[name], processor_s(command, directory, place.env()))
    for name, most in (("version", 1.5), ("status", 2)):
        ours = f"{spent_s[name]:.2f} s = {spent_s[name] / spent_s['']:.2f}x"
        yield (
            f"processor time of `scrapy {name}`",
            ours,
            f"`scrapy version` elsewhere: {spent_s['']:.2f} s",
            f"<= {most}x",
        )


def processor_s(command: str, directory: Path, environment: dict[str, str]) -> float:
    """Of one command, by all its threads."""
    before = os.times()
    line = [sys.executable, "-m", "scrapy", command]
    subprocess.run(line, cwd=directory, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def walk_speed() -> Iterator[Row]:
    """The pages of 7,000 titles into the catalogue, beside a spider that only fetches and parses the same pages.

    Each has a sandbox of its own: one that has made its pages before is nearly twice as fast.
    """
    with project(LARGE) as place:
        bare = bare_spider(place)
    with project(LARGE) as place:
        walk_s = crawl(place, "-s", "COMPANIONS={}")["walk_s"]["kodik"]
        count = players(place)
    rate, bare_rate = bare["pages"] / walk_s, bare["pages"] / bare["seconds"]
    yield ("players/s, page to catalogue", f"{count / walk_s:,.0f}", f"{count:,} players", ">= 15,000")
    ratio = f"{rate:.0f} pages/s = {rate / bare_rate:.0%}"
    yield ("beside a bare Scrapy spider", ratio, f"{bare_rate:.0f} pages/s", ">= 20 %")


def bare_spider(place: Project) -> dict[str, float]:
    """Pages and seconds of the baseline."""
    command = [sys.executable, "-m", "tests.benchmarks.bare_spider", place.sandbox.kodik_url, place.sandbox.kodik_token]
    done = subprocess.run(command, cwd=ROOT, env=place.env(), capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def limited_import() -> Iterator[Row]:
    """7,000 titles under the enforced limits, on a simulated clock."""
    minutes, violations = full_import_minutes(pages=420, batches=150)
    ours = f"{minutes:.1f} min, {violations} violations"
    yield (f"{LARGE:,} titles under the limits (simulated clock)", ours, "66 h (computed)", "<= 17 min, 0")


def delivery() -> Iterator[Row]:
    """One POST per player into the reference backend in another process, beside an aiohttp loop with the same bodies.

    The backend is as fast as it can be, or takes as long for each POST as the real one, which does 300/s for four.
    """
    for concurrency, titles, slow_s, least in (
        (4, 400, 0.0, ""),
        (16, 400, 0.0, ">= 50 %"),
        (4, 60, SLOW_S, ">= 90 %"),
    ):
        with project(titles, backend=True) as place, project(titles, backend=True) as bare_place:
            stored = crawl(place, "-s", "BACKEND_BASE_URL=")
            assert stored["exit_code"] == 0
            shutil.copytree(place.directory / "var", bare_place.directory / "var")
            for each in (place, bare_place):
                if slow_s:
                    each.sandbox.post("/backend/_reference/faults", {"rules": [{"name": "slow", "delay_s": slow_s}]})
            done = place.run("deliver", timeout=3600, CONCURRENCY=str(concurrency))
            assert done.returncode == 0, done.stderr
            newest = max((place.directory / "var/reports").glob("run-*.json"), key=lambda p: p.stat().st_mtime)
            report = json.loads(newest.read_text())
            rate = report["counters"]["backend"]["players"] / report["wall_s"]
            bare = bare_delivery(bare_place, concurrency)
            bare_rate = bare["players"] / bare["seconds"]
            what = f"players/s delivered, CONCURRENCY={concurrency}" + (", 300/s backend" if slow_s else "")
            yield (what, f"{rate:,.0f} = {rate / bare_rate:.0%}", f"bare aiohttp: {bare_rate:,.0f}", least)


def bare_delivery(place: Project, concurrency: int) -> dict[str, float]:
    """Players and seconds of the baseline."""
    command = [sys.executable, "-m", "tests.benchmarks.bare_delivery"]
    environment = place.env(CONCURRENCY=str(concurrency), PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=place.directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def cache_hit() -> Iterator[Row]:
    """One answer that takes 300 ms, and the same one kept; each from the request to the answer, in one process."""
    for storage in ("sqlite", "redis"):
        miss_s, hit_s = cache_seconds(storage)
        ours = f"{miss_s * 1000:.0f} ms / {hit_s * 1000:.2f} ms = {miss_s / hit_s:,.0f}x"
        yield (f"cache miss / hit at 300 ms latency, {storage}", ours, "no cache: 1x", ">= 100x")
    fetched = fetches_of_three_processes(titles=20)
    yield ("3 processes over the same 20 titles: requests", str(fetched), "no cache: 60", "20")
    again_s = result_seconds()
    yield ("a lookup made before, in-process", f"{again_s * 1000:.1f} ms", "1-4 ms (crawlers)", "<= 20 ms")
    for source in ("anisearch", "anime_planet"):
        first_s = first_lookup_seconds(source)
        ours = f"{first_s:.1f} s / {again_s * 1000:.1f} ms = {first_s / again_s:,.0f}x"
        yield (f"a lookup at {source}, made / made before", ours, "no cache: 1x", ">= 1,000x")


def metadata_sources() -> Iterator[Row]:
    """Everything that four metadata sources know, once and again; the limits on a simulated clock."""
    walks = real_walks(WORLD)
    limited = walks.under_limits()
    minutes, broken = max(minutes for minutes, _ in limited.values()), sum(count for _, count in limited.values())
    for source, (own, _) in limited.items():
        first, second = walks.first[source], walks.second[source]
        ours = f"{first} requests = {own:.1f} min, again {second} = {second / first:.0%}"
        yield (f"  {source}, of {WORLD:,} titles", ours, f"one by one: {WORLD:,} requests", "")
    yield (
        f"core fields of {len(walks.told):,} of {WORLD:,} titles, in parallel (simulated clock)",
        f"{minutes:.1f} min, {broken} violations",
        f"one by one at AniList: {WORLD / 27 / 60:.0f} h",
        "<= 30 min, 0",
    )
    told = ", ".join(f"{name} {count / len(walks.told):.1%}" for name, count in walks.filled().most_common())
    yield ("  fields told by at least one source", told, "what the sandbox knows", "")
    share = sum(walks.second.values()) / sum(walks.first.values())
    ours = f"{sum(walks.second.values())} of {sum(walks.first.values()):,} = {share:.1%}"
    yield ("  second pass, nothing changed", ours, "100 %", "<= 15 %")


def parsing() -> Iterator[Row]:
    """Recorded answers into items, in processor time, beside reading their HTML or JSON alone."""
    what = "recorded" if has_recordings() else "own samples, NOT recorded"
    for source in ("anisearch", "anime_planet", "anilist", "kitsu", "jikan"):
        speed = parse_speed(source)
        unit, least = ("pages", ">= 300 (one of the two)") if source in PAGES else ("titles", ">= 3,000")
        figure = f"{unit}/s parsed, {source}, {speed.answers} {what}, {speed.kb:.0f} KB each"
        bare = f"{'lxml' if source in PAGES else 'orjson'} alone: {speed.bare_per_s:,.0f}"
        yield (figure, f"{speed.anime_per_s:,.0f} = {speed.anime_per_s / speed.bare_per_s:.0%}", bare, least)


FIGURES: tuple[Callable[[], Iterator[Row]], ...] = (
    requests_of_small_import,
    large_import,
    command_start,
    walk_speed,
    limited_import,
    delivery,
    cache_hit,
    metadata_sources,
    parsing,
)


def main() -> None:
    """Print the table of all figures, or of those named on the command line."""
    processes.forking = False  # what is measured is what users start
    console = Console(width=120)
    table = Table("figure", "ours", "baseline", "must be")
    for figure in FIGURES:
        if not sys.argv[1:] or figure.__name__ in sys.argv[1:]:
            for row in figure():
                console.print(" · ".join(row), style="dim")
                table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
