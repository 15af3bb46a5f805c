"""Texts from outside are plain: readable, and nothing in them is code."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.normalize.text import is_called, normalize_line, normalize_text, snake, unique

HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;img src=x onerror=alert(1)&amp;gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "&#x3c;svg onload=alert(1)&#x3e;",
    "<x onclick=alert(1)>",
    "<style>@import 'javascript:alert(1)'</style>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>",
    "<body\nonload\n=alert(1)>",
    "<\x00script>alert(1)</script>",
    "<scr\u200eipt>alert(1)</scr\u200eipt>",
    "<scr\x1b[0mipt>alert(1)</script>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]
TAG = re.compile(r"<[A-Za-z/!?]")


def is_plain(text: str | None, allowed: str = "") -> bool:
    """No tag, no control character but the allowed ones."""
    return not text or not (TAG.search(text) or any(unicodedata.category(c) == "Cc" and c not in allowed for c in text))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_tag_survives(hostile):
    """In titles and in descriptions, however it was escaped or torn; what stands around it stays."""
    line, text = normalize_line(f"До {hostile} после"), normalize_text(f"До {hostile}\nпосле")
    assert is_plain(line)
    assert is_plain(text, "\n")
    assert line is not None
    assert line.startswith("До")


@given(st.text(st.sampled_from("<>/!&#;x3cltscript=onload \n\x1b[]\x00'\"`")))
def test_no_mixture_of_the_pieces_makes_a_tag(text):
    """Random torn markup."""
    assert is_plain(normalize_line(text))
    assert is_plain(normalize_text(text), "\n\t")


@given(st.text())
def test_any_text_becomes_one_clean_line(text):
    """No control characters, no blanks around, never empty; cleaning twice changes nothing more."""
    line = normalize_line(text)
    assert line is None or (is_plain(line) and line == line.strip() and "\n" not in line)
    assert normalize_line(line) == line


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mКрасный\x1b[0m", "Красный"),
        ("\x1b]0;title\x07Маяк", "Маяк"),
        ("\x9b2JМаяк", "Маяк"),
        ("\x1bPq#0\x1b\\Маяк", "Маяк"),
        ("Маяк\u202eтакам", "Маяктакам"),
        ("a\r\nb\tc\u3000d", "a b c d"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("AT&T", "AT&T"),
        ("3 < 5 > 4", "3 < 5 > 4"),
        ("IS <Infinite Stratos>", "IS ‹Infinite Stratos>"),
        ("IS <インフィニット・ストラトス>", "IS <インフィニット・ストラトス>"),
        ("<b>Маяк</b>", "Маяк"),
        ("  ", None),
        ("\u200e\ufeff", None),
        ("", None),
        (None, None),
    ],
)
def test_titles_keep_what_people_wrote(text, clean):
    """Escapes and markup go; brackets, ampersands and other scripts stay."""
    assert normalize_line(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("In <Endless Garden>, a game", "In ‹Endless Garden>, a game"),
        ("the skill <<Blade>> opens", "the skill <‹Blade>> opens"),
        ("the skill <Link> and <Portal>", "the skill ‹Link> and ‹Portal>"),
        ("learns that x<y is not x < y. I <3 it", "learns that x‹y is not x < y. I <3 it"),
        ("if a <b and c> d, then <i>e</i>", "if a ‹b and c> d, then e"),
        ("&lt;Endless Garden&gt; <em>opens</em>", "‹Endless Garden> opens"),
        ("<ruby>零<rp>(</rp><rt>れい</rt><rp>)</rp></ruby>の点", "零(れい)の点"),
        ("<ruby>零<rt>れい</ruby>の点", "零(れい)の点"),
        ("<B>Маяк</B> <A HREF='x'>там</A>", "Маяк там"),
    ],
)
def test_only_html_is_markup(text, clean):
    """Words in angle brackets stay, in titles and in descriptions; what could begin a tag gets another bracket."""
    assert normalize_line(text) == clean
    assert normalize_text(text) == clean


WORDS = st.text("abcdefghijклмн零点", min_size=1, max_size=8)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["{} ", "<{}х> ", "x<{}! ", "<i>{}</i> ", "&lt;{}х&gt; ", "{} < "]))))
def test_no_word_vanishes(pieces):
    """Whatever stands beside it: brackets, tags, entities."""
    clean = normalize_text("".join(form.format(word) for word, form in pieces)) or ""
    at = 0
    for word, _ in pieces:
        at = clean.index(word, at) + len(word)


IGNORABLE = [
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000, 97)),
]
"""Unicode's ``Default_Ignorable_Code_Point``."""


@pytest.mark.parametrize("code", [*IGNORABLE, 0x2800, 0xFFFD, 0xD83D], ids=hex)
def test_what_cannot_be_seen_makes_no_title(code):
    """Neither an empty one nor a second one; a title without it is found by one with it."""
    unseen = chr(code)
    assert normalize_line(unseen) is None
    assert normalize_text(f" {unseen}\n") is None
    assert unique(["Rei", f"{unseen}Rei", f"Rei{unseen}", unseen]) == ("Rei",)
    assert is_called(f"Rei{unseen} no", ["Rei no"])
    assert "".join((normalize_line(f"Re{unseen}i") or "").split()) == "Rei"


@pytest.mark.parametrize("text", ["می\u200cخواهم", "क्\u200dष", "👩\u200d👩\u200d👧 дома", "🏳\u200d🌈"])
def test_joiners_stay_where_they_carry_meaning(text):
    """Between letters of scripts that join, and between emoji; as a title of its own it is no other one."""
    assert normalize_line(text) == text
    assert unique([text, text.replace("\u200c", "").replace("\u200d", "")]) == (text,)


def test_texts_keep_their_paragraphs():
    """LF, at most one empty line, no blanks at line ends; HTML breaks become line ends."""
    assert normalize_text(" один \r\n\r\n\r\n\r\nдва<br>три<p>четыре</p>пять ") == "один\n\nдва\nтричетыре\nпять"


def test_alternatives_are_unique_whatever_their_case():
    """In their order, without blanks and without the main titles."""
    assert unique(["NL", " nl ", None, "", "Маяк", "Lighthouse"], "маяк") == ("NL", "Lighthouse")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ("Side Story", "side_story"),
        ("SIDE_STORY", "side_story"),
        (" Spin-Off ", "spin_off"),
        ("Zukünftig", "zukunftig"),
        ("4-koma manga", "4_koma_manga"),
        ("?", None),
        ("", None),
        (None, None),
    ],
)
def test_words_of_a_list_are_in_snake_case(words, word):
    """Whatever the upstream puts between them."""
    assert snake(words) == word


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("one piece", "ONE PIECE"),
        ("Re:Zero kara", "Re Zero: Kara"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "Full Width"),
        ("ﾜﾝﾋﾟｰｽ", "ワンピース"),
        ("☆", " ☆ "),
        ("？！", "?!"),
    ],
)
def test_a_title_is_the_same_in_another_writing(title, name):
    """Case, width, blanks and punctuation do not tell titles apart, unless there is nothing else."""
    assert is_called(title, [None, "Another", name])


@pytest.mark.parametrize(
    ("title", "names"), [("One Piece", ["One Piece Film"]), ("☆", [None, "", "★", "Name"]), ("K", []), ("K", ["K-On!"])]
)
def test_another_title_is_another(title, names):
    """Also beside names that are missing, and for titles without a letter."""
    assert not is_called(title, names)
