"""Fields that an upstream seems to have stopped telling: what is stored of them stays, and the run says so."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.vanished import ODD_ONES, TELLERS, WINDOW, Field, vanished_in, without
from anime_crawler.items import AiringStatus, Kind, Titles, VoiceActor
from tests.catalogue.support import NOW, anime, character, episode, opened, player, release

USUAL = {"jikan": {"anime": ("description", "kind"), "episode": ("titles.en",)}, "kodik": {"release": ("players",)}}


def full(number, at=0, **fields):
    """An anime with everything that these tests look at, fetched so many minutes later."""
    known = {"description": "Text", "kind": Kind.TV, "genres": ("Drama",), "external_ids": {"mal": str(number)}}
    known |= {"titles": Titles(romaji=f"Title {number}", en="English"), "fetched_at": NOW + timedelta(minutes=at)}
    return anime(str(number), "jikan", **{**known, **fields})


def bare(number, at=0):
    """The same after the source's words were changed."""
    nothing = {"description": None, "kind": None, "genres": (), "external_ids": {}}
    return full(number, at, titles=Titles(romaji=f"Title {number}"), **nothing)


def stored(tables, table=t.anime, key="source_id"):
    """Key of each row -> what it keeps."""
    return {own: json.loads(data) for own, data in tables.rows(table, key, "data")}


def vanished(tables, run):
    """Fields that vanished in the run, with how many records came without."""
    return {f"{one.kind}.{one.field}": one.records for one in tables.run(vanished_in, run)}


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_a_run_in_which_fields_vanish_erases_none_of_them(tables, batch):
    """From the first record on, whatever the size of the batches; nested fields, too."""
    tables.store(*map(full, range(30)))
    before = stored(tables)
    items = [bare(n, at=10 + n) for n in range(30)]
    for i in range(0, 30, batch):
        tables.store(*items[i : i + batch], run=2, usual=USUAL)
    assert stored(tables) == before
    fields = ("description", "kind", "genres", "external_ids.mal", "titles.en")
    assert vanished(tables, 2) == {f"anime.{name}": 30 for name in fields}
    assert vanished(tables, 1) == {}


def test_fields_that_vanish_in_the_middle_of_a_run_stay(tables):
    """What the run was told before proves nothing; the field is told in the next run, so that one says nothing."""
    tables.store(*map(full, range(60)))
    for n in range(60):
        tables.store((full if n < 40 else bare)(n, at=10 + n), run=2, usual=USUAL)
    assert all(row["description"] == "Text" for row in stored(tables).values())
    assert vanished(tables, 2)["anime.description"] == 20
    for n in range(60):
        tables.store(full(n, at=100 + n), run=3, usual=USUAL)
    assert (vanished(tables, 3), tables.rows(t.doubt)) == ({}, [])


def test_a_lookup_of_one_record_erases_nothing_and_says_so(tables):
    """However often it is asked again."""
    tables.store(full(1))
    for run in range(2, 12):
        tables.store(bare(1, at=run), run=run, usual=USUAL)
        assert stored(tables)["1"]["description"] == "Text"
        assert vanished(tables, run)["anime.description"] == 1


def test_what_one_record_lost_is_erased_when_others_of_the_answer_have_it(tables):
    """All records of a page have one time: its order does not count."""
    tables.store(*map(full, range(10)))
    tables.store(*(full(n, at=5) for n in range(9)), bare(9, at=5), run=2, usual=USUAL)
    assert stored(tables)["9"]["description"] is None
    assert stored(tables)["9"]["external_ids"] == {}
    assert (vanished(tables, 2), tables.rows(t.doubt)) == ({}, [])


def test_what_one_record_lost_is_erased_when_later_ones_have_it_in_whichever_run(tables):
    """The value stays until then. The row that loses it is told to the importer like any other change."""
    tables.store(*(full(n, external_ids={"shikimori": str(n)}) for n in range(10)))
    tables.store(full(0, at=5, description=None, external_ids={"shikimori": "0"}), run=2)
    for n in range(1, TELLERS):
        tables.store(full(n, at=5 + n, external_ids={"shikimori": str(n)}), run=3)
        assert stored(tables)["0"]["description"] == "Text"
    tables.store(full(9, at=20, external_ids={"shikimori": "9"}), run=4)
    assert stored(tables)["0"]["description"] is None
    assert tables.rows(t.doubt) == []
    assert vanished(tables, 3) == vanished(tables, 4) == {}


