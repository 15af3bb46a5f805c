"""Anime-Planet's walk: what is asked for, where it stops, what a kill costs, what each answer means."""

from __future__ import annotations

from collections.abc import Iterable
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
from anime_crawler.sandbox.upstreams.anime_planet import service
from anime_crawler.sandbox.upstreams.anime_planet.lists import character, characters, listing, nothing_found
from anime_crawler.sandbox.upstreams.anime_planet.pages import character_slug, detail
from anime_crawler.sandbox.world.elsewhere import cast, id_at, known_at
from anime_crawler.sandbox.world.world import World
from anime_crawler.sources import anime_planet
from anime_crawler.sources.anime_planet import spider as module
from anime_crawler.sources.anime_planet.spider import AnimePlanetSpider
from tests.sources.driving import RecordingRun, drive
from tests.sources.upstream import Upstream

BASE = "https://www.anime-planet.com"
SAMPLES = Path(anime_planet.__file__).parent / "samples"
SPARE = 12
"""Titles that may appear later."""
NEWEST = "/anime/all?sort=recent&order=desc&page=1"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five titles on a page of the listing, until a test says otherwise."""
    for place in (service, module):
        monkeypatch.setattr(place, "PAGE_SIZE", 5)


class AnimePlanet(Upstream):
    """The sandbox's Anime-Planet with so many titles, all of 2014; tests number them in order of name and of id."""

    base_url = BASE

    def __init__(self, count: int) -> None:
        super().__init__("anime_planet", titles=2 * (count + SPARE) + 10)
        self.world = self.services.world
        known = {title.id: title for title in known_at("anime_planet", self.world).values() if cast(title)}
        self.titles = {number: known[own] for number, own in enumerate(sorted(known)[: count + SPARE], 1)}
        assert len(self.titles) == count + SPARE
        for number, title in self.titles.items():
            title.romaji, title.english, title.japanese, title.synonyms = f"Title {number:03}", None, None, []
            title.kind, title.season, title.related, title.censored = "tv", None, [], False
            self.airs(number, "released", 2014)
        self.world.titles.clear()
        self.last = 0
        self.add_numbers(count)

    def add_numbers(self, count: int) -> None:
        """So many new titles are there."""
        for number in range(self.last + 1, self.last + count + 1):
            self.world.titles[self.titles[number].id] = self.titles[number]
        self.last += count
        self.world.version += 1

    def lose(self, number: int) -> None:
        """This title is no more."""
        self.world.titles.pop(self.titles[number].id, None)
        self.world.version += 1

    def rename(self, number: int, name: str) -> None:
        """The title, and its slug with it."""
        self.titles[number].romaji = name
        self.world.version += 1

    def relate(self, number: int, *sequels: int) -> None:
        """These are sequels of the title: its first character comes back in them."""
        home = self.titles[number]
        home.related = [("sequel", "anime", self.titles[sequel].id, "x") for sequel in sequels]
        for sequel in sequels:
            self.titles[sequel].related = [("prequel", "anime", home.id, "x")]

    def airs(self, number: int, status: str, first: int, last: int | None = None) -> None:
        """Status and years of a title."""
        title = self.titles[number]
        title.status, title.aired_on = status, (first, None, None)
        title.released_on = (last, None, None)

    def fail(self, path: str, body: str, status: int = 200) -> None:
        """What begins with the path is answered so."""
        self.fault("status", status=status, body=body, content_type="text/html", match={"path": path})

    def slug(self, number: int) -> str:
        """Anime-Planet's id of the title."""
        slug = id_at("anime_planet", self.titles[number])
        assert slug is not None
        return slug

    def slugs(self, *numbers: int) -> list[str]:
        """Of several titles."""
        return [self.slug(number) for number in numbers]

    def path(self, number: int) -> str:
        """Of a title's page."""
        return f"/anime/{self.slug(number)}"

    def own(self, numbers: Iterable[int]) -> list[str]:
        """The numbers that the site has beside the slugs."""
        return [str(self.titles[number].id) for number in numbers]

    @property
    def paths(self) -> list[str]:
        """Of the requests that were made."""
        return [request.url.removeprefix(BASE) for request in self.asked]

    @property
    def listings(self) -> list[str]:
        """Pages of the listing that were asked for."""
        return [path for path in self.paths if path.startswith("/anime/all")]

    @property
    def looks(self) -> list[str]:
        """Pages of titles that were asked for."""
        return [path for path in self.paths if not path.startswith("/anime/all")]


