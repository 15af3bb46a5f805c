"""Shikimori's BBCode becomes text that one can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.normalize.bbcode import LONGEST, normalize_description


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("[character=5]Химмель[/character] ушёл", "Химмель ушёл"),
        ("«[anime=121 fallback=x]Алхимик[/anime]»", "«Алхимик»"),
        ("до [anime=2] после", "до после"),
        ("до [anime]2[/anime] после", "до после"),
        ("[[Чайка]] и [[Gull|чайка]]", "Чайка и чайка"),
        ("Эдвард [エドワード・エルリック] и [김철수]", "Эдвард и"),
        ("[1], [sic] и [Прим.]", "[1], [sic] и [Прим.]"),
        ("a[spoiler]b[/spoiler]c", "ac"),
        ("a[spoiler=x]b[spoiler_block=y]c[/spoiler_block]d[/spoiler]e", "ae"),
        ("a||b||c", "ac"),
        (
            "[b]жирный[/b] [i]косой[/i] [color=red]красный[/color] [size=20]большой[/size]",
            "жирный косой красный большой",
        ),
        ("[url=https://example.org]сайт[/url]", "сайт"),
        ("[url]https://example.org[/url]", None),
        ("[img]https://example.org/a.jpg[/img][video=5][poster=7][image=8 no-zoom]", None),
        ("текст[source]Книга[/source]", "текст"),
        ("один[br]два[hr]три", "один\nдва\nтри"),
        ("[list][*]раз[*]два[/list]", "раз\nдва"),
        ("[div=cc][center]текст[/center][/div]", "текст"),
        ("a\r\n\r\nb", "a\n\nb"),
        ("[scr[b]ipt]", "[script]"),
        ("<scr[b]ipt>alert(1)</scr[/b]ipt>", None),
        ("", None),
        (None, None),
    ],
)
def test_each_tag_becomes_what_a_reader_would_see(raw, clean):
    """Text of entities and links stays, media and spoilers go, unknown brackets stay."""
    assert normalize_description(raw) == clean


TAGS = st.lists(
    st.sampled_from(
        ["[b]", "[/b]", "[spoiler]", "[/spoiler]", "||", "[[", "]]", "|", "[anime=1]", "[/anime]", "[url=x]"]
    )
    | st.text(max_size=4),
    max_size=30,
)


@given(TAGS)
def test_any_mixture_of_tags_becomes_text(pieces):
    """Unbalanced, nested, torn: never an exception, never a tag that formats."""
    clean = normalize_description("".join(pieces)) or ""
    assert "[anime=1]" not in clean
    assert "\r" not in clean


@pytest.mark.parametrize("piece", ["[spoiler]", "[source]", "[url=", "[anime=1]", "[[", "||", "<b>", "&lt;", "[/url]"])
def test_a_flood_of_tags_ends_soon(piece):
    """What is looked at is bounded, so that a description cannot hold up the crawl."""
    assert len(normalize_description(piece * 1_000_000) or "") <= LONGEST  # without the bound it takes hours
    assert len(normalize_description("я" * 1_000_000) or "") == LONGEST
