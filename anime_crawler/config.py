"""The settings a user sets, read once from environment and ``.env`` (environment wins), checked before anything runs.

``scrapy docs`` writes the table of ``docs/settings.md`` and ``.env.example`` from `Config`: a field's description is
its documentation. The settings of a source stand on its card; a new source brings its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from anime_crawler.base_spiders.card import SourceCard
from anime_crawler.download.proxy import check_proxies
from anime_crawler.rate_limit.limits import Limits, parse_limits
from anime_crawler.sources import cards

EXAMPLE_INTERNAL_TOKEN = "a-long-random-string-shared-with-the-backend"  # noqa: S105
PLACEHOLDERS = frozenset(
    {
        *("changeme", "change_me", "your_token", "your_token_here", "your_api_token", "token", "secret"),
        *("paste_your_token_here", "xxx", "test", "todo", "placeholder"),
        *(secret.example.replace("-", "_") for card in cards().values() for secret in card.secrets),
        EXAMPLE_INTERNAL_TOKEN.replace("-", "_"),
    }
)
"""Values people leave in from examples; a run with one would fail later and less clearly."""

LANGUAGES = ("romaji", "en", "ru", "native")
"""The languages a title can have, as `items.anime.Titles` names them."""

ENV_FILE = ".env"
"""Read from the directory the command is started in."""

Origin = Literal["command line", "environment", ".env", "default"]


ESCAPED = "in user name and password write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for %"
PLAIN_OPTIONS = frozenset({"host", "port", "sslmode", "connect_timeout", "target_session_attrs", "application_name"})
"""Options of a database's address, after its ``?``, that people may see; any other may be a credential."""


class ConfigError(Exception):
    """A setting is missing or wrong. Exit code 2; the message names it, what is wrong, and an example.

    What was read stands in it too, unless the value may hold a credential.
    """


