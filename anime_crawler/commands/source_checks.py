"""Every source must pass these checks. `scrapy checksources` shows them to people, and the test suite runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from scrapy.http import Response
from scrapy.responsetypes import responsetypes

from anime_crawler import items, sources
from anime_crawler.base_spiders import ResponseError, SourceCard, SourceSpider
from anime_crawler.config import Config
from anime_crawler.rate_limit.limits import parse_limits

FILES = {"__init__.py", "schema.py", "parse.py", "spider.py", "samples"}
META = {"says", "origin", "endpoint", "status", "fetched_at"}
DRAFT = "Compare each value with the response, then delete this line."
SECRET = re.compile(r"token=(?!REDACTED)[^&\"\s]+|\b(?!0123456789abcdef)[0-9a-f]{32}\b")
"""Text that looks like a credential. Invented ids of 32 digits begin with those of the documentation."""

Problems = Iterator[str]


def folder_of(name: str) -> Path:
    """Where the source lives."""
    return Path(sources.__path__[0]) / name


def part(name: str, file: str) -> Any:
    """A module of the source."""
    return import_module(f"{sources.__name__}.{name}.{file}")


def spiders_of(name: str) -> list[type[SourceSpider]]:
    """The spiders that a source defines."""
    found = vars(part(name, "spider")).values()
    own = [c for c in found if getattr(c, "__module__", "") == part(name, "spider").__name__]
    return [c for c in own if isinstance(c, type) and issubclass(c, SourceSpider)]


def samples_of(name: str) -> list[Path]:
    """Folders of its samples, in order."""
    return sorted((folder_of(name) / "samples").iterdir())


def read(sample: Path, file: str) -> Any:
    """A JSON file of a sample."""
    return json.loads((sample / file).read_text(encoding="utf-8"))


def responses_of(sample: Path) -> list[Path]:
    """The answers as they were received: ``response.json``, ``response.html`` …, or one for each case of the sample:
    ``response.movie.xml``, ``response.ova.xml`` …
    """
    return sorted(sample.glob("response.*"))


def case_of(response: Path) -> str:
    """``movie`` of ``response.movie.xml``; empty where the sample has one answer."""
    return ".".join(response.name.split(".")[1:-1])


def meta_of(response: Path) -> dict[str, Any]:
    """The part of ``meta.json`` about an answer. A value that differs by case is an object with one for each."""
    meta = read(response.parent, "meta.json")
    return {name: value[case_of(response)] if isinstance(value, dict) else value for name, value in meta.items()}


def expected_of(response: Path) -> dict[str, Any]:
    """The part of ``expected.json`` about an answer: all of it, or what stands under the answer's case."""
    expected = read(response.parent, "expected.json")
    found: dict[str, Any] = expected[case_of(response)] if case_of(response) else expected
    return found


def parsed(response: Path) -> list[Any]:
    """The items that the parser makes of an answer.

    Raises:
        ResponseError: it understands nothing of it.
    """
    at = datetime.fromisoformat(meta_of(response)["fetched_at"])
    sample = response.parent
    parse = part(sample.parent.parent.name, "parse").parse_file
    return list(parse(response.read_bytes(), sample.name, at))


def is_whole(sample: Path) -> bool:
    """Whether a sample has its three kinds of files, what was asked for is said, and all speak of the same cases."""
    if {path.name.partition(".")[0] for path in sample.iterdir()} != {"response", "expected", "meta"}:
        return False
    meta, responses = read(sample, "meta.json"), responses_of(sample)
    if meta.keys() != META:
        return False
    cases = {case_of(response) for response in responses}
    if cases == {""}:
        return len(responses) == 1 and not any(isinstance(value, dict) for value in meta.values())
    told = [value.keys() for value in (read(sample, "expected.json"), *meta.values()) if isinstance(value, dict)]
    return len(cases) == len(responses) and all(keys - {"draft"} == cases for keys in told)


def draft_expected(sample: Path) -> None:
    """Write what judgement and parser of today make of a sample as its ``expected.json``, to be looked at."""
    drafts = {case_of(response): _draft(response) for response in responses_of(sample)}
    expected = {"draft": DRAFT, **drafts.get("", drafts)}
    text = json.dumps(expected, ensure_ascii=False, indent=1)
    (sample / "expected.json").write_text(text + "\n", encoding="utf-8")


def _draft(response: Path) -> dict[str, Any]:
    verdict = _judged(response)
    return {"verdict": verdict, "items": [comparable(i) for i in _understood(response)] if verdict == "ok" else []}


def draft_missing(name: str) -> list[Path]:
    """Draft ``expected.json`` of each sample that has none, or a draft; gives back which."""
    drafted = []
    for sample in samples_of(name):
        file = sample / "expected.json"
        if not file.exists() or "draft" in read(sample, file.name):
            draft_expected(sample)
            drafted.append(sample)
    return drafted


