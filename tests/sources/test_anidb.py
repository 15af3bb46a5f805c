"""AniDB's titles once a day, details within the quota, and every error an end; driven against the sandbox's AniDB."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from scrapy import Request
from scrapy.http import Response, TextResponse
from scrapy.settings import Settings

from anime_crawler.base_spiders import Action, ArgumentError, ResponseError
from anime_crawler.items import Absent, Anime, Character, Checkpoint, Episode, Item, Rejected
from anime_crawler.sandbox.upstreams.anidb.service import DUMP
from anime_crawler.sandbox.world.elsewhere import cast, known_at
from anime_crawler.sandbox.world.works import Title
from anime_crawler.sources.anidb import CARD
from anime_crawler.sources.anidb import spider as anidb_spider
from anime_crawler.sources.anidb.parse import parse_file
from anime_crawler.sources.anidb.schema import unpacked
from anime_crawler.sources.anidb.spider import AnidbSpider
from tests.sources.driving import RecordingRun, drive
from tests.sources.upstream import Upstream

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
SPARE = 5
"""Titles that may appear later."""
NO_LIMIT = 1_000_000
CUT_SHORT = gzip.compress(b"<animetitles>", mtime=0)[:-5]
CLIENT = {"ANIDB_CLIENT": "testclient", "ANIDB_CLIENTVER": 2}
NO_CLIENT = {"ANIDB_CLIENT": None, "ANIDB_CLIENTVER": 1}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Time stands still, until a test lets it pass."""
    times = [NOW]
    monkeypatch.setattr(anidb_spider, "utc_now", lambda: times[0])

    def go_on(by: timedelta) -> None:
        times[0] += by

    return go_on


class Anidb(Upstream):
    """The sandbox's AniDB with so many titles, all OVAs of one episode; tests number them in order of their ids.

    Its time is the spider's. A second dump within a day it refuses, as AniDB does.
    """

    def __init__(self, count: int) -> None:
        super().__init__("anidb", titles=(count + SPARE) * 2 + 20)
        self.world = self.services.world
        self.quota = NO_LIMIT
        """Requests that our own limits leave room for."""
        self.answers: dict[str, tuple[int, bytes]] = {}
        """Id of an anime, or path -> status and body in place of the right ones."""
        known = sorted((int(own), title) for own, title in known_at("anidb", self.world).items() if cast(title))
        self.titles: dict[int, Title] = {}
        self.own: dict[int, str] = {}
        """AniDB's id by number."""
        for number, (own, title) in enumerate(known[: count + SPARE], 1):
            self.titles[number], self.own[number] = title, str(own)
            title.romaji, title.russian, title.english, title.japanese = f"Title {number}", None, None, None
            title.kind, title.status, title.episodes, title.synonyms = "ova", "released", 1, []
            title.aired_on = title.released_on = (2019, 1, 5)
        assert len(self.titles) == count + SPARE
        self.let_be(range(1, count + 1))

    def let_be(self, numbers: Iterable[int]) -> None:
        """These titles are there, and no others."""
        self.world.titles.clear()
        self.world.titles.update((self.titles[number].id, self.titles[number]) for number in numbers)
        self.world.version += 1

    def __call__(self, request: Request) -> TextResponse:
        self.world.now = int(anidb_spider.utc_now().timestamp())
        reply, parts = super().__call__(request), urlsplit(request.url)
        named = self.answers.get(dict(parse_qsl(parts.query)).get("aid", parts.path))
        return TextResponse(request.url, status=named[0], body=named[1], request=request) if named else reply

    def within_quota(self, request: Request) -> TextResponse | None:
        """The answer; ``None``: the limits have no room for the request, and it is not sent."""
        self.quota -= 1
        return self(request) if self.quota >= 0 else None

    def ids(self, *numbers: int) -> str:
        """The argument."""
        return ",".join(self.own[number] for number in numbers)

    @property
    def dumps(self) -> int:
        """How often the dump was asked for."""
        return sum(urlsplit(request.url).path == DUMP for request in self.asked)

    @property
    def details(self) -> list[int]:
        """Numbers of the anime that were asked for, in order."""
        number_of, found = {own: number for number, own in self.own.items()}, []
        for parts in (urlsplit(request.url) for request in self.asked):
            if parts.path != DUMP:
                query = dict(parse_qsl(parts.query))
                found.append(number_of[query.pop("aid")])
                assert parts.path == "/httpapi"
                assert query == {"request": "anime", "client": "testclient", "clientver": "2", "protover": "1"}
        return found

    def seen(self, run: RecordingRun, kind: type[Item] = Anime) -> list[int]:
        """Numbers of the items of that kind."""
        number_of = {own: number for number, own in self.own.items()}
        return [number_of[own] for own in ids(run, kind)]


