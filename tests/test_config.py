"""The settings: where they come from, what is refused and how that is said."""

from __future__ import annotations

from itertools import product

import pytest

from anime_crawler.config import Config, ConfigError, is_secret
from anime_crawler.download.secrets import MaskingFactory, secrets_of

SECRET = "s3cr3t-canary-value"


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    """Each test starts where there is no ``.env``."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("places", list(product([False, True], repeat=3)))
def test_the_strongest_place_wins(places, empty_directory, monkeypatch):
    """Command line over environment over ``.env`` over default, in all eight combinations, and the origin is told."""
    on_command_line, in_environment, in_dotenv = places
    if in_dotenv:
        (empty_directory / ".env").write_text("CONCURRENCY=11\n")
    if in_environment:
        monkeypatch.setenv("CONCURRENCY", "12")
    config = Config.load({"CONCURRENCY": "13"} if on_command_line else None)
    expected = [(13, "command line"), (12, "environment"), (11, ".env"), (4, "default")]
    strongest = [*places, True].index(True)
    assert (config.concurrency, config.origin_of("CONCURRENCY")) == expected[strongest]


WRONG = [
    ("KODIK_BASE_URL", "", "is empty"),
    ("KODIK_BASE_URL", "kodik-api.com", "does not begin with http:// or https://"),
    ("KODIK_BASE_URL", "ftp://kodik-api.com", "does not begin with http:// or https://"),
    ("KODIK_BASE_URL", "https://", "names no host"),
    ("KODIK_BASE_URL", "https://kodik api.com", "has a blank"),
    ("KODIK_BASE_URL", " https://kodik-api.com", "has a blank"),
    ("KODIK_BASE_URL", "https://kodik-api.com:99999", "Port out of range"),
    ("SHIKIMORI_BASE_URL", "https://shikimori.io/api?x=1", "a query"),
    ("BACKEND_BASE_URL", "localhost:8000", "does not begin with"),
    ("DATABASE_URL", "var/anime.db", "is not a database address"),
    ("DATABASE_URL", "mysql://localhost/anime", "sqlite or postgresql is wanted"),
    ("DATABASE_URL", "sqlite://", "names no database"),
    ("DATABASE_URL", "postgresql://localhost", "names no database"),
    ("CONCURRENCY", "0", "greater than or equal to 1"),
    ("CONCURRENCY", "four", "valid integer"),
    ("CONCURRENCY", "", "valid integer"),
    ("HTTP_TIMEOUT_SECONDS", "0", "greater than 0"),
    ("HTTP_TIMEOUT_SECONDS", "nan", "less than or equal to 600"),
    ("MAX_RETRIES", "-1", "greater than or equal to 0"),
    ("BACKOFF_BASE_SECONDS", "-1", "greater than 0"),
    ("BACKOFF_MAX_SECONDS", "inf", "less than or equal to 3600"),
    ("RATE_LIMIT_RPS", "0", "greater than 0"),
    ("KODIK_LIMITS", "5/year", "is not a limit"),
    ("SHIKIMORI_LIMITS", "fast", "is not a limit"),
    ("BACKEND_LIMITS", "0/s", "is not a limit"),
    ("TITLE_LANGUAGES", "rus", "is not among romaji, en, ru, native"),
    ("TITLE_LANGUAGES", ",", "names nothing"),
    ("TRANSLATION_PRIORITY", "", "names nothing"),
    ("REFRESH_ONGOING_HOURS", "1e400", "less than or equal to"),
    ("REFRESH_RELEASED_DAYS", "0", "greater than 0"),
    ("ENABLE_HTTP_CACHE", "perhaps", "boolean"),
    ("HTTP_CACHE_STORAGE", "memcached", "'sqlite' or 'redis'"),
    ("REDIS_CACHE_URL", "http://localhost", "does not begin with redis://"),
    ("REDIS_CACHE_URL", "redis://localhost/0?db=1", "has more after the host"),
    ("KODIK_CACHE_TTL_SECONDS", "-1", "greater than or equal to 0"),
]


@pytest.mark.parametrize(("name", "value", "problem"), WRONG)
def test_a_wrong_value_is_refused_by_name_with_what_was_read_and_an_example(name, value, problem, monkeypatch):
    """One line: the setting, what is wrong, what was read, an example."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Config.load()
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert problem in message
    read = "a secret value, not shown" if is_secret(name) else repr(value)
    assert f"read {read}; example" in message
    assert f"example: {name}=" in message


