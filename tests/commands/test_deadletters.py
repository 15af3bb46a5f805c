"""``scrapy deadletters`` as a user types it, with the real parsers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import anime_crawler.sources
from anime_crawler.catalogue import dead_letters
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.dead_letters import Letter, key_of
from anime_crawler.catalogue.lock import catalogue_lock
from tests.catalogue.support import airing, character, episode, opened, player, rejected, release, snapshot

SAMPLES = Path(anime_crawler.sources.__path__[0]) / "kodik" / "samples"


@pytest.fixture
def url(project):
    """Where the settings expect the catalogue."""
    return f"sqlite:///{project}/var/anime.db"


@pytest.fixture
def material():
    """A material that Kodik's parser understands."""
    page = json.loads((SAMPLES / "list_page__two_translations" / "response.json").read_bytes())
    return page["results"][0]


def letters(url):
    with opened(url) as tables:
        return tables.rows(t.dead_letter, "id")


def keep(url, *items):
    with opened(url) as tables:
        tables.store(*items)


def test_list_and_show_tell_everything_without_terminal_escapes(scrapy, url):
    """What comes from the net is printed harmlessly."""
    keep(url, rejected(reason="title: \x1b[31mwrong", raw='{"title": "\x1b]0;\x07"}\nзапись'))
    listed, shown = scrapy("deadletters", "list"), scrapy("deadletters", "show", "1")
    assert "parse  kodik material serial-1" in listed.stdout
    assert "1 dead letters" in listed.stdout
    assert "запись" in shown.stdout
    assert "\x1b" not in listed.stdout + shown.stdout


def test_replay_stores_what_is_understood_now_and_tells_what_stays(scrapy, url, material):
    """The release is there and to be delivered; exit code 1 for the others, each with its reason."""
    broken = {**material, "id": "serial-999", "type": "nonsense", "seasons": 5}
    keep(url, rejected(material["id"], raw=json.dumps(material)))
    keep(url, rejected("serial-999", raw=json.dumps(broken)), rejected(None, kind="page", raw="<html>"))
    done = scrapy("deadletters", "replay")
    assert done.returncode == 1, done
    assert done.stdout.count("still not understood") == 2
    assert "1 of 3 dead letters are gone" in done.stdout
    assert letters(url) == [(2,), (3,)]
    with opened(url) as tables:
        assert tables.rows(t.release, "source_id") == [(material["id"],)]
        assert tables.rows(t.title, "version", "delivered_version") == [(1, 0)]


def test_replay_can_be_limited_by_reason_or_id(scrapy, url, material):
    """The others are not touched."""
    raw = json.dumps(material)
    keep(url, *(rejected(f"serial-1{i}", raw=raw, reason=f"reason {i}") for i in (1, 2, 3)))
    assert "1 of 1" in scrapy("deadletters", "replay", "--reason", "reason 2").stdout
    assert letters(url) == [(1,), (3,)]
    assert "1 of 1" in scrapy("deadletters", "replay", "3").stdout
    assert letters(url) == [(1,)]


def test_a_refused_delivery_is_handed_back_to_the_importer(scrapy, url):
    """Its title's version rises, so the next delivery looks at it."""
    keep(url, release())
    letter = Letter("deliver", "backend", "player", "20:1:x", "422", "{}", "0" * 32, request='{"title_id": "20"}')
    with opened(url) as tables:
        tables.run(dead_letters.put, 1, [letter])
    assert scrapy("deadletters", "replay", "1").returncode == 0
    with opened(url) as tables:
        assert tables.rows(t.title, "version") == [(2,)]
    assert letters(url) == []


@pytest.mark.parametrize(("host", "code"), [("player.example.com", 0), ("127.0.0.1", 1)])
def test_what_the_validation_set_aside_is_validated_again(scrapy, url, host, code):
    """With the rules of today."""
    item = release(numbers=[player(1, url=f"https://{host}/seria/1")])
    keep(url, rejected(stage="validate", kind="release", raw=item.model_dump_json()))
    assert scrapy("deadletters", "replay").returncode == code
    assert len(letters(url)) == code


@pytest.mark.parametrize("item", [episode(), character(), airing(), snapshot()])
def test_a_metadata_record_is_validated_again_too(scrapy, url, item):
    """Its kind names its model."""
    kind = type(item).__name__.lower()
    keep(url, rejected(key_of(item), source="jikan", stage="validate", kind=kind, raw=item.model_dump_json()))
    assert scrapy("deadletters", "replay").returncode == 0
    assert letters(url) == []


def test_drop_forgets_one(scrapy, url):
    """An id that is not there is exit code 2, for each action."""
    keep(url, rejected("1"), rejected("2"))
    assert scrapy("deadletters", "drop", "1").returncode == 0
    assert letters(url) == [(2,)]
    for action in ("drop", "show", "replay"):
        done = scrapy("deadletters", action, "1")
        assert (done.returncode, "no such dead letter: 1" in done.stderr) == (2, True)


def test_nothing_is_replayed_while_a_run_delivers(scrapy, url):
    """Exit code 5, naming the run; looking is free."""
    keep(url, rejected())
    with catalogue_lock(url, "deliver"):
        assert scrapy("deadletters", "replay").returncode == 5
        assert scrapy("deadletters", "list").returncode == 0
