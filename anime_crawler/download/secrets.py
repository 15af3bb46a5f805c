"""`MaskingFactory` keeps secrets out of every log record, and `Redactor` removes them from answers that repeat them."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr
from scrapy.http import Response, TextResponse
from sqlalchemy.engine import make_url

from anime_crawler.config import PLAIN_OPTIONS, Config
from anime_crawler.download.proxy import passwords

MASK = "***"
REDACTED = b"REDACTED"
SHORTEST = 8
"""Secrets of so many characters or more are removed from answers; a shorter one may be a word of ordinary data. The
tokens that we know have 32 characters."""


def install(config: Config) -> None:
    """Mask the settings' secret values, and any ``token=…``, in every log record of this process from now on."""
    logging.setLogRecordFactory(MaskingFactory(secrets_of(config)))


def secrets_of(config: Config) -> set[str]:
    """Every secret value of the settings, with the passwords in their addresses and those of the proxies."""
    values = {value.get_secret_value() for _, value in config if isinstance(value, SecretStr)}
    redis = [urlsplit(url) for url in (config.redis_cache_url, config.redis_url or "")]
    # If an address has a user's name and no password, the name is a password that was written in the wrong place.
    of_redis = [unquote(url.password or url.username or "") for url in redis]
    database = make_url(config.database_url)
    options = [text for name, text in database.normalized_query.items() if name not in PLAIN_OPTIONS]
    of_database = [database.password or "", *(value for values in options for value in values)]
    return (values | passwords() | {*of_database, *of_redis}) - {""}


def forms_of(secret: str) -> set[str]:
    """The ways in which a secret is written: as it is, and percent-encoded with either case of its digits."""
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {secret, *encoded, *(re.sub("%..", lambda digits: digits[0].lower(), form) for form in encoded)}


class Redactor:
    """A `Redactor` removes the settings' secrets from an upstream's answers."""

    def __init__(self, config: Config) -> None:
        forms = {form for secret in secrets_of(config) if len(secret) >= SHORTEST for form in forms_of(secret)}
        # Each form is searched for by itself: this takes microseconds for a page of a megabyte, and one pattern of all
        # forms takes tens of milliseconds.
        self._forms = sorted((form.encode() for form in forms), key=len, reverse=True)

    def response(self, response: Response) -> Response:
        """The response with `REDACTED` for each secret in body and headers; without one it is the same object."""
        for name, values in response.headers.items():
            response.headers[name] = [self._redacted(value) for value in values]
        body = self._redacted(response.body)
        if body == response.body:
            return response
        # Without "encoding" Scrapy would decode the text at once to find its encoding, which takes 1 ms a page.
        return response.replace(body=body, **({"encoding": None} if isinstance(response, TextResponse) else {}))

    def _redacted(self, text: bytes) -> bytes:
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return text


class MaskingFactory:
    """This log record factory masks message and traceback when a record is made, before any handler sees it."""

    def __init__(self, secrets: set[str]) -> None:
        forms = {form for secret in secrets for form in forms_of(secret)}
        longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
        self._secret = re.compile("|".join([*longest_first, r"""(?<=\btoken=)[^&\s"'<>]+"""]), re.IGNORECASE)
        self._formatter = logging.Formatter()

    def mask(self, text: str) -> str:
        """The text with `MASK` for each secret."""
        return self._secret.sub(MASK, text)

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        self._mask_message(record)
        if record.exc_info and record.exc_info[0]:
            self._mask_traceback(record, self._formatter.formatException(record.exc_info))
        return record

    def _mask_message(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the arguments do not fit the message; logging's handler reports it
            return
        masked = self.mask(message)
        if masked != message:
            record.msg, record.args = masked, ()

    def _mask_traceback(self, record: logging.LogRecord, traceback: str) -> None:
        masked = self.mask(traceback)
        if masked != traceback:
            record.exc_text, record.exc_info = masked, None
