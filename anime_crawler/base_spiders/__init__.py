"""What sources build on: the card, the base spider, verdicts and errors."""

from anime_crawler.base_spiders.body import json_body, parse_json
from anime_crawler.base_spiders.card import Probe, Secret, SourceCard, SourceSetting
from anime_crawler.base_spiders.errors import RecordError, ResponseError, SourceError
from anime_crawler.base_spiders.record import (
    Drift,
    count_unknown,
    count_vanished,
    explain,
    mapped,
    set_aside,
    shape_of,
)
from anime_crawler.base_spiders.source_spider import RENDER, ArgumentError, Run, SourceSpider
from anime_crawler.base_spiders.verdict import ACCEPT, OUT_OF_QUOTA, Action, GivenUp, Verdict, verdict_by_status

__all__ = [
    "ACCEPT",
    "OUT_OF_QUOTA",
    "RENDER",
    "Action",
    "ArgumentError",
    "Drift",
    "GivenUp",
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
    "count_unknown",
    "count_vanished",
    "explain",
    "json_body",
    "mapped",
    "parse_json",
    "set_aside",
    "shape_of",
    "verdict_by_status",
]
