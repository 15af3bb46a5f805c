"""AnimeSchedule's walks: the whole list, the weeks around now, routes and titles; where they end, what stops them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import ArgumentError
from anime_crawler.items import Absent, Airing, Anime
from anime_crawler.sandbox.upstreams.animeschedule import week as sandbox
from anime_crawler.sandbox.world.elsewhere import id_at, known_at
from anime_crawler.sandbox.world.words import GENRES
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sources.animeschedule import spider as module
from anime_crawler.sources.animeschedule.spider import AnimeScheduleSpider
from tests.sources.driving import RecordingRun, drive, json_response
from tests.sources.upstream import Upstream

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday; its week is 2026-W47, from the 16th


@pytest.fixture(autouse=True)
def today(monkeypatch):
    """The spider's clock stands still until a test sets it."""
    clock = {"now": NOW}
    monkeypatch.setattr(module, "utc_now", lambda: clock["now"])
    return clock


class AnimeSchedule(Upstream):
    """The sandbox's AnimeSchedule with so many titles, of which none airs; their numbers sort as their names do."""

    def __init__(self, count: int = 0) -> None:
        super().__init__("animeschedule", titles=2 * count + 20, now=int(NOW.timestamp()))
        world = self.services.world
        titles = list(known_at("animeschedule", world).values())[:count]
        world.titles = {title.id: title for title in titles}
        world.version += 1
        self.titles: dict[int, Title] = dict(enumerate(titles, 1))
        for number, title in self.titles.items():
            title.romaji, title.english, title.japanese, title.synonyms = f"Anime {number:05}", None, None, []
            title.status, title.votes = "anons", 10_000 - number
        assert len(self.titles) == count

    def routes(self, *numbers: int) -> list[str]:
        """Of these titles, or of all."""
        return [str(id_at("animeschedule", self.titles[number])) for number in numbers or self.titles]

    def show(self, kind: str, *rows: Any) -> None:
        """The rows of this week's timetable."""
        match = {"path": f"/timetables/{kind}", "year": "2026", "week": "47"}
        self.fault("body", body=json.dumps(rows), match=match)


def row(title: Title, number: int, kind: str, lowest: int | None = None, hour: int = 15, **other: Any) -> Any:
    """An episode that has aired, as the sandbox shows it."""
    airing = sandbox.Airing(title, kind, lowest or number, number, datetime(2026, 11, 18, hour, tzinfo=UTC))
    return sandbox.row(airing, NOW, UTC) | {"status": "Ongoing", **other}


def routes(run: RecordingRun, kind: type = Anime) -> list[str]:
    return [item.source_id for item in run.items if isinstance(item, kind)]


def crawl(run: RecordingRun, upstream: Any, kill_after: int = 10_000, **arguments: str) -> list[str]:
    """One run; the paths that it asked for, in requests that can be kept and hold no token."""
    spider = AnimeScheduleSpider(**arguments)
    made = drive(spider, run, upstream, kill_after=kill_after)
    for request in made:
        json.dumps(request.cb_kwargs)  # the frontier writes them down
        assert "Authorization" not in request.headers
    return [request.url.removeprefix(spider.base_url) for request in made]


# --- the whole list


