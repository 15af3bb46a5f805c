"""Reading bodies: each response once, whoever asks, and whatever in it can be read."""

from __future__ import annotations

import codecs
import json
import logging
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from scrapy.http import Response

from anime_crawler.base_spiders.errors import NotJsonError

logger = logging.getLogger(__name__)
Document = TypeVar("Document")
_documents: WeakKeyDictionary[Response, Any] = WeakKeyDictionary()
"""Parsed bodies of the responses that are alive: judged first, then read by the callback."""

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's, which begins with the same two bytes
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
DECLARED = re.compile(
    rb"<\?xml[^>]{0,100}?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})"
    rb"|<meta[^>]{0,200}?\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9._-]{1,40})",
    re.IGNORECASE,
)
"""Where a document in XML or HTML says how it is written."""
HEAD = 4096
"""Bytes in which a page must declare its encoding; HTML wants it in the first 1,024."""
HALF = re.compile("[\ud800-\udfff]")
"""Half of a character beyond U+FFFF, as a text leaves it that was cut between the two."""


def read_once(response: Response, read: Callable[[bytes], Document]) -> Document:
    """`read_once` calls `read` on the body once, and remembers the result while the response lives."""
    if response not in _documents:
        _documents[response] = read(response.body)
    document: Document = _documents[response]
    return document


def json_body(response: Response) -> Any:
    """The response's JSON document, as by `read_once`.

    Raises:
        NotJsonError: not JSON, cut short, or nested too deep.
    """
    return read_once(response, parse_json)


def parse_json(body: bytes | str) -> Any:
    """The document of a body; the one reader of JSON that all sources use.

    What strict JSON forbids and can be understood all the same costs a value, never the page: a byte order mark goes;
    bytes that are no UTF-8 and half characters become U+FFFD, which the cleaners of `normalize` take out; ``NaN`` and
    ``Infinity`` are null; control characters inside texts stay.

    Raises:
        NotJsonError: not JSON, cut short, or nested too deep.
    """
    body = body.removeprefix("\ufeff") if isinstance(body, str) else body.removeprefix(codecs.BOM_UTF8)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        wrong = f"{error.msg} at character {error.pos}"
    try:
        document = _parse_leniently(body if isinstance(body, str) else text_of_bytes(body))
    except (ValueError, RecursionError):
        raise NotJsonError(f"not JSON: {wrong}") from None
    tell_mended("JSON", wrong)
    return document


def tell_mended(form: str, wrong: str) -> None:
    """Log that an answer broke the rules of its form, and was read all the same."""
    logger.warning("An answer is not quite %s (%s); what can be read of it was read.", form, wrong)


def _parse_leniently(text: str) -> Any:
    document = json.loads(
        text,
        strict=False,
        parse_constant=lambda _: None,
        parse_int=_number,
        parse_float=_number,
    )
    return _without_halves(document) if "\\u" in text or HALF.search(text) else document


def _number(digits: str) -> int | float | None:
    """As orjson reads it: a whole number of more than 64 bits becomes a float; one beyond all floats is null."""
    if digits.lstrip("-").isdigit() and len(digits) < 19:
        return int(digits)
    value = float(digits)
    return value if math.isfinite(value) else None


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_halves(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_halves(key): _without_halves(inner) for key, inner in value.items()}
    return value


def text_of_bytes(body: bytes) -> str:
    """The text of a body, whatever it says of its encoding; what is broken in it becomes U+FFFD.

    A byte order mark decides, then UTF-8 where all of the body is that, then what the document declares. A declared
    encoding that nobody knows, or that does not fit, counts as UTF-8 with something broken in it.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        pass
    found = DECLARED.search(body[:HEAD])
    declared = (found[1] or found[2]).decode() if found else "utf-8"
    # Some letters in UTF-8 that are whole show that it is UTF-8 with something broken, whatever is declared.
    broken = body.decode("utf-8", "replace")
    if broken.count("\ufffd") * 10 < sum(character > "\x7f" for character in broken):
        return broken
    try:
        return body.decode(declared, "replace")
    except LookupError:
        return broken


def in_utf8(body: bytes) -> bytes:
    """The body of a page in the encoding in which its marks are looked for, whatever it was written in."""
    return text_of_bytes(body).encode("utf-8", "replace")
