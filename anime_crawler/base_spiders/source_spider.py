"""The spider every source builds on: its card, its progress, its failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Protocol

from scrapy import Request, Spider
from scrapy.http import Response
from twisted.python.failure import Failure

from anime_crawler.base_spiders.card import SourceCard
from anime_crawler.base_spiders.verdict import GivenUp, Verdict, verdict_by_status


class ArgumentError(ValueError):
    """A wrong ``-a name=value``; exit code 2, the message lists what applies."""


class Run(Protocol):
    """What a spider may ask of the run it belongs to. The job gives it; the catalogue answers."""

    async def checkpoint(self) -> dict[str, Any] | None:
        """State of the last stored `Checkpoint` of this spider, also from an earlier run; ``None``: never ran."""

    async def wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        """Anime ids whose metadata this source is to fetch: new first, then changed, then due; no repeats."""

    def more_may_come(self) -> bool:
        """Whether another spider of the job still runs and may make further ids wanted."""

    @property
    def is_new(self) -> bool:
        """False when this run continues one that was interrupted."""

    def fail(self, verdict: Verdict) -> None:
        """The upstream refused or stayed away: the run ends incomplete (exit code 3) and can be resumed."""


class SourceSpider(Spider):
    """Base of all spiders. A source sets `card`, `arguments`, `start`, its callbacks and its judgement.

    ``self.run`` is set before `start` is iterated.
    """

    card: ClassVar[SourceCard]
    arguments: ClassVar[Mapping[str, str]] = {}
    """Spider arguments (``-a name=value``) and one line of help for each."""
    run: Run
    base_url: str
    """The upstream's address: the setting on the card, else the card's default; no trailing slash."""

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        unknown = sorted(set(kwargs) - set(self.arguments))
        if unknown:
            known = "".join(f"\n  -a {name}=…  {help_}" for name, help_ in self.arguments.items())
            raise ArgumentError(f"{self.name} has no argument {', '.join(unknown)}; it has:{known}")
        super().__init__(name)
        self.args = dict(kwargs)
        self.base_url = self.card.base_url

    async def start(self) -> AsyncIterator[Any]:
        """First requests; nothing when the frontier still holds requests of an interrupted run."""
        raise NotImplementedError
        yield

    def judge(self, response: Response) -> Verdict:
        """What this response means; sources that say it in the body override this."""
        return verdict_by_status(response.status)

    def failed(self, failure: Failure) -> None:
        """Errback for requests the run cannot do without: keeps the request pending and ends the run incomplete."""
        request: Request = failure.request  # type: ignore[attr-defined]
        request.meta["unfinished"] = True
        error = failure.value
        if isinstance(error, GivenUp):
            self.run.fail(error.verdict)
        else:
            failure.raiseException()