@pytest.mark.parametrize("count", [1, 17, 18, 19, 36, 50])
def test_a_full_walk_lists_every_anime_once_and_asks_for_no_page_past_the_end(count):
    """The total and 18 a page say where the end is."""
    run, upstream = RecordingRun(), AnimeSchedule(count)
    asked = crawl(run, upstream)
    assert routes(run) == upstream.routes()
    assert asked == [f"/anime?st=alphabetic&page={n}" for n in range(1, (count + 17) // 18 + 1)]
    assert run.failures == run.rejected == []
    assert run.state is not None
    assert (run.state["complete"], run.state["week"], run.full_since) == (True, "2026-11-16", [1])


@pytest.mark.parametrize("deaths", [[1], [2, 1], [1, 1, 1, 1]])
def test_a_walk_that_dies_goes_on_where_it_was(deaths):
    """However often the process dies after a page was stored, every anime is stored, none twice."""
    run, upstream = RecordingRun(), AnimeSchedule(80)
    for death in deaths:
        crawl(run, upstream, kill_after=death)
    crawl(run, upstream)
    assert routes(run) == upstream.routes()


@pytest.mark.parametrize(
    ("count", "total", "failures"), [(40, 1000, ["short_list"]), (36, 1000, ["short_list"]), (36, 37, [])]
)
def test_a_list_that_ends_long_before_its_total_is_not_whole(count, total, failures):
    """A short page is its end, or one that is empty twice; a total that is wrong by less than a page is no reason."""
    run, upstream = RecordingRun(), AnimeSchedule(count)
    upstream.fault("wrong_shape", path="totalAmount", value=total)
    assert len(crawl(run, upstream)) == (3 if count == 40 else 5)
    assert len(set(routes(run))) == count
    assert [verdict.kind for verdict in run.failures] == failures
    assert run.state is not None
    assert run.state["complete"] is not bool(failures)
    run.id = 2
    assert crawl(run, upstream)[0].startswith("/anime?" if failures else "/timetables/")


def test_the_same_page_twice_stops_the_run_and_stays_pending():
    """An upstream that does not look at the page number."""
    run, upstream = RecordingRun(), AnimeSchedule(90)
    upstream.fault("page_ignored")
    made = drive(AnimeScheduleSpider(), run, upstream)
    assert [verdict.kind for verdict in run.failures] == ["repeated_page"]
    assert len(made) == 2
    assert made[-1].meta["unfinished"]


def test_a_full_walk_that_another_run_left_is_not_gone_on_with_when_a_full_walk_is_asked_for():
    """Its first pages are old by then; a run without a mode ends it, because nothing has been listed whole before."""
    run, upstream = RecordingRun(), AnimeSchedule(90)
    crawl(run, upstream)
    run.id = 2
    crawl(run, upstream, kill_after=3, mode="full")
    run.id = 3
    crawl(run, upstream, mode="incremental")
    run.id = 4
    assert crawl(run, upstream, mode="full") == [f"/anime?st=alphabetic&page={n}" for n in range(1, 6)]
    assert run.full_since == [1, 4]


def test_a_checkpoint_of_an_earlier_release_begins_its_walk_again():
    """Its place in the list is not trusted; that the list was read once, and the weeks, are."""
    run, upstream = RecordingRun(), AnimeSchedule(90)
    run.state = {"page": 4, "total": 90, "complete": False, "week": None}
    assert len(crawl(run, upstream)) == 5
    run.state = {"page": 4, "total": 90, "complete": True, "week": "2026-11-09"}
    assert len(weeks(crawl(run, upstream))) == 12


def test_a_bad_record_is_set_aside_and_the_rest_of_its_page_goes_on():
    """A record without a route, and one that is no object; an unknown status is counted, and costs only itself."""
    run, upstream = RecordingRun(), AnimeSchedule(5)

    def answer(request: Request) -> TextResponse:
        page = json.loads(upstream(request).body)
        page["anime"][1]["status"] = "Cancelled"
        del page["anime"][2]["route"]
        return json_response(page | {"anime": [*page["anime"], 7]})

    crawl(run, answer)
    assert len(routes(run)) == 4
    assert run.drifted["status: unknown value 'Cancelled'", "unknown"] == 1
    assert [r.reason for r in run.rejected] == [
        "route: Field required",
        "an object was expected, there was a number",
    ]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_upstream_that_fails_leaves_the_page_pending(status):
    """The run ends incomplete; the next one asks for the same page."""
    run, upstream = RecordingRun(), AnimeSchedule(50)
    upstream.fault("status", status=status, body="<html>", match={"path": "/anime", "page": "2"})
    made = drive(AnimeScheduleSpider(), run, upstream)
    assert made[-1].meta["unfinished"]
    assert len(run.failures) == 1
    upstream.calm()
    assert crawl(run, upstream)[0] == "/anime?st=alphabetic&page=2"
    assert len(routes(run)) == 50


def test_after_a_full_walk_the_default_is_incremental_and_full_must_be_asked_for():
    """``mode=full`` begins again at the first page."""
    run, upstream = RecordingRun(), AnimeSchedule(20)
    crawl(run, upstream)
    run.id = 2
    assert all(path.startswith("/timetables/") for path in crawl(run, upstream))
    assert crawl(run, upstream, mode="full")[0] == "/anime?st=alphabetic&page=1"


# --- timetables


def weeks(asked: list[str]) -> list[str]:
    """Week and kind of each timetable that was asked for."""
    found = [(urlsplit(path).path, parse_qs(urlsplit(path).query)) for path in asked if path.startswith("/timetables/")]
    return [f"{query['year'][0]}-W{query['week'][0]} {path.rpartition('/')[2]}" for path, query in found]


def test_an_incremental_run_reads_raw_sub_and_dub_of_four_weeks():
    """The week before, this one, and two of plans; a week without data is no failure."""
    run, upstream = RecordingRun(), AnimeSchedule(1)
    upstream.show("sub", row(upstream.titles[1], 5, "sub"))
    asked = crawl(run, upstream, mode="incremental")
    assert weeks(asked) == [f"2026-W{week} {kind}" for week in (46, 47, 48, 49) for kind in ("raw", "sub", "dub")]
    assert [(a.anime_id, a.kind, a.number) for a in run.items if isinstance(a, Airing)] == [
        (*upstream.routes(1), "sub", 5)
    ]
    assert run.failures == []
    assert run.state is not None
    assert run.state["week"] == "2026-11-16"


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ("2024-12-30", ["2024-W52", "2025-W1", "2025-W2", "2025-W3"]),
        ("2026-12-28", ["2026-W52", "2026-W53", "2027-W1", "2027-W2"]),
        ("2027-01-03", ["2026-W52", "2026-W53", "2027-W1", "2027-W2"]),
        ("2023-01-01", ["2022-W51", "2022-W52", "2023-W1", "2023-W2"]),
    ],
)
def test_a_week_goes_with_the_year_that_it_belongs_to(today, now, wanted):
    """The last days of December may be in next year's first week, the first of January in last year's last."""
    today["now"] = datetime.fromisoformat(f"{now}T23:30:00+00:00")
    asked = weeks(crawl(RecordingRun(), AnimeSchedule(), mode="incremental"))
    assert [week.split()[0] for week in asked[::3]] == wanted