def crawl(site: AnimePlanet, run: RecordingRun, *, kill_after: int = 10_000, **arguments: str) -> list[Request]:
    """One run."""
    return drive(AnimePlanetSpider(**arguments), run, site, kill_after=kill_after)


def ids(run: RecordingRun, kind: type = Anime) -> set[str]:
    return {item.source_id for item in run.items if isinstance(item, kind)}


def page(request: Request, body: str, status: int = 200) -> HtmlResponse:
    return HtmlResponse(request.url, status=status, body=body.encode())


def test_the_first_walk_looks_at_the_newest_then_lists_all_by_title_and_reads_every_page():
    """13 titles are a page of the newest and three by title, read again until nothing is new; each becomes an item."""
    site, run = AnimePlanet(13), RecordingRun()
    crawl(site, run)
    assert site.listings == [
        NEWEST,
        *(f"/anime/all?sort=title&order=asc&page={n}" for n in (1, 2, 3, 1, 2, 3)),
    ]
    assert len(site.asked) == 1 + 6 + 13
    assert ids(run) == site.known()
    assert run.state is not None
    assert (run.state["complete"], run.state["newest"]) == (True, site.own(range(13, 8, -1)))
    assert not run.failures


def test_listing_pages_go_before_the_pages_of_titles():
    """A listing that is read slowly moves under our feet."""
    site = AnimePlanet(3)
    asked = crawl(site, RecordingRun())
    assert {"/all?" in request.url for request in asked} == {True, False}
    for request in asked:
        assert request.priority == (1 if "/all?" in request.url else 0)
        assert request.dont_filter is ("/all?" in request.url)


def test_a_second_walk_reads_the_newest_page_only():
    """Nothing is new: one request. Three are new: one more for each."""
    site, run = AnimePlanet(50), RecordingRun()
    crawl(site, run)
    run.id = 2
    site.asked.clear()
    crawl(site, run)
    assert site.paths == [NEWEST]
    run.id = 3
    site.add_numbers(3)
    site.asked.clear()
    crawl(site, run)
    assert len(site.asked) == 1 + 1 + 3  # two known ones on the first page may have been moved up
    assert ids(run) == site.known()


def test_known_titles_that_are_moved_up_hide_no_new_ones(monkeypatch):
    """An old title on top of the newest page is no sign that what follows is known."""
    site, run = AnimePlanet(50), RecordingRun()
    crawl(site, run)
    run.id = 2
    site.add_numbers(4)
    top = site.titles[50].id
    monkeypatch.setitem(service.ORDERS, "recent", lambda title: (title.id == top, title.id))
    crawl(site, run)
    assert ids(run) == site.known()
    assert run.state is not None
    assert run.state["complete"]


def test_an_incremental_walk_before_any_other_lists_the_newest_down_to_the_first_title():
    """Nothing is known yet, so that nothing stops it."""
    site, run = AnimePlanet(12), RecordingRun()
    crawl(site, run, mode="incremental")
    assert len(site.listings) == 6  # the second time nothing is new
    assert ids(run) == site.known()


def test_a_full_walk_that_is_asked_for_lists_everything_again():
    """In another run; in the same one, resumed, it goes on."""
    site, run = AnimePlanet(12), RecordingRun()
    crawl(site, run)
    run.id, run.items = 2, []
    crawl(site, run, mode="full")
    assert ids(run) == site.known()


@pytest.mark.parametrize("kill_after", range(1, 20))
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_walk_that_lost_what_was_under_way_loses_no_title(kill_after, mode):
    """Killed at any request, and the job directory with it: the same run finds all that an undisturbed one does."""
    site, run = AnimePlanet(8), RecordingRun()
    crawl(site, run)
    site.add_numbers(7)
    run.id = 2
    crawl(site, run, kill_after=kill_after, mode=mode)
    crawl(site, run, mode=mode)
    assert ids(run) == site.known()
    assert run.state is not None
    assert run.state["complete"]


