"""AniDB's titles once a day, details within the quota, and every error an end; by a fake AniDB that bans."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from scrapy.http import Response
from scrapy.settings import Settings

from anime_crawler.base_spiders import Action, ArgumentError, ResponseError
from anime_crawler.items import Absent, Anime, Character, Episode, Item
from anime_crawler.sources.anidb import CARD
from anime_crawler.sources.anidb import spider as anidb_spider
from anime_crawler.sources.anidb.parse import parse_file
from anime_crawler.sources.anidb.schema import unpacked
from anime_crawler.sources.anidb.spider import AnidbSpider
from tests.sources.driving import RecordingRun
from tests.sources.fake_anidb import NOW, FakeAnidb, crawl, dump


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Time stands still, until a test lets it pass."""
    times = [NOW]
    monkeypatch.setattr(anidb_spider, "utc_now", lambda: times[0])

    def go_on(by: timedelta) -> None:
        times[0] += by

    return go_on


CUT_SHORT = gzip.compress(b"<animetitles>", mtime=0)[:-5]
NO_CLIENT = {"ANIDB_CLIENT": None, "ANIDB_CLIENTVER": 1}


def ids(run: RecordingRun, kind: type[Item] = Anime) -> list[str]:
    return [item.source_id for item in run.items if type(item) is kind]


def wants(aids: list[str]) -> Callable[[int, frozenset[str]], Awaitable[list[str]]]:
    """The catalogue's wishes: of anime whose titles are known, those in the list at the time of asking."""

    async def wanted(limit: int, exclude: frozenset[str]) -> list[str]:
        return [aid for aid in aids if aid not in exclude][:limit]

    return wanted


def test_a_full_run_gives_every_title_once_and_asks_for_no_details_unasked(clock):
    """300 titles are one request."""
    anidb, run = FakeAnidb({i: f"Title {i}" for i in range(1, 301)}), RecordingRun()
    made = crawl(anidb, run, mode="full")
    assert ids(run) == [str(i) for i in range(1, 301)]
    assert (len(made), anidb.dumps, anidb.asked) == (1, 1, [])


def test_the_dump_is_asked_for_once_in_a_day_and_then_with_a_condition(clock):
    """A second run within the day asks nothing; one after it is told that nothing has changed."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    for _ in range(3):
        crawl(anidb, run)
    clock(timedelta(hours=23, minutes=59))
    crawl(anidb, run, mode="full")
    assert anidb.dumps == 1
    clock(timedelta(minutes=1))
    made = crawl(anidb, run)
    assert made[0].headers["If-Modified-Since"] == b"Sun, 03 May 2026 12:00:00 GMT"
    assert (anidb.dumps, ids(run), run.failures) == (2, ["1", "2"], [])
    clock(timedelta(hours=1))
    crawl(anidb, run)
    assert anidb.dumps == 2


def test_an_incremental_run_gives_what_changed_and_what_is_gone(clock):
    """One new, one renamed, one deleted of three; the default after the first run."""
    anidb, run = FakeAnidb({1: "One", 2: "Two", 3: "Three"}), RecordingRun()
    crawl(anidb, run)
    run.items.clear()
    anidb.titles, anidb.modified = {1: "One", 2: "Second", 4: "Four"}, NOW + timedelta(hours=20)
    clock(timedelta(days=1))
    crawl(anidb, run)
    assert ids(run) == ["2", "4"]
    assert ids(run, Absent) == ["3"]


def test_a_full_run_gives_unchanged_titles_again(clock):
    """When there is a new dump."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    crawl(anidb, run)
    anidb.modified += timedelta(hours=1)
    clock(timedelta(days=1))
    crawl(anidb, run, mode="full")
    assert ids(run) == ["1", "2", "1", "2"]


@pytest.mark.parametrize("kill_after", range(1, 9))
def test_a_killed_run_loses_no_title_and_asks_for_no_second_dump(clock, kill_after):
    """Wherever it dies once the dump is there, the next one goes on with what the checkpoint holds."""
    anidb, run = FakeAnidb({i: f"Title {i}" for i in range(1, 7)}), RecordingRun()
    crawl(anidb, run, kill_after=kill_after)
    crawl(anidb, run)
    assert set(ids(run)) == {"1", "2", "3", "4", "5", "6"}
    assert anidb.dumps == 1
    assert run.state
    assert (run.state["dump"], len(run.state["known"])) == (None, 6)


