"""`DeliveryQueue` gives the workers titles whose episodes come next, and players of any titles."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from sqlalchemy import Connection

from anime_crawler.backend.circuit_breaker import POLL_S
from anime_crawler.backend.payloads import EpisodeEntry, PlayerPost, TitlePosts
from anime_crawler.catalogue.outbox import SentPlayer, TitleState

EPISODES_PER_POST = 200
"""Episodes in one POST. 200 take 0.1 s of the backend's time; 1,000 take half a second, and one bad entry refuses the
whole list."""


@dataclass(slots=True, eq=False)
class QueuedTitle:
    """A `QueuedTitle` is one title on its way. It is in one place only, so no two POSTs have the same key."""

    state: TitleState
    posts: TitlePosts
    chunks: deque[Sequence[EpisodeEntry]] = field(default_factory=deque)
    """Episode lists still to be sent, one after the other."""
    open: int = 1
    """Number of open parts: one for anime and episodes together until they are settled, and one for each player that is
    not."""
    parked: int = 0
    """Number of open parts that wait in `Doubts` or `Suspects`, and keep no worker busy."""
    attempts: int = 0
    lost: set[int] = field(default_factory=set)
    """Numbers of episodes that the backend does not have: their players would get 404."""
    forget: list[Callable[[Connection], None]] = field(default_factory=list)
    """Functions that delete receipts which turned out to be wrong. If there are any, the title begins anew."""
    has_progressed: bool = False
    """Whether a record of the title was delivered in this pass."""
    has_failed: bool = False
    """Whether a record of the title is left undelivered that may succeed later."""
    is_drawn: bool = False
    """Whether the title was drawn from all titles that wait, before its turn; see `suspects`."""
    is_tried_out: bool = False
    """Whether a record that failed has had all its attempts, so that the title is left to the next run."""

    def __post_init__(self) -> None:
        entries = self.posts.episodes
        self.chunks.extend(entries[i : i + EPISODES_PER_POST] for i in range(0, len(entries), EPISODES_PER_POST))

    @property
    def title_id(self) -> str:
        return self.state.title_id


@dataclass(slots=True, eq=False)
class QueuedPlayer:
    """A `QueuedPlayer` is one player on its way."""

    title: QueuedTitle
    post: PlayerPost
    attempts: int = 0
    before: SentPlayer | None = None
    """The receipt or intent of this player in the catalogue, apart from that of a POST that is under way."""
    in_doubt: bool = False
    """Whether an earlier POST of the player may have been stored, or may still be under way; see `doubt`."""

    def __post_init__(self) -> None:
        self.before = self.post.before


Unit = QueuedTitle | QueuedPlayer


class DeliveryQueue:
    """`DeliveryQueue` gives out what was put off and is due, then players, then titles.

    Args:
        most_titles: number of titles at which `is_full` is true.
    """

    def __init__(self, most_titles: int) -> None:
        self.titles: dict[str, QueuedTitle] = {}
        """All titles under way, by id."""
        self._most_titles = most_titles
        self._waiting_titles: deque[QueuedTitle] = deque()
        self._players: deque[QueuedPlayer] = deque()
        self._later: list[tuple[float, int, Unit]] = []
        self._order = count()
        self._changed = asyncio.Event()
        self.more_may_come = True
        """Whether the catalogue may still grow in this run."""
        self.is_fed = False
        """Whether the anime stage is looking for titles, and may add more."""

    @property
    def is_full(self) -> bool:
        """Whether no more titles are to be taken up now. Titles with nothing but parked parts do not count."""
        return len(self.titles) >= self._most_titles and self._count_active() >= self._most_titles

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is being sent, and nothing could be sent except parked parts."""
        is_empty = not (self.is_fed or self._players or self._waiting_titles or self._later)
        return is_empty and self._count_active() == 0

    def _count_active(self) -> int:
        return sum(title.open > title.parked for title in self.titles.values())

    def add(self, title: QueuedTitle) -> None:
        """Add a title whose anime is delivered."""
        self._waiting_titles.append(title)
        self._changed.set()

    def add_player(self, player: QueuedPlayer) -> None:
        """Add a player whose episode is delivered."""
        self._players.append(player)
        self._changed.set()

    def put_off(self, unit: Unit, delay_s: float) -> None:
        """Give out the title or player again after so many seconds."""
        heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._order), unit))

    def take(self) -> Unit | None:
        """Give out the next title or player; ``None``: there is none now."""
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        if self._players:
            return self._players.popleft()
        return self._waiting_titles.popleft() if self._waiting_titles else None

    async def wait(self) -> None:
        """Wait for a title or player, at most `POLL_S`, because the caller has to look whether the run is stopped."""
        self._changed.clear()
        next_due_s = self._later[0][0] - time.monotonic() if self._later else POLL_S
        try:
            async with asyncio.timeout(min(POLL_S, max(0.0, next_due_s))):
                await self._changed.wait()
        except TimeoutError:
            pass
