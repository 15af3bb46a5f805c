"""Reading JSON bodies: each response once, whoever asks."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import orjson
from scrapy.http import Response

from anime_crawler.base_spiders.errors import NotJsonError

_documents: WeakKeyDictionary[Response, Any] = WeakKeyDictionary()
"""Parsed bodies of the responses that are alive: judged first, then read by the callback."""


def json_body(response: Response) -> Any:
    """The response's JSON document, parsed at the first call and remembered while the response lives.

    Raises:
        NotJsonError: not JSON, cut short, or nested too deep.
    """
    if response not in _documents:
        _documents[response] = parse_json(response.body)
    return _documents[response]


def parse_json(body: bytes) -> Any:
    """The document of a body.

    Raises:
        NotJsonError: not JSON, cut short, or nested too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {error.msg} at character {error.pos}") from None
