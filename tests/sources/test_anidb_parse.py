"""AniDB's answers read: dates, descriptions, titles, and whatever else may come in their place."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring, tostring
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.base_spiders import ResponseError
from anime_crawler.sources import anidb
from anime_crawler.sources.anidb.parse import airing_status, clean_description, has_passed, parse_file
from anime_crawler.sources.anidb.schema import bears, drift, fingerprint, root_from_body
from tests.sources.fake_anidb import NOW


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


@pytest.mark.parametrize("case", ["anime__full", "anime__two_mal_ids", "anime__airing", "dump__titles"])
def test_a_wrong_value_anywhere_is_no_exception(case):
    """Always items, or what was set aside, or a refusal of the whole."""
    body = (Path(anidb.__file__).parent / "samples" / case / "response.xml").read_bytes()
    for wrong in mutated(body):
        drift(fromstring(wrong))
        try:
            found = list(parse_file(wrong, case, NOW))
        except ResponseError as error:
            assert str(error)
        else:
            assert all(item.model_dump_json() for item in found)
