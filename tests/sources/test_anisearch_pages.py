"""What samples cannot say of AniSearch's pages: laws of dates and titles, judgement, drift."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import HtmlResponse

from anime_crawler.base_spiders import Action, ResponseError, reading
from anime_crawler.items import Anime
from anime_crawler.sources import anisearch
from anime_crawler.sources.anisearch.parse import is_native, parse_file, partial, split_synonyms
from anime_crawler.sources.anisearch.schema import drift, root_of
from anime_crawler.sources.anisearch.spider import AniSearchSpider

FRAME = '<html lang="en"><head></head><body><div id="content-outer"{}>{}</div></body></html>'
CHALLENGE = "<html><head><title>Just a moment...</title></head><body></body></html>"
NOW = datetime(2026, 5, 3, tzinfo=UTC)
SAMPLES = Path(anisearch.__file__).parent / "samples"


def about(own: int, body: str) -> str:
    return FRAME.format(f' data-type="anime" data-id="{own}"', body)


def detail(own: int, status: str = "Completed") -> str:
    lines = f'<div class="type">OVA, 1</div><div class="status"><span class="header">Status:</span> {status}</div>'
    title = f'<div class="title" lang="ja"><strong>Title {own}</strong></div>'
    block = f'<ul class="infoblock"><li>{title}{lines}</li></ul>'
    cover = '<img id="details-cover" src="anime/cover/0.webp">'
    rest = '<section id="description"></section><table id="ratingstats"></table>'
    rest += '<script type="application/ld+json">{}</script>'
    return about(own, f'<section id="information">{cover}{block}</section>{rest}<section id="characters"></section>')


@pytest.mark.parametrize(
    ("path", "status", "body", "expected"),
    [
        ("/anime/1", 200, detail(1), ("accept", "ok", None)),
        ("/anime/1", 200, detail(1)[:-20], ("retry", "wrong_shape", None)),
        ("/anime/1", 200, detail(2), ("retry", "wrong_shape", None)),
        ("/anime/1", 200, detail("none"), ("retry", "wrong_shape", None)),
        ("/anime/1", 200, "", ("retry", "wrong_shape", None)),
        ("/anime/1", 200, FRAME.format("", "x"), ("retry", "wrong_shape", None)),
        ("/anime/1", 200, about(1, "no block"), ("retry", "wrong_shape", None)),
        ("/anime/1/characters", 200, about(1, "none"), ("retry", "wrong_shape", None)),
        ("/anime/index/page-1", 200, FRAME.format("", "x"), ("retry", "wrong_shape", None)),
        ("/anime/index/?a=1&text=x", 200, FRAME.format("", "none"), ("accept", "ok", None)),
        ("/anime/1", 404, "gone", ("give_up", "not_found", None)),
        ("/anime/index/page-1", 404, "gone", ("give_up", "status_404", "ANISEARCH_BASE_URL")),
        ("/anime/1", 429, "slow down", ("retry", "rate_limited", None)),
        ("/anime/1", 503, "busy", ("retry", "server_error", None)),
        ("/anime/1", 500, about(1, "error"), ("retry", "server_error", None)),
        ("/anime/1", 403, about(1, "no"), ("give_up", "blocked", None)),
        ("/anime/1", 200, "<title>Attention Required! | Cloudflare</title>", ("give_up", "blocked", None)),
        ("/anime/1", 200, '<script src="/cdn-cgi/challenge-platform/x">', ("give_up", "blocked", None)),
        ("/anime/1", 400, "", ("give_up", "status_400", None)),
        ("/robots.txt", 200, "User-agent: *", ("accept", "ok", None)),
        ("/robots.txt", 404, "none", ("accept", "ok", None)),
        ("/robots.txt", 200, CHALLENGE, ("give_up", "blocked", None)),
        ("/robots.txt", 403, "no", ("give_up", "blocked", None)),
        ("/robots.txt", 500, "", ("retry", "server_error", None)),
    ],
)
def test_answers_are_judged_by_status_and_body(path, status, body, expected):
    """A page of the site is known by its frame, a block by what is there instead."""
    response = HtmlResponse(f"https://x.test{path}", status=status, body=body.encode())
    verdict = AniSearchSpider().judge(response)
    assert (verdict.action.value, verdict.kind, verdict.setting) == expected
    assert verdict.is_upstream_trouble is (verdict.action is Action.RETRY)


def test_lines_and_structured_data_nobody_knows_are_counted():
    """So that a changed page shows."""
    block = '<ul class="infoblock"><li><div class="title" lang="ja"></div><div class="mood">sad</div></li></ul>'
    facts = '<script type="application/ld+json">{"@type":"Movie","director":"x"}</script>'
    page = about(1, f'<section id="information">{block}</section>{facts}')
    assert drift(root_of(page.encode())) == {("infoblock.mood", "unknown"): 1, ("json_ld.director", "unknown"): 1}


@given(st.dates(min_value=datetime(1900, 1, 1).date(), max_value=datetime(2100, 12, 31).date()))
def test_dates_are_read_as_far_as_they_are_known(day):
    """Day, month and year; month and year; year."""
    assert partial(f"{day:%d.%m.%Y}") == day.isoformat()
    assert partial(f" {day:%m.%Y} ") == day.isoformat()[:7]
    assert partial(f"{day:%Y}") == day.isoformat()[:4]


@given(st.text(max_size=12) | st.from_regex(r"\d{1,2}\.\d{1,2}\.\d{4}", fullmatch=True))
def test_what_is_no_date_is_noted(text):
    """Nothing is guessed; a question mark and zeros are unknown, which is no problem."""
    with reading() as problems:
        found = partial(text)
    is_unknown = text.strip() == "?" or re.fullmatch(r"\s*([0-9]+\.){0,2}0000\s*", text)
    assert (found is None) is bool(problems or is_unknown)


@pytest.mark.parametrize(
    ("piece", "titles", "expected"),
    [
        ("OP, OneP", [], ["OP", "OneP"]),
        ("Sea, Mist, and Sand, SMS", ["Sea Mist and Sand"], ["Sea, Mist, and Sand", "SMS"]),
        ("A, B", ["A", "B"], ["A", "B"]),
        ("1,000 Nights", [], ["1,000 Nights"]),
    ],
)
def test_synonyms_are_split_at_commas_unless_they_spell_a_title(piece, titles, expected):
    """Whatever blanks and signs the title has."""
    assert split_synonyms(piece, titles) == expected


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1, max_size=6))
def test_no_synonym_is_lost_by_splitting(parts):
    """What was joined comes back, in order."""
    assert ", ".join(split_synonyms(", ".join(parts), [])) == ", ".join(parts)


def test_scripts_and_labels_are_told_apart():
    """Macrons and full-width signs are Latin; labels become words without accents."""
    assert [is_native(text) for text in ("Ōkami", "2049＋Ａ", "絕處", "モンキー", "갤럭시", "№ 5")] == [
        *(False, False, True, True, True, False)
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>", CHALLENGE.encode(), FRAME.format("", "x").encode(), b"\xff\x00"]
)
def test_a_file_of_something_else_is_refused(body):
    """With a sentence, not with an empty list."""
    with pytest.raises(ResponseError):
        parse_file(body, "file", NOW)


@pytest.mark.parametrize(("name", "counted"), [("spoiler", []), ("secret_box", ["description div.secret_box"])])
def test_a_spoiler_stays_out_of_the_description_when_its_class_is_renamed(name, counted):
    """A box with any class is no part of the text; a class that nobody has seen is counted as drift."""
    body = (SAMPLES / "detail__spoiler_in_description" / "response.html").read_bytes()
    body = body.replace(b'<div class="spoiler">', f'<div class="{name}">'.encode())
    (anime,) = [item for item in parse_file(body, "anime/1", NOW) if isinstance(item, Anime)]
    assert anime.description == "A keeper counts.\nHe counts again & again."
    assert [path for path, _ in drift(root_of(body))] == counted