@settings(max_examples=30)
@given(count=st.integers(6, 30), gone=st.lists(st.integers(1, 30), max_size=4))
def test_titles_that_are_removed_hide_no_others(count, gone):
    """One before each request for a listing page: whoever stays is found, in a full walk and in an incremental one."""
    site, run = AnimePlanet(count), RecordingRun()
    left = [number for number in gone if number < count]

    def before(request: Request) -> None:
        if "/anime/all" in request.url and left:
            site.lose(left.pop())

    site.before = before
    crawl(site, run)
    assert site.known() <= ids(run)
    run.id = 2
    site.add_numbers(12)
    left = [count + 4, count + 5, count + 6]
    crawl(site, run)
    assert site.known() <= ids(run)
    assert run.failures == []


def test_what_was_announced_or_running_is_looked_at_again_after_a_week():
    """Not on the same day, and not when it has ended; under its new name where it was renamed, as another where
    it was joined with that.
    """
    site, run = AnimePlanet(12), RecordingRun()
    site.airs(2, "anons", 2031)
    site.airs(3, "anons", 2031)
    site.airs(5, "ongoing", 2014)
    site.airs(8, "released", utc_now().year)
    site.airs(9, "released", 2031)
    crawl(site, run)
    assert run.state is not None
    assert run.state["unfinished"] == site.slugs(2, 3, 5, 8, 9)
    site.airs(5, "released", 2014, 2015)
    former = [site.path(2), site.path(9)]
    site.rename(9, "Title 009 Again")
    site.airs(10, "anons", 2031)
    site.fault("redirect", location=f"{BASE}{site.path(10)}", match={"path": site.path(2)})
    rest = [site.path(number) for number in (3, 8, 9, 10)]
    for days, expected in ((1, []), (7, [*former, site.path(5), *rest]), (7, rest), (-3, rest)):
        run.id += 1
        run.state["looked_at"] = (utc_now().date() - timedelta(days=days)).isoformat()
        site.asked.clear()
        crawl(site, run)
        assert sorted(site.looks) == sorted(expected)
        assert run.state["complete"]


def test_what_only_its_own_page_calls_announced_is_looked_at_again_too():
    """Its card says nothing of its years."""
    site, run = AnimePlanet(12), RecordingRun()
    site.airs(4, "anons", 2031)
    years = "&lt;li class=&#x27;iconYear&#x27;&gt;TBA&lt;/li&gt;"
    site.fault("rewritten", pattern=years, text="", match={"path": "/anime/all"})
    crawl(site, run)
    assert run.state is not None
    assert run.state["unfinished"] == []
    run.id, run.state["looked_at"] = 2, "2020-01-01"
    site.asked.clear()
    crawl(site, run)
    assert site.looks == [site.path(4)]


@pytest.mark.parametrize("kill_after", range(1, 6))
def test_a_look_at_what_was_unfinished_goes_on_after_a_kill(kill_after):
    """Each is looked at, most of them once."""
    site, run = AnimePlanet(12), RecordingRun()
    for number in range(1, 5):
        site.airs(number, "anons", 2031)
    crawl(site, run)
    assert run.state is not None
    run.state["looked_at"] = "2020-01-01"
    run.id = 2
    site.asked.clear()
    crawl(site, run, kill_after=kill_after)
    crawl(site, run)
    assert {site.path(number) for number in range(1, 5)} <= set(site.paths)
    assert len(site.asked) <= 7


def test_a_title_that_cannot_be_read_is_no_end_of_the_look():
    """It is a dead letter, and looked at again the next time; three in a row are a site that has changed."""
    site, run = AnimePlanet(12), RecordingRun()
    for number in range(1, 6):
        site.airs(number, "anons", 2031)
    crawl(site, run)
    assert run.state is not None
    for broken, failures in (([2], []), ([2, 3, 4], ["wrong_shape"])):
        run.id += 1
        run.state["looked_at"] = "2020-01-01"
        run.rejected.clear()
        for number in broken:
            site.fail(site.path(number), "<h1>New design</h1>")
        crawl(site, run)
        site.calm()
        assert [verdict.kind for verdict in run.failures] == failures
        assert len(run.rejected) == len(broken)
        assert site.slug(2) in run.state["unfinished"]


def test_a_checkpoint_of_an_earlier_release_is_read():
    """What was the newest then is known."""
    site, run = AnimePlanet(30), RecordingRun()
    newest = site.own(range(28, 23, -1))
    old = {"order": "title", "page": 1, "newest": newest, "top": newest, "met": 0, "full": True, "since": []}
    run.state = old | {"began_in": 7, "complete": True}
    crawl(site, run)
    assert ids(run) == {*site.slugs(29, 30)}


