"""Bodies are read as far as they can be: what is odd in one value costs that value, never the page."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse

from anime_crawler.base_spiders import NotJsonError, parse_json, text_of_bytes
from anime_crawler.items import Release
from anime_crawler.sources.anidb.schema import root_from_body
from anime_crawler.sources.anime_planet.schema import Page
from anime_crawler.sources.anisearch.schema import root_of
from anime_crawler.sources.kodik.spider import KodikSpider
from tests.sources.driving import RecordingRun, drive

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_whatever_pythons_own_writer_writes_is_read(value, is_ascii):
    """NaN, infinities and half characters too; what comes out can be written again, and is the same next time."""
    body = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    read = parse_json(body)
    again = orjson.dumps(read)
    assert parse_json(again) == read
    assert parse_json(b"\xef\xbb\xbf" + body) == read


@given(VALUES, st.integers(1, 200))
def test_what_is_cut_short_is_never_taken_for_a_whole_document(value, length):
    """Half of an object would look like an upstream that has less."""
    body = json.dumps({"data": value}).encode()
    if length < len(body):
        with pytest.raises(NotJsonError):
            parse_json(body[:length])


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'["a \ud83d", "\ud83d\ude00"]', ["a \ufffd", "\U0001f600"]),
        (b'["\xd0", "\xd0\xaf"]', ["\ufffd", "Я"]),
        (b'\xef\xbb\xbf["x"]', ["x"]),
        ('["Я"]'.encode("utf-16"), ["Я"]),
        (b"[NaN, -Infinity, 1e999, 7.25]", [None, None, None, 7.25]),
        (b'["a\x00b\nc"]', ["a\x00b\nc"]),
        (b"[NaN, 123456789012345678901234567890, 12]", [None, 1.2345678901234568e29, 12]),
        (rb'{"\udc00": 1}', {"\ufffd": 1}),
    ],
)
def test_an_odd_value_costs_itself(body, value):
    """The others are what they were."""
    assert parse_json(body) == value


def page(number: int, odd: str) -> bytes:
    """A page of Kodik's list with one material, the second with something odd."""
    hash_ = "0123456789abcdef0123456789abcdef"
    material = {
        "id": f"serial-{number}",
        "type": "anime-serial",
        "link": f"//player.example-video.com/serial/{number}/{hash_}/720p",
        "title": f"Пример {number}",
        "translation": {"id": 610, "title": "Студия", "type": "voice"},
        "shikimori_id": str(900000 + number),
        "updated_at": f"2024-01-0{number}T00:00:00Z",
        "seasons": {"1": {"link": "", "episodes": {"1": f"//player.example-video.com/seria/{number}/{hash_}/720p"}}},
        "material_data": {"shikimori_rating": 7.25},
    }
    following = f"https://kodik-api.com/list?next={number + 1}" if number < 3 else None
    document = {"time": "1ms", "total": 3, "prev_page": None, "next_page": following, "results": [material]}
    body, title = json.dumps(document, ensure_ascii=False).encode(), "Пример 2".encode()
    if number != 2:
        return body
    return {
        "surrogate": body.replace(title, title + rb" \ud83d"),
        "bom": b"\xef\xbb\xbf" + body,
        "nan": body.replace(b"7.25", b"NaN"),
        "bad_utf8": body.replace(title, title + "Я".encode()[:1]),
    }[odd]


@pytest.mark.parametrize("odd", ["surrogate", "bom", "nan", "bad_utf8"])
def test_a_walk_passes_a_page_with_an_odd_value(odd):
    """All three releases are there, the odd title without what was broken; the walk comes to its end."""
    run = RecordingRun()

    def answer(request: Request) -> TextResponse:
        number = int(request.cb_kwargs.get("page", 0) or request.body.decode().partition("next=")[2] or 1)
        return TextResponse(request.url, body=page(number, odd))

    drive(KodikSpider(mode="full"), run, answer)
    releases = [item for item in run.items if isinstance(item, Release)]
    assert [release.title for release in releases] == ["Пример 1", "Пример 2", "Пример 3"]
    assert (run.failures, run.rejected) == ([], [])
    assert run.full_since


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('<?xml version="1.0" encoding="UTF-8"?><anime><t>Яма\x01 '.encode() + b"\xd0</t></anime>", "Яма\ufffd \ufffd"),
        ('<?xml version="1.0" encoding="none-such"?><anime><t>Яма</t></anime>'.encode(), "Яма"),
        ('<?xml version="1.0" encoding="windows-1251"?><anime><t>Яма</t></anime>'.encode(), "Яма"),
        ('<?xml version="1.0" encoding="windows-1251"?><anime><t>Яма</t></anime>'.encode("cp1251"), "Яма"),
        ('<?xml version="1.0"?><anime><t>Яма</t></anime>'.encode("utf-16"), "Яма"),
        (b"<anime><t>a&nbsp;b & c &amp;lt; &#0;&#1071; &none;</t></anime>", "a\xa0b & c &lt; \ufffdЯ &none;"),
    ],
)
def test_xml_is_read_whatever_it_says_of_its_encoding(body, text):
    """Odd bytes, a wrong or unknown encoding, HTML's entities and bare ampersands cost themselves."""
    assert root_from_body(body).findtext("t") == text


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b'<meta charset="windows-1251">', "cp1251"),
        (b'<meta charset="windows-1251">', "utf-8"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=none-such">', "utf-8"),
        (b"\xd0\x00", "utf-8"),
        (b"", "utf-8-sig"),
    ],
)
def test_pages_are_read_whatever_they_say_of_their_encoding(head, encoding):
    """Both sites of pages: what is declared counts only where the bytes are no UTF-8."""
    page = "<html><head>{}</head><body><div id='content-outer'><h1>Яма на горе</h1></div></body></html>"
    body = page.encode(encoding).replace(b"{}", head)
    assert "".join(next(root_of(body).iter("h1")).itertext()) == "Яма на горе"
    assert Page(body).heading.xpath("string()").get() == "Яма на горе"


@given(st.binary(max_size=300))
def test_any_bytes_are_some_text(body):
    """Never an exception; UTF-8 stays what it is."""
    assert isinstance(text_of_bytes(body), str)
    assert text_of_bytes("Яма ".encode() + body.decode("utf-8", "ignore").encode()).startswith("Яма")
