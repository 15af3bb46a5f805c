"""Anime-Planet's walk: what is asked for, where it stops, what a kill costs, what each answer means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import CloseSpider
from scrapy.http import HtmlResponse, TextResponse

from anime_crawler.base_spiders import Action, ArgumentError
from anime_crawler.items import Absent, Anime, Character, utc_now
from anime_crawler.sources import anime_planet
from anime_crawler.sources.anime_planet.spider import AnimePlanetSpider
from tests.sources.driving import RecordingRun, drive
from tests.sources.fake_anime_planet import (
    BASE,
    FakeAnimePlanet,
    character,
    characters,
    detail,
    listing,
    moved,
    page,
    search_result,
)

SAMPLES = Path(anime_planet.__file__).parent / "samples"


def crawl(site: FakeAnimePlanet, run: RecordingRun, *, kill_after: int = 10_000, **arguments: str) -> list[Request]:
    """One run."""
    return drive(AnimePlanetSpider(**arguments), run, site, kill_after=kill_after)


def ids(run: RecordingRun, kind: type = Anime) -> set[str]:
    return {item.source_id for item in run.items if isinstance(item, kind)}


def listings(site: FakeAnimePlanet) -> list[str]:
    return [path for path in site.asked if path.startswith("/anime/all")]


def test_the_first_walk_looks_at_the_newest_then_lists_all_by_title_and_reads_every_page():
    """13 titles are a page of the newest and three by title, read again until nothing is new; each becomes an item."""
    site, run = FakeAnimePlanet(13), RecordingRun()
    crawl(site, run)
    assert listings(site) == [
        "/anime/all?sort=recent&order=desc&page=1",
        *(f"/anime/all?sort=title&order=asc&page={n}" for n in (1, 2, 3, 1, 2, 3)),
    ]
    assert len(site.asked) == 1 + 6 + 13
    assert ids(run) == set(site.slugs.values())
    assert run.state is not None
    assert (run.state["complete"], run.state["newest"]) == (True, ["13", "12", "11", "10", "9"])
    assert not run.failures


def test_listing_pages_go_before_the_pages_of_titles():
    """A listing that is read slowly moves under our feet."""
    site = FakeAnimePlanet(3)
    for request in crawl(site, RecordingRun()):
        assert request.priority == (1 if "/all?" in request.url else 0)
        assert request.dont_filter is ("/all?" in request.url)


def test_a_second_walk_reads_the_newest_page_only():
    """Nothing is new: one request. Three are new: one more for each."""
    site, run = FakeAnimePlanet(50), RecordingRun()
    crawl(site, run)
    run.id = 2
    site.asked.clear()
    crawl(site, run)
    assert site.asked == ["/anime/all?sort=recent&order=desc&page=1"]
    run.id = 3
    site.add(3)
    site.asked.clear()
    crawl(site, run)
    assert len(site.asked) == 1 + 1 + 3  # two known ones on the first page may have been moved up
    assert ids(run) == set(site.slugs.values())


def test_known_titles_that_are_moved_up_hide_no_new_ones():
    """An old title on top of the newest page is no sign that what follows is known."""
    site, run = FakeAnimePlanet(50), RecordingRun()
    crawl(site, run)
    site.add(4)
    site.moved_up = [50]
    crawl(site, run)
    assert ids(run) == set(site.slugs.values())
    assert run.state is not None
    assert run.state["complete"]


def test_an_incremental_walk_before_any_other_lists_the_newest_down_to_the_first_title():
    """Nothing is known yet, so that nothing stops it."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    crawl(site, run, mode="incremental")
    assert len(listings(site)) == 6  # the second time nothing is new
    assert ids(run) == set(site.slugs.values())


