"""`Stats` counts what the real backend hides: POSTs, the rows they changed, and keys that met in flight."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

Key = tuple[str, ...]
"""A key that two POSTs must not share while both are in flight: its kind, then its values."""


class Post:
    """A `Post` is one POST in flight."""

    def __init__(self, keys: list[Key]) -> None:
        self.keys = keys
        self.rivals: list[Post] = []
        """POSTs with one of the same keys that were in flight when this one came."""
        self.made: set[Hashable] = set()
        """Marks of the rows that this POST was the first to store: a player, episode ids, an anime, a place in a slug
        chain."""

        self.lost: str | None = None
        """The mistake that the real backend would have made with this POST: ``player`` (a duplicate row), or the
        constraint of its 500; ``None``: no mistake."""

    def start_over(self) -> None:
        """Forget what a transaction noted here that was undone."""
        self.made.clear()
        self.lost = None

    def raced_for(self, mark: Hashable) -> bool:
        """Whether a rival has stored the row of `mark`, which the real backend would not have seen yet."""
        return any(mark in rival.made for rival in self.rivals)


class Stats:
    """`Stats` holds counters since the start or the last reset. Only the event loop's thread writes them."""

    def __init__(self) -> None:
        self._open: dict[Key, list[Post]] = {}
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Set every counter to zero; POSTs in flight stay so."""
        self.answers: dict[str, Counter[str]] = {}
        self.rows: dict[str, Counter[str]] = {}
        self.same_key_in_flight: Counter[str] = Counter()
        self.duplicates = 0
        self.lost_races: Counter[str] = Counter()
        self.rejected_children = 0
        self.max_in_flight = 0
        self.met: deque[Key] = deque(maxlen=100)  # 100 are enough to find the cause
        self._by_key: Counter[int] = Counter()  # by hash: 450,000 keys as text would be 100 MB

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request from its first byte to its answer."""
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    @contextmanager
    def post(self, keys: list[Key]) -> Iterator[Post]:
        """Note a POST with these keys as in flight until the block ends."""
        post = Post(keys)
        for key in keys:
            self._enter(post, key)
        try:
            yield post
        finally:
            for key in keys:
                self._leave(post, key)
            self._count_lost(post)

    def _enter(self, post: Post, key: Key) -> None:
        self._by_key[hash(key)] += 1
        others = self._open.get(key)
        if others is None:
            self._open[key] = [post]
            return
        self.same_key_in_flight[key[0]] += 1
        self.met.append(key)
        post.rivals += others
        others.append(post)

    def _leave(self, post: Post, key: Key) -> None:
        others = self._open[key]
        others.remove(post)
        if not others:
            del self._open[key]

    def _count_lost(self, post: Post) -> None:
        if post.lost == "player":
            self.duplicates += 1
        elif post.lost:
            self.lost_races[post.lost] += 1

    def answered(self, route: str, answer: str) -> None:
        """Count an answer: its status, or ``dropped``."""
        self.answers.setdefault(route, Counter())[answer] += 1

    def changed(self, kind: str, changes: Counter[str]) -> None:
        """Count rows by the way in which a POST changed them."""
        self.rows.setdefault(kind, Counter()).update(changes)

    def posts_with(self, key: Key) -> int:
        """The number of good POSTs with this key so far."""
        return self._by_key[hash(key)]

    def report(self) -> dict[str, Any]:
        """All counters, as JSON-ready values."""
        return {
            "posts": {route: answers.total() for route, answers in self.answers.items()},
            "answers": self.answers,
            "rows": self.rows,
            "same_key_in_flight": self.same_key_in_flight.total(),
            "same_key_in_flight_by_kind": self.same_key_in_flight,
            "same_keys": [list(key) for key in self.met],
            "duplicates": self.duplicates,
            "lost_races": self.lost_races,
            "rejected_children": self.rejected_children,
            "in_flight": self._in_flight,
            "max_in_flight": self.max_in_flight,
        }
