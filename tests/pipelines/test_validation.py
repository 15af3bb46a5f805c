"""What passes the first stage, and what is set aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scrapy.exceptions import DropItem

from anime_crawler.catalogue.dead_letters import key_of
from anime_crawler.items import Checkpoint, Rejected, Relation, Titles, VoiceActor
from anime_crawler.pipelines.validation import ValidationPipeline
from anime_crawler.run.report import RunReport
from tests.catalogue.support import absent, airing, anime, character, episode, player, rejected, release, snapshot

process = ValidationPipeline(RunReport()).process_item


@pytest.mark.parametrize(
    "item",
    [
        anime(title="Ёж в тумане 🦔", description="две\nстроки\tи табуляция"),
        anime(title='"Ёж"', description="две\n\\nстроки", description_raw="две\r\n\\nстроки\t\b"),
        release(numbers=[0, 1, 9_999]),
        release(numbers=[]),
        absent(),
        episode(season_number=0),
        character(anime_id=None),
        airing(),
        snapshot(),
        rejected(),
        Checkpoint(source="kodik", previous=None, state={}),
    ],
)
def test_sound_items_and_words_of_control_pass_as_they_are(item):
    """Not copied, not changed."""
    assert process(item) is item


@pytest.mark.parametrize("thing", [{"a": 1}, "text", None, Titles()])
def test_what_is_no_item_of_ours_goes_no_further(thing):
    """A dict of a careless spider would be in no table."""
    with pytest.raises(DropItem):
        process(thing)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (anime(title="a\x1b[31mred"), "titles"),
        (anime(title="C1 \x9b31m"), "titles"),
        (anime(alternative_titles=("x\x07",)), "titles"),
        (anime(description="a\x00b"), "description"),
        (anime(description="a\rb", description_raw="\r\n"), "description"),
        (anime(title="a\nb", description="one\\ntwo", description_raw="one\ntwo"), "titles"),
        (anime(external_ids={"mal": "1\n2"}), "external_ids"),
        (anime("2\x000"), "source_id"),
        (release(title="a\x1b]0;x\x07"), "title"),
        (release(translation_title="x\x00"), "translation_title"),
        (release(numbers=[player(1, title="\x1b[2J")]), "players.title"),
        (release(numbers=[2, 1]), "must rise"),
        (release(numbers=[1, 1]), "must rise"),
        (release(numbers=[player(10_000)]), "above 9999"),
        (release(numbers=[player(1, season_number=10_000)]), "above 9999"),
        (episode(titles=Titles(en="a\x00b")), "titles"),
        (episode(2**31), "above 2147483647"),
        (episode(season_number=2**31), "above 2147483647"),
        (episode(anime_id="2\x000"), "anime_id"),
        (character(names=Titles(native="a\x00b")), "names"),
        (character(role="\x1b[2J"), "role"),
        (character(voice_actors=(VoiceActor(name="x", language="a\x00"),)), "voice_actors.language"),
        (airing(2**31), "above 2147483647"),
        (snapshot(snapshot_type="top\x00"), "snapshot_type"),
    ],
)
def test_what_breaks_a_rule_becomes_a_dead_letter_with_the_reason(item, reason):
    """Naming the field; the whole item is kept to be looked at."""
    letter = process(item)
    assert isinstance(letter, Rejected)
    key = key_of(item).replace("\x00", "�")
    assert (letter.stage, letter.source, letter.source_id) == ("validate", item.source, key)
    assert reason in letter.reason
    assert type(item).model_validate_json(letter.raw) == item


@pytest.mark.parametrize("bad", ["\x00", "\ud800"])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: anime(tags=("ok", f"x{bad}")),
        lambda bad: anime(external_ids={f"m{bad}al": "1"}),
        lambda bad: anime(relations=(Relation(kind="sequel", target="anime", target_id=f"1{bad}"),)),
        lambda bad: anime(franchise=bad),
        lambda bad: anime(origin=f"manga{bad}"),
        lambda bad: release(blocked_seasons={"1": ("2", f"3{bad}")}),
        lambda bad: release(blocked_seasons={f"1{bad}": ("all",)}),
        lambda bad: release(blocked_countries=(f"R{bad}",)),
        lambda bad: release(quality=f"720p{bad}"),
    ],
)
def test_no_text_of_an_item_holds_what_a_database_cannot_store(make, bad):
    """Lists, objects, keys: whatever the models let through is set aside alone, and its letter can be stored."""
    try:
        item = make(bad)
    except ValidationError:  # the model has refused it, so the parser sets it aside
        return
    letter = process(item)
    assert isinstance(letter, Rejected)
    assert "half a character" in letter.reason
    told = letter.raw + (letter.source_id or "") + letter.reason
    assert told.encode()  # no half of a character
    assert "\x00" not in told


@given(st.text(st.characters(codec=None, categories=None), max_size=20), st.text(max_size=5))
def test_the_text_as_it_was_sent_is_repaired(raw, rest):
    """It is there to be looked at: what cannot be stored is replaced, and costs nothing else."""
    item = process(anime(description_raw=raw + "\x00\ud800" + rest))
    sent = raw + "\x00\ud800" + rest
    repaired = ["\ufffd" if letter == "\x00" or "\ud800" <= letter <= "\udfff" else letter for letter in sent]
    assert item.description_raw == "".join(repaired)
    assert item.checksum()


def test_words_of_control_are_repaired_and_never_lost():
    """A checkpoint or a letter that cannot be stored would end its whole batch."""
    letter = process(rejected("1\x00", reason="a\x00b", raw="\x00", request={"url": "x\x00"}))
    assert (letter.source_id, letter.reason, letter.raw, letter.request) == ("1�", "a�b", "�", {"url": "x�"})
    point = process(Checkpoint(source="kodik", previous=None, state={"at": ["\ud800"]}, asked=("a\x00",)))
    assert (point.state, point.asked) == ({"at": ["�"]}, ("a�",))


HOSTS = [
    "localhost",
    "127.0.0.1",
    "169.254.169.254",
    "0x7f.1",
    "2130706433",
    "player",
    "a.internal",
    "router.lan",
    "a.0x1",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_player_on_no_public_host_is_set_aside(host):
    """Addresses in any notation, link-local ones, names inside somebody's network."""
    letter = process(release(numbers=[player(1, url=f"https://{host}/seria/1")]))
    assert isinstance(letter, Rejected)
    assert "public name" in letter.reason


def test_an_identity_with_a_lost_character_is_none():
    """It could be that of another record."""
    letter = process(anime("na\ufffdruto"))
    assert isinstance(letter, Rejected)
    assert letter.reason == "source_id or identity: a character of it was lost"


def test_what_a_parser_did_not_understand_is_counted_as_drift():
    """Once for each item, under its source; the item passes."""
    report = RunReport()
    odd = anime().noting(["format: unknown value 'X'"])
    for item in (odd, odd, anime()):
        assert ValidationPipeline(report).process_item(item) is item
    assert report.counters["drift shikimori"] == {"unknown format: unknown value 'X'": 2}
