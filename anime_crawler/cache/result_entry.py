"""The result cache keeps the items of a lookup under a key made of source, arguments and schema."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from pydantic import BaseModel

from anime_crawler.base_spiders import SourceSpider
from anime_crawler.cache.entry import RESULT, STORED_AT, BadEntry, Key
from anime_crawler.items import Airing, Anime, Character, Episode, Item, Release, Snapshot

KINDS: dict[str, type[Item]] = {kind.__name__: kind for kind in (Anime, Release, Episode, Character, Airing, Snapshot)}
"""A result consists of items of these kinds. `Absent` is not kept: the source may add the anime at any time."""


def result_key(spider: SourceSpider, *, is_of_sandbox: bool = False) -> Key:
    """The key of this run's result.

    It depends on the address and the arguments of the spider, on the shape of the items, and on whether the sandbox
    invented them.
    """
    asked: dict[str, Any] = {"url": spider.base_url, "arguments": spider.args, "own": dict(spider.own)}
    if is_of_sandbox:
        asked["sandbox"] = True
    parts = (json.dumps(asked, sort_keys=True, default=str), schema_version(spider.__module__.rpartition(".")[0]))
    return Key(spider.card.name, sha256("\n".join(parts).encode()).hexdigest(), RESULT)


@cache
def schema_version(package: str) -> str:
    """A digest of the models of the items and of a source's answers, and of the items' versions.

    The digest covers models and not code, so a changed comment invalidates no result. A developer who changes the
    parser's output without changing a model must raise the item's `schema_version`.

    Args:
        package: dotted name of the source's folder.
    """
    shapes = [f"{kind.__name__} {kind.schema_version} {_shape(kind)}" for kind in KINDS.values()]
    shapes += [f"{model.__qualname__} {_shape(model)}" for model in _models(package)]
    return sha256("\n".join(shapes).encode()).hexdigest()


def _models(package: str) -> list[type[BaseModel]]:
    """All models of a source's folder, in order of their names."""
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    values = [value for module in modules for value in vars(module).values()]
    found = {v for v in values if isinstance(v, type) and issubclass(v, BaseModel) and v.__module__.startswith(package)}
    return sorted(found, key=lambda model: (model.__module__, model.__qualname__))


def _shape(model: type[BaseModel]) -> str:
    return json.dumps(model.model_json_schema(), sort_keys=True)


def pack_items(items: Sequence[Item], now: float) -> bytes:
    """The time of storing, then the compressed items, one on each line."""
    lines = (f"{type(item).__name__} {item.model_dump_json()}" for item in items)
    return STORED_AT.pack(now) + zlib.compress("\n".join(lines).encode(), 1)


def unpack_items(value: bytes) -> list[Item]:
    """The items that `pack_items` was given, in the same order.

    Raises:
        BadEntry: if the value cannot be read.
    """
    try:
        return list(_items(zlib.decompress(value[STORED_AT.size :]).decode()))
    except (zlib.error, ValueError, KeyError) as error:
        raise BadEntry(str(error)) from error


def _items(text: str) -> Iterator[Item]:
    for line in text.split("\n"):
        kind, _, data = line.partition(" ")
        yield KINDS[kind].model_validate_json(data)