def test_a_dump_that_lacks_a_tenth_of_the_anime_proves_nothing(clock):
    """Nothing is absent, nothing forgotten, and it is not asked for again that day."""
    anidb, run = FakeAnidb({i: f"Title {i}" for i in range(1, 301)}), RecordingRun()
    crawl(anidb, run)
    anidb.titles = {i: f"Title {i}" for i in range(1, 200)}
    anidb.modified += timedelta(hours=1)
    clock(timedelta(days=1))
    for _ in range(2):
        crawl(anidb, run)
    assert [failure.kind for failure in run.failures] == ["wrong_shape"]
    assert (ids(run, Absent), anidb.dumps, len(run.state["known"])) == ([], 2, 300)  # type: ignore[index]


def test_wanted_details_are_asked_for_most_wanted_first_until_the_quota_ends(clock):
    """Four requests a day, the dump among them: the run is done for today, and goes on tomorrow; the same never twice.

    What the dump lacks is not asked for.
    """
    anidb, run = FakeAnidb({i: f"Title {i}" for i in range(1, 30)}), RecordingRun()
    details = ["7", "3", "9", "999", "1", "20"]
    run.wanted = wants(details)  # type: ignore[method-assign]
    anidb.quota = 4
    made = crawl(anidb, run)
    assert anidb.asked == ["7", "3", "9"]
    assert (run.failures, run.enoughs) == ([], ["rests until tomorrow; the details of 2 anime are still wanted"])
    assert not made[-1].meta["unfinished"]
    clock(timedelta(hours=1))
    crawl(anidb, run)
    assert (anidb.asked, len(run.enoughs)) == (["7", "3", "9"], 2)
    anidb.quota = 100
    crawl(anidb, run)
    assert anidb.asked == ["7", "3", "9", "1", "20"]


def test_a_quota_that_leaves_no_room_for_the_dump_ends_the_run_as_done(clock):
    """Nothing else is asked for, either; the dump comes another day."""
    anidb, run = FakeAnidb({1: "One"}), RecordingRun()
    anidb.quota = 0
    crawl(anidb, run)
    assert (anidb.dumps, run.failures, run.enoughs) == (0, [], ["rests until tomorrow"])


def test_a_quota_that_leaves_no_room_for_named_anime_is_a_failure(clock):
    """Who names them has not got them: the rest stays pending."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    anidb.quota = 1
    made = crawl(anidb, run, ids="1,2")
    assert ([failure.kind for failure in run.failures], run.enoughs, anidb.asked) == (["quota"], [], ["1"])
    assert made[-1].meta["unfinished"]


def test_each_answer_is_noted_as_asked_for_whatever_it_is(clock):
    """An anime, none, or an empty one: the catalogue does not want it again at once."""
    anidb, run = FakeAnidb({1: "One", 3: "Three"}), RecordingRun()
    anidb.answers["3"] = (200, b'<anime id="3"></anime>')
    crawl(anidb, run, ids="1,2,3")
    assert run.asked == ["1", "2", "3"]


def test_without_a_client_there_are_titles_and_no_details(clock):
    """The dump needs none; who names anime is told how to get one."""
    anidb, run = FakeAnidb({1: "One"}), RecordingRun()
    run.wanted = wants(["1"])  # type: ignore[method-assign]
    crawl(anidb, run, settings=NO_CLIENT)
    assert (ids(run), anidb.asked) == (["1"], [])
    crawler = SimpleNamespace(settings=Settings(), signals=SimpleNamespace(connect=lambda *_, **__: None))
    crawler.job = SimpleNamespace(attach=lambda spider: setattr(spider, "own", NO_CLIENT))
    with pytest.raises(ArgumentError, match="ANIDB_CLIENT"):
        AnidbSpider.from_crawler(crawler, ids="1")  # type: ignore[arg-type]


def test_named_anime_come_with_details_and_an_unknown_one_is_absent(clock):
    """No dump; one request after the other; a gzip body with a byte order mark is understood."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    made = crawl(anidb, run, ids="1,5,2,1")
    assert (anidb.dumps, anidb.asked) == (0, ["1", "5", "2"])
    assert (ids(run), ids(run, Absent)) == (["1", "2"], ["5"])
    assert run.items[0].kind == "ova"  # type: ignore[attr-defined]
    assert made[0].url.startswith("http://api.anidb.net:9001/httpapi?")