def test_rows_of_another_kind_are_left_out():
    """Raw rows stand in for missing subtitles, and leak into the dub timetable."""
    run, upstream = RecordingRun(), AnimeSchedule(1)
    title = upstream.titles[1]
    upstream.show("raw", row(title, 5, "raw"))
    upstream.show("sub", row(title, 5, "raw"))
    upstream.show("dub", row(title, 5, "raw"), row(title, 2, "dub"))
    crawl(run, upstream, mode="incremental")
    assert [(a.kind, a.number) for a in run.items if isinstance(a, Airing)] == [("raw", 5), ("dub", 2)]


def test_the_record_of_an_anime_is_asked_for_when_a_raw_row_tells_news_of_it():
    """A first episode, a delay, an end; not an ordinary episode, and not what only the dub shows."""
    run, upstream = RecordingRun(), AnimeSchedule(6)
    one, two, three, four, five, six = upstream.titles.values()
    upstream.show(
        "raw",
        row(one, 1, "raw"),
        row(two, 9, "raw", status="Delayed"),
        row(three, 12, "raw", status="Finished"),
        row(four, 9, "raw"),
        row(six, 6, "raw", lowest=1),
        {"airType": "raw"},
    )
    upstream.show("dub", row(five, 1, "dub", status="Finished"))
    asked = crawl(run, upstream, mode="incremental")
    assert [path for path in asked if path.startswith("/anime")] == [f"/anime/{r}" for r in upstream.routes(1, 2, 3, 6)]
    assert routes(run) == upstream.routes(1, 2, 3, 6)
    assert len(run.rejected) == 1


def test_an_interrupted_incremental_run_goes_on_with_the_week_that_it_had_not_finished():
    """Weeks after this one are plans and are always read again."""
    run, upstream = RecordingRun(), AnimeSchedule()
    crawl(run, upstream, kill_after=4, mode="incremental")
    assert run.state is not None
    assert run.state["week"] == "2026-11-09"
    assert weeks(crawl(run, upstream, mode="incremental"))[0] == "2026-W46 raw"
    assert run.state["week"] == "2026-11-16"


@pytest.mark.parametrize(("days", "first"), [(1, "2026-W46"), (8, "2026-W47"), (36, "2026-W47"), (700, "2027-W42")])
def test_weeks_that_no_run_has_read_are_read_by_the_next(today, days, first):
    """From the last one read, a year back at most; the week before now always."""
    run, upstream = RecordingRun(), AnimeSchedule()
    crawl(run, upstream, mode="incremental")
    today["now"] = NOW + timedelta(days=days)
    asked = weeks(crawl(run, upstream, mode="incremental"))
    assert asked[0] == f"{first} raw"
    assert len(asked) <= 3 * 55
    assert run.state is not None
    monday = today["now"].date() - timedelta(days=today["now"].weekday())
    assert date.fromisoformat(run.state["week"]) == monday


def test_a_second_run_in_the_same_week_leaves_the_checkpoint_as_it_is():
    """Nothing to write down, nothing written."""
    run, upstream = RecordingRun(), AnimeSchedule()
    crawl(run, upstream, mode="incremental")
    before = run.state
    assert len(crawl(run, upstream, mode="incremental")) == 12
    assert run.state is before


