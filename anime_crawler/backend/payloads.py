"""`posts_for` makes the POSTs of a title from what the catalogue knows of it. It uses no network and no database.

The title is in the first of TITLE_LANGUAGES in which any source knows one. If there is none, it is the first known one
in the order romaji, en, ru, native, alternative titles. Every other field comes from the first source of
SOURCE_PRIORITY that knows it. Genres, and our own titles of episodes outside the base season, are in the first of
TITLE_LANGUAGES that is English or Russian.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from anime_crawler.backend.genres import Language, genre_in
from anime_crawler.backend.schemas import (
    TITLE_MAX,
    AnimePayload,
    EpisodePayload,
    PlayerLink,
    VideoPayload,
    clean_line,
    clean_text,
    explain,
)
from anime_crawler.catalogue.numbering import KnownEpisode
from anime_crawler.catalogue.outbox import LivePlayer, SentPlayer, TitleState
from anime_crawler.config import Config

DEMOTED = -1000
"""Priority of a link that is no longer wanted. It is below any other, and the only way in which a client can hide a
link."""

STATUS = {"announced": "upcoming", "ongoing": "ongoing", "released": "completed", "paused": None, "discontinued": None}
"""Airing status -> the backend's word. It has no word for the last two; null leaves the status that it has."""

COVERED_APART, PREFERENCE_APART, MOST_PREFERENCES = 10_000, 100_000_000, 20
"""Distances of priorities. Each number of episodes has room for 9,999 ids of teams (Kodik's are below 6,000), each
preference for as many numbers of episodes, and a priority, an int32, for 20 preferences."""
INT32_MAX = 2_147_483_647

OUTSIDE: dict[Language, tuple[str, str]] = {
    "en": ("Special {number}", "Season {season}, episode {number}"),
    "ru": ("Спецвыпуск {number}", "Сезон {season}, серия {number}"),
}
"""Language -> the title of a special, and that of an episode of another season."""

LATIN = re.compile(r"[A-Za-z0-9_]")
"""Characters that the backend keeps in an address. It turns a word to lower case and then decomposes it, so that ™
becomes two capitals."""

FALLBACK_LANGUAGES = ("romaji", "en", "ru", "native")


@dataclass(frozen=True, slots=True)
class AnimePost:
    """An `AnimePost` is an anime to be sent."""

    body: bytes
    checksum: str


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """An `EpisodeEntry` is one entry of a list of episodes to be sent."""

    number: int
    body: bytes
    checksum: str


@dataclass(frozen=True, slots=True)
class PlayerPost:
    """A `PlayerPost` is a player to be sent."""

    number: int
    url: str
    priority: int
    body: bytes
    before: SentPlayer | None
    """The receipt of an earlier POST of this link. State ``sending``: the outcome of that POST is unknown."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A `Refused` record breaks a rule of the contract, or was refused by the backend; it becomes a dead letter."""

    kind: str
    key: str
    reason: str
    raw: str
    checksum: str


@dataclass(frozen=True, slots=True)
class TitlePosts:
    """`TitlePosts` holds the parts of one title that differ from what was delivered."""

    anime: AnimePost | None
    episodes: Sequence[EpisodeEntry]
    players: Sequence[PlayerPost]
    """Links that are no longer wanted come first."""
    refused: Sequence[Refused]
    """Records that our own validation refuses now, without those that it refused before with the same content."""
    unknown_genres: Sequence[str] = ()
    """Genres that `genres.KNOWN` does not have, which are sent as they are. Told only with a changed anime."""
    obsolete: Sequence[tuple[str, str, str]] = ()
    """(kind, key, checksum) of dead letters whose record has other content now, or is no longer wanted."""


def digest(body: bytes) -> str:
    """The digest of a body, 32 hex digits; the same content gives the same digest on every machine."""
    return blake2b(body, digest_size=16).hexdigest()


