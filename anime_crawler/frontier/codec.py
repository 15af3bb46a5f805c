"""These functions turn a request into JSON and back.

Pickle is not used: a person who can write to a job directory must not be able to run code.
"""

from __future__ import annotations

from typing import Any

import orjson
from scrapy import Request, Spider
from scrapy.utils.request import request_from_dict

from anime_crawler.frontier.store import FrontierError

BYTES = "latin-1"  # maps the 256 byte values to the first 256 characters and back, and leaves ASCII readable


def request_to_json(request: Request, spider: Spider) -> bytes:
    """The request as UTF-8 JSON. A subclass of `Request` comes back as a plain `Request` that sends the same bytes.

    Raises:
        FrontierError: if JSON would change a value of the request; the message names the request.
    """
    try:
        fields = request.to_dict(spider=spider)
        return orjson.dumps(
            {
                **{name: fields[name] for name in Request.attributes},
                "body": fields["body"].decode(BYTES),
                "headers": [[k.decode(BYTES), [v.decode(BYTES) for v in vs]] for k, vs in fields["headers"].items()],
                **{name: _kept(name, fields[name]) for name in ("meta", "cb_kwargs", "cookies", "flags")},
            }
        )
    except (ValueError, TypeError) as error:
        raise FrontierError(f"{request} cannot be kept in the job directory: {error}") from error


def request_from_json(data: bytes, spider: Spider) -> Request:
    """The request that `request_to_json` was given.

    Raises:
        FrontierError: if the data is damaged, or if the spider no longer has the request's callback.
    """
    try:
        fields = orjson.loads(data)
        fields["body"] = fields["body"].encode(BYTES)
        fields["headers"] = {k.encode(BYTES): [v.encode(BYTES) for v in vs] for k, vs in fields["headers"]}
        # The key "_class" is never passed on: Scrapy would import the class that it names.
        return request_from_dict({name: fields[name] for name in Request.attributes}, spider=spider)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FrontierError(
            f"a request in the job directory cannot be read: {error!r}. Delete the directory: the run then continues "
            f"from the catalogue's checkpoint"
        ) from error


def _kept(name: str, value: Any) -> Any:
    """The value itself, after a check that JSON gives it back unchanged (a tuple would become a list)."""
    if not _same(orjson.loads(orjson.dumps(value)), value):
        raise ValueError(f"{name} holds a value that JSON changes; use str, int, float, bool, None, list and dict")
    return value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and bool(a == b)