def test_timetables_leave_a_list_walk_under_way_where_it_is():
    """Both are in one checkpoint."""
    run, upstream = RecordingRun(), AnimeSchedule(50)
    crawl(run, upstream, kill_after=1)
    crawl(run, upstream, mode="incremental")
    assert crawl(run, upstream)[0] == "/anime?st=alphabetic&page=2"
    assert len(routes(run)) == 50


# --- routes and titles


def test_routes_are_asked_for_one_by_one_and_unknown_ones_are_absent():
    """Repeats count once."""
    run, upstream = RecordingRun(), AnimeSchedule(2)
    (one,) = upstream.routes(1)
    asked = crawl(run, upstream, ids=f"{one}, gone,{one}")
    assert asked == [f"/anime/{one}", "/anime/gone"]
    assert (routes(run), routes(run, Absent)) == ([one], ["gone"])
    assert run.state is None


def test_an_answer_about_another_anime_is_set_aside_and_said():
    """Nothing is stored of it, and the one that was asked for is not taken as read."""
    run, upstream = RecordingRun(), AnimeSchedule(2)
    one, two = upstream.routes(1, 2)
    crawl(run, lambda request: upstream(request.replace(url=request.url.replace(one, two))), ids=one)
    assert run.items == []
    assert [(letter.source_id, letter.request) for letter in run.rejected] == [(one, {"ids": one})]


def test_a_web_page_with_404_makes_no_anime_absent():
    """The address is wrong, not the route."""
    run, upstream = RecordingRun(), AnimeSchedule(1)
    upstream.fault("html", status=404, match={"path": "/anime/"})
    crawl(run, upstream, ids=upstream.routes(1)[0])
    assert run.items == []
    assert [(v.kind, v.setting) for v in run.failures] == [("status_404", "ANIMESCHEDULE_BASE_URL")]


def test_a_search_takes_only_what_has_exactly_the_wanted_name():
    """Hits of the genre or with a longer title are left; case, width and punctuation do not count."""
    run, upstream = RecordingRun(), AnimeSchedule(4)
    one, two, three, four = upstream.titles.values()
    genre = one.genres[0]
    two.synonyms, three.english = ["ONE!"], "One More"
    four.romaji, four.english = "Ｏｎｅ", "Number one"
    crawl(run, upstream, titles=f"One;{GENRES[genre][0]}")
    assert sorted(routes(run)) == sorted(upstream.routes(2, 4))
    (missed,) = run.missed
    assert f"(ids={upstream.routes(1)[0]}" in missed[1]  # of the genre; not stored


def test_titles_are_escaped_and_each_is_searched():
    """A title may hold what means something in an address."""
    run, upstream = RecordingRun(), AnimeSchedule()
    asked = crawl(run, upstream, titles="Tom & Jerry? #1; 北の灯台 ;Tom & Jerry? #1")
    queries = [parse_qs(urlsplit(path).query)["q"][0] for path in asked]
    assert queries == ["Tom & Jerry? #1", "北の灯台"]


def test_a_search_without_hits_is_no_failure():
    """It answers 500; people are told which title was not found."""
    run = RecordingRun()
    crawl(run, AnimeSchedule(), titles="Nowhere")
    assert run.failures == run.items == []
    assert "'Nowhere'" in run.missed[0][1]


def test_a_search_reads_some_pages_of_hits_but_not_all():
    """Hits come by popularity; the wanted one may be far behind."""
    run, upstream = RecordingRun(), AnimeSchedule(200)
    upstream.titles[61].english = "Anime"
    assert len(crawl(run, upstream, titles="anime")) == module.SEARCH_PAGES
    assert routes(run) == upstream.routes(61)


def test_a_text_longer_than_a_search_may_be_is_cut():
    """The name is compared in full."""
    run, upstream = RecordingRun(), AnimeSchedule(1)
    upstream.titles[1].romaji = title = "Long " * 50 + "title"
    (path,) = crawl(run, upstream, titles=title)
    assert len(parse_qs(urlsplit(path).query, strict_parsing=True)["q"][0]) <= 200
    assert routes(run) == upstream.routes(1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "season"},
        {"mode": ""},
        {"season": "2026-fall"},
        {"episodes": "1"},
        {"ids": ""},
        {"ids": "one piece"},
        {"ids": "../timetables"},
        {"ids": "a/b"},
        {"titles": " ; "},
        {"ids": "naruto", "mode": "full"},
    ],
)
def test_a_wrong_argument_is_refused(arguments):
    """Before anything runs; the message says what would be right."""
    with pytest.raises(ArgumentError, match=r"full|naruto|Naruto|mode, ids and titles"):
        AnimeScheduleSpider(**arguments)
