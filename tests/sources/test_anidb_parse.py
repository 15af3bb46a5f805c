"""AniDB's answers read: dates, descriptions, titles, and whatever else may come in their place."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring, tostring
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.base_spiders import ResponseError
from anime_crawler.items import Titles
from anime_crawler.sources import anidb
from anime_crawler.sources.anidb.parse import airing_status, clean_description, has_passed, parse_file
from anime_crawler.sources.anidb.schema import bears, drift, fingerprint, root_from_body

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


@given(st.dates(), st.dates(), st.sampled_from([4, 7, 10]))
def test_a_date_has_passed_when_all_of_it_has(date, today, length):
    """A partial date when its last day is over, a full one on its day."""
    text = date.isoformat()[:length]
    expected = date <= today if length == 10 else text < today.isoformat()[:length]
    assert has_passed(text, today.isoformat()) is expected
    assert airing_status(text, None, today.isoformat(), is_at_once=True) == ("released" if expected else "announced")


@given(st.text(st.sampled_from("ab `[]i/*:\n.http://anidb.net/ch1 [Source: Note: ")))
def test_a_cleaned_description_stays_clean(text):
    """Cleaning never fails, never adds, and a second time changes nothing of what ends a text."""
    cleaned = clean_description(text)
    assert cleaned is None or ("`" not in cleaned and len(cleaned) <= len(text))


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_an_anime_is_found_by_each_of_its_titles(titles):
    """In any writing; the fingerprint changes with any title."""
    records = [{"text": title, "lang": "x-jat", "type": "main"} for title in titles]
    assert all(bears(fingerprint(records), title) for title in titles)
    assert fingerprint([*records, {"text": "another", "lang": "en", "type": "short"}]) != fingerprint(records)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_refused(body):
    """Never another exception; drift counts whatever has a root."""
    for content in (body, gzip.compress(body, mtime=0), b"<anime id='1'>" + body + b"</anime>"):
        try:
            list(parse_file(content, "file", NOW))
            drift(root_from_body(content))
        except ResponseError as error:
            assert str(error)


def mutated(body: bytes) -> Iterator[bytes]:
    """The document with each text and attribute inside it wrong in turn, and without each element."""
    for number in range(len(list(fromstring(body).iter()))):
        for wrong in ("", "x\u2028`", "-1", "9" * 30, "0000-99", None):
            root = fromstring(body)
            element = list(root.iter())[number]
            if wrong is None:
                element.clear()
            else:
                element.text = wrong
                element.attrib.update(dict.fromkeys(element.attrib, wrong))
            yield tostring(root)


@pytest.mark.parametrize(
    "case",
    [
        "anime__full/response.xml",
        "anime__two_mal_ids/response.xml",
        "anime__dates/response.airing.xml",
        "dump__titles/response.xml",
    ],
)
def test_a_wrong_value_anywhere_is_no_exception(case):
    """Always items, or what was set aside, or a refusal of the whole."""
    body = (Path(anidb.__file__).parent / "samples" / case).read_bytes()
    for wrong in mutated(body):
        drift(fromstring(wrong))
        try:
            found = list(parse_file(wrong, case, NOW))
        except ResponseError as error:
            assert str(error)
        else:
            assert all(item.model_dump_json() for item in found)


ODD = """<?xml version="1.0" encoding="UTF-8"?>
<anime id="90001" restricted="maybe"><type>TV Series</type><episodecount>3</episodecount>
<startdate>2025-04-05</startdate><enddate>0000-00-00</enddate>
<titles><title type="main">Rei</title><title xml:lang="en" type="official">Zero</title></titles>
<relatedanime><anime id="7">Ni</anime><anime type="Sequel">San</anime>
<anime id="8" type="Prequel">Yon</anime></relatedanime>
<creators><name type="Animation Work">No Id</name><name id="4" type="Animation Work">Studio</name></creators>
<ratings><permanent count="10">11.5</permanent><temporary count="3">8.5</temporary></ratings>
<resources><resource><externalentity><identifier>5</identifier></externalentity></resource>
<resource type="2"><externalentity><identifier>900</identifier></externalentity></resource></resources>
<tags><tag id="1" weight="600"></tag><tag id="2" weight="many"><name>war</name></tag>
<tag id="3" weight="600"><name>school</name></tag></tags>
<episodes>
<episode id="1"><epno type="1">1</epno><length>25</length><airdate>2025-04-05</airdate></episode>
<episode id="2"><epno type="1">2</epno><length>long</length><airdate>2025-02-30</airdate></episode>
<episode id="3"><epno type="1">3</epno><length>25</length><airdate>2025-04-19</airdate></episode>
</episodes>
<characters><character id="5"><name>Ken</name></character></characters></anime>"""


def test_an_odd_value_costs_neither_the_anime_nor_its_episodes():
    """A tag without a name, a relation without a type or id, a rating above 10, a title without a language, a day that
    is not in the calendar: each is noted where it stands, and everything else is there.
    """
    anime, *others = parse_file(ODD.encode(), "file", NOW)
    assert anime.titles == Titles(romaji="Rei", en="Zero")
    assert [(relation.kind, relation.target_id) for relation in anime.relations] == [("other", "7"), ("prequel", "8")]
    assert (anime.studios, anime.tags, anime.score, anime.external_ids["mal"]) == (("Studio",), ("school",), 8.5, "900")
    assert (anime.aired_from, anime.aired_to, anime.is_adult) == ("2025-04-05", None, None)
    assert [(type(item).__name__, item.source_id) for item in others] == [
        *(("Episode", "1"), ("Episode", "2"), ("Episode", "3"), ("Character", "5")),
    ]
    noted = [" ".join(item.not_understood) for item in (anime, *others)]
    assert all(
        word in noted[0] for word in ("restricted", "titles.*.lang", "related.*.id", "permanent.value", "tags.*.name")
    )
    assert "length" in noted[2]
    assert (noted[1], noted[3]) == ("", "")


@pytest.mark.parametrize("name", ["startdate", "enddate"])
def test_a_renamed_date_does_not_make_a_finished_anime_run_again(name):
    """Its status follows from its dates: where one may have another name, it is unknown, and what is stored stays."""
    titles = '<titles><title xml:lang="x-jat" type="main">Rei</title></titles>'
    dates = "<startdate>2020-01-05</startdate><enddate>2020-03-29</enddate>"
    body = f'<anime id="1"><type>TV Series</type>{dates}{titles}</anime>'
    (whole,) = parse_file(body.encode(), "file", NOW)
    (renamed,) = parse_file(body.replace(name, f"{name}_on").encode(), "file", NOW)
    assert (whole.status, renamed.status) == ("released", None)
    assert {"status", "aired_to" if name == "enddate" else "aired_from"} <= renamed.untold
    (running,) = parse_file(body.replace("<enddate>2020-03-29</enddate>", "").encode(), "file", NOW)
    assert running.status == "ongoing"
