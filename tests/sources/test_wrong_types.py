"""Every field of every sample, given every wrong type: always items or what was set aside, never an exception.

A field that stands at the same place in many answers of a source is tried in one of them; `make test-slow` tries all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import orjson
import pytest

from anime_crawler.base_spiders import ResponseError
from anime_crawler.commands.source_checks import expected_of, responses_of
from anime_crawler.items import Item, Rejected
from tests.test_source_contract import SAMPLES

NOW = datetime(2026, 5, 3, tzinfo=UTC)
LAST_DAY, LAST_MOMENT = "9999-12-31", "9999-12-31T23:59:59-14:00"
"""A day that nothing can be added to, and a moment that UTC does not have."""
WRONG: list[Any] = [None, True, -1, 10**25, 1.5, "", "x\x00", [], ["x", None, 5], {"x": {"y": []}}]
WRONG += [LAST_DAY, LAST_MOMENT, 9999]
ENCODED = [json.dumps(wrong).encode() for wrong in WRONG]
HERE = "where the wrong value is put"
JSON = [file for sample in SAMPLES for file in responses_of(sample) if file.suffix == ".json"]
ACCEPTED = [file for file in JSON if expected_of(file)["verdict"] == "ok" and "unknown" not in file.name]
ONE_OF_A_KIND = [file for file in ACCEPTED if not file.parent.name.endswith("__all")]
"""Without the pages of a table's words, whose records differ in one word."""
LISTS = ("results", "data", "Page", "media", "anime", "animes")
"""Where the records of an answer stand."""
NO_ANSWERS = {"openapi.json", "expected.json", "facts.json"}
"""What stands beside the recorded answers."""
IN_JSON = sorted({file.parents[2].name for file in ONE_OF_A_KIND})


def mutations(document: Any, seen: set[Any] | None) -> Iterator[bytes]:
    """The document with each value inside it replaced by each wrong one, and left out; not at the places of `seen`.

    Each answer is encoded once a place, and the wrong values are put into its text.
    """
    for place, container, key in places(document):
        if seen is not None:
            if place in seen:
                continue
            seen.add(place)
        right = container[key]
        container[key] = HERE
        before, after = orjson.dumps(document).split(orjson.dumps(HERE))
        yield from (before + wrong + after for wrong in ENCODED)
        del container[key]
        yield orjson.dumps(document)
        if isinstance(container, list):
            container.insert(key, right)
        else:
            container[key] = right


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any, Any]]:
    """(place, container, key) of all values inside a document.

    Two values have the same place if the same names lead to them and what they stand in has the same names.
    """
    names = frozenset() if is_listlike(value) else frozenset(value)
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        there = (*path, key if names else "*")
        yield (there, names), value, key
        if isinstance(inner, dict | list):
            yield from places(inner, there)


def is_listlike(value: Any) -> bool:
    """A list, or an object whose names are numbers, as Kodik's seasons and episodes."""
    return isinstance(value, list) or all(key.isdigit() for key in value)


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


each_place_once_or_in_each_answer = pytest.mark.parametrize(
    "seen",
    [
        pytest.param(set, id="each place once"),
        pytest.param(lambda: None, id="each answer", marks=pytest.mark.slow),
    ],
)


@each_place_once_or_in_each_answer
@pytest.mark.parametrize("source", IN_JSON)
def test_a_wrong_type_anywhere_is_no_exception(source, seen):
    """Each value of each record of the samples' answers is replaced by each of the wrong ones, and left out."""
    samples = [file for file in ONE_OF_A_KIND if file.parents[2].name == source]
    check_all(source, (record for file in samples for record in alone(orjson.loads(file.read_bytes()))), seen())


@each_place_once_or_in_each_answer
@pytest.mark.parametrize("source", IN_JSON)
def test_recorded_answers_stand_wrong_types_too(source, seen, shared):
    """The same with real answers, one record of each."""
    files = [file for file in sorted((shared / "samples" / source).glob("*.json")) if file.name not in NO_ANSWERS]
    check_all(source, (orjson.loads(file.read_bytes()) for file in files), seen())


def check_all(source: str, documents: Iterable[Any], seen: set[Any] | None) -> None:
    for document in documents:
        for body in mutations(shortened(document), seen):
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
