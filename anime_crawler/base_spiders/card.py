"""The source card: what a source declares about its upstream, read by settings, rate limits and diagnose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Secret:
    """A credential the upstream wants. The card holds its *name*; the value is read when a request leaves."""

    setting: str
    """Name of the environment variable: ``KODIK_API_TOKEN``."""
    placement: Literal["form", "header"]
    """Where it is put: a field of the urlencoded POST body, or a header."""
    name: str
    """Name of that field or header."""
    how_to_get: str
    """One sentence for the person who has none."""
    prefix: str = ""
    """Text that is sent before the value: ``Bearer ``."""
    example: str = "0123456789abcdef0123456789abcdef"
    """An example of the value; it is refused when it is left in."""


@dataclass(frozen=True)
class SourceSetting:
    """A setting that only this source has."""

    name: str
    """Of the environment variable; begins with the source's: ``ANILIST_MASS_COLLECTION``."""
    default: bool | int | str | None
    """Its type is the setting's; ``None``: a text that is unset."""
    description: str
    example: str


@dataclass(frozen=True)
class Probe:
    """The cheapest call that shows whether the upstream answers us and takes our credentials. No secrets in it."""

    path: str
    """Below the source's base address, ``/list``."""
    form: Mapping[str, str] | None = None
    """Fields of an urlencoded POST body."""
    json: Mapping[str, Any] | None = None
    """A JSON POST body; with neither form nor json the call is a GET."""


@dataclass(frozen=True)
class SourceCard:
    """One upstream, declared. Lives in ``sources/<name>/__init__.py`` as ``CARD``."""

    name: str
    """Folder name; first word of the spider name."""
    title: str
    """How people call it."""
    documentation: str
    """Address of its documentation, or "unofficial, observed <date>"."""
    base_url: str
    """Default address, no trailing slash."""
    limits: str
    """Windows that hold together, ``5/s,90/min``; every process on the machine shares them."""
    limits_origin: str
    """The origin of these numbers: who states them, or what was seen and when."""
    item_kinds: tuple[str, ...]
    """Names of the item classes its spider yields."""
    base_url_setting: str | None = None
    """Setting that replaces `base_url`."""
    limits_setting: str | None = None
    """Setting that replaces `limits`."""
    other_urls: tuple[str, ...] = ()
    """Addresses of further hosts that it is asked at, as long as `base_url` is not replaced by a setting."""
    base_url_suffix: str = ""
    """End of the address that people write and we do not: ``/api``."""
    limit_reserve: int = 0
    """When ``X-RateLimit-Remaining`` is down to this, nobody asks until the limit is new."""
    limit_rest_s: float | None = None
    """Seconds of rest when the limit is reached, or all but the reserve, and no header says for how long.
    ``None``: after a 429 as after other failures, else none."""
    block_rest_s: float = 3600.0
    """Seconds for which nobody asks again after a block that does not say for how long it lasts. An hour is our guess
    where nobody knows: who asks on is shut out for longer."""
    block_origin: str = ""
    """The origin of `block_rest_s`: who states how long a block lasts, or that nobody does."""
    known_as: str | None = None
    """Name under which other sources give its ids, where that is not `name`: ``mal``."""
    ongoing_age_days: int = 1
    """Age at which `Run.wanted` names an airing anime again, to a source that is asked for one anime at a time."""
    other_age_days: int = 30
    """The same for any other anime."""
    secrets: tuple[Secret, ...] = ()
    settings: tuple[SourceSetting, ...] = ()
    usual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind of record -> fields of its items that nearly every record has: ``{"anime": ("titles.romaji", "kind")}``.
    Kinds are the items' names in lower case, and ``appearance`` for a character's role and voices. A run in which
    20 records in a row lack such a field says that it has vanished, and ends with exit code 1 (`catalogue.vanished`).
    """
    obeys_robots: bool = False
    """True for crawled web sites; APIs are used by their own rules."""
    max_body_bytes: int = 16 * 2**20
    """Larger bodies, after decompression, are refused. The reason stands in the card."""
    cache_ttl_s: int | None = None
    """Seconds for which an answer may be used again when the server says nothing of that; 86,400 is usual for metadata.
    ``None``: only as the server's own headers allow. Either way it serves lookups, never a walk that looks for news
    (`SourceSpider.lookups`). A single request of a lookup that is to be answered anew says so with the header
    ``Cache-Control: no-cache``; with meta ``dont_cache`` its answer is not kept."""
    probe: Probe = Probe("/")
    """The call that ``scrapy diagnose`` makes; the spider's `judge` says what its answer means."""

    @property
    def cache_ttl_setting(self) -> str:
        """Setting that replaces `cache_ttl_s`."""
        return f"{self.name.upper()}_CACHE_TTL_SECONDS"
