"""What sources build on: the card, the base spider, verdicts and errors."""

from anime_crawler.base_spiders.arguments import (
    NUMBER,
    ArgumentError,
    at_most_one,
    chosen,
    is_on,
    parts_of,
    titles_of,
)
from anime_crawler.base_spiders.body import json_body, parse_json
from anime_crawler.base_spiders.card import Probe, Secret, SourceCard, SourceSetting
from anime_crawler.base_spiders.errors import NotJsonError, RecordError, ResponseError, SourceError
from anime_crawler.base_spiders.record import (
    Drift,
    count_unknown,
    count_vanished,
    explain,
    mapped,
    set_aside,
    shape_of,
)
from anime_crawler.base_spiders.source_spider import RENDER, Run, SourceSpider
from anime_crawler.base_spiders.verdict import (
    ACCEPT,
    Action,
    GivenUp,
    Verdict,
    kind_of,
    location_of,
    moved,
    request_of,
    unreadable,
    verdict_by_status,
    wrong_address,
)

__all__ = [
    "ACCEPT",
    "NUMBER",
    "RENDER",
    "Action",
    "ArgumentError",
    "Drift",
    "GivenUp",
    "NotJsonError",
    "Probe",
    "RecordError",
    "ResponseError",
    "Run",
    "Secret",
    "SourceCard",
    "SourceError",
    "SourceSetting",
    "SourceSpider",
    "Verdict",
    "at_most_one",
    "chosen",
    "count_unknown",
    "count_vanished",
    "explain",
    "is_on",
    "json_body",
    "kind_of",
    "location_of",
    "mapped",
    "moved",
    "parse_json",
    "parts_of",
    "request_of",
    "set_aside",
    "shape_of",
    "titles_of",
    "unreadable",
    "verdict_by_status",
    "wrong_address",
]