def _parts(value: str) -> SplitResult:
    """The address taken apart. The library's own complaints repeat what may be a password."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises
    except ValueError:
        raise ValueError(
            f"has a host that is none, or as port no number (Port out of range 0-65535); {ESCAPED}"
        ) from None
    return parts


def _http_url(value: str) -> str:
    parts = _parts(value)
    if not value:
        raise ValueError("is empty; leave the setting out to have its default")
    if re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("has a blank or a line end in it")
    if parts.scheme not in ("http", "https"):
        raise ValueError("does not begin with http:// or https://")
    if not parts.hostname:
        raise ValueError("names no host")
    if re.search("[@;]|%40|%3A", parts.netloc + parts.path, re.IGNORECASE) or parts.query or parts.fragment:
        raise ValueError("has a user name, a password, a query or a fragment in it; leave all of them out")
    return value.rstrip("/")


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(f"is not a database address; {ESCAPED}") from None
    backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ValueError("is of another kind; sqlite or postgresql is wanted")
    if backend == "sqlite" and (url.host or url.username or url.password):
        raise ValueError(
            "has two slashes before the file: three are wanted (sqlite:///var/anime.db), four from the root"
        )
    if backend == "sqlite" and (url.query or "\0" in (url.database or "")):
        raise ValueError("has options after a ?, or a NUL (%00) in it; a SQLite file has neither")
    if backend == "postgresql" and (re.search("[^-\\w.:%]", url.host or "") or re.search("[@#]", url.database or "")):
        raise ValueError(f"has more than one @, or a #, in it, or a host that is none; {ESCAPED}")
    if not url.database or url.database == ":memory:":
        raise ValueError("names no database: a catalogue must outlive the process")
    if backend == "sqlite":
        return value
    # psycopg 3 is the driver that is installed, whatever the address says or leaves out.
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _redis_url(value: str) -> str:
    parts = _parts(value)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or re.search("[;%]", parts.hostname):
        raise ValueError(f"does not begin with redis:// or rediss:// and a host; {ESCAPED}")
    if parts.query or parts.fragment or not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError(f"has more after the host than the number of a database; {ESCAPED}")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("has a blank, a line end or a non-ASCII character in it")
    if text.strip("<>").lower().replace("-", "_") in PLACEHOLDERS:
        raise ValueError("is the placeholder of an example, not a token")
    return value


def _names(value: Any) -> Any:
    names = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not names:
        raise ValueError("names nothing")
    return names


def _languages(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in LANGUAGES]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not among {', '.join(LANGUAGES)}")
    return names


def _blank_is_unset(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _limits(value: Any) -> Any:
    value = _blank_is_unset(value)
    return parse_limits(value) if isinstance(value, str) else value


Url = Annotated[str, AfterValidator(_http_url)]
Token = Annotated[Annotated[SecretStr, AfterValidator(_token)] | None, BeforeValidator(_blank_is_unset)]
LimitText = Annotated[Limits | None, BeforeValidator(_limits)]


class ProjectConfig(BaseSettings):
    """The settings that do not belong to a source. Field ``database_url`` is variable ``DATABASE_URL``."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        enable_decoding=False,
    )

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    backend_base_url: Annotated[Url | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        description="Backend to import into. Unset: the catalogue is the only target.",
        examples=["http://localhost:8000"],
    )
    internal_token: Token = Field(
        None,
        description="The backend's INTERNAL_TOKEN; required with BACKEND_BASE_URL.",
        examples=[EXAMPLE_INTERNAL_TOKEN],
    )
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite:///var/anime.db",
        repr=False,  # it may hold a password
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
    backend_limits: LimitText = Field(None, description="Limit for the backend; none by default.", examples=["100/s"])
    enable_http_cache: bool = Field(
        True,
        description="Use an answer again for as long as its server allows, or, where that says nothing, as long as the "
        "source's setting does.",
        examples=["false"],
    )
    http_cache_storage: Literal["sqlite", "redis"] = Field(
        "sqlite",
        description="Where answers are kept: `sqlite`, the file `var/http_cache.sqlite`, or `redis`.",
        examples=["redis"],
    )
    redis_url: Annotated[Annotated[str, AfterValidator(_redis_url)] | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        repr=False,  # it may hold a password
        description="Redis that several workers share one crawl by: its requests, budgets and penalties. Unset: this "
        "machine alone.",
        examples=["redis://:password@localhost:6379/1"],
    )
    redis_cache_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "redis://localhost:6379/0",
        repr=False,  # it may hold a password
        description="Redis of HTTP_CACHE_STORAGE=redis. Only keys beginning with `anime_crawler:http_cache:` and "
        "`anime_crawler:result_cache:` are used.",
        examples=["redis://:password@localhost:6379/0"],
    )
    chromium_path: Annotated[str | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        description="Chromium for `-a render=browser`. Unset: `chromium`, `chromium-browser` or `google-chrome`, "
        "whichever is installed.",
        examples=["/usr/bin/chromium"],
    )
    title_languages: Annotated[list[str], BeforeValidator(_names), AfterValidator(_languages)] = Field(
        ["romaji", "en", "ru"],
        description="Which title the backend gets: the first of these that is known. It makes its addresses from the "
        "title's Latin letters, so Russian first costs readable addresses and time.",
        examples=["romaji,en,ru"],
    )
    title_second_language: Annotated[Literal["ru", "native"] | None, BeforeValidator(_blank_is_unset)] = Field(
        None,
        description="`ru` or `native`: titles of the form `Naruto / Наруто`, so that the site's search, which looks at "
        "the title alone, finds both. Addresses stay those of the first title. Unset: the first title alone.",
        examples=["ru"],
    )
    translation_priority: Annotated[list[str], BeforeValidator(_names)] = Field(
        ["voice", "subtitles"],
        description="Translations to show first, best first: ids, names, or the kinds `voice` and `subtitles`.",
        examples=["AniDUB,610,voice,subtitles"],
    )
    refresh_ongoing_hours: float = Field(
        24,
        gt=0,
        le=8760,
        description="Age at which the metadata of an airing title is fetched again.",
        examples=["24"],
    )
    refresh_released_days: float = Field(
        30,
        gt=0,
        le=3650,
        description="Age at which the metadata of any other title is fetched again.",
        examples=["30"],
    )

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Self:
        """The checked settings.

        Args:
            overrides: values given on the command line (``-s NAME=value``), by upper-case name; they win.

        Raises:
            ConfigError: naming the setting, what was read, and an example.
        """
        given = {name.lower(): value for name, value in (overrides or {}).items()}
        try:
            config = cls(**given)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(cls, e) for e in error.errors(include_input=True))) from None
        except UnicodeDecodeError:
            raise ConfigError(f"{ENV_FILE} is not text in UTF-8; save it in that encoding") from None
        if config.backend_base_url and not config.internal_token:
            raise ConfigError(
                "INTERNAL_TOKEN is required with BACKEND_BASE_URL: set it to the backend's own INTERNAL_TOKEN; "
                f"example: INTERNAL_TOKEN={EXAMPLE_INTERNAL_TOKEN}"
            )
        try:
            check_proxies()
        except ValueError as error:
            raise ConfigError(str(error)) from None
        config._origins.update(_origins(cls, given))
        return config

    def value(self, name: str) -> Any:
        """The value of the setting of this upper-case name; for those that a card names."""
        return getattr(self, name.lower())

    def origin_of(self, name: str) -> Origin:
        """Where the setting's value comes from; the order is command line, environment, ``.env``, default."""
        return self._origins.get(name.lower(), "default")

    def shown(self, name: str) -> str:
        """The setting's value as people may see it: tokens and passwords masked, empty text when unset."""
        value = self.value(name)
        if value is None:
            return ""
        if isinstance(value, SecretStr):
            return f"{len(value.get_secret_value())} characters, not shown"
        if isinstance(value, float):
            return f"{value:g}"
        if name.lower() == "database_url":
            return database_shown(make_url(value))
        return _masked(str(value)) if is_secret(name) else ",".join(value) if isinstance(value, list) else str(value)


