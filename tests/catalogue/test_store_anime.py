"""What sources say of anime, and what follows for titles."""

from __future__ import annotations

from datetime import timedelta

from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.outbox import load_titles, titles_to_deliver
from anime_crawler.catalogue.wanted import wanted
from anime_crawler.items import Anime, Relation, Titles, utc_now
from tests.catalogue.support import NOW, absent, anime, rejected, release


def version(tables, title_id="20"):
    return dict(tables.rows(t.title, "title_id", "version"))[title_id]


def answers(tables):
    return tables.rows(t.title, "title_id", "metadata_state", "metadata_in", "due_at")


def test_a_new_anime_makes_its_title(tables):
    """One row each, numbered from 1, and known to the identity source."""
    counts = tables.store(anime())
    assert counts == {("anime", "new"): 1, ("title", "new"): 1}
    assert tables.rows(t.title, "title_id", "seq", "version", "metadata_state") == [("20", 1, 1, "known")]


def test_a_changed_anime_raises_the_version_of_its_title(tables):
    """Another content: the row is replaced."""
    tables.store(anime())
    assert tables.store(anime(title="Наруто!"), run=2) == {("anime", "changed"): 1}
    assert version(tables) == 2
    assert "Наруто!" in tables.rows(t.anime, "data")[0][0]


def test_the_same_anime_again_only_notes_the_answer(tables):
    """The identity source was asked: that is noted; the version stays."""
    tables.store(anime())
    later = anime(fetched_at=NOW + timedelta(days=40))
    assert tables.store(later, run=7) == {("anime", "unchanged"): 1}
    assert version(tables) == 1
    assert answers(tables) == [("20", "known", 7, "2026-05-10T12:00:00.000000Z")]


def test_an_older_version_does_not_replace_a_newer_one(tables):
    """In another batch or the same, by the source's own time of change."""
    newer, older = anime(source_updated_at=NOW), anime(title="старое", source_updated_at=NOW - timedelta(days=1))
    tables.store(newer, older)
    assert tables.store(older) == {("anime", "unchanged"): 1}
    assert "старое" not in tables.rows(t.anime, "data")[0][0]


def test_an_answer_out_of_a_cache_replaces_nothing_newer(tables):
    """Where the source does not say which is newer, the time of fetching does; what has just come is taken."""
    tables.store(anime(title="новое", source_updated_at=NOW - timedelta(days=1)))
    kept = anime(title="старое", fetched_at=NOW - timedelta(hours=20))
    assert tables.store(kept) == {("anime", "unchanged"): 1}
    assert tables.store(kept.model_copy(update={"source_updated_at": NOW})) == {("anime", "changed"): 1}


def test_a_clock_that_was_wrong_hides_no_news(tables):
    """A row from the future does not refuse what comes now."""
    tables.store(anime(fetched_at=utc_now() + timedelta(days=400)))
    assert tables.store(anime(title="новое", fetched_at=utc_now())) == {("anime", "changed"): 1}


def test_a_newer_version_of_the_same_content_is_remembered(tables):
    """What comes between the two in time is old, though it arrives last."""
    tables.store(anime(source_updated_at=NOW))
    tables.store(anime(source_updated_at=NOW + timedelta(days=2)))
    between = anime(title="между", source_updated_at=NOW + timedelta(days=1))
    assert tables.store(between) == {("anime", "unchanged"): 1}
    assert version(tables) == 1


LISTED = frozenset({"relations", "external_ids"})
"""What a list of titles does not tell."""


def test_what_an_answer_does_not_tell_stays_as_it_was_told(tables):
    """A list without relations after an answer with them, in the same batch or another; what it tells is replaced."""
    sequel = Relation(kind="sequel", target="anime", target_id="21")
    full = anime("5", "jikan", relations=(sequel,), external_ids={"mal": "5", "anidb": "7"})
    listed = anime("5", "jikan", title="Наруто!", external_ids={"mal": "5", "shikimori": "5"}, untold=LISTED)
    tables.store(full, listed)
    tables.store(listed.model_copy(update={"score": 8.5}), run=2)
    (stored,) = (Anime.model_validate_json(data) for (data,) in tables.rows(t.anime, "data"))
    assert (stored.relations, stored.titles.ru, stored.score) == ((sequel,), "Наруто!", 8.5)
    assert stored.external_ids == {"mal": "5", "anidb": "7", "shikimori": "5"}
    assert tables.store(listed.model_copy(update={"score": 8.5}), run=3) == {("anime", "unchanged"): 1}
    other = sequel.model_copy(update={"kind": "prequel"})
    tables.store(anime("5", "jikan", relations=(other,)), run=4)
    (stored,) = (Anime.model_validate_json(data) for (data,) in tables.rows(t.anime, "data"))
    assert stored.relations == (other,)


def test_an_anime_that_moves_to_another_title_changes_both(tables):
    """The old title loses it, the new one gets it."""
    tables.store(anime("x", "kodik", external_ids={"shikimori": "20"}))
    tables.store(anime("x", "kodik", external_ids={"shikimori": "21"}), run=2)
    assert tables.rows(t.title, "title_id", "seq", "version") == [("20", 1, 2), ("21", 2, 1)]