@pytest.mark.parametrize("name", ["KODIK_API_TOKEN", "INTERNAL_TOKEN"])
@pytest.mark.parametrize("value", ["changeme", "<your_token>", "Your-Token-Here", "two words", "line\nend", "тайна"])
def test_a_placeholder_or_broken_token_is_refused_without_showing_it(name, value, monkeypatch):
    """The message names the setting; a secret value is never repeated."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Config.load()
    assert str(caught.value).startswith(f"{name}: ")
    assert f"read a secret value, not shown; example: {name}=" in str(caught.value)


def test_every_example_but_the_tokens_is_accepted(monkeypatch):
    """What the messages, README and ``.env.example`` show works; the example tokens are placeholders and do not."""
    for name, field in Config.model_fields.items():
        if not name.endswith("_token"):
            monkeypatch.setenv(name.upper(), field.examples[0])
    monkeypatch.setenv("INTERNAL_TOKEN", SECRET)
    Config.load()
    for name in ("kodik_api_token", "internal_token"):
        with pytest.raises(ConfigError, match="placeholder"):
            Config.load({name: Config.model_fields[name].examples[0]})


def test_the_password_of_a_redis_is_not_shown(monkeypatch):
    """Neither of a good address nor of a wrong one, wherever in it."""
    config = Config.load({"REDIS_CACHE_URL": "redis://:s3cret@localhost:6379/1"})
    assert config.shown("REDIS_CACHE_URL") == "redis://:***@localhost:6379/1"
    assert "s3cret" not in repr(config)
    for misplaced in ("redis://s3cret@localhost", "redis://s3cret:@localhost"):
        config = Config.load({"REDIS_URL": misplaced})
        assert "s3cret" not in config.shown("REDIS_URL") + MaskingFactory(secrets_of(config)).mask("of s3cret")
    for wrong in ("http://user:s3cret@localhost", "redis://localhost/0?password=s3cret"):
        with pytest.raises(ConfigError) as caught:
            Config.load({"REDIS_CACHE_URL": wrong})
        assert "s3cret" not in str(caught.value)


SPELLINGS = (
    "{scheme}://user:geheim@wort@host/1",
    "{scheme}://user:ge/geheim@host/1",
    "{scheme}://user:geheim",
    "{scheme}://:geheim@host:port/1",
    "{scheme}://user:geheim/wort@host:6379/1",
    "{scheme}://user:1/geheim@host",
    "{scheme}://host/1?passwd=geheim",
    "{scheme}://host/1?token=geheim",
    "{scheme}://host/1#geheim",
    "{scheme}://[geheim/1",
    "{scheme}://user:geheim\u2100@host/1",
    ":geheim@host",
    "geheim",
    "geheim://host/1",
    " {scheme}://user:geheim@host/1",
    "{scheme}://user%3Ageheim%40host",
    "{scheme}://host;token=geheim",
)
SCHEMES = {"DATABASE_URL": ("postgresql", "postgres", "sqlite", "mysql"), "REDIS_URL": ("redis", "http")}


@pytest.mark.parametrize("name", [name.upper() for name in Config.model_fields if name.endswith(("_url", "_token"))])
def test_no_spelling_of_a_credential_is_repeated(name):
    """Whatever is wrong with the address, no message has the password, nor what is shown of one that is taken."""
    for scheme in SCHEMES.get(name, SCHEMES["REDIS_URL"] if name == "REDIS_CACHE_URL" else ("http", "ftp")):
        for spelling in SPELLINGS:
            try:
                config = Config.load({"INTERNAL_TOKEN": SECRET, name: spelling.format(scheme=scheme)})
            except ConfigError as error:
                assert "geheim" not in str(error), spelling
                assert str(error).startswith(f"{name}: "), spelling
            else:
                assert "geheim" not in config.shown(name) + repr(config), spelling


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("DATABASE_URL", "postgresql://me:p@ss@localhost/anime", "more than one @, or a #, in it"),
        ("DATABASE_URL", "sqlite://anime.db", "has two slashes before the file: three are wanted"),
        ("DATABASE_URL", "sqlite://var/anime.db", "has two slashes before the file: three are wanted"),
        ("DATABASE_URL", "sqlite:///var/anime.db?timeout=abc", "has options after a ?"),
        ("DATABASE_URL", "sqlite:///file:anime.db?mode=ro&uri=true", "has options after a ?"),
        ("DATABASE_URL", "sqlite:///var/%00/anime.db", "a NUL (%00)"),
        ("DATABASE_URL", "postgresql://me:pw@localhost:port/anime", "is not a database address; in user name"),
        ("REDIS_URL", "redis://me:p/w@localhost/1", "Port out of range 0-65535); in user name and password write %40"),
        ("REDIS_URL", "redis://me:1/w@localhost/1", "number of a database; in user name and password write %40"),
        ("KODIK_BASE_URL", "https://me:pw@kodik.test", "leave all of them out"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_with_how_to_write_it(name, value, rule):
    """The rule that failed instead of the value."""
    with pytest.raises(ConfigError) as caught:
        Config.load({name: value})
    assert rule in str(caught.value)


def test_options_of_a_database_are_not_shown(monkeypatch):
    """One of them may be a credential; where the server is, people may see."""
    config = Config.load({"DATABASE_URL": "postgresql://me@/anime?host=/run/pg&password=geheim&passwd=geheim2"})
    shown = config.shown("DATABASE_URL")
    assert ("geheim" in shown, "host=%2Frun%2Fpg" in shown, "password=hidden" in shown) == (False, True, True)
    assert MaskingFactory(secrets_of(config)).mask("of geheim2 or geheim") == "of *** or ***"


def test_several_wrong_values_are_told_at_once(monkeypatch):
    """Two wrong settings are two lines, so that a person mends both before the next start."""
    monkeypatch.setenv("CONCURRENCY", "0")
    monkeypatch.setenv("MAX_RETRIES", "x")
    with pytest.raises(ConfigError) as caught:
        Config.load()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["CONCURRENCY", "MAX_RETRIES"]


def test_a_backend_needs_its_token(monkeypatch):
    """BACKEND_BASE_URL alone is refused with the words people search for; an empty token counts as none."""
    monkeypatch.setenv("BACKEND_BASE_URL", "http://localhost:8000")
    for token in (None, "", "  "):
        with pytest.raises(ConfigError, match="INTERNAL_TOKEN is required"):
            Config.load({} if token is None else {"INTERNAL_TOKEN": token})
    assert Config.load({"INTERNAL_TOKEN": SECRET}).backend_base_url == "http://localhost:8000"


def test_addresses_are_read_in_the_forms_people_write(monkeypatch):
    """A trailing slash, a trailing /api of Shikimori and any PostgreSQL spelling come to one form."""
    config = Config.load(
        {
            "KODIK_BASE_URL": "https://kodik-api.com/",
            "SHIKIMORI_BASE_URL": "https://shikimori.io/api/",
            "DATABASE_URL": "postgres://me:pw@localhost/anime",
        }
    )
    assert config.kodik_base_url == "https://kodik-api.com"
    assert config.shikimori_base_url == "https://shikimori.io"
    assert config.database_url == "postgresql+psycopg://me:pw@localhost/anime"


def test_secrets_are_masked_wherever_a_setting_is_shown():
    """Neither repr nor the value for people nor an error about it has a token or a database password."""
    config = Config.load(
        {
            "KODIK_API_TOKEN": SECRET,
            "INTERNAL_TOKEN": SECRET,
            "DATABASE_URL": f"postgresql://me:{SECRET}@localhost/anime",
        }
    )
    shown = [config.shown(name) for name in Config.model_fields]
    assert SECRET not in repr(config) + str(config) + "".join(shown)
    assert config.shown("DATABASE_URL") == "postgresql+psycopg://me:***@localhost/anime"
    assert config.shown("KODIK_API_TOKEN") == "19 characters, not shown"
    assert config.shown("RATE_LIMIT_RPS") == ""
    for name in ("DATABASE_URL", "KODIK_BASE_URL"):
        with pytest.raises(ConfigError) as caught:
            Config.load({name: f"mysql://me:{SECRET}@h/x"})
        assert SECRET not in str(caught.value)


def test_a_dotenv_that_is_not_utf8_is_named(empty_directory):
    """Windows editors write other encodings; the message says which file."""
    (empty_directory / ".env").write_bytes("KODIK_API_TOKEN=тайна".encode("cp1251"))
    with pytest.raises(ConfigError, match=r"\.env is not text in UTF-8"):
        Config.load()


def test_a_settings_value_cannot_be_changed_later():
    """What was checked at the start holds until the end."""
    with pytest.raises(ValueError, match="frozen"):
        Config.load().concurrency = 9
