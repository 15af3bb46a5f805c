"""One cheap call per service, and what its answer means for the person who set it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from scrapy.http import TextResponse

from anime_crawler.base_spiders import Action, SourceCard, SourceSpider
from anime_crawler.catalogue.catalogue import Catalogue, CatalogueError
from anime_crawler.config import Config
from anime_crawler.job import Exit
from anime_crawler.politeness.budget import Budgets, Wait
from anime_crawler.politeness.limits import limits_of
from anime_crawler.politeness.secrets import MaskingFactory, secrets_of

LONGEST_WAIT_S = 60  # a minute's window is waited for; a penalty or a day's quota is told instead
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
        with requests.request(method, url, timeout=timeout, allow_redirects=False, stream=True, **arguments) as answer:
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


def source_request(card: SourceCard, config: Config, user_agent: str) -> tuple[str, str, dict[str, Any]]:
    """Method, address and arguments for `call` of the source's probe, credentials included."""
    form, headers = dict(card.probe.form or {}), {"User-Agent": user_agent}
    for secret in card.secrets:
        value = getattr(config, secret.setting.lower()).get_secret_value()
        (form if secret.placement == "form" else headers)[secret.name] = value
    method = "GET" if card.probe.form is None and card.probe.json is None else "POST"
    return (
        method,
        address_of(card, config) + card.probe.path,
        {
            "data": form or None,
            "json": card.probe.json,
            "headers": headers,
        },
    )


def address_of(card: SourceCard, config: Config) -> str:
    """The source's base address: the setting on its card, else the card's default."""
    return getattr(config, card.base_url_setting.lower()) if card.base_url_setting else card.base_url


def missing_secret(card: SourceCard, config: Config) -> str | None:
    """What to do about the first credential that is not set; ``None``: all are."""
    for secret in card.secrets:
        if getattr(config, secret.setting.lower()) is None:
            return f"set {secret.setting}. {secret.how_to_get}"
    return None


def check_source(spider: type[SourceSpider], config: Config, user_agent: str, budgets: Budgets) -> Finding:
    """Ask the source's probe within its limits; its spider judges the answer, as it does in a crawl."""
    card = spider.card
    address = address_of(card, config)
    missing = missing_secret(card, config)
    if missing:
        return Finding(card.title, address, "nothing was asked", "a credential is missing", missing, Exit.CONFIGURATION)
    wait = wait_for_budget(card, config, budgets)
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
    if answer.response.is_redirect:
        return _moved(card.title, address, answer, setting, Exit.UPSTREAM)
    scrapy_response = TextResponse(
        url, status=answer.response.status_code, headers=dict(answer.response.headers), body=answer.body
    )
    verdict = spider().judge(scrapy_response)
    if verdict.action is Action.ACCEPT:
        return Finding(card.title, address, answer.seen, "fine")
    do = f"set {verdict.setting}" if verdict.setting else "run again later; if it stays, see the source's documentation"
    return Finding(card.title, address, answer.seen, f"{verdict.kind}: {verdict.message}", do, Exit.UPSTREAM)


def wait_for_budget(card: SourceCard, config: Config, budgets: Budgets) -> Wait | None:
    """``None``: one request is paid for, after a wait if need be. Else why it would take too long."""
    while wait := budgets.reserve(card.name, limits_of(config, card)):
        if wait.seconds > LONGEST_WAIT_S:
            return wait
        time.sleep(wait.seconds)
    return None


def check_backend(config: Config) -> Finding:
    """Ask the backend for its health, then post an empty record: it refuses that, but checks the token first."""
    if not config.backend_base_url or not config.internal_token:
        return Finding("backend", "", "nothing was asked", "not configured: the catalogue is the only target")
    address = config.backend_base_url
    token = {"X-Internal-Token": config.internal_token.get_secret_value()}
    try:
        health = call("GET", f"{address}/health", config, 2**20)
        answer = call("POST", f"{address}/api/v1/internal/import/anime", config, 2**20, json={}, headers=token)
    except NoAnswerError as error:
        do = "start the backend, or check BACKEND_BASE_URL; `scrapy deliver` sends what is pending"
        return Finding("backend", address, str(error), "the backend stays away", do, Exit.BACKEND)
    if answer.response.is_redirect:
        return _moved("backend", address, answer, "BACKEND_BASE_URL", Exit.BACKEND)
    happened, do = {
        422: ("fine", ""),  # the token was accepted, then the empty record refused: nothing is written
        403: ("the backend refuses the token", "set INTERNAL_TOKEN to the backend's own INTERNAL_TOKEN"),
        404: ("something answers, but not the import API", "set BACKEND_BASE_URL to the backend's address"),
    }.get(answer.response.status_code, ("an answer that the import API does not give", "look at the backend's log"))
    seen = f"health: status {health.response.status_code}; token check: status {answer.response.status_code}"
    return Finding("backend", address, seen, happened, do, Exit.DONE if happened == "fine" else Exit.BACKEND)


def check_catalogue(config: Config) -> Finding:
    """Open the catalogue as every command does."""

    async def open_and_close() -> None:
        await (await Catalogue.open(config.database_url)).close()

    address = config.shown("database_url")
    try:
        asyncio.run(open_and_close())
    except CatalogueError as error:
        return Finding("catalogue", address, str(error), "it cannot be opened", "set DATABASE_URL", Exit.CONFIGURATION)
    return Finding("catalogue", address, "opened", "fine")


def _moved(service: str, address: str, answer: Answer, setting: str, exit_code: int) -> Finding:
    target = answer.response.headers.get("Location", "")
    do = f"if you trust that address, set {setting} to it; redirects are not followed, a token could leak"
    return Finding(service, address, answer.seen, f"the service has moved to {target}", do, exit_code)


def cleaner(config: Config) -> Callable[[str], str]:
    """Gives a function that makes text from outside safe to print: no secret in it, no control characters."""
    mask = MaskingFactory(secrets_of(config)).mask

    def clean(text: str) -> str:
        return "".join(c if c.isprintable() else "?" for c in mask(text))

    return clean