def test_a_full_walk_that_is_asked_for_lists_everything_again():
    """In another run; in the same one, resumed, it goes on."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    crawl(site, run)
    run.id, run.items = 2, []
    crawl(site, run, mode="full")
    assert ids(run) == set(site.slugs.values())


@pytest.mark.parametrize("kill_after", range(1, 20))
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_walk_that_lost_what_was_under_way_loses_no_title(kill_after, mode):
    """Killed at any request, and the job directory with it: the same run finds all that an undisturbed one does."""
    site, run = FakeAnimePlanet(8), RecordingRun()
    crawl(site, run)
    site.add(7)
    run.id = 2
    crawl(site, run, kill_after=kill_after, mode=mode)
    crawl(site, run, mode=mode)
    assert ids(run) == set(site.slugs.values())
    assert run.state is not None
    assert run.state["complete"]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(6, 30), gone=st.lists(st.integers(1, 30), max_size=4))
def test_titles_that_are_removed_hide_no_others(count, gone):
    """One before each request for a listing page: whoever stays is found, in a full walk and in an incremental one."""
    site, run = FakeAnimePlanet(count), RecordingRun()
    left = [number for number in gone if number < count]

    def answer(request: Request) -> TextResponse:
        if "/anime/all" in request.url and left:
            site.slugs.pop(left.pop(), None)
        return site(request)

    drive(AnimePlanetSpider(), run, answer)
    assert set(site.slugs.values()) <= ids(run)
    run.id = 2
    site.add(12)
    left = [number for number in site.slugs if number > count][3:6]
    drive(AnimePlanetSpider(), run, answer)
    assert set(site.slugs.values()) <= ids(run)
    assert run.failures == []


def test_what_was_announced_or_running_is_looked_at_again_after_a_week():
    """Not on the same day, and not when it has ended; under its new name where it was renamed."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    site.years = {3: "TBA", 5: "2014 - ?", 8: str(utc_now().year), 9: "2031"}
    crawl(site, run)
    assert run.state is not None
    assert run.state["unfinished"] == ["title-003", "title-005", "title-008", "title-009"]
    site.years |= {5: "2014 - 2015"}
    site.renamed = {"title-009": "title-010"}
    site.years |= {10: "2031"}
    for days, expected in ((1, []), (7, [3, 5, 8, 9, 10]), (7, [3, 8, 10]), (-3, [3, 8, 10])):
        run.id += 1
        run.state["looked_at"] = (utc_now().date() - timedelta(days=days)).isoformat()
        site.asked.clear()
        crawl(site, run)
        assert sorted(path for path in site.asked if "/all" not in path) == [f"/anime/title-{n:03}" for n in expected]
        assert run.state["complete"]


def test_what_only_its_own_page_calls_announced_is_looked_at_again_too():
    """Its card says nothing of its years."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    site.years, site.has_bars = {4: "TBA"}, False
    crawl(site, run)
    assert run.state is not None
    run.id, run.state["looked_at"] = 2, "2020-01-01"
    site.asked.clear()
    crawl(site, run)
    assert [path for path in site.asked if "/all" not in path] == ["/anime/title-004"]


@pytest.mark.parametrize("kill_after", range(1, 6))
def test_a_look_at_what_was_unfinished_goes_on_after_a_kill(kill_after):
    """Each is looked at, most of them once."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    site.years = dict.fromkeys(range(1, 5), "TBA")
    crawl(site, run)
    assert run.state is not None
    run.state["looked_at"] = "2020-01-01"
    run.id = 2
    site.asked.clear()
    crawl(site, run, kill_after=kill_after)
    crawl(site, run)
    assert {f"/anime/title-{n:03}" for n in range(1, 5)} <= set(site.asked)
    assert len(site.asked) <= 7


def test_a_title_that_cannot_be_read_is_no_end_of_the_look():
    """It is a dead letter, and looked at again the next time; three in a row are a site that has changed."""
    site, run = FakeAnimePlanet(12), RecordingRun()
    site.years = dict.fromkeys(range(1, 6), "TBA")
    crawl(site, run)
    assert run.state is not None
    for broken, failures in (([2], []), ([2, 3, 4], ["wrong_shape"])):
        run.id += 1
        run.state["looked_at"] = "2020-01-01"
        run.rejected.clear()
        names = [f"title-{number:03}" for number in broken]

        def answer(request: Request, names: list[str] = names) -> TextResponse:
            is_broken = any(name in request.url for name in names)
            return page(request, "<h1>New design</h1>") if is_broken else site(request)

        drive(AnimePlanetSpider(), run, answer)
        assert [verdict.kind for verdict in run.failures] == failures
        assert len(run.rejected) == len(broken)
        assert "title-002" in run.state["unfinished"]


def test_a_checkpoint_of_an_earlier_release_is_read():
    """What was the newest then is known."""
    site, run = FakeAnimePlanet(30), RecordingRun()
    newest = [str(n) for n in range(28, 23, -1)]
    old = {"order": "title", "page": 1, "newest": newest, "top": newest, "met": 0, "full": True, "since": []}
    run.state = old | {"began_in": 7, "complete": True}
    crawl(site, run)
    assert ids(run) == {"title-029", "title-030"}


