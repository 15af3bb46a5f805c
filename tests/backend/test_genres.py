"""`genre_in` knows the genres of real records, and each of its words stands for one genre."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from anime_crawler.backend.genres import KNOWN, SAYS_NOTHING, genre_in
from anime_crawler.sandbox.world.words import GENRES, KINOPOISK_GENRES

DATASETS = Path(__file__).parents[3] / "shared" / "datasets"


def test_each_word_stands_for_one_genre():
    """Whatever its case; what says nothing is no genre."""
    words = Counter(word.casefold() for genre in KNOWN for word in set(map(str.casefold, genre)))
    assert {word: count for word, count in words.items() if count > 1} == {}
    assert not words.keys() & SAYS_NOTHING


@pytest.mark.parametrize("genre", KNOWN, ids=lambda genre: genre[0])
def test_a_genre_is_the_same_in_each_of_its_words(genre):
    """And has a name in both languages."""
    english, russian, *_ = genre
    assert {(genre_in("en", word.upper()), genre_in("ru", word.lower())) for word in genre} == {(english, russian)}
    assert english.isascii() and not russian.isascii()


def test_the_sandbox_invents_no_genre_that_we_do_not_know():
    """Shikimori's and Kinopoisk's."""
    words = [name for genre in GENRES.values() for name in genre[:2]] + KINOPOISK_GENRES
    assert [word for word in words if genre_in("en", word) is None] == []


def test_the_genres_of_real_records_are_known():
    """Of MyAnimeList, AniList and Kitsu, which have a closed list; the tags of the others are no genres."""
    file = DATASETS / "records_train.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    unknown: Counter[str] = Counter()
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"genres"' in line and '"anime_planet"' not in line:
                record = json.loads(line)
                unknown.update(genre for genre in record.get("genres") or () if genre_in("en", genre) is None)
    assert unknown == {}