class KilledError(Exception):
    """The process is no more."""


class MortalRun(RecordingRun):
    """A run whose process dies when so many items and checkpoints are stored."""

    left = NO_LIMIT

    def take(self, yielded: Item | Rejected | Checkpoint) -> None:
        if not self.left:
            raise KilledError
        self.left -= 1
        super().take(yielded)


def crawl(
    anidb: Anidb,
    run: MortalRun,
    *,
    settings: dict[str, Any] = CLIENT,
    base_url: str = CARD.base_url,
    kill_after: int = NO_LIMIT,
    **arguments: str,
) -> list[Request]:
    """One run: its requests in their order; none of one that was killed."""
    spider = AnidbSpider(**arguments)
    spider.base_url, spider.own, run.left = base_url, settings, kill_after
    try:
        return drive(spider, run, anidb.within_quota)
    except KilledError:
        return []


def api_request(aid: str) -> Request:
    """For the details of one anime."""
    query = "request=anime&client=testclient&clientver=2&protover=1"
    return Request(f"{CARD.other_urls[0]}/httpapi?{query}&aid={aid}")


def ids(run: RecordingRun, kind: type[Item] = Anime) -> list[str]:
    """Ids of the items of that kind."""
    return [item.source_id for item in run.items if type(item) is kind]


def wants(aids: Iterable[str]) -> Callable[[int, frozenset[str]], Awaitable[list[str]]]:
    """The catalogue's wishes: of anime whose titles are known, those in the list at the time of asking."""
    listed = list(aids)

    async def wanted(limit: int, exclude: frozenset[str]) -> list[str]:
        return [aid for aid in listed if aid not in exclude][:limit]

    return wanted


def test_a_full_run_gives_every_title_once_and_asks_for_no_details_unasked(clock):
    """300 titles are one request."""
    anidb, run = Anidb(300), MortalRun()
    made = crawl(anidb, run, mode="full")
    assert anidb.seen(run) == list(range(1, 301))
    assert (len(made), anidb.dumps, anidb.details) == (1, 1, [])


def test_the_dump_is_asked_for_once_in_a_day_and_then_with_a_condition(clock):
    """A second run within the day asks nothing; one after it is told that nothing has changed."""
    anidb, run = Anidb(2), MortalRun()
    for _ in range(3):
        crawl(anidb, run)
    clock(timedelta(hours=23, minutes=59))
    crawl(anidb, run, mode="full")
    assert anidb.dumps == 1
    clock(timedelta(minutes=1))
    made = crawl(anidb, run)
    assert made[0].headers["If-Modified-Since"] == b"Sun, 03 May 2026 12:00:00 GMT"
    assert (anidb.dumps, anidb.seen(run), run.failures) == (2, [1, 2], [])
    clock(timedelta(hours=1))
    crawl(anidb, run)
    assert anidb.dumps == 2


def test_an_incremental_run_gives_what_changed_and_what_is_gone(clock):
    """One new, one renamed, one deleted of three; the default after the first run."""
    anidb, run = Anidb(3), MortalRun()
    crawl(anidb, run)
    run.items.clear()
    anidb.titles[2].romaji = "Second"
    anidb.let_be([1, 2, 4])
    clock(timedelta(days=1))
    crawl(anidb, run)
    assert anidb.seen(run) == [2, 4]
    assert anidb.seen(run, Absent) == [3]


