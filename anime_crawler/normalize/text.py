"""Texts that people wrote, made safe to show: no markup, nothing that cannot be seen, no terminal escapes.

What cannot be seen goes: control and format characters, direction marks, soft hyphens, variation selectors, Hangul
fillers and the blank of Braille (these two are shown as blanks), halves of characters and U+FFFD, which stands for
them. Two format characters carry meaning in some scripts and stay there: the zero-width joiner and non-joiner between
two letters of Arabic or an Indic script (``می‌خواهم``), and the joiner between two emoji.

Only HTML's own elements are markup. What else stands in angle brackets are words, ``<Endless Garden>``, and stays; its
bracket is replaced by ``‹`` where a browser could take it for a tag.
"""

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
JOINING = (
    "\u0620-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\u1a20-\u1bff"
    "\ua840-\ua9ff\uaa00-\uaaff\ufb50-\ufdff\ufe70-\ufefc"
)
"""Letters and signs of scripts in which joiners change what is written: Arabic, Syriac, Indic and their kin."""
EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
KEPT_JOINER = rf"(?:(?<=[{JOINING}])[\u200c\u200d](?=[{JOINING}])|(?<=[{EMOJI}\ufe0f])\u200d(?=[{EMOJI}]))"
UNSEEN_BUT_PRINTABLE = "\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\ufffd\U000e0100-\U000e01ef"
"""Marks that Unicode calls default-ignorable, for which `str.isprintable` is true; and what stands for a lost one."""
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs that are shown as a blank."""
INVISIBLE = re.compile(
    rf"(?!{KEPT_JOINER})["
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad"  # control characters but tab and line feed; soft hyphen
    r"\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"  # format characters; direction marks reorder what is read
    r"\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\uffff"  # halves of characters, no characters, interlinear marks
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # format characters of shorthand and of musical notes
    r"\U000e0000-\U000e0fff"  # tags, variation selectors, what may become such
    rf"{UNSEEN_BUT_PRINTABLE}]"
)
ODD_BUT_PRINTABLE = re.compile(f"[<&{UNSEEN_BUT_PRINTABLE}{BLANKS}]")
BLANK = re.compile(f"[{BLANKS}]")
JOINER = re.compile("[\u200c\u200d]")
NO_WORD = re.compile(r"[\W_]+")
EMPTY_LINES = re.compile(r"\n{3,}")
LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
ELEMENT = (
    r"(?:abbr|acronym|address|applet|area|article|aside|audio|a|basefont|base|bdi|bdo|bgsound|big|blink|blockquote|body"
    r"|br|button|b|canvas|caption|center|cite|code|colgroup|col|datalist|data|dd|del|details|dfn|dialog|dir|div|dl|dt"
    r"|embed|em|fieldset|figcaption|figure|font|footer|form|frameset|frame|h[1-6]|header|head|hgroup|hr|html|iframe|image"
    r"|img|input|ins|isindex|i|kbd|keygen|label|legend|link|listing|li|main|map|mark|marquee|math|menuitem|menu|meta"
    r"|meter|mglyph|mtext|nav|nobr|noembed|noframes|noscript|object|ol|optgroup|option|output|param|picture|plaintext"
    r"|portal|pre|progress|p|q|rb|rp|rtc|rt|ruby|samp|script|section|select|slot|small|source|spacer|span|strike|strong"
    r"|style|sub|summary|sup|svg|s|table|tbody|td|template|textarea|tfoot|thead|th|time|title|track|tr|tt|ul|u|var|video"
    r"|wbr|xmp)"
)
"""HTML's elements, today's and former ones."""
NAMED = r"(?-i:(?!Span|Strong|Font|Center|Div|Ruby|Blockquote|Script|Style)[A-Z][a-z]{2,})"
"""How people write what they name, ``<Link>``, ``<Portal>``; HTML is written in small letters, formerly in capitals."""
MARKUP = re.compile(
    rf"</?(?!{NAMED}){ELEMENT}\s*/?>"
    rf"|<{ELEMENT}(?=[\s/])[^<>]*="  # with attributes; ``a <b and c>d`` has none
    r"|<!--|<!doctype\b|<!\[CDATA\["
    r"|<[^<>]*\son[a-z]+\s*=",  # code in an element of any name
    re.IGNORECASE,
)
"""Where HTML begins: ``IS <Infinite Stratos>`` is a title."""
BREAK = re.compile(r"<\s*(?:br|hr|/p|/div|/li|/tr|/h[1-6])\b[^<>]*>", re.IGNORECASE)
READING = re.compile(
    r"<rp\b[^<>]*>.*?(?:</rp\s*>|(?=<r))|<rt\b[^<>]*>(.*?)(?:</rt\s*>|(?=<r[tpb]\b|</ruby))",
    re.IGNORECASE | re.DOTALL,
)
"""The reading beside a word, ``<ruby>零<rt>れい</rt></ruby>``, and brackets for browsers that do not show it above."""
TAG_START = re.compile(r"<(?=[A-Za-z/!?])")


@lru_cache(4096)  # genres, studios and teams come again with every record
def normalize_line(text: str | None) -> str | None:
    """A title or name in one line; ``None`` when nothing visible is left."""
    if not text:
        return None
    if text.isprintable() and not ODD_BUT_PRINTABLE.search(text):  # nearly all, and a hundred times faster
        return (" ".join(text.split()) if "  " in text else text.strip()) or None
    text = without_html(without_controls(text))
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
    if not text.replace("\n", "").isprintable() or ODD_BUT_PRINTABLE.search(text):
        text = _disarmed(without_html(without_controls(text)))
    lines = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return EMPTY_LINES.sub("\n\n", lines).strip() or None


def without_controls(text: str) -> str:
    """The text without terminal escapes and characters that cannot be seen; line ends become LF."""
    text = LINE_END.sub("\n", TERMINAL_ESCAPE.sub("", text))
    return BLANK.sub(" ", INVISIBLE.sub("", text))


def without_html(text: str) -> str:
    """Plain text of HTML: no element of HTML is in it any more, however often it was escaped; all words stay.

    A reading that stands above a word follows it in brackets.
    """
    for _ in range(5):  # each round undoes one level of escaping; nobody honest needs more than two
        before, text = text, _unescaped(text)
        if MARKUP.search(bare := html.unescape(text)):  # also where the semicolon is missing: ``&ltscript&gt``
            text = bare
            text = READING.sub(lambda found: f"({found[1]})" if found[1] else "", BREAK.sub("\n", text))
            text = html.unescape(nh3.clean(_escaped_words(text), tags=set()))
        if text == before:
            break
    return text


def _escaped_words(text: str) -> str:
    """The text, in which each ``<`` that begins no markup is an entity: to a parser it is a character then."""
    found, end = [], 0
    for start in (match.start() for match in re.finditer("<", text)):
        if not MARKUP.match(text, start):
            found += [text[end:start], "&lt;"]
            end = start + 1
    return "".join([*found, text[end:]])


def _disarmed(text: str) -> str:
    """The text once entities have become characters: none of them is a control character or begins a tag."""
    return TAG_START.sub("‹", without_controls(text))


def _unescaped(text: str) -> str:
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), text)


def unique(texts: list[str | None], *but: str | None) -> tuple[str, ...]:
    """The texts in their order without blanks, repeats (whatever the case and joiners), and those of `but`."""
    seen = {_key(text) for text in but if text}
    kept = []
    for raw in texts:
        text = normalize_line(raw)
        if text and (key := _key(text)) not in seen:
            seen.add(key)
            kept.append(text)
    return tuple(kept)


def _key(text: str) -> str:
    return text.casefold() if text.isascii() else JOINER.sub("", unicodedata.normalize("NFC", text)).casefold()


def folded(title: str) -> str:
    """A title for comparison: letters and digits alone, whatever their case and width; one without any, all of it."""
    text = unicodedata.normalize("NFKC", without_controls(title)).casefold()
    return "".join(filter(str.isalnum, text)) or text.strip()


def is_called(title: str, names: Iterable[str | None]) -> bool:
    """Whether one of the names is this title but for case, width, blanks and punctuation.

    For what a search has found: none of the upstreams' is exact, and most prefer what is popular.
    """
    wanted = folded(title)
    return any(folded(name) == wanted for name in names if name)
