"""WHERE it comes from: one folder per upstream, all of one shape."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from anime_crawler.base_spiders.card import SourceCard


@cache
def cards() -> dict[str, SourceCard]:
    """The card of every source, by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: import_module(f"{__name__}.{name}").CARD for name in names}