@pytest.mark.parametrize(("flaw", "kind"), [("repeats", "repeated_page"), ("short", "short_list")])
def test_a_listing_that_lies_about_its_end_ends_the_run_incomplete(flaw, kind):
    """The same page for ever, or no next page where its own numbers promise more."""
    site, run = FakeAnimePlanet(30), RecordingRun()
    site.repeats_last_page, site.ends_at = flaw == "repeats", 2 if flaw == "short" else None
    requests = crawl(site, run, mode="full")
    assert [verdict.kind for verdict in run.failures] == [kind]
    assert run.state is not None
    assert not run.state["complete"]
    assert [request for request in requests if request.meta.get("unfinished")]


def test_a_listing_that_never_ends_is_left(monkeypatch):
    """The cap, which is far above the real number of pages, is two here."""
    monkeypatch.setattr("anime_crawler.sources.anime_planet.spider.MOST_PAGES", 2)
    site, run = FakeAnimePlanet(50), RecordingRun()
    crawl(site, run)
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_ids_that_are_gone_or_renamed_are_absent_and_the_new_slug_is_read():
    """A search without result, a redirect, and a page that calls itself by another name."""
    site, run = FakeAnimePlanet(3), RecordingRun()
    site.renamed = {"old-name": "title-002"}
    crawl(site, run, ids="title-001,old-name,never-was")
    assert ids(run) == {"title-001", "title-002"}
    assert ids(run, Absent) == {"old-name", "never-was"}
    assert listings(site) == []


def test_a_page_that_calls_itself_otherwise_makes_the_old_slug_absent():
    """The page was had for the old slug; the new one is the id."""
    body = (SAMPLES / "detail__renamed" / "response.html").read_bytes()
    run = RecordingRun()
    drive(AnimePlanetSpider(ids="lantern-road"), run, lambda request: HtmlResponse(request.url, body=body))
    assert (ids(run), ids(run, Absent)) == ({"lantern-road-2016"}, {"lantern-road"})


def test_titles_are_searched_for_and_the_one_of_that_name_is_read():
    """The very name, however it is written, and no other that holds it."""
    site, run = FakeAnimePlanet(30), RecordingRun()
    crawl(site, run, titles="title: 003; Title 02 ;nothing like it")
    assert ids(run) == {"title-003"}
    assert [kind for kind, _ in run.missed] == ["title_not_found"] * 2
    assert listings(site)[0] == "/anime/all?name=title%3A+003"


def test_a_search_that_leads_to_its_only_result_is_followed():
    """By a redirect, or with the page itself."""
    for answer in (
        lambda request: moved(request, f"{BASE}/anime/title-001"),
        lambda request: page(request, f'<link rel="canonical" href="{BASE}/anime/title-001">{detail("title-001")}'),
    ):
        spider = AnimePlanetSpider(titles="Title 001")
        response = answer(Request(f"{BASE}/anime/all?name=Title+001"))
        if response.status == 200:
            response = response.replace(body=response.body.replace(b"<head></head><body><link", b"<head><link"))
        assert spider.judge(response).action is Action.ACCEPT
        found = list(spider.parse_search(response, "Title 001"))
        assert [request.url for request in found] == [f"{BASE}/anime/title-001"]  # type: ignore[union-attr]


def test_characters_are_asked_for_only_when_wanted():
    """One request for the list and one for each character; role and voices are those of the anime."""
    site, run = FakeAnimePlanet(3), RecordingRun()
    site.cast["title-002"] = ["ana", "bo"]
    crawl(site, run, ids="title-002")
    assert len(site.asked) == 1
    crawl(site, run, ids="title-002", characters="1")
    cast = [item for item in run.items if isinstance(item, Character)]
    assert [(c.source_id, c.anime_id, c.role) for c in cast] == [
        ("ana", "title-002", "main"),
        ("bo", "title-002", "main"),
    ]
    assert [(actor.name, actor.language) for actor in cast[0].voice_actors] == [("Ana X", "ja")]


def test_a_block_ends_the_crawl_and_asks_for_nothing_more():
    """The request stays pending, what was collected is kept, the state is where it was."""
    site, run = FakeAnimePlanet(13), RecordingRun()
    site.blocks_at = 4
    with pytest.raises(CloseSpider) as closed:
        crawl(site, run)
    assert closed.value.reason == "blocked"
    assert [verdict.kind for verdict in run.failures] == ["blocked"]
    assert len(site.asked) == 4
    assert run.state is not None