def test_an_answer_that_was_fetched_before_the_loss_proves_nothing(tables):
    """It comes out of a cache, and is as the source was yesterday."""
    tables.store(*map(full, range(10)))
    tables.store(bare(0, at=100), run=2)
    tables.store(*(full(n, at=50) for n in range(1, 10)), run=2)
    assert stored(tables)["0"]["description"] == "Text"


def test_a_value_that_comes_back_is_no_longer_in_doubt(tables):
    """Should it be lost again, others have to tell it again."""
    tables.store(*map(full, range(10)))
    tables.store(bare(0, at=5), run=2)
    tables.store(full(0, at=6), run=3)
    assert tables.rows(t.doubt) == []
    tables.store(bare(0, at=7), run=4)
    assert stored(tables)["0"]["description"] == "Text"


def test_a_usual_field_that_new_records_lack_has_vanished(tables):
    """Nothing is stored of them, so nothing can be lost; a window full of them tells, one that is shorter does not."""
    for n in range(WINDOW - 1):
        tables.store(bare(n, at=n), usual=USUAL)
    assert vanished(tables, 1) == {}
    tables.store(full(100, at=100), bare(101, at=101), run=1, usual=USUAL)
    assert vanished(tables, 1) == {"anime.description": WINDOW, "anime.kind": WINDOW}
    assert vanished(tables, 2) == {}


def test_announced_works_may_lack_usual_fields(tables):
    """Nobody has written a description of them yet."""
    for n in range(WINDOW + 5):
        tables.store(bare(n, at=n).model_copy(update={"status": AiringStatus.ANNOUNCED}), usual=USUAL)
    assert vanished(tables, 1) == {}


def test_records_of_another_form_of_answer_prove_nothing(tables):
    """A list is read in other places than a page; it says with `untold` what it does not have."""
    tables.store(*map(full, range(10)))
    tables.store(bare(0, at=5), run=2)
    listed = (full(n, at=6 + n).model_copy(update={"untold": frozenset({"relations"})}) for n in range(1, 10))
    tables.store(*listed, run=2)
    assert stored(tables)["0"]["description"] == "Text"


def test_the_next_episode_passes(tables):
    """When the last one is out, there is none: nothing stays that is empty by nature."""
    tables.store(full(1, next_episode_at=NOW))
    tables.store(full(1, at=5), run=2)
    assert (stored(tables)["1"]["next_episode_at"], vanished(tables, 2)) == (None, {})


def test_episodes_and_characters_keep_what_vanished(tables):
    """Their titles, names, pictures, roles and voices."""
    voices = (VoiceActor(name="A", language="Japanese"),)
    who = {"names": Titles(romaji="X", native="Y"), "picture": "https://example.com/a.jpg"}
    places = [(t.episode_info, "number"), (t.character,), (t.appearance,)]
    tables.store(
        episode(1, titles=Titles(en="One"), duration_min=24), character(role="main", voice_actors=voices, **who)
    )
    before = [stored(tables, *place) for place in places]
    tables.store(episode(1), character(names=Titles(romaji="X")), run=2)
    assert [stored(tables, *place) for place in places] == before
    assert vanished(tables, 2) == {
        "appearance.role": 1,
        "appearance.voice_actors": 1,
        "character.names.native": 1,
        "character.picture": 1,
        "episode.duration_min": 1,
        "episode.titles.en": 1,
    }


def test_an_appearance_loses_its_role_when_others_have_theirs(tables):
    """Later, so that its row is made of what it keeps."""
    for n in range(6):
        tables.store(character(str(n), role="main"))
    tables.store(character("0"), run=2)
    for n in range(1, 6):
        tables.store(character(str(n), role="main", fetched_at=NOW + timedelta(minutes=n)), run=3)
    roles = dict(tables.rows(t.appearance, "source_id", "data"))
    assert (json.loads(roles["0"])["role"], json.loads(roles["1"])["role"]) == (None, "main")


def live(tables):
    """Releases with the numbers of their players that are there."""
    rows = tables.rows(t.player, "release_id", "source_number", "gone_at")
    return sorted((own, number) for own, number, gone_at in rows if gone_at is None)