def test_a_full_run_gives_unchanged_titles_again(clock):
    """When there is a new dump."""
    anidb, run = Anidb(2), MortalRun()
    crawl(anidb, run)
    anidb.let_be([1, 2, 3])
    clock(timedelta(days=1))
    crawl(anidb, run, mode="full")
    assert anidb.seen(run) == [1, 2, 1, 2, 3]


@pytest.mark.parametrize("kill_after", range(1, 9))
def test_a_killed_run_loses_no_title_and_asks_for_no_second_dump(clock, kill_after):
    """Wherever it dies once the dump is there, the next one goes on with what the checkpoint holds."""
    anidb, run = Anidb(6), MortalRun()
    crawl(anidb, run, kill_after=kill_after)
    crawl(anidb, run)
    assert set(anidb.seen(run)) == {1, 2, 3, 4, 5, 6}
    assert anidb.dumps == 1
    assert run.state
    assert (run.state["dump"], len(run.state["known"])) == (None, 6)


def test_a_dump_that_lacks_a_tenth_of_the_anime_proves_nothing(clock):
    """Nothing is absent, nothing forgotten, and it is not asked for again that day."""
    anidb, run = Anidb(300), MortalRun()
    crawl(anidb, run)
    anidb.let_be(range(1, 200))
    clock(timedelta(days=1))
    for _ in range(2):
        crawl(anidb, run)
    assert [failure.kind for failure in run.failures] == ["wrong_shape"]
    assert (ids(run, Absent), anidb.dumps, len(run.state["known"])) == ([], 2, 300)  # type: ignore[index]


def test_wanted_details_are_asked_for_most_wanted_first_until_the_quota_ends(clock):
    """Four requests a day, the dump among them: the run is done for today, and goes on tomorrow; the same never twice.

    What the dump lacks is not asked for.
    """
    anidb, run = Anidb(29), MortalRun()
    run.wanted = wants([*(anidb.own[n] for n in (7, 3, 9)), "999", anidb.own[1], anidb.own[20]])  # type: ignore[method-assign]
    anidb.quota = 4
    made = crawl(anidb, run)
    assert anidb.details == [7, 3, 9]
    assert (run.failures, run.enoughs) == ([], ["rests until tomorrow; the details of 2 anime are still wanted"])
    assert not made[-1].meta["unfinished"]
    clock(timedelta(hours=1))
    crawl(anidb, run)
    assert (anidb.details, len(run.enoughs)) == ([7, 3, 9], 2)
    anidb.quota = NO_LIMIT
    crawl(anidb, run)
    assert anidb.details == [7, 3, 9, 1, 20]


def test_a_quota_that_leaves_no_room_for_the_dump_ends_the_run_as_done(clock):
    """Nothing else is asked for, either; the dump comes another day."""
    anidb, run = Anidb(1), MortalRun()
    anidb.quota = 0
    crawl(anidb, run)
    assert (anidb.asked, run.failures, run.enoughs) == ([], [], ["rests until tomorrow"])


def test_a_quota_that_leaves_no_room_for_named_anime_is_a_failure(clock):
    """Who names them has not got them: the rest stays pending."""
    anidb, run = Anidb(2), MortalRun()
    anidb.quota = 1
    made = crawl(anidb, run, ids=anidb.ids(1, 2))
    assert ([failure.kind for failure in run.failures], run.enoughs, anidb.details) == (["quota"], [], [1])
    assert made[-1].meta["unfinished"]