def test_an_unknown_word_costs_only_itself():
    """The title is stored without a kind, the word is counted, and the walk is complete."""
    site, run = FakeAnimePlanet(6), RecordingRun()

    def answer(request: Request) -> TextResponse:
        response = site(request)
        return (
            response.replace(body=response.body.replace(b">TV<", b">Hologram<")) if "004" in request.url else response
        )

    drive(AnimePlanetSpider(), run, answer)
    assert run.drifted["type: unknown value 'hologram'", "unknown"] > 0
    assert (len(ids(run)), run.rejected) == (6, [])
    assert run.state is not None
    assert run.state["complete"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "season"},
        {"season": "2026-fall"},
        {"episodes": "1"},
        {"ids": ""},
        {"ids": "a b"},
        {"ids": "one-piece", "mode": "full"},
        {"ids": "one-piece", "titles": "One Piece"},
        {"titles": " ; "},
        {"characters": "yes"},
    ],
)
def test_a_wrong_argument_is_refused_with_what_applies(arguments):
    """Before anything runs."""
    with pytest.raises(ArgumentError, match=r"wanted|it has:"):
        AnimePlanetSpider(**arguments)


def test_linked_data_that_grows_and_cards_that_lose_a_field_are_drift():
    """A new key on a page, a field that none of many cards has."""
    site, run = FakeAnimePlanet(25, page_size=25), RecordingRun()
    crawl(site, run)
    assert run.drifted["card.type_line", "vanished"] >= 25
    body = (SAMPLES / "detail__full" / "response.html").read_bytes().replace(b'"genre"', b'"genreName"')
    drive(AnimePlanetSpider(ids="x"), run, lambda request: HtmlResponse(request.url, body=body))
    assert run.drifted["ld+json.genreName", "unknown"] == 1


LIST, DETAIL = f"{BASE}/anime/all?sort=title&order=asc&page=2", f"{BASE}/anime/title-001"
FIRST = f"{BASE}/anime/all?sort=title&order=asc&page=1"
ROBOTS = f"{BASE}/robots.txt"
SITE_404 = "<title>Page not found | Anime-Planet</title>"


@pytest.mark.parametrize(
    ("url", "status", "body", "expected"),
    [
        (DETAIL, 200, detail("title-001"), ("accept", "ok", None)),
        (DETAIL, 200, search_result("title-001"), ("accept", "ok", None)),
        (DETAIL, 200, listing([(1, "title-002")], 1, 1), ("retry", "wrong_shape", None)),
        (DETAIL, 200, "<h1>Under construction</h1>", ("retry", "wrong_shape", None)),
        (DETAIL, 404, SITE_404, ("accept", "ok", None)),
        (DETAIL, 404, "<h1>Not Found</h1>", ("give_up", "status_404", "ANIME_PLANET_BASE_URL")),
        (DETAIL, 403, "", ("give_up", "blocked", None)),
        (DETAIL, 200, "<title>Just a moment...</title>", ("give_up", "blocked", None)),
        (DETAIL, 503, "<title>Just a moment...</title>", ("give_up", "blocked", None)),
        (DETAIL, 503, "", ("retry", "server_error", None)),
        (DETAIL, 429, "", ("retry", "rate_limited", None)),
        (DETAIL, 500, "", ("retry", "server_error", None)),
        (LIST, 200, listing([(1, "title-002")], 2, 3), ("accept", "ok", None)),
        (LIST, 200, listing([], 2, 1), ("accept", "ok", None)),
        (LIST, 200, listing([], 2, 3), ("retry", "wrong_shape", None)),
        (FIRST, 200, listing([], 1, 1), ("retry", "wrong_shape", None)),
        (LIST, 200, search_result("x"), ("retry", "wrong_shape", None)),
        (LIST, 404, SITE_404, ("give_up", "status_404", "ANIME_PLANET_BASE_URL")),
        (f"{BASE}/characters/ana", 200, character("ana"), ("accept", "ok", None)),
        (f"{DETAIL}/characters", 200, characters("title-001", []), ("accept", "ok", None)),
        (f"{BASE}/anime/all?name=x", 200, listing([], 1, 1), ("accept", "ok", None)),
        (ROBOTS, 200, "", ("give_up", "robots_unread", None)),
        (ROBOTS, 503, "", ("retry", "server_error", None)),
        (ROBOTS, 403, "", ("give_up", "robots_unread", None)),
        (ROBOTS, 404, "", ("accept", "ok", None)),
    ],
)
def test_answers_are_judged_by_what_was_asked_for(url, status, body, expected):
    """A block is not tried again, a page of another kind is, a title that is gone is an answer."""
    verdict = AnimePlanetSpider().judge(page(Request(url), body, status))
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        (DETAIL, "/anime/title-002", "ok"),
        (DETAIL, "/search.php?search=title-001", "ok"),
        (DETAIL, "/anime/all?name=title-001", "ok"),
        (DETAIL, "https://elsewhere.example/anime/title-001", "moved"),
        (DETAIL, "/login", "moved"),
        (DETAIL, DETAIL, "moved"),  # to itself: no word that the title is gone
        (DETAIL, "", "moved"),
        (LIST, "/anime/all?page=1", "moved"),
    ],
)
def test_a_redirect_is_news_of_a_title_or_a_moved_site(url, location, expected):
    """Nothing is followed to another host or in a circle, and a listing never ends because of one."""
    response = TextResponse(url, status=302, headers={"Location": location})
    assert AnimePlanetSpider().judge(response).kind == expected


