"""Texts that people wrote, made safe to show: no markup, no control characters, no terminal escapes."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import nh3

TERMINAL_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x9b[0-?]*[ -/]*[@-~]"  # the same in one character
    r"|\x1b\][^\x07\x1b]{0,999}(?:\x07|\x1b\\)?"  # OSC: window title, links
    r"|\x1b[PX^_][^\x1b]{0,999}(?:\x1b\\)?"  # device control and other strings
    r"|\x1b."
)
INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    r"\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks: they reorder what a reader sees
    r"\u2060\ufeff\ufffe\uffff\ud800-\udfff]"  # byte order mark, halves of characters, what is no character
    r"|[\U000e0000-\U000e007f]"  # tag characters
)
NO_WORD = re.compile(r"[\W_]+")
EMPTY_LINES = re.compile(r"\n{3,}")
LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
HTML_ELEMENT = re.compile(
    r"</?(?:a|abbr|audio|b|base|blockquote|body|br|button|center|code|div|em|embed|font|form|frame|frameset|h[1-6]|head"
    r"|hr|html|i|iframe|image|img|input|li|link|math|marquee|meta|object|ol|p|pre|s|script|select|small|span|strike"
    r"|strong|style|sub|sup|svg|table|tbody|td|template|textarea|th|title|tr|u|ul|video|xmp)(?:[\s/>]|$)|<!--"
    r"|<[^>]*\son[a-z]+\s*=",
    re.IGNORECASE,
)
"""A tag that means markup: ``IS <Infinite Stratos>`` is a title."""
BREAK = re.compile(r"<\s*(?:br|hr|/p|/div|/li|/tr|/h[1-6])\b[^>]*>", re.IGNORECASE)
TAG_START = re.compile(r"<(?=[A-Za-z/!?])")


@lru_cache(4096)  # genres, studios and teams come again with every record
def normalize_line(text: str | None) -> str | None:
    """A title or name in one line; ``None`` when nothing visible is left."""
    if not text:
        return None
    if text.isprintable() and "<" not in text and "&" not in text:  # nearly all, and a hundred times faster
        return (" ".join(text.split()) if "  " in text else text.strip()) or None
    text = without_controls(text)
    text = without_html(text) if HTML_ELEMENT.search(html.unescape(text)) else _unescaped(text)
    return " ".join(_disarmed(text).split()) or None


@lru_cache(1024)  # the same few words come with every record
def snake(words: str | None) -> str | None:
    """``Side Story`` and ``SIDE-STORY`` as ``side_story``, without accents; ``None`` when no letter is left."""
    letters = unicodedata.normalize("NFKD", normalize_line(words) or "").lower()
    return NO_WORD.sub("_", "".join(c for c in letters if not unicodedata.combining(c))).strip("_") or None


def normalize_text(text: str | None) -> str | None:
    """A text of several lines without HTML, LF line ends, at most one empty line in a row; ``None``: nothing left."""
    if not text:
        return None
    if not text.replace("\n", "").isprintable():
        text = without_controls(text)
    if "<" in text or "&" in text:
        text = _disarmed(without_html(text))
    lines = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return EMPTY_LINES.sub("\n\n", lines).strip() or None


def without_controls(text: str) -> str:
    """The text without terminal escapes and characters that cannot be seen; line ends become LF."""
    return INVISIBLE.sub("", LINE_END.sub("\n", TERMINAL_ESCAPE.sub("", text)))


def without_html(text: str) -> str:
    """Plain text of HTML: nothing in it is a tag any more, however often it was escaped."""
    for _ in range(5):  # each round undoes one level of escaping; nobody honest needs more than two
        before = text
        text = html.unescape(nh3.clean(BREAK.sub("\n", html.unescape(text)), tags=set()))
        if text == before:
            break
    return text


def _disarmed(text: str) -> str:
    """The text once entities have become characters: none of them is a control character or begins a tag."""
    return TAG_START.sub("‹", without_controls(text))


def _unescaped(text: str) -> str:
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), text)


def unique(texts: list[str | None], *but: str | None) -> tuple[str, ...]:
    """The texts in their order without blanks, repeats (whatever the case), and those of `but`."""
    seen = {text.casefold() for text in but if text}
    kept = []
    for raw in texts:
        text = normalize_line(raw)
        if text and text.casefold() not in seen:
            seen.add(text.casefold())
            kept.append(text)
    return tuple(kept)


def folded(title: str) -> str:
    """A title for comparison: letters and digits alone, whatever their case and width; one without any, all of it."""
    text = unicodedata.normalize("NFKC", title).casefold()
    return "".join(filter(str.isalnum, text)) or text.strip()


def is_called(title: str, names: Iterable[str | None]) -> bool:
    """Whether one of the names is this title but for case, width, blanks and punctuation.

    For what a search has found: none of the upstreams' is exact, and most prefer what is popular.
    """
    wanted = folded(title)
    return any(folded(name) == wanted for name in names if name)
