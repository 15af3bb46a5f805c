"""One cheap call per service, and what its answer means for the person who set it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from scrapy.http import Response, TextResponse

from anime_crawler.backend.outcomes import STOP_SETTINGS, ImportKind, Outcome, classify, explain
from anime_crawler.base_spiders import Action, SourceCard, SourceSpider, Verdict
from anime_crawler.catalogue.writer import Catalogue, CatalogueAwayError, CatalogueError
from anime_crawler.config import Config
from anime_crawler.download.proxy import proxy_of
from anime_crawler.download.secrets import MaskingFactory, secrets_of
from anime_crawler.rate_limit.limiter import Limiter, Wait
from anime_crawler.rate_limit.limits import address_of, budget_of, limits_of
from anime_crawler.rate_limit.rest import rest_after
from anime_crawler.run.job import Exit

LONGEST_WAIT_S = 60  # a minute's window is waited for; a penalty or a day's quota is told instead
MAX_BACKEND_BYTES = 2**20  # its own answers to these calls are a line
WRONG_TOKEN = "not-the-token"  # noqa: S105  surely wrong: who takes it does not see the header at all
LONGEST_CALL_S = 20  # a service that takes longer than this for one record is not well


@dataclass(frozen=True)
class Finding:
    """One service: what one sees, what happened, what to do, and the exit code it stands for (0: fine)."""

    service: str
    address: str
    you_see: str
    what_happened: str
    what_to_do: str = ""
    exit_code: int = Exit.DONE


@dataclass(frozen=True)
class Answer:
    """A response to a probe, its body bounded."""

    response: requests.Response
    body: bytes

    @property
    def seen(self) -> str:
        """The status line and the beginning of what is not JSON."""
        kind = self.response.headers.get("Content-Type", "no content type")
        return f"status {self.response.status_code}, {kind}, {len(self.body)} bytes"


class NoAnswerError(Exception):
    """The service could not be asked; the message says what was seen, without addresses' secrets."""


def call(method: str, url: str, config: Config, max_bytes: int, **arguments: Any) -> Answer:
    """The answer to one request; redirects are not followed, a token must not go to another host.

    Raises:
        NoAnswerError: refused, timed out, not TLS, or not HTTP.
    """
    timeout = min(config.http_timeout_seconds, LONGEST_CALL_S)
    try:
        with (
            our_session(url) as session,
            session.request(method, url, timeout=timeout, allow_redirects=False, stream=True, **arguments) as answer,
        ):
            body = b""
            for chunk in answer.iter_content(65536):
                body += chunk
                if len(body) > max_bytes:
                    raise NoAnswerError(f"a body of more than {max_bytes} bytes")
            return Answer(answer, body)
    except requests.exceptions.SSLError:
        raise NoAnswerError("no valid TLS certificate") from None
    except requests.exceptions.Timeout:
        raise NoAnswerError(f"no answer within {timeout:g} s") from None
    except requests.exceptions.RequestException as error:
        raise NoAnswerError(f"no connection ({type(error).__name__})") from None


def our_session(url: str) -> requests.Session:
    """A session for this address with our rule for proxies, and without the passwords of ``.netrc``."""
    session = requests.Session()
    session.trust_env = False
    if proxy := proxy_of(url):
        session.proxies = dict.fromkeys(("http", "https"), proxy.url_with_password)
    return session


def source_request(card: SourceCard, config: Config, user_agent: str) -> tuple[str, str, dict[str, Any]]:
    """Method, address and arguments for `call` of the source's probe, credentials included."""
    form, headers = dict(card.probe.form or {}), {"User-Agent": user_agent}
    for secret in card.secrets:
        value = config.value(secret.setting).get_secret_value()
        (form if secret.placement == "form" else headers)[secret.name] = secret.prefix + value
    method = "GET" if card.probe.form is None and card.probe.json is None else "POST"
    return (
        method,
        address_of(config, card) + card.probe.path,
        {
            "data": form or None,
            "json": card.probe.json,
            "headers": headers,
        },
    )


def missing_secret(card: SourceCard, config: Config) -> str | None:
    """The advice about the first credential that is not set; ``None``: all are set."""
    for secret in card.secrets:
        if config.value(secret.setting) is None:
            return f"set {secret.setting}. {secret.how_to_get}"
    return None