def comparable(item: BaseModel) -> dict[str, Any]:
    """An item as samples write it down: without the time of fetching, the raw record and what is unknown."""
    values = item.model_dump(mode="json", exclude={"fetched_at", "raw"})
    values["not_understood"] = list(getattr(item, "not_understood", ()))  # no content, but what some samples show
    return {"item": type(item).__name__, **{k: v for k, v in values.items() if v not in (None, [], {})}}


def files_are_those_of_all(name: str) -> Problems:
    """All source folders have the same files, so that who knows one folder knows them all."""
    found = {path.name for path in folder_of(name).iterdir() if path.name != "__pycache__"}
    yield from (f"{file} is missing" for file in sorted(FILES - found))
    yield from (f"{file} does not belong here" for file in sorted(found - FILES))
    for sample in samples_of(name):
        if not is_whole(sample):
            yield (
                f"samples/{sample.name} is to hold a response or one for each case (response.CASE.json), meta.json "
                f"with {', '.join(sorted(META))}, and expected.json, which `scrapy checksources --write {name}` drafts"
            )


def card_says_who_states_the_limits(name: str) -> Problems:
    """The card is named after the folder; limits parse, somebody states them; its settings exist."""
    card: SourceCard = sources.cards()[name]
    if card.name != name:
        yield f"the card is named {card.name}"
    if not parse_limits(card.limits).windows or len(card.limits_origin) <= 20:
        yield "the card is to state limits, and who says so"
    if card.block_rest_s <= 0 or len(card.block_origin) <= 20:
        yield "the card is to state how long a block lasts, and who says so"
    if not card.base_url.startswith("https://") or card.base_url.endswith("/"):
        yield f"{card.base_url} is no https address without a slash at its end"
    named = [card.base_url_setting, card.limits_setting, *(secret.setting for secret in card.secrets)]
    yield from (f"no setting {n}" for n in named if n and n.lower() not in Config.model_fields)


def docstring_tells_history_and_quirks(name: str) -> Problems:
    """Dated changes, and each quirk with what we do and the sample that shows it."""
    text = import_module(f"{sources.__name__}.{name}").__doc__ or ""
    if not re.search(r"\nHistory:\n    \d{4}-\d{2}  \S", text):
        yield "the docstring has no History of dated lines"
    if "\nQuirks:\n    " not in text:
        yield "the docstring has no Quirks"
    samples = {sample.name for sample in samples_of(name)}
    samples |= {f"{r.parent.name}.{case_of(r)}" for sample in samples_of(name) for r in responses_of(sample)}
    named = re.findall(r"[a-z_]+__[a-z0-9_]+(?:\.[a-z0-9_]+)?", text)
    yield from (f"{sample} is no sample" for sample in named if sample not in samples)


def spiders_keep_the_card(name: str) -> Problems:
    """Named after the folder, with the folder's card; item kinds are items of ours; arguments have a line of help."""
    if not spiders_of(name):
        yield "spider.py defines no spider"
    for spider in spiders_of(name):
        if not re.fullmatch(rf"{name}(_\w+)?", spider.name):
            yield f"the spider's name {spider.name} does not begin with the folder's"
        if spider.card is not sources.cards()[name]:
            yield f"{spider.name} has another card"
        yield from (f"argument {word} of {spider.name}: no help" for word, h in spider.arguments.items() if len(h) < 10)
    kinds = sources.cards()[name].item_kinds
    yield from (f"{kind} is no item" for kind in kinds if not issubclass(getattr(items, kind, str), items.Item))


def mapping_tables(name: str) -> dict[str, str]:
    """Tables of a parser that turn the upstream's words into ours: what they map (``kind``, ``status``) -> constant."""
    tables = {}
    for constant, value in vars(part(name, "parse")).items():
        if constant.isupper() and isinstance(value, dict) and all(isinstance(v, Enum) for v in value.values()):
            tables[re.sub(r"(?<=s)es$|s$", "", constant.lower())] = constant
    return tables


class _Asked(dict[str, Enum]):
    """A mapping table that remembers which of its words were looked up."""

    def __init__(self, table: dict[str, Enum]) -> None:
        super().__init__(table)
        self.words: set[str] = set()

    def __getitem__(self, word: str) -> Enum:
        self.words.add(word)
        return super().__getitem__(word)

    def get(self, word: str, default: Any = None) -> Any:
        self.words.add(word)
        return super().get(word, default)


