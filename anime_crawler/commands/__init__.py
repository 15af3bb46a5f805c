"""Scrapy commands of the project, and the two things all of them do: read settings, say what is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scrapy.exceptions import UsageError
from scrapy.settings import BaseSettings
from scrapy.spiderloader import SpiderLoader

from anime_crawler.base_spiders import SourceSpider

if TYPE_CHECKING:
    from anime_crawler.config import Config

_config: Config | None = None
"""The settings of this command, once they are read."""


def config_from(settings: BaseSettings) -> Config:
    """The checked settings; ``-s NAME=value`` on the command line wins over environment and ``.env``.

    Raises:
        ConfigError: naming the setting, what was read, and an example.
    """
    from anime_crawler.config import Config  # here, because `scrapy version` needs none of it

    global _config
    names = (name.upper() for name in Config.model_fields)
    _config = Config.load({name: settings[name] for name in names if name in settings})
    return _config


def refuse_words(args: list[str]) -> None:
    """For commands without free words. Scrapy hands on an option that it does not know: a misspelt ``--recheck`` would
    be an ordinary delivery, and ``deadletters drop 3 -s DATABASE_URL=…`` would drop from another catalogue.

    Raises:
        UsageError: there are some. Values are not repeated, one may be a credential.
    """
    if args:
        names = " ".join(word.partition("=")[0] for word in args if word.startswith("-"))
        what = names or f"{len(args)} words too many"
        raise UsageError(f"not understood: {what}; -s NAME=value and -L stand before words as list, show or clear")


def source_spiders(settings: BaseSettings) -> dict[str, type[SourceSpider]]:
    """Every source's spider by the source's name, in the names' order."""
    loader = SpiderLoader.from_settings(settings)
    spiders = [spider for spider in map(loader.load, loader.list()) if issubclass(spider, SourceSpider)]
    return {spider.card.name: spider for spider in sorted(spiders, key=lambda spider: spider.card.name)}


def name_instead(command: str, instead: str) -> int:
    """Exit code of a command of Scrapy's that knows nothing of sources, limits and runs: 2, wrong use.

    Args:
        instead: which command to use, and what it does.
    """
    return complain(UsageError(f"there is no `scrapy {command}` in this project: {instead}"), 2)


def complain(error: Exception, code: int) -> int:
    """Say what is wrong in one message on stderr, without a traceback, and give back the exit code.

    What a library says of an error may repeat a password of the settings; here it does not.
    """
    message = str(error)
    if _config:
        from anime_crawler.download.secrets import MaskingFactory, secrets_of  # here: most commands do not complain

        message = MaskingFactory(secrets_of(_config)).mask(message)
    sys.stderr.write(f"scrapy: {message}\n")
    return int(code)