@pytest.mark.parametrize(("flaw", "kind"), [("repeats", "repeated_page"), ("short", "short_list")])
def test_a_listing_that_lies_about_its_end_ends_the_run_incomplete(flaw, kind):
    """The same page for ever, or no next page where its own numbers promise more."""
    site, run = AnimePlanet(30), RecordingRun()
    if flaw == "repeats":
        site.fault("page_ignored", match={"sort": "title"})
    else:
        site.fault("rewritten", pattern='<li class="next">.*?</li>', text="", match={"sort": "title", "page": "2"})
    requests = crawl(site, run, mode="full")
    assert [verdict.kind for verdict in run.failures] == [kind]
    assert run.state is not None
    assert not run.state["complete"]
    assert [request for request in requests if request.meta.get("unfinished")]


def test_a_listing_that_never_ends_is_left(monkeypatch):
    """The cap, which is far above the real number of pages, is two here."""
    monkeypatch.setattr("anime_crawler.sources.anime_planet.spider.MOST_PAGES", 2)
    site, run = AnimePlanet(50), RecordingRun()
    crawl(site, run)
    assert [verdict.kind for verdict in run.failures] == ["endless_list"]


def test_ids_that_are_gone_or_renamed_are_absent_and_the_new_slug_is_read():
    """A search without result, and a redirect."""
    site, run = AnimePlanet(3), RecordingRun()
    former = site.slug(2)
    site.rename(2, "Title 002 Again")
    crawl(site, run, ids=f"{site.slug(1)},{former},never-was")
    assert ids(run) == {*site.slugs(1, 2)}
    renamed_to = {item.source_id: item.renamed_to for item in run.items if isinstance(item, Absent)}
    assert renamed_to == {former: site.slug(2), "never-was": None}
    assert site.listings == []


def test_a_page_about_another_anime_is_set_aside_and_withdraws_nothing():
    """Only a redirect of the site renames an anime: a page that calls itself otherwise may be served by mistake."""
    body = (SAMPLES / "detail__renamed" / "response.html").read_bytes()
    run = RecordingRun()
    drive(AnimePlanetSpider(ids="lantern-road"), run, lambda request: HtmlResponse(request.url, body=body))
    assert run.items == []
    assert [(letter.source_id, letter.request) for letter in run.rejected] == [
        ("lantern-road", {"ids": "lantern-road"})
    ]
    assert "lantern-road-2016" in run.rejected[0].reason


def test_a_renamed_anime_is_absent_once_the_page_that_the_redirect_names_is_its_own():
    """A redirect to a page about a third anime withdraws nothing."""
    body = (SAMPLES / "detail__renamed" / "response.html").read_bytes()
    for target, expected in (("lantern-road-2016", {"lantern-road"}), ("lantern-street", set())):

        def answer(request: Request, target: str = target) -> HtmlResponse:
            if request.url.endswith("/lantern-road"):
                return HtmlResponse(request.url, status=301, headers={"Location": f"/anime/{target}"})
            return HtmlResponse(request.url, body=body)

        run = RecordingRun()
        drive(AnimePlanetSpider(ids="lantern-road"), run, answer)
        assert ids(run, Absent) == expected
        assert [letter.source_id for letter in run.rejected] == ([] if expected else [target])


def test_redirects_in_a_circle_withdraw_nothing():
    """Each names the other; neither is asked for a second time."""
    other = {"one": "two", "two": "one"}

    def answer(request: Request) -> HtmlResponse:
        slug = request.url.rpartition("/")[2]
        return HtmlResponse(request.url, status=301, headers={"Location": f"/anime/{other[slug]}"})

    run = RecordingRun()
    assert len(drive(AnimePlanetSpider(ids="one"), run, answer)) == 2
    assert run.items == []
    assert [letter.source_id for letter in run.rejected] == ["two"]


def test_the_characters_of_another_anime_are_not_taken_for_those_of_this_one():
    """The list of an anime's characters withdraws those that it lacks, so that it must be the list asked for."""
    site, run = AnimePlanet(3), RecordingRun()
    one, two = (f"/anime/{slug}" for slug in site.slugs(1, 2))

    def answer(request: Request) -> TextResponse:
        wrong = request.replace(url=request.url.replace(f"{one}/characters", f"{two}/characters"))
        return site(wrong).replace(url=request.url)

    drive(AnimePlanetSpider(ids=site.slug(1), characters="1"), run, answer)
    assert [type(item) for item in run.items] == [Anime]
    assert [(letter.kind, letter.source_id) for letter in run.rejected] == [("character", site.slug(1))]


