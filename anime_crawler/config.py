"""The settings a user sets, read once from environment and ``.env`` (environment wins), checked before anything runs.

README's table and ``.env.example`` are generated from `Config`: a field's description is its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from anime_crawler.politeness.limits import Limits, parse_limits

PLACEHOLDERS = frozenset(
    {
        "changeme",
        "change_me",
        "your_token",
        "your_token_here",
        "token",
        "secret",
        "xxx",
        "test",
        "todo",
        "placeholder",
    }
)
"""Values people leave in from examples; a run with one would fail later and less clearly."""


class ConfigError(Exception):
    """A setting is missing or wrong. Exit code 2; the message names it, what was read, and an example."""


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", value):
        raise ValueError("not an http(s) address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address without credentials, query or fragment is wanted")
    return value.rstrip("/")


def _api_root(value: str) -> str:
    return re.sub(r"/api$", "", value)


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("has a blank, a line end or a non-ASCII character in it")
    if text.strip("<>").lower().replace("-", "_") in PLACEHOLDERS:
        raise ValueError("is the placeholder of an example, not a token")
    return value


def _names(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _blank_is_unset(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Url = Annotated[str, AfterValidator(_http_url)]
Token = Annotated[Annotated[SecretStr, AfterValidator(_token)] | None, BeforeValidator(_blank_is_unset)]
LimitText = Annotated[
    Limits | None,
    BeforeValidator(lambda v: parse_limits(v) if isinstance(v, str) and v.strip() else None if v == "" else v),
]


class Config(BaseSettings):
    """Every setting of the project. Field ``kodik_api_token`` is variable ``KODIK_API_TOKEN``."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, enable_decoding=False
    )

    kodik_api_token: Token = Field(
        None,
        description="Kodik's API token. Needed to crawl the real Kodik; write to Kodik's support naming your site to get one.",
        examples=["0123456789abcdef0123456789abcdef"],
    )
    kodik_base_url: Url = Field(
        "https://kodik-api.com",
        description="Address of the Kodik API. The old kodikapi.com is not Kodik any more.",
        examples=["https://kodik-api.com"],
    )
    shikimori_base_url: Annotated[Url, AfterValidator(_api_root)] = Field(
        "https://shikimori.io",
        description="Address of Shikimori, with or without a trailing /api.",
        examples=["https://shikimori.io"],
    )
    backend_base_url: Annotated[Url | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        description="Backend to import into. Unset: the catalogue is the only target.",
        examples=["http://localhost:8000"],
    )
    internal_token: Token = Field(
        None,
        description="The backend's INTERNAL_TOKEN; required with BACKEND_BASE_URL.",
        examples=["a-long-random-string-shared-with-the-backend"],
    )
    database_url: str = Field(
        "sqlite:///var/anime.db",
        description="Catalogue: a SQLite file or a PostgreSQL database.",
        examples=["postgresql+psycopg://user:password@localhost/anime"],
    )
    concurrency: int = Field(
        4,
        ge=1,
        le=64,
        description="POSTs in flight at the backend. More than 4 makes the real one slower.",
        examples=["4"],
    )
    http_timeout_seconds: float = Field(30, gt=0, le=600, description="Longest wait for one answer.", examples=["30"])
    max_retries: int = Field(
        3,
        ge=0,
        le=20,
        description="Further attempts after a failed one, on 429, 5xx, timeouts and broken answers.",
        examples=["3"],
    )
    backoff_base_seconds: float = Field(
        1,
        gt=0,
        le=600,
        description="Pause before the first further attempt; doubles each time, with jitter.",
        examples=["1"],
    )
    backoff_max_seconds: float = Field(60, gt=0, le=3600, description="Longest such pause.", examples=["60"])
    rate_limit_rps: Annotated[float | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        gt=0,
        le=1000,
        description="When set: at most this many requests a second to each upstream, on top of its own limits.",
        examples=["2"],
    )
    kodik_limits: LimitText = Field(
        None,
        description="Replaces the limits on Kodik's source card; `off` for none.",
        examples=["2/s,30/min"],
    )
    shikimori_limits: LimitText = Field(
        None, description="Replaces the limits on Shikimori's source card.", examples=["5/s,90/min"]
    )
    backend_limits: LimitText = Field(None, description="Limit for the backend; none by default.", examples=["100/s"])
    title_languages: Annotated[list[str], BeforeValidator(_names)] = Field(
        ["romaji", "en", "ru"],
        description="Which title the backend gets: the first of these that is known. It makes its addresses from the title's Latin letters, so Russian first costs readable addresses and time.",
        examples=["romaji,en,ru"],
    )
    translation_priority: Annotated[list[str], BeforeValidator(_names)] = Field(
        ["voice", "subtitles"],
        description="Translations to show first, best first: ids, names, or the kinds `voice` and `subtitles`.",
        examples=["AniDUB,610,voice,subtitles"],
    )
    refresh_ongoing_hours: float = Field(
        24,
        gt=0,
        description="Age at which the metadata of an airing title is fetched again.",
        examples=["24"],
    )
    refresh_released_days: float = Field(
        30,
        gt=0,
        description="Age at which the metadata of any other title is fetched again.",
        examples=["30"],
    )

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Config:
        """The checked settings.

        Args:
            overrides: values given on the command line (``-s NAME=value``), by upper-case name; they win.

        Raises:
            ConfigError: naming the setting, what was read, and an example.
        """
        try:
            config = cls(**{name.lower(): value for name, value in (overrides or {}).items()})
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(cls, e) for e in error.errors(include_input=True))) from None
        if config.backend_base_url and not config.internal_token:
            raise ConfigError(
                "INTERNAL_TOKEN is required with BACKEND_BASE_URL: set it to the backend's own INTERNAL_TOKEN"
            )
        return config


def is_secret(name: str) -> bool:
    """Whether the setting's value must never be shown."""
    return name.upper().endswith("_TOKEN")


def _explain(model: type[Config], error: Any) -> str:
    name = str(error["loc"][0]).lower()
    field = model.model_fields[name]
    example = (field.examples or [""])[0]
    read = "a secret value" if is_secret(name) else repr(error.get("input"))
    return (
        f"{name.upper()}: {error['msg'].removeprefix('Value error, ')}; read {read}; example: {name.upper()}={example}"
    )