def test_each_answer_is_noted_as_asked_for_whatever_it_is(clock):
    """An anime, none, or an empty one: the catalogue does not want it again at once."""
    anidb, run = Anidb(3), MortalRun()
    anidb.let_be([1, 3])
    anidb.answers[anidb.own[3]] = (200, b'<anime id="3"></anime>')
    crawl(anidb, run, ids=anidb.ids(1, 2, 3))
    assert run.asked == [anidb.own[1], anidb.own[2], anidb.own[3]]
    assert (anidb.seen(run), anidb.seen(run, Absent)) == ([1], [2])


def test_without_a_client_there_are_titles_and_no_details(clock):
    """The dump needs none; who names anime is told how to get one."""
    anidb, run = Anidb(1), MortalRun()
    run.wanted = wants([anidb.own[1]])  # type: ignore[method-assign]
    crawl(anidb, run, settings=NO_CLIENT)
    assert (anidb.seen(run), anidb.details) == ([1], [])
    crawler = SimpleNamespace(settings=Settings(), signals=SimpleNamespace(connect=lambda *_, **__: None))
    crawler.job = SimpleNamespace(attach=lambda spider: setattr(spider, "own", NO_CLIENT))
    with pytest.raises(ArgumentError, match="ANIDB_CLIENT"):
        AnidbSpider.from_crawler(crawler, ids="1")  # type: ignore[arg-type]


def test_a_client_that_anidb_does_not_know_ends_the_run(clock):
    """AniDB's own word for it, with the setting to look at; nothing is asked again."""
    anidb, run = Anidb(2), MortalRun()
    crawl(anidb, run, settings={"ANIDB_CLIENT": "testclient", "ANIDB_CLIENTVER": "1.0"}, ids=anidb.ids(1, 2))
    assert [(failure.kind, failure.setting) for failure in run.failures] == [("client_refused", "ANIDB_CLIENT")]
    assert (len(anidb.asked), run.items) == (1, [])


def test_named_anime_come_with_details_and_an_unknown_one_is_absent(clock):
    """No dump; one request after the other; a gzip body with a byte order mark is understood."""
    anidb, run = Anidb(30), MortalRun()
    with_mark = next(number for number, own in anidb.own.items() if int(own) % 5 == 0 and number > 1)
    assert unpacked(anidb(api_request(anidb.own[with_mark])).body).startswith(b"\xef\xbb\xbf")
    anidb.asked.clear()
    made = crawl(anidb, run, ids=anidb.ids(1, 31, with_mark, 1))
    assert (anidb.dumps, anidb.details) == (0, [1, 31, with_mark])
    assert (anidb.seen(run), anidb.seen(run, Absent)) == ([1, with_mark], [31])
    assert [item.kind for item in run.items if isinstance(item, Anime)] == ["ova", "ova"]
    assert made[0].url.startswith("http://api.anidb.net:9001/httpapi?")


def test_the_same_anime_is_not_asked_for_again_within_a_day(clock):
    """Nor after a run that was killed: what it had is not asked for twice, what it lacked comes."""
    anidb, run = Anidb(5), MortalRun()
    crawl(anidb, run, ids=anidb.ids(1, 2, 3, 4, 5), kill_after=4)
    assert anidb.details == [1, 2, 3]
    crawl(anidb, run, ids=anidb.ids(1, 2, 3, 4, 5))
    assert anidb.details == [1, 2, 3, 3, 4, 5]  # the answer for 3 was lost with the process
    assert sorted(anidb.seen(run)) == [1, 2, 3, 4, 5]
    crawl(anidb, run, ids=anidb.ids(1))
    assert anidb.details == [1, 2, 3, 3, 4, 5]
    clock(timedelta(days=1))
    crawl(anidb, run, ids=anidb.ids(1))
    assert anidb.details == [1, 2, 3, 3, 4, 5, 1]


def test_episodes_and_characters_come_when_they_are_asked_for(clock):
    """They cost no request of their own."""
    anidb, run = Anidb(2), MortalRun()
    crawl(anidb, run, ids=anidb.ids(1), episodes="1")
    episodes = ids(run, Episode)
    assert (anidb.seen(run), episodes[0], ids(run, Character)) == ([1], f"{anidb.titles[1].id}1001", [])
    crawl(anidb, run, ids=anidb.ids(2), characters="1")
    assert ids(run, Episode) == episodes
    assert ids(run, Character) == [str(role.number) for role in cast(anidb.titles[2])]
    assert anidb.details == [1, 2]