def test_titles_are_searched_for_and_the_one_of_that_name_is_read():
    """The very name, however it is written, and no other that holds it."""
    site, run = AnimePlanet(30), RecordingRun()
    site.rename(3, "Title: 003!")
    site.rename(4, "Title: 003! Again")
    crawl(site, run, titles="title: 003; Title 02 ;nothing like it")
    assert ids(run) == {site.slug(3)}
    assert [kind for kind, _ in run.missed] == ["title_not_found"] * 2
    assert site.listings[0] == "/anime/all?name=title%3A+003"


def test_a_search_that_leads_to_its_only_result_is_followed():
    """By a redirect, or with the page itself."""
    site = AnimePlanet(3)
    for answer in (site, lambda request: page(request, detail(site.titles[1], site.world))):
        run = RecordingRun()
        spider = AnimePlanetSpider(titles="Title 001")
        response = answer(Request(f"{BASE}/anime/all?name=Title+001"))
        assert spider.judge(response).action is Action.ACCEPT
        spider.run = run
        found = list(spider.parse_search(response, "Title 001"))
        assert [request.url for request in found] == [f"{BASE}{site.path(1)}"]  # type: ignore[union-attr]


def test_characters_are_asked_for_only_when_wanted():
    """One request for the list and one for each character; role and voices are those of the anime."""
    site, run = AnimePlanet(3), RecordingRun()
    number = next(number for number, title in site.titles.items() if number < 4 and len(cast(title)) > 1)
    crawl(site, run, ids=site.slug(number))
    assert len(site.asked) == 1
    crawl(site, run, ids=site.slug(number), characters="1")
    found = [
        (c.source_id, c.anime_id, c.role, [(actor.name, actor.language) for actor in c.voice_actors])
        for c in run.items
        if isinstance(c, Character)
    ]
    assert found == [
        (character_slug(role), site.slug(number), "main" if role.main else "secondary", [(role.voice, "ja")])
        for role in cast(site.titles[number])
    ]


def test_a_block_ends_the_crawl_and_asks_for_nothing_more():
    """The request stays pending, what was collected is kept, the state is where it was."""
    site, run = AnimePlanet(13), RecordingRun()
    site.fault("cloudflare", status=403, skip=3)
    with pytest.raises(CloseSpider) as closed:
        crawl(site, run)
    assert closed.value.reason == "blocked"
    assert [verdict.kind for verdict in run.failures] == ["blocked"]
    assert len(site.asked) == 4
    assert run.state is not None


def test_an_unknown_word_costs_only_itself():
    """The title is stored without a kind, the word is counted, and the walk is complete."""
    site, run = AnimePlanet(6), RecordingRun()
    site.fault("rewritten", pattern=">TV", text=">Hologram", match={"path": site.path(4)})
    crawl(site, run)
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


def test_linked_data_that_grows_and_cards_that_lose_a_field_are_drift(monkeypatch):
    """A new key on a page, a field that none of many cards has."""
    for place in (service, module):
        monkeypatch.setattr(place, "PAGE_SIZE", 35)
    site, run = AnimePlanet(25), RecordingRun()

    def answer(request: Request) -> TextResponse:
        response = site(request)
        return response.replace(body=response.body.replace(b"class=&#x27;type&#x27;", b""))

    drive(AnimePlanetSpider(), run, answer)
    assert run.drifted["card.type_line", "vanished"] >= 25
    body = (SAMPLES / "detail__full" / "response.html").read_bytes().replace(b'"genre"', b'"genreName"')
    drive(AnimePlanetSpider(ids="paper-moon-harbour"), run, lambda request: HtmlResponse(request.url, body=body))
    assert run.drifted["ld+json.genreName", "unknown"] == 1


WORLD = World(titles=60)
TITLE = next(title for title in known_at("anime_planet", WORLD).values() if cast(title))
OTHER = next(title for title in known_at("anime_planet", WORLD).values() if title is not TITLE)
SLUG, WHO = id_at("anime_planet", TITLE), cast(TITLE)[0]
LIST, DETAIL = f"{BASE}/anime/all?sort=title&order=asc&page=2", f"{BASE}/anime/{SLUG}"
FIRST = f"{BASE}/anime/all?sort=title&order=asc&page=1"
ROBOTS = f"{BASE}/robots.txt"
SITE_404 = "<title>Page not found | Anime-Planet</title>"