def episode_key(title_id: str, number: int) -> str:
    """The episode's id at the backend, which is also the key of its dead letter."""
    return f"{title_id}:{number}"


def player_key(title_id: str, number: int, url: str) -> str:
    """The key of the player's dead letter."""
    return f"{title_id}:{number} {url}"


def player_body(sent: SentPlayer) -> bytes:
    """The body of the POST with which a player was sent."""
    link = PlayerLink(url=sent.url, priority=sent.priority)
    return VideoPayload(source_episode_id=episode_key(sent.title_id, sent.number), player=link).body()


def posts_for(state: TitleState, config: Config, source_priority: Sequence[str]) -> TitlePosts:
    """The POSTs of the title that are still to be sent.

    There are none while its anime is refused, because the backend answers 404 to episodes without their anime.
    """
    builder = _Builder(state, config, source_priority)
    anime = builder.anime()
    if anime is None:
        return TitlePosts(None, (), (), builder.refused)
    episodes = builder.episodes()
    players = builder.players({entry.number for entry in episodes} | set(state.delivered_episodes))
    wanted = anime if anime.checksum != state.delivered_anime else None
    genres = genres_of(builder.records, config.title_languages) if wanted else []
    unknown = [name for name, is_known in genres if not is_known]
    return TitlePosts(wanted, episodes, players, builder.refused, unknown, builder.obsolete())


class _Builder:
    """`_Builder` makes the parts of one title, and gathers the records that our own rules refuse."""

    def __init__(self, state: TitleState, config: Config, source_priority: Sequence[str]) -> None:
        self.state = state
        self.config = config
        self.records = [record for source in source_priority for record in state.anime.get(source, ())]
        self.refused: list[Refused] = []
        self._still_dead: set[tuple[str, str]] = set()

    def anime(self) -> AnimePost | None:
        """The title's anime, delivered or not; ``None``: our rules refuse it now, or the backend refused it before."""
        languages, second = self.config.title_languages, self.config.title_second_language
        data = anime_fields(self.state.title_id, self.records, languages, second)
        try:
            body = AnimePayload.model_validate(data).body()
        except ValidationError as error:
            self._refuse("anime", self.state.title_id, error, data)
            return None
        checksum = digest(body)
        if self._is_dead("anime", self.state.title_id, checksum):
            return None
        return AnimePost(body, checksum)

    def episodes(self) -> list[EpisodeEntry]:
        """New and changed entries by number; the last ones hide delivered numbers that no episode has any more."""
        live = {player.number for player in self.state.players}
        known = {episode.number for episode in self.state.episodes}
        lost = [KnownEpisode(number, None) for number in sorted(self.state.delivered_episodes.keys() - known)]
        entries = (self._episode(e, e.number in live) for e in [*self.state.episodes, *lost])
        return [entry for entry in entries if entry]

    def _episode(self, known: KnownEpisode, is_available: bool) -> EpisodeEntry | None:
        number = known.number
        key = episode_key(self.state.title_id, number)
        title = known.title or title_outside(known, self.state.base, self.config.title_languages)
        data = {
            "source_episode_id": key,
            "number": number,
            "title": clean_line(title),
            "is_available": is_available,
        }
        try:
            body = EpisodePayload.model_validate(data).body()
        except ValidationError as error:
            self._refuse("episode", key, error, data)
            return None
        checksum = digest(body)
        if checksum == self.state.delivered_episodes.get(number) or self._is_dead("episode", key, checksum):
            return None
        return EpisodeEntry(number, body, checksum)

    def players(self, episodes: set[int]) -> list[PlayerPost]:
        """Unwanted links, which get `DEMOTED`; then new links, changed priorities, and links in doubt.

        Unwanted links come first so that a link at the wrong episode never stands above the right one.

        Args:
            episodes: numbers of the episodes that the backend has, or will have by then.
        """
        wanted = player_priorities(self.state.players, self.config.translation_priority)
        unwanted = {key: DEMOTED for key in self.state.delivered_players if key not in wanted}
        posts = (
            self._player(number, url, priority)
            for (number, url), priority in [*unwanted.items(), *wanted.items()]
            if number in episodes
        )
        return [post for post in posts if post]

    def _player(self, number: int, url: str, priority: int) -> PlayerPost | None:
        before = self.state.delivered_players.get((number, url))
        if before and before.state == "done" and before.priority == priority:
            return None
        key = player_key(self.state.title_id, number, url)
        try:
            link = PlayerLink(url=url, priority=priority)
            payload = VideoPayload(source_episode_id=episode_key(self.state.title_id, number), player=link)
        except ValidationError as error:
            self._refuse("player", key, error, {"url": url, "priority": priority})
            return None
        body = payload.body()
        if self.state.dead and self._is_dead("player", key, digest(body)):
            return None
        return PlayerPost(number, url, priority, body, before)

    def _is_dead(self, kind: str, key: str, checksum: str) -> bool:
        is_dead = self.state.dead.get((kind, key)) == checksum
        if is_dead:
            self._still_dead.add((kind, key))
        return is_dead

    def obsolete(self) -> list[tuple[str, str, str]]:
        """Dead letters whose record has other content now or is gone; called after all other methods."""
        dead = self.state.dead.items()
        return [(kind, key, checksum) for (kind, key), checksum in dead if (kind, key) not in self._still_dead]

    def _refuse(self, kind: str, key: str, error: ValidationError, data: dict[str, Any]) -> None:
        raw = repr(data)
        checksum = digest(raw.encode("utf-8", "backslashreplace"))
        if not self._is_dead(kind, key, checksum):
            self.refused.append(Refused(kind, key, explain(error), raw, checksum))