def test_an_anime_without_an_id_in_the_identity_source_has_no_title(tables):
    """It is stored, unmatched."""
    assert tables.store(anime("x", "kodik")) == {("anime", "new"): 1}
    assert tables.rows(t.anime, "source_id", "title_id") == [("x", None)]


def test_titles_are_numbered_in_the_order_of_the_items(tables):
    """Whatever kind the items are of."""
    tables.store(release("a", "9"), anime("5"), release("b", "1"), anime("9", "kodik", external_ids={"shikimori": "9"}))
    tables.store(anime("3"), release("c", "1"))
    assert sorted((seq, id_) for id_, seq in tables.rows(t.title, "title_id", "seq")) == [
        (1, "9"),
        (2, "5"),
        (3, "1"),
        (4, "3"),
    ]


def test_only_the_identity_source_answers_for_a_title(tables):
    """Another source's anime leaves the title unasked."""
    tables.store(anime("x", "kodik", external_ids={"shikimori": "20"}))
    assert answers(tables) == [("20", None, None, None)]


def test_an_airing_title_is_due_sooner(tables):
    """After the ongoing age, or at its next episode when that comes first; a time that has passed does not count."""
    tables.store(
        anime("1", status="ongoing"),
        anime("2", status="ongoing", next_episode_at=NOW + timedelta(hours=5)),
        anime("3", status="ongoing", next_episode_at=NOW - timedelta(hours=5)),
        anime("4", status="released"),
        refresh_ongoing_hours=24,
        refresh_released_days=30,
    )
    assert [row[3][:13] for row in answers(tables)] == [
        "2026-03-02T12",
        "2026-03-01T17",
        "2026-03-02T12",
        "2026-03-31T12",
    ]


def test_a_title_unknown_to_the_identity_source_is_noted_and_keeps_what_it_has(tables):
    """It is not asked about again before it is due."""
    tables.store(release())
    assert tables.store(absent(), run=2) == {("anime", "absent"): 1}
    assert answers(tables) == [("20", "unknown", 2, "2026-03-31T12:00:00.000000Z")]


def test_a_title_whose_answer_is_not_understood_is_asked_for_again_the_next_day(tables):
    """It counts as asked in this run, so that a title that can never be shown does not cost a request in every run."""
    tables.store(release())
    tables.store(rejected("20", source="shikimori", kind="anime"), run=2)
    assert answers(tables) == [("20", "failed", 2, "2026-03-02T12:00:00.000000Z")]


def test_an_absent_anime_makes_no_title(tables):
    """Nobody else knows it either."""
    tables.store(absent("404"))
    assert tables.rows(t.title) == []


def test_texts_come_back_as_they_were(tables):
    """Cyrillic, Japanese, quotes, backslashes, line ends, emoji."""
    text = 'Ё"\\\n鋼の錬金術師 🎬 \u2028 %s :x'
    tables.store(anime(titles=Titles(ru=text), description=text))
    stored = type(anime()).model_validate_json(tables.rows(t.anime, "data")[0][0])
    assert (stored.titles.ru, stored.description) == (text, text)


def of_jikan(title="Naruto", **fields):
    """An anime of a source that is not delivered, with the identity source's id."""
    return anime("20", "jikan", title=title, external_ids={"shikimori": "20"}, **fields)


def test_a_source_that_is_not_delivered_makes_no_title(tables):
    """Its anime is kept under the title's id; there is nothing to deliver and nothing to ask about."""
    assert tables.store(of_jikan()) == {("anime", "new"): 1}
    assert tables.rows(t.anime, "source", "title_id") == [("jikan", "20")]
    assert tables.rows(t.title) == []
    assert tables.run(titles_to_deliver, 10, ready_only=False) == tables.run(wanted, 1, NOW, 10, ()) == []


def test_a_source_that_is_not_delivered_does_not_raise_versions(tables):
    """New, changed or moved to another title: the backend would get what it has."""
    tables.store(release(), anime())
    before = tables.rows(t.title)
    tables.store(of_jikan(), run=2)
    tables.store(of_jikan("NARUTO"), run=3)
    tables.store(of_jikan(episodes_total=220), anime("20", "jikan", external_ids={"shikimori": "21"}), run=4)
    assert tables.rows(t.title) == before


def test_a_source_that_is_delivered_raises_the_version(tables):
    """Named in SOURCE_PRIORITY, its fields may reach the backend."""
    tables.store(release())
    tables.store(of_jikan(), source_priority=("shikimori", "jikan"))
    assert version(tables) == 2


def test_a_title_finds_what_was_said_of_it_before_it_was_made(tables):
    """Its first release comes after the metadata."""
    tables.store(of_jikan())
    tables.store(release(), run=2)
    (state,) = tables.run(load_titles, ["20"])
    assert (state.version, list(state.anime)) == (1, ["jikan"])
