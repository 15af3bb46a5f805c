"""These functions find and start the system's Chromium for ``-a render=browser``. No browser is ever downloaded."""

from __future__ import annotations

import os
import shutil
from typing import Any
from urllib.parse import urlsplit

from scrapy.settings import BaseSettings

from anime_crawler.base_spiders import SourceCard
from anime_crawler.config import Config, ConfigError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
"""Packages install Chromium on the path under these names."""
EXAMPLE = "CHROMIUM_PATH=/usr/bin/chromium"
HANDLER = "anime_crawler.download.browser.handler.BrowserDownloadHandler"
KEPT_VARIABLES = ("HOME", "PATH", "TMPDIR", "LANG")
"""Chromium gets these variables of our environment only: it runs strangers' scripts and must not find a token."""


def find_chromium(config: Config) -> str:
    """The path of the Chromium program.

    Raises:
        ConfigError: if no Chromium is installed, or if CHROMIUM_PATH names a file that cannot be run.
    """
    given = config.chromium_path
    if given:
        if not shutil.which(given):
            raise ConfigError(f"CHROMIUM_PATH: {given!r} is no program that can be run; example: {EXAMPLE}")
        return given
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise ConfigError(
            "render=browser needs Chromium, and none is installed: run `apt-get install chromium` as root, or "
            f"`brew install chromium`; or name one that is elsewhere: {EXAMPLE}"
        )
    return found


def browser_settings(config: Config, card: SourceCard, settings: BaseSettings) -> dict[str, Any]:
    """The Scrapy settings of a crawl whose pages are shown in Chromium.

    Raises:
        ConfigError: if no Chromium is installed.
    """
    base_url = config.value(card.base_url_setting) if card.base_url_setting else card.base_url
    return {
        # The handler is set for the source's own scheme only, because each handler has a driver process of its own.
        "DOWNLOAD_HANDLERS": {**settings.getdict("DOWNLOAD_HANDLERS"), urlsplit(base_url).scheme: HANDLER},
        "CONCURRENT_REQUESTS": 1,  # one page at a time
        "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": 1,
        "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": 0,  # a page waits for its parts, and the parts wait for limits
        "PLAYWRIGHT_ABORT_REQUEST": "anime_crawler.download.browser.page.refuse",
        "PLAYWRIGHT_LAUNCH_OPTIONS": {
            "executable_path": find_chromium(config),
            # Chromium has no network: a page gets its parts through our own handler only.
            "args": ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-dev-shm-usage"],
            "env": {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            # Chromium ends when we close it or when our process is gone; after a stop the page under way is finished.
            "handle_sigint": False,
            "handle_sigterm": False,
            "handle_sighup": False,
        },
        "PLAYWRIGHT_CONTEXT_OPTIONS": {
            "user_agent": settings["USER_AGENT"],
            "service_workers": "block",
            "accept_downloads": False,
        },
    }