def test_releases_that_come_without_players_keep_them(tables):
    """All of a page: its seasons or episodes have another name now."""
    tables.store(*(release(f"serial-{n}") for n in range(WINDOW)))
    before = live(tables)
    tables.store(*(release(f"serial-{n}", numbers=[]) for n in range(WINDOW)), run=2, usual=USUAL)
    assert live(tables) == before
    assert vanished(tables, 2) == {"release.players": WINDOW}
    tables.store(*(release(f"serial-{n}") for n in range(WINDOW)), run=3, usual=USUAL)
    assert (live(tables), tables.rows(t.doubt)) == (before, [])


def test_a_release_without_players_loses_them_when_others_have_theirs(tables):
    """In the same page, or later."""
    tables.store(*(release(f"serial-{n}") for n in range(10)))
    tables.store(
        release("serial-0", numbers=[]), *(release(f"serial-{n}", numbers=[1, 2, 3]) for n in range(1, 6)), run=2
    )
    assert {own for own, _ in live(tables)} == set(range(2, 11))
    tables.store(release("serial-9", numbers=[], fetched_at=NOW + timedelta(hours=1)), run=3)
    assert (10, 1) in live(tables)
    later = {"fetched_at": NOW + timedelta(hours=2)}
    tables.store(*(release(f"serial-{n}", numbers=[1, 2, 3, 4], **later) for n in range(1, 6)), run=4)
    assert {own for own, _ in live(tables)} == set(range(2, 10))


