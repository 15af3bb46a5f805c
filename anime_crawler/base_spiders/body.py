"""Reading bodies: each response once, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from scrapy.http import Response

from anime_crawler.base_spiders.errors import NotJsonError

Document = TypeVar("Document")
_documents: WeakKeyDictionary[Response, Any] = WeakKeyDictionary()
"""Parsed bodies of the responses that are alive: judged first, then read by the callback."""


def read_once(response: Response, read: Callable[[bytes], Document]) -> Document:
    """What `read` makes of the body at the first call, remembered while the response lives."""
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


def parse_json(body: bytes) -> Any:
    """The document of a body.

    Raises:
        NotJsonError: not JSON, cut short, or nested too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error.msg} at character {error.pos}") from None
