"""`Key` and `Entry` are the keys and values of the HTTP cache, the same in every storage. Neither holds a secret."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from scrapy import Request
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes

NEGOTIATED = ("accept", "accept-language", "content-type")
"""These request headers are part of every key: APIs choose an answer by them and do not say so in ``Vary``."""
STORED_AT = struct.Struct(">d")
HTTP, RESULT = "http_cache", "result_cache"
"""Keys have one of two families: answers of upstreams, and results of lookups. ``scrapy cache`` shows both."""
FORMAT = b"1"  # every key holds this; after a change of the format no old entry is found, and the old ones expire


class BadEntry(ValueError):  # noqa: N818  the name says what is wrong
    """A kept value cannot be read. The answer is fetched anew."""


@dataclass(frozen=True)
class Key:
    """A `Key` identifies an entry or a lease."""

    source: str
    digest: str
    family: str = HTTP


@dataclass
class Entry:
    """An `Entry` is an answer as the cache keeps it; one with `vary` only names the headers of the answer's key."""

    stored_at: float
    age_s: float = 0.0
    """Age of the answer in seconds when it was stored."""
    vary: list[str] = field(default_factory=list)
    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def age_at(self, now: float) -> float:
        """Seconds since the server made the answer; at least `age_s`, even if the clock was set back."""
        return self.age_s + max(0.0, now - self.stored_at)

    def response(self, request: Request, flag: str) -> Response:
        """The answer as a Scrapy response with this flag."""
        kind = responsetypes.from_args(headers=self.headers, url=request.url, body=self.body)
        return kind(request.url, status=self.status, headers=self.headers, body=self.body, flags=[flag])

    def pack(self) -> bytes:
        """The time of storing, then the compressed rest. At level 1 JSON shrinks tenfold, at 100 MB/s."""
        headers = [[n.decode("latin-1"), [v.decode("latin-1") for v in vs]] for n, vs in self.headers.items()]
        head = json.dumps({"age_s": self.age_s, "vary": self.vary, "status": self.status, "headers": headers})
        return STORED_AT.pack(self.stored_at) + zlib.compress(head.encode() + b"\n" + self.body, 1)

    @classmethod
    def unpack(cls, value: bytes) -> Entry:
        """The entry that `pack` was called on. Pickle is not used: a writer to the storage must not run code here.

        Raises:
            BadEntry: if the value cannot be read.
        """
        try:
            head, _, body = zlib.decompress(value[STORED_AT.size :]).partition(b"\n")
            fields = json.loads(head)
            headers = Headers({name.encode("latin-1"): values for name, values in fields.pop("headers")}, "latin-1")
            return cls(stored_at=stored_at(value), headers=headers, body=body, **fields)
        except (zlib.error, struct.error, ValueError, TypeError, AttributeError, KeyError) as error:
            raise BadEntry(str(error)) from error


def stored_at(value: bytes) -> float:
    """Unix time at which a packed entry was stored; the entry's first 8 bytes are enough."""
    return float(STORED_AT.unpack(value[: STORED_AT.size])[0])


def key_of(source: str, request: Request, vary: Sequence[str] = (), form: str = "") -> Key:
    """The key of a request's answer: method, address, body, and the headers that choose among answers.

    Args:
        form: names a change that this crawler makes to answers; empty for answers as they came.
    """
    names = (*NEGOTIATED, *vary)
    chosen = [f"{name}: ".encode() + b", ".join(request.headers.getlist(name)) for name in names]
    parts = (
        FORMAT + form.encode(),
        request.method.encode(),
        request.url.encode(),
        sha256(request.body).digest(),
        *chosen,
    )
    return Key(source, sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest())