def check_source(spider: type[SourceSpider], config: Config, user_agent: str, limiter: Limiter) -> Finding:
    """Ask the source's probe within its limits; its spider judges the answer, as it does in a crawl."""
    card = spider.card
    address = address_of(config, card)
    missing = missing_secret(card, config)
    if missing:
        return Finding(card.title, address, "nothing was asked", "a credential is missing", missing, Exit.CONFIGURATION)
    wait = wait_for_budget(card, config, limiter)
    if wait:
        happened = f"not asked because of {wait.reason}"
        do = f"run again in {wait.seconds:.0f} s"
        return Finding(card.title, address, "nothing was asked", happened, do, Exit.UPSTREAM)
    setting = card.base_url_setting or ""
    try:
        method, url, arguments = source_request(card, config, user_agent)
        answer = call(method, url, config, card.max_body_bytes, **arguments)
    except NoAnswerError as error:
        do = f"check the network and {setting}; a crawl tried now ends with exit code 3 and can be run again"
        return Finding(card.title, address, str(error), "the upstream stays away", do, Exit.UPSTREAM)
    scrapy_response = TextResponse(
        url, status=answer.response.status_code, headers=dict(answer.response.headers), body=answer.body
    )
    verdict = spider().judge(scrapy_response)
    if verdict.action is Action.ACCEPT:
        return Finding(card.title, address, answer.seen, "fine")
    note_rest(card, config, limiter, verdict, scrapy_response)
    do = f"set {verdict.setting}" if verdict.setting else "run again later; if it stays, see the source's documentation"
    return Finding(card.title, address, answer.seen, f"{verdict.kind}: {verdict.message}", do, Exit.UPSTREAM)


def wait_for_budget(card: SourceCard, config: Config, limiter: Limiter) -> Wait | None:
    """``None``: one request is paid for, after a wait if need be. Else why it would take too long."""
    place, name = "", budget_of(card.name, address_of(config, card), card.base_url)
    while wait := limiter.acquire(name, limits_of(config, card), place):
        if wait.seconds > LONGEST_WAIT_S:
            return wait
        place = wait.place
        time.sleep(wait.pause_s)
    return None


def note_rest(card: SourceCard, config: Config, limiter: Limiter, verdict: Verdict, response: Response) -> None:
    """Let the crawls of this machine know of a refusal that a command met: it holds for them too."""
    seconds, why = rest_after(verdict, card, response.status, response.headers, time.time())
    if seconds:
        limiter.penalize(budget_of(card.name, address_of(config, card), card.base_url), seconds, why)


def check_backend(config: Config) -> Finding:
    """Ask the backend for its health and whether it takes the token: posting an empty record writes nothing."""
    if not config.backend_base_url or not config.internal_token:
        return Finding("backend", "", "nothing was asked", "not configured: the catalogue is the only target")
    address = config.backend_base_url
    try:
        health = call("GET", f"{address}/health", config, MAX_BACKEND_BYTES)
        status, outcome, said = backend_says(config, config.internal_token.get_secret_value())
        if outcome is Outcome.REFUSED_PAYLOAD and backend_says(config, WRONG_TOKEN)[1] is Outcome.REFUSED_PAYLOAD:
            outcome = Outcome.TOKEN_STRIPPED
    except NoAnswerError as error:
        do = "start the backend, or check BACKEND_BASE_URL; `scrapy deliver` sends what is pending"
        return Finding("backend", address, str(error), "the backend stays away", do, Exit.BACKEND)
    seen = f"health: status {health.response.status_code}; token check: status {status}"
    if outcome is Outcome.REFUSED_PAYLOAD:
        return Finding("backend", address, seen, "fine")
    setting, why = STOP_SETTINGS.get(outcome, ("", ""))
    do = f"set {setting}: {why}" if setting else "look at the backend's log"
    return Finding("backend", address, seen, f"{outcome}: {said}", do, Exit.BACKEND)


def backend_says(config: Config, token: str) -> tuple[int, Outcome, str]:
    """Status, meaning and words of the answer to an empty record: a token that is taken gets 422, another 403.

    Raises:
        NoAnswerError: if there is no answer.
    """
    url = f"{config.backend_base_url}/api/v1/internal/import/{ImportKind.ANIME}"
    answer = call("POST", url, config, MAX_BACKEND_BYTES, json={}, headers={"X-Internal-Token": token})
    status, text = answer.response.status_code, answer.body.decode(errors="replace")
    return status, classify(status, text), explain(status, text)


def check_catalogue(config: Config) -> Finding:
    """Open the catalogue as every command does."""

    async def open_and_close() -> None:
        await (await Catalogue.open(config.database_url)).close()

    address = config.shown("database_url")
    try:
        asyncio.run(open_and_close())
    except CatalogueAwayError as error:
        return Finding("catalogue", address, str(error), "it stays away", "see whether it runs", error.exit_code)
    except CatalogueError as error:
        return Finding("catalogue", address, str(error), "it cannot be opened", "set DATABASE_URL", Exit.CONFIGURATION)
    return Finding("catalogue", address, "opened", "fine")


def cleaner(config: Config) -> Callable[[str], str]:
    """Gives a function that makes text from outside safe to print: no secret in it, no control characters."""
    mask = MaskingFactory(secrets_of(config)).mask

    def clean(text: str) -> str:
        return "".join(c if c.isprintable() else "?" for c in mask(text))

    return clean
