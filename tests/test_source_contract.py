"""What every source must pass. Finds sources and samples by itself: a new source needs no line here."""

from __future__ import annotations

import json
import pkgutil
import re
from datetime import datetime
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from scrapy.responsetypes import responsetypes

from anime_crawler import items, sources
from anime_crawler.base_spiders import SourceCard, SourceSpider
from anime_crawler.config import Config
from anime_crawler.politeness.limits import parse_limits

NAMES = sorted(module.name for module in pkgutil.iter_modules(sources.__path__) if module.ispkg)
FOLDERS = {name: Path(sources.__path__[0]) / name for name in NAMES}
SAMPLES = [sample for folder in FOLDERS.values() for sample in sorted((folder / "samples").iterdir())]
every_source = pytest.mark.parametrize("name", NAMES)
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.name}")


def module(name: str, part: str) -> Any:
    return import_module(f"{sources.__name__}.{name}.{part}")


def card(name: str) -> SourceCard:
    found: SourceCard = import_module(f"{sources.__name__}.{name}").CARD
    return found


def spiders(name: str) -> list[type[SourceSpider]]:
    """The spiders that a source defines."""
    found = vars(module(name, "spider")).values()
    return [c for c in found if isinstance(c, type) and issubclass(c, SourceSpider) and c is not SourceSpider]


def mapping_tables(name: str) -> dict[str, dict[str, Enum]]:
    """Tables of a parser that turn the upstream's words into ours, by what they map: ``kind``, ``status``."""
    tables = {}
    for constant, value in vars(module(name, "parse")).items():
        if constant.isupper() and isinstance(value, dict) and all(isinstance(v, Enum) for v in value.values()):
            tables[re.sub(r"(?<=s)es$|s$", "", constant.lower())] = value
    return tables


def read(sample: Path, file: str) -> Any:
    return json.loads((sample / file).read_text(encoding="utf-8"))


def body_file(sample: Path) -> Path:
    """The answer as it was received: ``response.json``, ``response.html``, …"""
    (file,) = sample.glob("response.*")
    return file


def parsed(sample: Path) -> list[Any]:
    """What the parser gives for a sample."""
    at = datetime.fromisoformat(read(sample, "meta.json")["fetched_at"])
    parse = module(sample.parent.parent.name, "parse").parse_file
    return list(parse(body_file(sample).read_bytes(), sample.name, at))


def comparable(item: BaseModel) -> dict[str, Any]:
    """An item as samples write it down: without the time of fetching, the raw record and what is unknown."""
    values = item.model_dump(mode="json", exclude={"fetched_at", "raw"})
    return {"item": type(item).__name__, **{k: v for k, v in values.items() if v not in (None, [], {})}}


@every_source
def test_a_source_has_a_card_that_says_where_its_limits_come_from(name):
    """The card is named after the folder; limits parse, and somebody states them."""
    its = card(name)
    assert its.name == name
    assert parse_limits(its.limits).windows
    assert len(its.limits_origin) > 20
    assert its.base_url.startswith("https://")
    assert not its.base_url.endswith("/")


@every_source
def test_settings_named_on_a_card_exist(name):
    """Addresses, limits and secrets of a card are settings of the project."""
    its = card(name)
    named = [its.base_url_setting, its.limits_setting, *(secret.setting for secret in its.secrets)]
    assert {setting.lower() for setting in named if setting} <= set(Config.model_fields)


@every_source
def test_a_source_tells_its_history_and_quirks(name):
    """Dated changes, and each quirk with what we do."""
    text = import_module(f"{sources.__name__}.{name}").__doc__ or ""
    assert re.search(r"\nHistory:\n    \d{4}-\d{2}  \S", text)
    assert "\nQuirks:\n    " in text
    for named in re.findall(r"[a-z_]+__[a-z0-9_]+", text):
        assert (FOLDERS[name] / "samples" / named).is_dir(), f"{named} is no sample"


@every_source
def test_spiders_are_named_after_their_source_and_yield_what_the_card_says(name):
    """The name's first word is the folder; item kinds are items of ours; arguments have a line of help."""
    for spider in spiders(name):
        assert re.fullmatch(rf"{name}(_\w+)?", spider.name)
        assert spider.card is card(name)
        assert all(len(help_) > 10 for help_ in spider.arguments.values())
    assert spiders(name)
    assert all(issubclass(getattr(items, kind), items.Item) for kind in card(name).item_kinds)


@every_source
def test_every_word_that_is_mapped_has_a_sample_and_so_has_one_that_is_not(name):
    """One sample per key of each mapping table, and one for an unknown word, which is set aside."""
    samples = {path.name for path in (FOLDERS[name] / "samples").iterdir()}
    for table, words in mapping_tables(name).items():
        assert {f"{table}__{word}" for word in [*words, "unknown"]} <= samples
        unknown = parsed(FOLDERS[name] / "samples" / f"{table}__unknown")
        assert any(isinstance(item, items.Rejected) and "unknown value" in item.reason for item in unknown)
    assert mapping_tables(name)


@every_sample
def test_a_sample_gives_what_it_is_expected_to_give(sample):
    """The spider's judgement of the answer, and the items of one that is accepted."""
    expected, meta = read(sample, "expected.json"), read(sample, "meta.json")
    if expected.get("judged", True):  # not what the spider never asks for, and only `parsefile` understands
        url = f"https://x.test{meta['endpoint'].split()[1]}"
        response = responsetypes.from_args(url=url, filename=body_file(sample).name)(
            url, status=meta["status"], body=body_file(sample).read_bytes()
        )
        assert spiders(sample.parent.parent.name)[0]().judge(response).kind == expected["verdict"]
    if expected["verdict"] == "ok":
        assert [comparable(item) for item in parsed(sample)] == expected["items"]


@every_sample
def test_items_of_a_sample_have_unique_keys_and_survive_a_round_trip(sample):
    """Their JSON gives the same item again, with the same checksum."""
    if read(sample, "expected.json")["verdict"] != "ok":
        return
    found = parsed(sample)
    for item in found:
        again = type(item).model_validate_json(item.model_dump_json())
        assert again == item
        if isinstance(item, items.Item):
            assert again.checksum() == item.checksum()
    keys = [(type(item), item.key) for item in found if isinstance(item, items.Item)]
    assert len(keys) == len(set(keys))


@every_sample
def test_a_sample_says_where_it_comes_from_and_holds_no_token(sample):
    """Invented or recorded, what it shows, and a placeholder where a credential was."""
    meta = read(sample, "meta.json")
    assert meta.keys() == {"says", "origin", "endpoint", "status", "fetched_at"}
    assert len(meta["says"]) > 5
    text = "".join(path.read_text(encoding="utf-8") for path in sample.iterdir())
    assert set(re.findall(r"token=([^&\"\s]*)", text)) <= {"REDACTED"}
    assert not re.search(r"\b(?!0123456789abcdef)[0-9a-f]{32}\b", text), "something that looks like a secret"