def anime_fields(
    title_id: str, records: Sequence[dict[str, Any]], languages: Sequence[str], second: str | None = None
) -> dict[str, Any]:
    """The fields of the anime payload, before they are checked.

    Args:
        records: contents of anime items, the most trusted first; may be empty.
        languages: languages of the title, the preferred one first.
        second: language of the title that is put behind the main one; ``None``: no title is.
    """
    title = next(_titles(records, (*languages, *FALLBACK_LANGUAGES)), None)
    other = next(_clean(record["titles"].get(second) for record in records), None) if second else None
    return {
        "source_id": title_id,
        "title": with_second_title(title, other),
        "alternative_titles": _others(title, _titles(records, ("ru", *languages, *FALLBACK_LANGUAGES))),
        "description": clean_text(_first(records, "description")),
        "year": _first(records, "year"),
        "status": STATUS.get(_first(records, "status") or ""),
        "poster": _first(records, "poster"),
        "genres": _others(None, (name for name, _ in genres_of(records, languages) if name)),
    }


def with_second_title(title: str | None, second: str | None) -> str | None:
    """The title with the second one behind it, ``Naruto / Наруто``, for a search that looks at the title alone.

    The backend makes the address from the title's Latin letters and digits. So words of the second title that have any
    are left out, and the address stays that of the first title.
    """
    if not title or not second:
        return title
    words = " ".join(word for word in second.split() if not LATIN.search(unicodedata.normalize("NFKD", word.lower())))
    joined = f"{title} / {words}"
    has_letters = any(map(str.isalpha, words))
    return joined if has_letters and words.casefold() != title.casefold() and len(joined) <= TITLE_MAX else title


def genres_of(records: Sequence[dict[str, Any]], languages: Sequence[str]) -> list[tuple[str, bool]]:
    """(name, whether `genres.KNOWN` has it) of each genre of the first source that has any, in `language_of_words`."""
    language = language_of_words(languages)
    found = []
    for word in _clean(_first(records, "genres") or ()):
        name = genre_in(language, word)
        found.append((word if name is None else name, name is not None))
    return found


