"""Lookups by title and id: what is not had is told with what was found instead, and nothing else is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scrapy import Request
from scrapy.http import HtmlResponse, TextResponse

from anime_crawler.base_spiders import ArgumentError, SourceSpider
from anime_crawler.base_spiders.arguments import titles_of
from anime_crawler.items import Anime, Release
from anime_crawler.sandbox.server.services import Options, Services
from anime_crawler.sandbox.server.wire import Call
from anime_crawler.sandbox.world.elsewhere import known_at
from anime_crawler.sources.anilist.spider import AnilistSpider
from anime_crawler.sources.anime_planet.spider import AnimePlanetSpider
from anime_crawler.sources.animeschedule.spider import AnimeScheduleSpider
from anime_crawler.sources.anisearch.spider import AniSearchSpider
from anime_crawler.sources.jikan.spider import JikanSpider
from anime_crawler.sources.kitsu.spider import KitsuSpider
from anime_crawler.sources.kodik.spider import KodikSpider
from tests.sources.driving import RecordingRun, drive, json_response

SERVICES = Services(Options(titles=120, enforced=False))
SPIDERS = [AnilistSpider, AnimePlanetSpider, AnimeScheduleSpider, AniSearchSpider, JikanSpider, KitsuSpider]


def answering(source: str, base_url: str) -> Callable[[Request], TextResponse]:
    """The sandbox's upstream as a function of Scrapy's requests."""
    token = SERVICES.options.tokens.get(source, "")

    def answer(request: Request) -> TextResponse:
        parts = urlsplit(request.url)
        path = parts.path.removeprefix(urlsplit(base_url).path)
        headers = {name.decode().lower(): values[0].decode() for name, values in request.headers.items()}
        headers["authorization"] = f"Bearer {token}"
        call = Call(source, request.method, path, parts.query, headers, request.body, base_url)
        reply = SERVICES.upstreams[source].answer(call)
        return HtmlResponse(request.url, status=reply.status, body=reply.body, headers=reply.headers)

    return answer


def looked_up(spider: SourceSpider) -> RecordingRun:
    """A run of a lookup in which nothing was refused."""
    run = RecordingRun()
    drive(spider, run, answering(spider.card.name, spider.base_url))
    assert run.failures == []
    return run


def anime_of(run: RecordingRun) -> list[Anime]:
    return [item for item in run.items if isinstance(item, Anime)]


@pytest.mark.parametrize("kind", SPIDERS, ids=lambda kind: kind.name)
def test_a_title_is_stored_when_it_is_called_exactly_so(kind):
    """Whatever the case."""
    title = next(iter(known_at(kind.name, SERVICES.world).values()))
    run = looked_up(kind(titles=title.romaji.upper()))
    assert run.missed == []
    assert [item for item in anime_of(run) if title.romaji in item.names]


@pytest.mark.parametrize("kind", SPIDERS, ids=lambda kind: kind.name)
def test_without_an_exact_hit_nothing_is_stored_and_the_candidates_are_named(kind):
    """A part of a title finds those that hold it; they are named with their ids, which can be asked for."""
    title = next(t for t in known_at(kind.name, SERVICES.world).values() if " " in t.romaji)
    run = looked_up(kind(titles=title.romaji.rpartition(" ")[0]))
    assert run.items == []
    (missed,) = run.missed
    assert missed[0] == "title_not_found"
    assert "(ids=" in missed[1]


@pytest.mark.parametrize("kind", SPIDERS, ids=lambda kind: kind.name)
def test_a_title_that_nobody_knows_is_missing(kind):
    """Each of several is told by itself."""
    run = looked_up(kind(titles=r"Zxqv; Qqqw\;www"))
    assert run.items == []
    assert [name for _, message in run.missed for name in ("'Zxqv'", "'Qqqw;www'") if name in message] == [
        "'Zxqv'",
        "'Qqqw;www'",
    ]


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("One Piece;Naruto", ["One Piece", "Naruto"]),
        (r"Steins\;Gate; Naruto ;", ["Steins;Gate", "Naruto"]),
        (r"Fate\\stay;Steins\;Gate", [r"Fate\stay", "Steins;Gate"]),
        (r"C:\path;a", [r"C:\path", "a"]),
        ("a;a", ["a"]),
    ],
)
def test_a_title_may_contain_the_separator(text, titles):
    """A backslash makes a semicolon, or a backslash, part of the title."""
    assert titles_of({"titles": text}) == titles


@pytest.mark.parametrize("text", ["", " ; ", ";"])
def test_no_title_is_a_wrong_argument(text):
    """The message shows how a list is written."""
    with pytest.raises(ArgumentError, match="One Piece;Naruto"):
        titles_of({"titles": text})


class Crowded:
    """A Kodik that has many materials of one anime: `each` of each of `teams`; it heeds filters as the real one."""

    anime_id = "20"

    def __init__(self, teams: int, each: int = 1, heeds_filters: bool = True) -> None:
        film = {
            "type": "anime",
            "link": "//kodikplayer.com/video/1/0123456789abcdef0123456789abcdef/720p",
            "title": "Фильм",
            "shikimori_id": self.anime_id,
            "updated_at": "2026-01-01T00:00:00Z",
        }
        self.materials = [
            {**film, "id": f"movie-{team * 100 + n}", "translation": translation}
            for team in range(teams)
            for n in range(each)
            for translation in [{"id": team + 1, "title": f"Team {team}", "type": "voice"}]
        ]
        self.heeds_filters = heeds_filters
        self.requests = 0

    def __call__(self, request: Request) -> Any:
        self.requests += 1
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        found = self.materials
        if self.heeds_filters:
            blocked = form.get("block_translations", "").split(",")
            only = form["translation_id"].split(",") if "translation_id" in form else None
            ids = [str(m["translation"]["id"]) for m in found]
            found = [m for m, i in zip(found, ids, strict=True) if i not in blocked and (only is None or i in only)]
        found = found[:100]
        return json_response({"total": len(found), "results": found})


@pytest.mark.parametrize(("teams", "each"), [(1, 1), (99, 1), (137, 1), (260, 1), (40, 7), (3, 60)])
def test_all_materials_of_an_anime_are_found_however_many(teams, each):
    """A search shows 100 and has no pages: what lies beyond is asked for by translation."""
    kodik, run = Crowded(teams, each), RecordingRun()
    drive(KodikSpider(shikimori_ids=kodik.anime_id), run, kodik)
    found = {item.source_id for item in run.items if isinstance(item, Release)}
    assert found == {material["id"] for material in kodik.materials}
    assert (run.missed, run.failures) == ([], [])


@pytest.mark.parametrize("kodik", [Crowded(1, 130), Crowded(150, heeds_filters=False)], ids=["one team", "no filters"])
def test_materials_that_no_search_shows_are_missing(kodik):
    """More than 100 of one translation, or a server that does not heed the filters: it ends, and it is told."""
    run = RecordingRun()
    drive(KodikSpider(shikimori_ids=kodik.anime_id), run, kodik)
    assert {kind for kind, _ in run.missed} == {"list_capped"}
    assert kodik.requests < 20


def test_an_anime_that_kodik_does_not_have_is_missing():
    """It was asked for by its id."""
    run = RecordingRun()
    drive(KodikSpider(shikimori_ids="999999"), run, lambda _: json_response({"total": 0, "results": []}))
    assert run.missed == [("id_not_found", "Kodik has no material of shikimori_id 999999")]