def test_titles_are_found_in_the_dump_whatever_their_case_and_punctuation(clock):
    """The day's dump is used again; two anime may bear one title."""
    anidb, run = Anidb(4), MortalRun()
    for number, name in enumerate(("One Piece", "ONE PIECE!", "Naruto", "Narutaru"), 1):
        anidb.titles[number].romaji = name
    crawl(anidb, run)
    crawl(anidb, run, titles="one-piece; Nobody ;ＮＡＲＵＴＯ")
    assert (anidb.dumps, anidb.details) == (1, [1, 2, 3])


def test_with_another_address_dump_and_api_are_both_below_it(clock):
    """A gateway or the sandbox; nothing goes to AniDB's own hosts."""
    anidb, run = Anidb(1), MortalRun()
    run.wanted = wants([anidb.own[1]])  # type: ignore[method-assign]
    made = crawl(anidb, run, base_url="http://127.0.0.1:5")
    assert [urlsplit(request.url).netloc for request in made] == ["127.0.0.1:5"] * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"mode": "season"}, "full or incremental"),
        ({"season": "2026-fall"}, "it has:\n  -a mode="),
        ({"ids": "1,x"}, "a list like 1,4196"),
        ({"ids": ","}, "a list like 1,4196"),
        ({"ids": "0"}, "a list like 1,4196"),
        ({"titles": " ; "}, "a list like One Piece;Naruto"),
        ({"ids": "1", "mode": "full"}, "one of mode, ids and titles"),
        ({"episodes": "yes"}, "1 or 0 is wanted"),
    ],
)
def test_a_wrong_argument_is_refused_with_those_that_apply(arguments, says):
    """Before any request."""
    with pytest.raises(ArgumentError, match=says):
        AnidbSpider(**arguments)


def test_a_ban_ends_the_run_at_once_and_says_until_when(clock):
    """One request, no second one; the rest stays pending."""
    anidb, run = Anidb(2), MortalRun()
    anidb.fault("status", status=200, body='<error code="500">banned</error>', content_type="text/xml")
    made = crawl(anidb, run, ids=anidb.ids(1, 2))
    assert (anidb.details, made[0].meta["unfinished"]) == ([1], True)
    (failure,) = run.failures
    assert (failure.kind, failure.rest_s) == ("blocked", 86_400)
    assert "2026-05-04 12:00 UTC" in failure.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "setting"),
    [
        (200, b'<error code="500">Client Banned</error>', "blocked", None),
        (200, b"<!doctype html><title>AntiLeech</title>", "blocked", None),
        (403, b"<html>", "blocked", None),
        (403, b"", "blocked", None),
        (200, b'<error code="302">client version missing or invalid</error>', "client_refused", "ANIDB_CLIENT"),
        (200, b'<error code="998">aid missing or invalid</error>', "bad_request", None),
        (200, b'<error code="310">access denied</error>', "refused", None),
        (200, b"<error/>", "refused", None),
        (500, b"<error>Banned</error>", "blocked", None),
        (200, b"", "wrong_shape", None),
        (200, b'<anime id="1"><type>OVA</type>', "wrong_shape", None),
        (200, gzip.compress(b"<anime>" * 500, mtime=0)[:-9], "wrong_shape", None),
        (200, b"\x1f\x8bdamaged", "wrong_shape", None),
        (200, b"<other><x/></other>", "wrong_shape", None),
        (200, b"<animetitles></animetitles>", "wrong_shape", None),
        (200, b'<!DOCTYPE anime [<!ENTITY x "y">]><anime id="1">&x;</anime>', "wrong_shape", None),
        (503, b"<html>", "overloaded", None),
        (504, b"", "overloaded", None),
        (429, b"", "overloaded", None),
        (301, b"", "moved", "ANIDB_BASE_URL"),
        (404, b"<html>", "status_404", "ANIDB_BASE_URL"),
    ],
)
def test_any_other_trouble_ends_the_run_and_nothing_is_tried_again(clock, status, body, kind, setting):
    """Whatever comes in place of an anime: one request, named for what to do next."""
    anidb, run = Anidb(2), MortalRun()
    anidb.answers[anidb.own[1]] = (status, body)
    made = crawl(anidb, run, ids=anidb.ids(1, 2))
    assert [(failure.kind, failure.setting, failure.action) for failure in run.failures] == [
        (kind, setting, Action.GIVE_UP)
    ]
    assert (anidb.details, made[0].meta["unfinished"], run.items) == ([1], True, [])
    assert len(run.rejected) == (kind == "wrong_shape")


