"""Every field of every sample, given every wrong type: always items or what was set aside, never an exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.commands.source_checks import case_of, expected_of, responses_of
from anime_crawler.items import Item, Rejected
from tests.test_source_contract import SAMPLES

NOW = datetime(2026, 5, 3, tzinfo=UTC)
LAST_DAY, LAST_MOMENT = "9999-12-31", "9999-12-31T23:59:59-14:00"
"""A day that nothing can be added to, and a moment that UTC does not have."""
WRONG: list[Any] = [None, True, -1, 10**25, 1.5, "", "x\x00", [], ["x", None, 5], {"x": {"y": []}}]
WRONG += [LAST_DAY, LAST_MOMENT, 9999]
JSON = [file for sample in SAMPLES for file in responses_of(sample) if file.suffix == ".json"]
ACCEPTED = [file for file in JSON if expected_of(file)["verdict"] == "ok" and "unknown" not in file.name]
ONE_OF_A_KIND = [file for file in ACCEPTED if not file.parent.name.endswith("__all")]
"""Without the pages of a table's words, whose records differ in one word."""
LISTS = ("results", "data", "Page", "media", "anime", "animes")
"""Where the records of an answer stand."""
NO_ANSWERS = {"openapi.json", "expected.json", "facts.json"}
"""What stands beside the recorded answers."""
IN_JSON = sorted({file.parents[2].name for file in ONE_OF_A_KIND})


def mutations(document: Any) -> Iterator[bytes]:
    """The document with each value inside it replaced by each wrong one, and left out."""
    for container, key in places(document):
        right = container[key]
        for wrong in WRONG:
            container[key] = wrong
            yield json.dumps(document).encode()
        del container[key]
        yield json.dumps(document).encode()
        if isinstance(container, list):
            container.insert(key, right)
        else:
            container[key] = right


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of all values inside a document."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def check(source: str, body: bytes) -> None:
    """The parser gives items and rejected records, or says that the whole is something else; drift counts."""
    parse = import_module(f"anime_crawler.sources.{source}.parse").parse_file
    try:
        found = list(parse(body, "file", NOW))
    except ResponseError as error:
        assert str(error)
        return
    for item in found:
        assert isinstance(item, Item | Rejected)
        item.model_dump_json()
    document = orjson.loads(body)
    if isinstance(document, dict) and {"results", "data"} & document.keys():
        drift = import_module(f"anime_crawler.sources.{source}.schema").drift
        drift(document["data"]["animes"] if source == "shikimori" else document)


def name_of(file: Path) -> str:
    return "-".join(filter(None, (file.parents[2].name, file.parent.name, case_of(file))))


@pytest.mark.parametrize("file", ONE_OF_A_KIND, ids=name_of)
def test_a_wrong_type_anywhere_is_no_exception(file):
    """Each value of each record of the sample's answer is replaced by each of the wrong ones, and left out."""
    for document in alone(orjson.loads(file.read_bytes())):
        for body in mutations(shortened(document)):
            check(file.parents[2].name, body)


@pytest.mark.parametrize("source", IN_JSON)
def test_recorded_answers_stand_wrong_types_too(source, shared):
    """The same with real answers, one record of each."""
    for path in sorted((shared / "samples" / source).glob("*.json")):
        if path.name in NO_ANSWERS:
            continue
        for body in mutations(shortened(orjson.loads(path.read_bytes()))):
            check(source, body)


def alone(document: Any) -> Iterator[Any]:
    """The document once for each record of its list, with that record alone in it."""
    if isinstance(document, list):
        yield from [[record] for record in document] or [[]]
        return
    name = next((name for name in LISTS if isinstance(document.get(name), list | dict)), None)
    if name is None:
        yield document
        return
    yield from ({**document, name: inner} for inner in alone(document[name]))


def shortened(document: Any) -> Any:
    """The document with one record in each list, and two entries in each object of numbers: 220 episodes are 2."""
    if isinstance(document, list):
        return [shortened(value) for value in document[:1]]
    if isinstance(document, dict):
        is_numbered = all(key.isdigit() for key in document)
        return {key: shortened(value) for key, value in list(document.items())[: 2 if is_numbered else None]}
    return document
