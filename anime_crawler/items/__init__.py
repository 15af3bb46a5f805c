"""WHAT is yielded: the items, documented at the field. Unknown is ``None``, never 0 or an empty string."""

from anime_crawler.items.anime import ADULT_MATURITIES, AiringStatus, Anime, Kind, PartialDate, Relation, Season, Titles
from anime_crawler.items.base import ABOUT_ANSWER, HttpsUrl, Item, NonBlank, utc_now
from anime_crawler.items.control import (
    LONGEST_KEY,
    UNSTORABLE,
    Absent,
    Checkpoint,
    Listed,
    Rejected,
    listing,
    member_of,
    members_of,
    place_of,
    replaced,
    storable,
    without_tokens,
)
from anime_crawler.items.metadata import Airing, Character, Episode, Snapshot, VoiceActor
from anime_crawler.items.release import Player, Release, TranslationKind

__all__ = [
    "ABOUT_ANSWER",
    "ADULT_MATURITIES",
    "LONGEST_KEY",
    "UNSTORABLE",
    "Absent",
    "Airing",
    "AiringStatus",
    "Anime",
    "Character",
    "Checkpoint",
    "Episode",
    "HttpsUrl",
    "Item",
    "Kind",
    "Listed",
    "NonBlank",
    "PartialDate",
    "Player",
    "Rejected",
    "Relation",
    "Release",
    "Season",
    "Snapshot",
    "Titles",
    "TranslationKind",
    "VoiceActor",
    "listing",
    "member_of",
    "members_of",
    "place_of",
    "replaced",
    "storable",
    "utc_now",
    "without_tokens",
]
