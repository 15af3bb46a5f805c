"""`slugify` makes the public address of an anime from its title by the backend's rule; `Slugs` makes it unique."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

NOT_IN_A_WORD = re.compile(r"[^\w\s-]")
BETWEEN_WORDS = re.compile(r"[-\s]+")
LINK = re.compile(r"(?s)(.*)-([1-9][0-9]*)\Z")


def slugify(title: str) -> str:
    """The slug of a title: its lower-case ASCII words joined with ``-``; empty if the title has no such word."""
    decomposed = unicodedata.normalize("NFKD", title.lower())
    ascii_only = decomposed.encode("ascii", "ignore").decode("ascii")
    words = NOT_IN_A_WORD.sub("", ascii_only)
    return BETWEEN_WORDS.sub("-", words).strip("-")


def link(base: str, number: int) -> str:
    """Link `number` of the chain ``base``, ``base-1``, ``base-2``, …"""
    return f"{base}-{number}" if number else base


class Slugs:
    """`Slugs` holds the slugs in use, and finds the first free link of a chain without reading it from its start.

    The real backend asks the database once for each link, so that the n-th title with the same base costs n queries.
    `Slugs` remembers for each base how many of its first links are taken. The result is the same.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._full_below: dict[str, int] = {}

    def choose(self, base: str, own: str | None) -> str:
        """The first link of the chain that no other anime has.

        Args:
            base: the slug that `slugify` made.
            own: the present slug of the anime; None: the anime is new.
        """
        number = self._full_below.get(base, 0)
        if own is not None and _number_in(base, own, below=number):
            return own
        while (candidate := link(base, number)) in self._taken and candidate != own:
            number += 1
        self._full_below[base] = number
        return candidate

    def queries(self, base: str, own: str | None) -> int:
        """The number of queries that the real backend needs for the same answer."""
        chosen = self.choose(base, own)
        match = LINK.match(chosen[len(base) :])
        return 1 + (int(match[2]) if match else 0)

    def move(self, old: str | None, new: str) -> None:
        """Note that an anime has the slug `new`, and no longer `old` (None: the anime is new)."""
        if old is not None:
            self._release(old)
        self._taken.add(new)

    def _release(self, slug: str) -> None:
        self._taken.discard(slug)
        self._full_below.pop(slug, None)
        if match := LINK.match(slug):
            base, number = match[1], int(match[2])
            if base in self._full_below:
                self._full_below[base] = min(number, self._full_below[base])


def _number_in(base: str, slug: str, below: int) -> bool:
    """Whether `slug` is one of the first `below` links of `base`'s chain."""
    if slug == base:
        return below > 0
    match = LINK.match(slug)
    return match is not None and match[1] == base and int(match[2]) < below