@pytest.mark.parametrize(
    ("url", "status", "body", "expected"),
    [
        (DETAIL, 200, detail(TITLE, WORLD), ("accept", "ok", None)),
        (DETAIL, 200, nothing_found("title-001"), ("accept", "ok", None)),
        (DETAIL, 200, listing([OTHER], 1, 1), ("retry", "wrong_shape", None)),
        (DETAIL, 200, "<h1>Under construction</h1>", ("retry", "wrong_shape", None)),
        (DETAIL, 404, SITE_404, ("accept", "ok", None)),
        (DETAIL, 404, "<h1>Not Found</h1>", ("give_up", "status_404", "ANIME_PLANET_BASE_URL")),
        (DETAIL, 403, "", ("give_up", "blocked", None)),
        (DETAIL, 200, "<title>Just a moment...</title>", ("give_up", "blocked", None)),
        (DETAIL, 503, "<title>Just a moment...</title>", ("give_up", "blocked", None)),
        (DETAIL, 503, "", ("retry", "server_error", None)),
        (DETAIL, 429, "", ("retry", "rate_limited", None)),
        (DETAIL, 500, "", ("retry", "server_error", None)),
        (LIST, 200, listing([OTHER], 2, 3), ("accept", "ok", None)),
        (LIST, 200, listing([], 2, 1), ("accept", "ok", None)),
        (LIST, 200, listing([], 2, 3), ("retry", "wrong_shape", None)),
        (FIRST, 200, listing([], 1, 1), ("retry", "wrong_shape", None)),
        (FIRST, 200, listing([], 1, 3), ("retry", "wrong_shape", None)),
        (LIST, 403, "<title>Attention Required! | Cloudflare</title>", ("give_up", "blocked", None)),
        (LIST, 200, nothing_found("x"), ("retry", "wrong_shape", None)),
        (LIST, 404, SITE_404, ("give_up", "status_404", "ANIME_PLANET_BASE_URL")),
        (f"{BASE}/characters/{character_slug(WHO)}", 200, character([(TITLE, WHO)]), ("accept", "ok", None)),
        (f"{DETAIL}/characters", 200, characters(TITLE), ("accept", "ok", None)),
        (f"{BASE}/anime/all?name=x", 200, listing([], 1, 1), ("accept", "ok", None)),
        (ROBOTS, 200, "<html></html>", ("give_up", "robots_unread", None)),
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
    url = f"{spider.base_url}/anime/{SLUG}"
    for location, expected in ((f"{spider.base_url}/anime/x", "ok"), ("/anime/x", "ok"), ("/other", "moved")):
        assert spider.judge(TextResponse(url, status=301, headers={"Location": location})).kind == expected
    assert spider.judge(page(Request(f"{url}/characters"), characters(TITLE))).kind == "ok"


def test_plain_robots_are_read_and_a_challenge_by_header_is_a_block():
    """The text goes to the middleware; Cloudflare may say it in a header alone."""
    text = TextResponse(ROBOTS, body=b"User-agent: *\nDisallow: /lists\n")
    assert AnimePlanetSpider().judge(text).action is Action.ACCEPT
    answer = HtmlResponse(DETAIL, body=detail(TITLE, WORLD).encode(), headers={"cf-mitigated": "challenge"})
    assert AnimePlanetSpider().judge(answer).kind == "blocked"


def test_a_shared_character_appears_in_each_of_its_anime():
    """Its page is asked for once in a run, and tells of all its parts, each with its own voice."""
    site, run = AnimePlanet(3), RecordingRun()
    site.relate(1, 2, 3)
    crawl(site, run, ids=",".join(site.slugs(1, 2)), characters="1")
    shared = cast(site.titles[1])[0]
    parts = {n: next(role for role in cast(site.titles[n]) if role.number == shared.number) for n in (1, 2, 3)}
    found = {
        (c.anime_id, c.role, c.voice_actors[0].name)
        for c in run.items
        if isinstance(c, Character) and c.source_id == character_slug(shared)
    }
    assert found == {
        (site.slug(1), "main", parts[1].voice),
        (site.slug(2), "secondary", parts[2].voice),
        (site.slug(3), "secondary", parts[3].voice),
    }
    assert len({role.voice for role in parts.values()}) == 3
    assert site.paths.count(f"/characters/{character_slug(shared)}") == 1