def test_a_page_that_is_cut_short_is_asked_for_again():
    """Its head alone would pass for a title without synopsis, tags and relations."""
    body = (SAMPLES / "detail__full" / "response.html").read_bytes()
    url = f"{BASE}/anime/paper-moon-harbour"
    verdicts = [AnimePlanetSpider().judge(HtmlResponse(url, body=part)) for part in (body, body[: len(body) // 2])]
    assert [verdict.kind for verdict in verdicts] == ["ok", "wrong_shape"]


def test_the_site_may_stand_below_a_path():
    """As in the sandbox: pages and redirects are judged by what comes after the address of the settings."""
    spider = AnimePlanetSpider()
    spider.base_url = "http://127.0.0.1:8100/anime_planet"
    url = f"{spider.base_url}/anime/title-001"
    for location, expected in ((f"{spider.base_url}/anime/x", "ok"), ("/anime/x", "ok"), ("/other", "moved")):
        assert spider.judge(TextResponse(url, status=301, headers={"Location": location})).kind == expected
    assert spider.judge(page(Request(f"{url}/characters"), characters("title-001", []))).kind == "ok"


def test_plain_robots_are_read_and_a_challenge_by_header_is_a_block():
    """The text goes to the middleware; Cloudflare may say it in a header alone."""
    text = TextResponse(ROBOTS, body=b"User-agent: *\nDisallow: /lists\n")
    assert AnimePlanetSpider().judge(text).action is Action.ACCEPT
    answer = HtmlResponse(DETAIL, body=detail("x").encode(), headers={"cf-mitigated": "challenge"})
    assert AnimePlanetSpider().judge(answer).kind == "blocked"


def shared_character(request: Request) -> TextResponse:
    """Two anime with one character; its page has a row for each, and one for a third."""
    parts = request.url.removeprefix(BASE).strip("/").split("/")
    if parts[0] == "characters":
        roles = enumerate(("Main", "Secondary", "Minor"), 1)
        rows = "".join(
            f'<tr><td><a href="/anime/title-00{n}">x</a></td><td>{role}</td>'
            f'<td><div class="flag flagJP">jp. <a href="/people/a">Voice {n}</a></div></td></tr>'
            for n, role in roles
        )
        table = f"<h3>Anime Roles</h3><table>{rows}</table>"
        body = f'<h1 itemprop="name">Ana</h1><section class="pure-g entryBar"></section>{table}'
    else:
        body = characters(parts[1], ["ana"]) if len(parts) == 3 else detail(parts[1])
    return TextResponse(request.url, body=f"<html><head></head><body>{body}</body></html>".encode())


def test_a_shared_character_appears_in_each_of_its_anime():
    """Its page is asked for once in a run, and tells of all its parts, each with its own voice."""
    run, asked = RecordingRun(), set()

    def answer(request: Request) -> TextResponse:
        asked.add(request.url)
        return shared_character(request)

    drive(AnimePlanetSpider(ids="title-001,title-002", characters="1"), run, answer)
    found = {(c.anime_id, c.role, c.voice_actors[0].name) for c in run.items if isinstance(c, Character)}
    assert found == {
        ("title-001", "main", "Voice 1"),
        ("title-002", "secondary", "Voice 2"),
        ("title-003", "minor", "Voice 3"),
    }
    assert f"{BASE}/characters/ana" in asked