def test_releases_whose_ids_elsewhere_vanish_stay_with_their_title(tables):
    """And what would be an anime of its own, because nobody says which it is, is not stored."""
    tables.store(*(release(f"serial-{n}", str(n)) for n in range(5)))
    lost = [release(f"serial-{n}", None, numbers=[1, 2, 3]) for n in range(5)]
    tables.store(*(anime(item.anime_id, "kodik") for item in lost), *lost, run=2)
    assert tables.rows(t.release, "source_id", "title_id") == [(f"serial-{n}", str(n)) for n in range(5)]
    assert (tables.rows(t.anime), len(live(tables))) == ([], 15)
    assert vanished(tables, 2) == {"release.external_ids.shikimori": 5}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_a_field_has_vanished_nothing_of_it_is_ever_erased(tmp_path_factory, data):
    """Whichever records are asked for, however often, in whichever batches and runs."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('vanished')}/a.db") as tables:
        tables.store(*map(full, range(8)))
        before, at = stored(tables), 0
        for run in range(2, 5):
            told = data.draw(st.lists(st.integers(0, 7), max_size=12)) if run == 2 else []
            lost = data.draw(st.lists(st.integers(0, 7), max_size=12))
            items = []
            for number, make in [*((n, full) for n in told), *((n, bare) for n in lost)]:
                at += 1
                items.append(make(number, at))
            size = data.draw(st.integers(1, 5))
            for i in range(0, len(items), size):
                tables.store(*items[i : i + size], run=run, usual=USUAL)
        assert {own: {**row, "fetched_at": ""} for own, row in stored(tables).items()} == {
            own: {**row, "fetched_at": ""} for own, row in before.items()
        }


def test_a_player_of_a_film_proves_nothing_for_a_serial(tables):
    """Its only link stands elsewhere in the answer."""
    film = {"kind": "anime", "players": (player(1, season_number=None),)}
    tables.store(release("serial-1"))
    later = {"fetched_at": NOW + timedelta(hours=1)}
    films = [release(f"movie-{n}").model_copy(update=film | later) for n in range(8)]
    tables.store(release("serial-1", numbers=[], **later), *films, run=2)
    assert {number for own, number in live(tables)} == {1, 2}


def test_a_date_that_is_told_without_its_day_keeps_the_day(tables):
    """The word for the day was changed: whole dates become months, or years. The run says so."""
    tables.store(*(full(n, aired_from="2021-04-05", aired_to="2021-06-21") for n in range(30)))
    before = stored(tables)
    for n in range(30):
        tables.store(full(n, at=10 + n, aired_from="2021-04", aired_to="2021"), run=2, usual=USUAL)
    assert stored(tables) == before
    names = ("aired_from.day", "aired_to.day", "aired_to.month")
    assert vanished(tables, 2) == {f"anime.{name}": 30 for name in names}


def test_another_date_is_news_however_much_is_known_of_it(tables):
    """It was put off to a month of another year; and what the source tells of others it no longer knows of one."""
    tables.store(full(1, aired_from="2021-04-05"), full(2, aired_from="2021-04-05"))
    tables.store(full(1, at=10, aired_from="2022-07"), run=2)
    assert stored(tables)["1"]["aired_from"] == "2022-07"
    assert vanished(tables, 2) == {}
    tables.store(full(2, at=20, aired_from="2021-04"), run=3)
    assert stored(tables)["2"]["aired_from"] == "2021-04-05"
    tables.store(*(full(n, at=30 + n, aired_from="2021-04-05") for n in range(3, 3 + TELLERS)), run=3)
    assert stored(tables)["2"]["aired_from"] == "2021-04"
    assert vanished(tables, 3) == {}


@pytest.mark.parametrize("names", list(permutations(("aired_from", "aired_from.month", "aired_from.day"))))
def test_a_date_is_erased_with_its_parts_in_any_order(names):
    """A date that was lost once altogether and once in part is no error."""
    assert without(anime(aired_from="2026-03-01"), names).aired_from is None
    assert without(anime(aired_from="2026-03-01"), names[:2]).aired_from in (None, "2026")


@given(st.lists(st.text("01", max_size=30), max_size=6))
def test_a_usual_field_vanishes_whatever_the_batches(batches):
    """Whether any window of records in a row has nearly none that tells it, of a run that comes in batches."""
    field = Field()
    for marks in batches:
        field.note_usual(marks)
    run = "".join(batches)
    windows = [run[end - WINDOW : end] for end in range(WINDOW, len(run) + 1)]
    assert field.vanished == any(window.count("1") <= ODD_ONES for window in windows)
    assert (field.missing, field.recent) == (run.count("0"), run[-WINDOW:])


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=8))
def test_opinions_in_a_row_count_as_one_by_one(runs):
    """Many records of a page that tell a field are noted in one go."""
    at_once, single = Field(), Field()
    for told_it, count in runs:
        at_once.note_opinions(told_it, count)
        for _ in range(count):
            single.note_opinions(told_it)
    run = "".join("01"[told_it] * count for told_it, count in runs)
    windows = [run[end - WINDOW : end] for end in range(WINDOW, len(run) + 1)]
    assert at_once == single
    assert at_once.vanished == any(window.count("0") >= max(1, window.count("1")) for window in windows)


def own(number, at=0, **fields):
    """An anime whose texts are its own."""
    texts = {"description": f"Text {number}", "poster": f"https://example.com/{number}.jpg"}
    return full(number, at, **{**texts, "titles": Titles(romaji=f"Title {number}", en=f"English {number}"), **fields})


def same(number, at=0, word="No synopsis has been added"):
    """The same after the source gives one value for all of them."""
    titles = Titles(romaji=f"Title {number}", en=word)
    return own(number, at, description=word, poster="https://example.com/missing.jpg", titles=titles)


OWN_FIELDS = ("description.own", "poster.own", "titles.en.own")


def without_time(rows):
    """What rows keep, whenever it was fetched."""
    return {own: {**row, "fetched_at": ""} for own, row in rows.items()}


def test_a_page_that_has_one_value_for_all_replaces_none_and_the_run_says_so(tables):
    """From the first record of the page on; when the source has its values again, nothing is in doubt."""
    tables.store(*(own(n) for n in range(30)))
    before = stored(tables)
    tables.store(*(same(n, at=10) for n in range(30)), run=2, usual=USUAL)
    assert without_time(stored(tables)) == without_time(before)
    assert vanished(tables, 2) == {f"anime.{name}": 30 for name in OWN_FIELDS}
    tables.store(*(own(n, at=20) for n in range(30)), run=3, usual=USUAL)
    assert (vanished(tables, 3), tables.rows(t.doubt)) == ({}, [])


@pytest.mark.parametrize("word", ["N/A", "-", "TBA", "Unknown", "None"])
def test_a_word_for_nothing_replaces_nothing_in_a_lookup_of_one(tables, word):
    """However often it is asked again."""
    tables.store(own(1))
    before = without_time(stored(tables))
    for run in range(2, 6):
        tables.store(own(1, at=run, description=word), run=run, usual=USUAL)
        assert without_time(stored(tables)) == before
        assert vanished(tables, run) == {"anime.description.own": 1}


def test_characters_and_episodes_keep_their_own_values(tables):
    """Names, pictures and titles."""
    who = {"names": Titles(romaji="X", native="Y"), "picture": "https://example.com/a.jpg"}
    tables.store(character("1", **who), character("2", **{**who, "picture": "https://example.com/b.jpg"}))
    tables.store(episode(1, titles=Titles(en="One")), episode(2, titles=Titles(en="Two")))
    before = stored(tables, t.character), stored(tables, t.episode_info, "number")
    tables.store(*(character(n, **{**who, "picture": "https://example.com/q.jpg"}) for n in "12"), run=2)
    tables.store(*(episode(n, titles=Titles(en="TBA")) for n in (1, 2)), run=2)
    assert (stored(tables, t.character), stored(tables, t.episode_info, "number")) == before
    assert vanished(tables, 2) == {"character.picture.own": 2, "episode.titles.en.own": 2}


def test_two_works_that_come_to_share_a_picture_have_it_in_the_end(tables):
    """The second one's waits until others tell theirs, and comes with its next answer."""
    tables.store(*(own(n) for n in range(8)))
    shared = "https://example.com/shared.jpg"
    for run in (2, 3):
        tables.store(own(0, at=10 * run, poster=shared), run=run)
        tables.store(own(1, at=10 * run + 1, poster=shared), run=run)
        tables.store(*(own(n, at=10 * run + n) for n in range(2, 8)), run=run)
        assert (vanished(tables, run), tables.rows(t.doubt)) == ({}, [])
    assert [stored(tables)[n]["poster"] for n in "01"] == [shared, shared]


