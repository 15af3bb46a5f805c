"""What passes the first stage, and what is set aside."""

from __future__ import annotations

import pytest
from scrapy.exceptions import DropItem

from anime_crawler.items import Checkpoint, Rejected, Titles, VoiceActor
from anime_crawler.pipelines.validation import ValidationPipeline
from tests.catalogue.support import absent, airing, anime, character, episode, player, rejected, release, snapshot

process = ValidationPipeline().process_item


@pytest.mark.parametrize(
    "item",
    [
        anime(title="Ёж в тумане 🦔", description="две\nстроки\tи табуляция"),
        release(numbers=[0, 1, 990_001]),
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
        (anime(external_ids={"mal": "1\n2"}), "external_ids"),
        (anime("2\x000"), "source_id"),
        (release(title="a\x1b]0;x\x07"), "title"),
        (release(translation_title="x\x00"), "translation"),
        (release(numbers=[player(1, title="\x1b[2J")]), "players.title"),
        (release(numbers=[2, 1]), "must rise"),
        (release(numbers=[1, 1]), "must rise"),
        (release(numbers=[player(1, source_number=2**31)]), "above 2147483647"),
        (release(numbers=[player(1, season_number=2**40)]), "above 2147483647"),
        (episode(titles=Titles(en="a\x00b")), "titles"),
        (episode(2**31), "above 2147483647"),
        (episode(season_number=2**31), "above 2147483647"),
        (episode(anime_id="2\x000"), "identity"),
        (character(names=Titles(native="a\x00b")), "names"),
        (character(role="\x1b[2J"), "role"),
        (character(voice_actors=(VoiceActor(name="x", language="a\x00"),)), "voice actors"),
        (airing(2**31), "above 2147483647"),
        (snapshot(snapshot_type="top\x00"), "identity"),
    ],
)
def test_what_breaks_a_rule_becomes_a_dead_letter_with_the_reason(item, reason):
    """Naming the field; the whole item is kept to be looked at."""
    letter = process(item)
    assert isinstance(letter, Rejected)
    assert (letter.stage, letter.source, letter.source_id) == ("validate", item.source, ":".join(item.key[1:]))
    assert reason in letter.reason
    assert type(item).model_validate_json(letter.raw) == item


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
