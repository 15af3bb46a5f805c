"""Exit codes tell the truth, and each comes with a message that says what to do."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from anime_crawler.base_spiders import SourceCard
from anime_crawler.config import Config, is_secret
from anime_crawler.sources import cards
from tests.e2e.support import Project, until

Exports = dict[str, bytes]
NewProject = Callable[..., Project]
CRAWL = ("crawl", "kodik", "-s", "JOBDIR=var/jobs/kodik")

WRONG_OF_PROJECT = {
    "BACKEND_BASE_URL": "http://user:password@localhost",
    "INTERNAL_TOKEN": "changeme",
    "DATABASE_URL": "mysql://localhost/anime",
    "CONCURRENCY": "0",
    "HTTP_TIMEOUT_SECONDS": "soon",
    "MAX_RETRIES": "-1",
    "BACKOFF_BASE_SECONDS": "0",
    "BACKOFF_MAX_SECONDS": "nan",
    "RATE_LIMIT_RPS": "fast",
    "BACKEND_LIMITS": "-1/s",
    "ENABLE_HTTP_CACHE": "perhaps",
    "HTTP_CACHE_STORAGE": "memcached",
    "REDIS_CACHE_URL": "http://user:password@localhost",
    "REDIS_URL": "http://user:password@localhost",
    "TITLE_LANGUAGES": "klingon",
    "TITLE_SECOND_LANGUAGE": "klingon",
    "TRANSLATION_PRIORITY": " , ",
    "REFRESH_ONGOING_HOURS": "never",
    "REFRESH_RELEASED_DAYS": "0",
}
WRONG_BY_TYPE = {bool: "perhaps", int: "some"}


def wrong_of(card: SourceCard) -> dict[str, str]:
    """A wrong value for each setting on a card that can have one; a text of its own cannot."""
    own = {s.name: WRONG_BY_TYPE[type(s.default)] for s in card.settings if type(s.default) in WRONG_BY_TYPE}
    secrets = {secret.setting: "two words" for secret in card.secrets}
    own[card.cache_ttl_setting] = "a day"
    named = {card.base_url_setting: f"ftp://{card.name}.example", card.limits_setting: "2 per second"}
    return {**own, **secrets, **{name: value for name, value in named.items() if name}}


WRONG_SETTINGS = WRONG_OF_PROJECT | {name: value for card in cards().values() for name, value in wrong_of(card).items()}


def test_every_setting_has_its_wrong_value_here() -> None:
    """A new setting of the project must be added to the table; those of sources are derived."""
    texts = {"CHROMIUM_PATH"}  # looked at by -a render=browser alone
    texts |= {s.name for card in cards().values() for s in card.settings if type(s.default) not in WRONG_BY_TYPE}
    assert {name.upper() for name in Config.model_fields} == set(WRONG_SETTINGS) | texts


def test_wrong_settings_stop_before_the_first_request(quick_project: Project) -> None:
    """Exit 2: each setting, what was read (secrets: that it is one), and an example; 0 requests, nothing made."""
    done = quick_project.crawl(**WRONG_SETTINGS)
    assert done.returncode == 2, done.stderr
    for name, value in WRONG_SETTINGS.items():
        read = "a secret value, not shown" if is_secret(name) else value.replace("user:password", "user:***")
        line = next((line for line in done.stderr.splitlines() if f"{name}: " in line), "")
        assert read in line, name
        assert f"example: {name}=" in line
    assert "Traceback" not in done.stderr
    assert quick_project.sandbox.get("/_sandbox/log") == []
    assert not (quick_project.directory / "var").exists()


@pytest.mark.parametrize("value", ["", "   "])
def test_a_missing_kodik_token_is_named(quick_project: Project, value: str) -> None:
    """Exit 2, how to get one, 0 requests."""
    done = quick_project.crawl(KODIK_API_TOKEN=value)
    assert done.returncode == 2
    assert "KODIK_API_TOKEN is required" in done.stderr
    assert "support" in done.stderr
    assert quick_project.sandbox.get("/_sandbox/log") == []


def test_a_backend_without_its_token_is_named(quick_project: Project) -> None:
    """Exit 2, 0 requests."""
    done = quick_project.crawl(BACKEND_BASE_URL=quick_project.sandbox.backend_url, INTERNAL_TOKEN="")
    assert done.returncode == 2
    assert "INTERNAL_TOKEN is required with BACKEND_BASE_URL" in done.stderr
    assert quick_project.sandbox.get("/_sandbox/log") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crawl", "kodik", "-a", "pages=5"), ("pages", "max_pages", "mode", "shikimori_ids")),
        (("crawl", "kodik", "-a", "max_pages=five"), ("max_pages=five", "whole number")),
        (("crawl", "kodik", "-a", "mode=fast"), ("mode=fast", "full", "incremental")),
        (("crawl", "kodik", "-a", "shikimori_ids=one"), ("shikimori_ids", "one")),
        (("crawl", "kodik", "-a", "shikimori_ids=1", "-a", "mode=full"), ("shikimori_ids", "neither")),
        (("crawl", "shikimori", "-a", "page=1"), ("page", "ids", "mode")),
        (("crawl", "kodick"), ("kodick", "kodik", "shikimori")),
    ],
)
def test_a_wrong_spider_argument_is_named_with_those_that_there_are(
    quick_project: Project, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """Exit 2, 0 requests, no traceback."""
    done = quick_project.run(*words)
    assert done.returncode == 2, done.stderr
    assert [word for word in said if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert quick_project.sandbox.get("/_sandbox/log") == []


@pytest.mark.exec
def test_0_is_done(quick_project: Project) -> None:
    """And the report says the same."""
    done = quick_project.crawl()
    assert (done.returncode, quick_project.report()["exit_code"]) == (0, 0)
    assert "exit code 0" in done.stderr


@pytest.mark.exec
def test_1_is_done_but_for_records_set_aside(quick_project: Project) -> None:
    """Named with the command that lists them."""
    quick_project.fault("kodik", "replaced", path="title", value={}, record=0)
    done = quick_project.crawl()
    assert (done.returncode, quick_project.report()["exit_code"]) == (1, 1)
    assert "scrapy deadletters list" in " ".join(done.stderr.split())


@pytest.mark.exec
def test_3_is_an_upstream_that_stays_away(quick_project: Project, clean: Exports) -> None:
    """The service and the reason are said, and the same command continues."""
    quick_project.fault("kodik", "status", status=502)
    done = quick_project.crawl()
    assert (done.returncode, quick_project.report()["exit_code"]) == (3, 3)
    assert "! kodik: server_error: status 502" in done.stderr
    quick_project.calm()
    assert quick_project.crawl().returncode == 0
    assert quick_project.exports() == clean


def test_4_is_a_backend_that_stays_away_while_the_catalogue_is_complete(quick_project: Project, clean: Exports) -> None:
    """Its address refuses connections: everything is stored, everything pending; `scrapy deliver` sends it later."""
    down = "http://127.0.0.1:9"  # discard: nobody listens there
    done = quick_project.crawl(BACKEND_BASE_URL=down)
    assert (done.returncode, quick_project.report()["exit_code"]) == (4, 4), done.stderr
    assert "pending" in done.stderr
    assert quick_project.exports() == clean
    delivered = quick_project.run("deliver", BACKEND_BASE_URL=quick_project.sandbox.backend_url)
    assert delivered.returncode == 0, delivered.stderr
    expected = quick_project.sandbox.get("/_sandbox/oracle?what=players")
    assert len(quick_project.dump()["videos"]) == len(expected)


@pytest.mark.exec
def test_5_is_another_run_that_holds_the_lock(quick_project: Project) -> None:
    """The message says who; the first run is not disturbed. 130 is its own end by Ctrl-C."""
    quick_project.fault("kodik", "silence")
    first = quick_project.start(*CRAWL)
    until(lambda: quick_project.requests_to("kodik") == 1)
    second = quick_project.crawl()
    assert second.returncode == 5, second.stderr
    assert str(first.pid) in second.stderr
    assert quick_project.requests_to("kodik") == 1
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    assert "what is not done stays for the next run" in quick_project.log()
    assert quick_project.report()["exit_code"] == 130


def test_what_was_named_and_not_found_is_exit_code_1(quick_project: Project) -> None:
    """The summary and the report name the title."""
    done = quick_project.run("crawl", "jikan", "-a", "titles=Zxqv nobody")
    assert done.returncode == 1, done.stderr
    assert "Jikan has no anime called exactly 'Zxqv nobody'" in done.stderr
    assert quick_project.problems() == {("jikan", "title_not_found")}