def mapped_words_have_samples(name: str) -> Problems:
    """The samples of a mapping table, ``kind__…``, have all its words together, and one that it does not know, which is
    noted and never guessed.
    """
    parser, tables = part(name, "parse"), mapping_tables(name)
    if not tables:
        yield "parse.py maps no words"
    for table, constant in tables.items():
        samples = [s for s in samples_of(name) if s.name.startswith(f"{table}__") and is_whole(s)]
        asked = _Asked(getattr(parser, constant))
        setattr(parser, constant, asked)
        try:
            answers = [response for sample in samples for response in responses_of(sample)]
            told = [problem for answer in answers for item in _understood(answer) for problem in _told_of(item)]
        finally:
            setattr(parser, constant, dict(asked))
        yield from (f"no sample {table}__… has the word {word!r}" for word in sorted(asked.keys() - asked.words))
        if not any("unknown value" in problem for problem in told):
            yield f"no sample {table}__… has a word that {constant} does not know, and tells of it"


def _understood(response: Path) -> list[Any]:
    try:
        return parsed(response)
    except ResponseError:  # said by the check of what it gives
        return []


def _told_of(item: Any) -> tuple[str, ...]:
    """The parser's words about what it did not understand: fields, or the record that it set aside."""
    return (item.reason,) if isinstance(item, items.Rejected) else getattr(item, "not_understood", ())


def sample_gives_what_is_expected(sample: Path) -> Problems:
    """The spider's judgement of each answer, and the items of one that is accepted."""
    if not is_whole(sample):
        return
    if "draft" in read(sample, "expected.json"):
        yield "expected.json is a draft: compare each value with the response, then delete its line `draft`"
    for response in responses_of(sample):
        case = f"{case_of(response)}: " if case_of(response) else ""
        yield from (f"{case}{problem}" for problem in _differences(response))


def _differences(response: Path) -> Problems:
    expected = expected_of(response)
    if expected.get("judged", True):  # not what the spider never asks for, and only `parsefile` understands
        kind = _judged(response)
        if kind != expected["verdict"]:
            yield f"judged {kind}, not {expected['verdict']}"
    if expected["verdict"] == "ok":
        try:
            found = [comparable(item) for item in parsed(response)]
        except ResponseError as error:
            yield f"not understood: {error}"
            return
        if len(found) != len(expected["items"]):
            yield f"{len(found)} items, not {len(expected['items'])}"
        for item, wanted in zip(found, expected["items"], strict=False):
            differ = sorted(n for n in {*item, *wanted} if item.get(n) != wanted.get(n))
            yield from (f"{n}: {item.get(n)!r}, not {wanted.get(n)!r}" for n in differ)


def _judged(file: Path) -> str:
    """The kind of the verdict that the spider gives for an answer."""
    meta = meta_of(file)
    url = f"https://x.test{meta['endpoint'].split()[1]}"
    kind: type[Response] = responsetypes.from_args(url=url, filename=file.name)
    response = kind(url, status=meta["status"], body=file.read_bytes())
    return spiders_of(file.parent.parent.parent.name)[0]().judge(response).kind


def items_survive_a_round_trip(sample: Path) -> Problems:
    """Their JSON gives the same item again, with the same checksum; keys are unique."""
    accepted = (r for r in responses_of(sample) if expected_of(r)["verdict"] == "ok") if is_whole(sample) else ()
    for found in map(_understood, accepted):
        for item in found:
            again = type(item).model_validate_json(item.model_dump_json())
            if again.model_dump() != item.model_dump() or (
                isinstance(item, items.Item) and again.checksum() != item.checksum()
            ):
                yield f"{comparable(item)} is another one when read from its JSON"
        # A character has one item for each anime it is in.
        keys = [(type(item), item.key, getattr(item, "anime_id", "")) for item in found if isinstance(item, items.Item)]
        if len(keys) != len(set(keys)):
            yield "two items have one key"


def sample_is_documented(sample: Path) -> Problems:
    """Invented or recorded, what it shows, and a placeholder where a credential was."""
    if not is_whole(sample):
        return
    if any(len(meta_of(response)["says"]) <= 5 for response in responses_of(sample)):
        yield "`says` in meta.json is to tell what the sample shows"
    for path in sample.iterdir():
        if match := SECRET.search(path.read_text(encoding="utf-8")):
            yield f"{path.name}: {match[0][:12]}… looks like a secret"


CHECKS: tuple[Callable[[str], Problems], ...] = (
    files_are_those_of_all,
    card_says_who_states_the_limits,
    docstring_tells_history_and_quirks,
    spiders_keep_the_card,
    mapped_words_have_samples,
)
SAMPLE_CHECKS: tuple[Callable[[Path], Problems], ...] = (
    sample_gives_what_is_expected,
    items_survive_a_round_trip,
    sample_is_documented,
)


def problems(name: str) -> Problems:
    """Everything that is wrong with a source, one sentence each."""
    for check in CHECKS:
        yield from check(name)
    for sample in samples_of(name):
        for sample_check in SAMPLE_CHECKS:
            yield from (f"samples/{sample.name}: {problem}" for problem in sample_check(sample))