def test_the_same_anime_is_not_asked_for_again_within_a_day(clock):
    """Nor after a run that was killed: what it had is not asked for twice, what it lacked comes."""
    anidb, run = FakeAnidb({i: f"Title {i}" for i in range(1, 6)}), RecordingRun()
    crawl(anidb, run, ids="1,2,3,4,5", kill_after=4)
    assert anidb.asked == ["1", "2", "3"]
    anidb.asked.remove("3")  # answered, but the answer was lost with the process
    crawl(anidb, run, ids="1,2,3,4,5")
    assert anidb.asked == ["1", "2", "3", "4", "5"]
    assert sorted(ids(run)) == ["1", "2", "3", "4", "5"]
    crawl(anidb, run, ids="1")
    anidb.asked.clear()
    clock(timedelta(days=1))
    crawl(anidb, run, ids="1")
    assert anidb.asked == ["1"]


def test_episodes_and_characters_come_when_they_are_asked_for(clock):
    """They cost no request of their own."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    crawl(anidb, run, ids="1", episodes="1")
    assert (ids(run), ids(run, Episode), ids(run, Character)) == (["1"], ["11"], [])
    crawl(anidb, run, ids="2", characters="1")
    assert (ids(run, Episode), ids(run, Character)) == (["11"], ["22"])


def test_titles_are_found_in_the_dump_whatever_their_case_and_punctuation(clock):
    """The day's dump is used again; two anime may bear one title."""
    anidb, run = FakeAnidb({1: "One Piece", 2: "ONE PIECE!", 3: "Naruto", 4: "Narutaru"}), RecordingRun()
    crawl(anidb, run)
    crawl(anidb, run, titles="one-piece; Nobody ;ＮＡＲＵＴＯ")
    assert (anidb.dumps, anidb.asked) == (1, ["1", "2", "3"])


def test_with_another_address_dump_and_api_are_both_below_it(clock):
    """A gateway or the sandbox; nothing goes to AniDB's own hosts."""
    anidb, run = FakeAnidb({1: "One"}), RecordingRun()
    run.wanted = wants(["1"])  # type: ignore[method-assign]
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
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    anidb.banned = True
    made = crawl(anidb, run, ids="1,2")
    assert (anidb.asked, made[0].meta["unfinished"]) == (["1"], True)
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
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    anidb.answers["1"] = (status, body)
    made = crawl(anidb, run, ids="1,2")
    assert [(failure.kind, failure.setting, failure.action) for failure in run.failures] == [
        (kind, setting, Action.GIVE_UP)
    ]
    assert (anidb.asked, made[0].meta["unfinished"], run.items) == (["1"], True, [])
    assert len(run.rejected) == (kind == "wrong_shape")


@pytest.mark.parametrize("body", [b"<animetitles><anime", CUT_SHORT, b"", b"<html>"])
def test_a_dump_that_cannot_be_read_ends_the_run(clock, body):
    """Nothing of it is remembered, and no details follow."""
    anidb, run = FakeAnidb({1: "One"}), RecordingRun()
    anidb.answers["dump"] = (200, body)
    crawl(anidb, run)
    assert (len(run.failures), run.state, run.items) == (1, None, [])


@pytest.mark.parametrize("body", [b'<anime id="1"></anime>', b'<anime id="9"><type>OVA</type></anime>'])
def test_an_empty_or_foreign_answer_costs_only_its_anime(clock, body):
    """It is set aside, and the next one comes."""
    anidb, run = FakeAnidb({1: "One", 2: "Two"}), RecordingRun()
    anidb.answers["1"] = (200, body)
    crawl(anidb, run, ids="1,2")
    assert ([rejected.source_id for rejected in run.rejected], ids(run), run.failures) == (["1"], ["2"], [])


def test_unknown_elements_and_types_are_counted(clock):
    """Drift shows; the anime comes all the same."""
    anidb, run = FakeAnidb({1: "One"}), RecordingRun()
    title = '<title type="main" xml:lang="x-jat">One</title><title type="slogan" xml:lang="en">x</title>'
    resources = '<resources><resource type="99"/></resources>'
    body = f'<anime id="1" mood="sad"><type>OVA</type><titles>{title}</titles>{resources}<weather/></anime>'
    anidb.answers["1"] = (200, body.encode())
    crawl(anidb, run, ids="1")
    assert ids(run) == ["1"]
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
    (bare,) = parse_file(dump({1: "One"}), "dump", NOW)
    (full, *_) = parse_file(FakeAnidb({1: "One"}).anime(1), "anime", NOW - timedelta(days=9999))
    assert isinstance(bare, Anime)
    assert isinstance(full, Anime)
    assert bare.source_updated_at
    assert full.source_updated_at
    assert bare.source_updated_at < full.source_updated_at