def test_values_that_many_records_share_change_together(tables):
    """All come to be of one kind, status, year, day and genre: that is no placeholder."""
    tables.store(*(own(n, year=2000 + n, aired_from=f"20{n + 10}-04-05") for n in range(20)))
    now = {"kind": Kind.OVA, "status": AiringStatus.RELEASED, "year": 2027, "genres": ("Comedy",)}
    now |= {"aired_from": "2027-04-05", "is_adult": False, "score": 1.0}
    tables.store(*(own(n, at=5, **now) for n in range(20)), run=2, usual=USUAL)
    assert vanished(tables, 2) == {}
    assert {(row["kind"], row["year"], row["aired_from"]) for row in stored(tables).values()} == {
        ("ova", 2027, "2027-04-05")
    }


changed_to = st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["same", "own"])), min_size=1, max_size=20)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=changed_to, size=st.integers(1, 5), runs=st.integers(1, 3))
def test_one_value_for_all_replaces_that_of_one_record_at_most(tmp_path_factory, answers, size, runs):
    """Whichever records are asked for, however often, in whichever batches and runs; others may tell theirs between."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('own')}/a.db") as tables:
        tables.store(*(own(n) for n in range(8)))
        before, at = stored(tables), 0
        for run in range(2, 2 + runs):
            items = []
            for number, what in answers:
                at += 1
                items.append((same if what == "same" else own)(number, at))
            for i in range(0, len(items), size):
                tables.store(*items[i : i + size], run=run, usual=USUAL)
        lost = [n for n, row in stored(tables).items() if row["poster"] != before[n]["poster"]]
        told = sum(what == "own" for _, what in answers)
        assert len(lost) <= 1 or told >= TELLERS


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(0, 7), min_size=1, max_size=20), size=st.integers(1, 5))
def test_values_that_differ_are_stored_as_they_come(tmp_path_factory, numbers, size):
    """A source that gives every work another description, picture and title is believed at once."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('own')}/a.db") as tables:
        tables.store(*(own(n) for n in range(8)))
        items = [
            own(n, at, description=f"New {at}", poster=f"https://example.com/new-{at}.jpg")
            for at, n in enumerate(numbers, start=1)
        ]
        for i in range(0, len(items), size):
            tables.store(*items[i : i + size], run=2, usual=USUAL)
        newest = {item.source_id: item for item in items}
        assert {n: stored(tables)[n]["poster"] for n in newest} == {n: item.poster for n, item in newest.items()}
        assert vanished(tables, 2) == {}