def title_outside(known: KnownEpisode, base: int, languages: Sequence[str]) -> str | None:
    """The title of an episode outside the base season, whose number alone says nothing.

    Args:
        languages: the first one that `OUTSIDE` has is taken, else English. Romaji is for names, so it has no words.

    Returns:
        ``None``: the episode is in the base season, or its season is unknown.
    """
    if known.season in (None, base):
        return None
    special, of_season = OUTSIDE[language_of_words(languages)]
    words = special if known.season == 0 else of_season
    return words.format(season=known.season, number=known.source_number)


def player_priorities(players: Iterable[LivePlayer], preferences: Sequence[str]) -> dict[tuple[int, str], int]:
    """(number, url) -> priority; the player with the highest priority is shown first.

    The releases of a title have one strict order: by preference, then by the number of episodes that they cover, then
    by the id of the team, lower ids first. A priority is computed from its own release alone, so that no player is sent
    again when another release comes or goes. Only if two would be equal, the one with the later id gets one less. A
    link of several releases has the highest of their priorities.
    """
    players = list(players)
    releases = {(p.translation_id, p.release_id): p for p in players}
    ranks = {key: _rank(release[2:5], preferences) for key, release in releases.items()}

    def place(key: tuple[str, str]) -> tuple[int, int, tuple[int, str], tuple[int, str]]:
        return -ranks[key], -releases[key].covered, _in_order(key[0]), _in_order(key[1])

    priorities: dict[tuple[str, str], int] = {}
    last = INT32_MAX
    for key in sorted(releases, key=place):
        preferred = PREFERENCE_APART * min(ranks[key], MOST_PREFERENCES)
        covered = COVERED_APART * min(releases[key].covered, PREFERENCE_APART // COVERED_APART - 1)
        last = priorities[key] = min(preferred + covered + COVERED_APART - 1 - _in_order(key[0])[0], last - 1)
    wanted: dict[tuple[int, str], int] = {}
    for p in players:
        priority = priorities[p.translation_id, p.release_id]
        wanted[p.number, p.url] = max(priority, wanted.get((p.number, p.url), priority))
    return wanted


def _in_order(id_: str) -> tuple[int, str]:
    """A sort key for ids: numbers come first, in numerical order."""
    digits = id_.rpartition("-")[2]  # serial-123
    is_number = digits.isascii() and digits.isdecimal() and len(digits) < len(str(COVERED_APART))
    return int(digits) if is_number else COVERED_APART - 1, id_


def _rank(translation: tuple[str, str, str], preferences: Sequence[str]) -> int:
    """The rank of a translation: 1 for the last preference, 2 for the one before, and so on; 0: it matches none."""
    names = {word.casefold() for word in translation}
    for index, preference in enumerate(preferences):
        if preference.casefold() in names:
            return len(preferences) - index
    return 0


def language_of_words(languages: Sequence[str]) -> Language:
    """The first of the languages that `OUTSIDE` has; English if it has none of them."""
    return "ru" if next((language for language in languages if language in OUTSIDE), "en") == "ru" else "en"


def _first(records: Iterable[dict[str, Any]], field: str) -> Any:
    """The field's value in the first record that has one."""
    return next((record[field] for record in records if record.get(field) not in (None, [], "")), None)


def _titles(records: Sequence[dict[str, Any]], languages: Iterable[str]) -> Iterator[str]:
    """All known titles: main titles in the order of the languages, then alternative titles. Titles may repeat."""
    for language in languages:
        yield from _clean(record["titles"].get(language) for record in records)
    for record in records:
        yield from _clean(record.get("alternative_titles") or ())


def _clean(texts: Iterable[str | None]) -> Iterator[str]:
    return (line for text in texts if (line := clean_line(text)))


def _others(title: str | None, texts: Iterable[str]) -> list[str] | None:
    """The texts in order, without `title` and without repeats; ``None``: no text is left."""
    return [text for text in dict.fromkeys(texts) if text != title] or None
