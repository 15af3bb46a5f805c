"""Shikimori's BBCode, which other catalogues copy together with its descriptions, as plain text.

The order of the steps matters; it follows the site's own tags (its ``bb_codes`` services, read 2025-01).
"""

from __future__ import annotations

import re

from anime_crawler.normalize.text import normalize_text

LONGEST = 20_000
"""Characters looked at. Genuine descriptions end below 6,000; looking for a tag's end is quadratic in the text."""

ENTITY = r"character|anime|manga|ranobe|person"
FLAGS = re.IGNORECASE | re.DOTALL
STEPS = [
    (re.compile(r"\[source\].*?\[/source\]", FLAGS), ""),
    (re.compile(rf"\[({ENTITY})\]\s*\d+\s*\[/\1\]", FLAGS), ""),  # the id is the text
    (re.compile(rf"\[({ENTITY})(?:=[^\]]*)?\](.*?)\[/\1\]", FLAGS), r"\2"),
    (re.compile(rf"\[/?(?:{ENTITY})(?:[=\s][^\]]*)?\]", FLAGS), ""),
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]"), r"\1"),
]
SPOILER = re.compile(r"\[(spoiler(?:_block)?)\b[^\]]*\](?:(?!\[spoiler).)*?\[/\1\]", FLAGS)
SPOILER_BARS = re.compile(r"\|\|[^|]+\|\|")
AFTER_SPOILERS = [
    (re.compile(r"\[url=[^\]]*\](.*?)\[/url\]", FLAGS), r"\1"),
    (re.compile(r"\[(url|img|image|poster|video)\b[^\]]*\][^\[\]]*\[/\1\]", FLAGS), ""),
    (re.compile(r"\[(?:img|image|poster|video)\b[^\]]*\]", FLAGS), ""),
    (re.compile(r"\[(?:br|hr|\*|/list|/quote|/div|/p|/center|/right|/h[1-6])\]", FLAGS), "\n"),
    (
        re.compile(
            r"\[/?(?:b|i|u|s|size|color|url|quote|list|h[1-6]|div|span|p|center|right|left|source|code|spoiler"
            r"|spoiler_block|img|image|poster|video)(?:[=\s][^\]]*)?\]",
            FLAGS,
        ),
        "",
    ),
    (re.compile(r"[^\S\n]*\[[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff66-\uff9f々〆・ー\s]+\]"), ""),
]


def normalize_description(text: str | None) -> str | None:
    """Plain text: no BBCode, no HTML, no spoilers, LF line ends; ``None`` when nothing is left."""
    if not text:
        return None
    text = text[:LONGEST].replace("\r\n", "\n")
    if "[" in text or "||" in text:
        text = without_bbcode(text)
    return normalize_text(text)


def without_bbcode(text: str) -> str:
    """The text without the tags that are known; ``[1]`` and other brackets stay."""
    for pattern, replacement in STEPS:
        text = pattern.sub(replacement, text)
    found = 1
    while found:  # spoilers inside spoilers, innermost first
        text, found = SPOILER.subn("", text)
    text = SPOILER_BARS.sub("", text)
    for pattern, replacement in AFTER_SPOILERS:
        text = pattern.sub(replacement, text)
    return text