@pytest.mark.parametrize("body", [b"<animetitles><anime", CUT_SHORT, b"", b"<html>"])
def test_a_dump_that_cannot_be_read_ends_the_run(clock, body):
    """Nothing of it is remembered, and no details follow."""
    anidb, run = Anidb(1), MortalRun()
    anidb.answers[DUMP] = (200, body)
    crawl(anidb, run)
    assert (len(run.failures), run.state, run.items) == (1, None, [])


@pytest.mark.parametrize("body", [b'<anime id="1"></anime>', b'<anime id="9"><type>OVA</type></anime>'])
def test_an_empty_or_foreign_answer_costs_only_its_anime(clock, body):
    """It is set aside, and the next one comes."""
    anidb, run = Anidb(2), MortalRun()
    anidb.answers[anidb.own[1]] = (200, body)
    crawl(anidb, run, ids=anidb.ids(1, 2))
    assert [rejected.source_id for rejected in run.rejected] == [anidb.own[1]]
    assert (anidb.seen(run), run.failures) == ([2], [])


def test_unknown_elements_and_types_are_counted(clock):
    """Drift shows; the anime comes all the same."""
    anidb, run = Anidb(1), MortalRun()
    title = '<title type="main" xml:lang="x-jat">One</title><title type="slogan" xml:lang="en">x</title>'
    resources = '<resources><resource type="99"/></resources>'
    own = anidb.own[1]
    body = f'<anime id="{own}" mood="sad"><type>OVA</type><titles>{title}</titles>{resources}<weather/></anime>'
    anidb.answers[own] = (200, body.encode())
    crawl(anidb, run, ids=own)
    assert anidb.seen(run) == [1]
    assert {path for path, _ in run.drifted} == {
        *("@mood", "weather", "titles/title@type=slogan", "resources/resource@type=99"),
    }


def test_the_probe_shows_whether_anidb_answers_at_all():
    """Any text at its address is fine; a block is not."""
    url = f"https://x.test{CARD.probe.path}"
    assert AnidbSpider().judge(Response(url, body=b"User-agent: *")).action is Action.ACCEPT
    assert AnidbSpider().judge(Response(url, status=403)).kind == "blocked"


def test_a_body_that_unpacks_to_more_than_the_card_allows_is_refused():
    """64 MiB of blanks are 64 kB."""
    with pytest.raises(ResponseError, match="unpacks to more"):
        unpacked(gzip.compress(b" " * (CARD.max_body_bytes + 1), mtime=0))


def test_items_of_the_dump_are_older_than_those_with_details():
    """So that the catalogue never puts a bare title in the place of a described anime."""
    anidb = Anidb(1)
    (bare,) = parse_file(anidb(Request(f"{CARD.base_url}{DUMP}")).body, "dump", NOW)
    (full, *_) = parse_file(anidb(api_request(anidb.own[1])).body, "anime", NOW - timedelta(days=9999))
    assert isinstance(bare, Anime)
    assert isinstance(full, Anime)
    assert bare.source_updated_at
    assert full.source_updated_at
    assert bare.source_updated_at < full.source_updated_at