def _source_fields(card: SourceCard) -> dict[str, Any]:
    """The fields that `create_model` makes of the settings on a card: credentials, address, limits, and its own."""
    fields: dict[str, Any] = {}
    for secret in card.secrets:
        description = f"Credential needed to crawl the real {card.title}. {secret.how_to_get}"
        fields[secret.setting] = Token, Field(None, description=description, examples=[secret.example])
    if card.base_url_setting:
        ending = f", with or without a trailing {card.base_url_suffix}" if card.base_url_suffix else ""
        description, examples = f"Address of {card.title}{ending}.", [card.base_url]
        url = Annotated[Url, AfterValidator(lambda value: value.removesuffix(card.base_url_suffix))]
        fields[card.base_url_setting] = url, Field(card.base_url, description=description, examples=examples)
    for own in card.settings:
        kind = Annotated[str | None, BeforeValidator(_blank_is_unset)] if own.default is None else type(own.default)
        fields[own.name] = kind, Field(own.default, description=own.description, examples=[own.example])
    if card.limits_setting:
        description = f"Replaces the limits on {card.title}'s source card; `off` for none."
        fields[card.limits_setting] = LimitText, Field(None, description=description, examples=[card.limits])
    unset = "only as its headers allow" if card.cache_ttl_s is None else f"{card.cache_ttl_s} s"
    fields[card.cache_ttl_setting] = (
        Annotated[int | None, BeforeValidator(_blank_is_unset)],
        Field(
            None,
            ge=0,
            le=31_536_000,
            description=f"Seconds for which an answer of {card.title} may be used again when its headers do not say; "
            f"0: not at all. Unset: {unset}.",
            examples=["86400"],
        ),
    )
    return {name.lower(): field for name, field in fields.items()}


if TYPE_CHECKING:

    class Config(ProjectConfig):
        """Every setting of the project and of its sources; those of sources are had by `value`."""

else:
    Config = create_model(
        "Config",
        __base__=ProjectConfig,
        __module__=__name__,
        **{name: field for card in cards().values() for name, field in _source_fields(card).items()},
    )


def is_secret(name: str) -> bool:
    """Whether the setting's value is a credential, or an address, in which one may be: no message repeats it."""
    credentials = {secret.setting for card in cards().values() for secret in card.secrets}
    return name.upper() in credentials | {"INTERNAL_TOKEN"} or name.upper().endswith("_URL")


def database_shown(url: URL) -> str:
    """The address without its password and without what its options may hold."""
    options = {name: value if name in PLAIN_OPTIONS else "hidden" for name, value in url.query.items()}
    return url.set(query=options).render_as_string(hide_password=True)


def _origins(model: type[ProjectConfig], overrides: Mapping[str, Any]) -> dict[str, Origin]:
    """Origin of each setting that something sets; the strongest is written last."""
    origins: dict[str, Origin] = {}
    given: tuple[tuple[Origin, Mapping[str, Any]], ...] = (
        (".env", dotenv_values(ENV_FILE, encoding="utf-8")),
        ("environment", os.environ),
        ("command line", overrides),
    )
    for origin, values in given:
        origins.update({name.lower(): origin for name in values if name.lower() in model.model_fields})
    return origins


def _masked(address: str) -> str:
    """A checked address without user and password: people write the password of a Redis in either place."""
    return re.sub(r"://(:?).*@", r"://\1***@", address)


def _explain(model: type[ProjectConfig], error: Any) -> str:
    name = str(error["loc"][0])
    example = model.model_fields[name].examples or [""]
    read = "a secret value, not shown" if is_secret(name) else repr(error["input"])
    problem = error["msg"].removeprefix("Value error, ")
    return f"{name.upper()}: {problem}; read {read}; example: {name.upper()}={example[0]}"
