"""The spider every source builds on: its card, its progress, its failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Literal, Protocol, Self

from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.settings import BaseSettings
from twisted.python.failure import Failure

from anime_crawler.base_spiders.arguments import ArgumentError, chosen
from anime_crawler.base_spiders.card import SourceCard
from anime_crawler.base_spiders.record import Drift, raw_text
from anime_crawler.base_spiders.verdict import Action, GivenUp, Verdict, request_of, verdict_by_status
from anime_crawler.items import Rejected, utc_now

UNREADABLE = frozenset({"not_json", "wrong_shape", "challenge"})
"""Kinds of verdict that say: an answer came, but not the one that was asked for."""


RENDER = {"render": "browser: scripts of the pages run in Chromium before they are read; plain requests need none"}
"""The argument of crawled sites, for the `arguments` of their spiders; the crawl command starts the browser."""


class Run(Protocol):
    """A spider asks its `Run` for these things. The job gives the run to it; the catalogue answers."""

    id: int
    """Number of the run; later runs have higher ones. An interrupted run keeps its number."""
    full_listing: bool
    """Set by the spider with each page of a walk, in each process: whether the walk lists everything. The catalogue
    then notes each release and anime as seen in this run, also where nothing of it has changed."""

    async def checkpoint(self) -> dict[str, Any] | None:
        """State of the last stored `Checkpoint` of this spider, also from an earlier run; ``None``: never ran."""

    async def wanted(self, limit: int, exclude: frozenset[str]) -> list[str]:
        """Ids of this source whose details it is to fetch, most wanted first; none that this run has asked for.

        The identity source gets those of all titles, any other those that anime of other sources name; the latter
        tells by `Checkpoint.asked` what it has asked for.
        """

    async def unfinished(self) -> list[str]:
        """Ids of this source's anime that were announced, running or paused when it last said anything of them."""

    def more_may_come(self) -> bool:
        """Whether another spider of the job still runs and may make further ids wanted."""

    @property
    def is_new(self) -> bool:
        """False when this run continues one that was interrupted."""

    def progress(self, done: int, total: int | None) -> None:
        """Tell people how far the walk is, in records; ``None``: the upstream does not say how many there are."""

    def drift(self, path: str, change: Literal["unknown", "vanished"], count: int) -> None:
        """Count a field that the schema does not know, or a usual one that a whole page lacked."""

    def fail(self, verdict: Verdict) -> None:
        """The upstream refused or stayed away: the run ends incomplete (exit code 3) and can be resumed."""

    def missing(self, kind: str, message: str) -> None:
        """Something that was asked for by name was not had, though the upstream answered: exit code 1.

        Args:
            kind: short stable name: ``title_not_found``, ``list_capped``, …
            message: one sentence that names it and says what to do.
        """

    def enough(self, message: str) -> None:
        """The run has done what the day's quota allows, and ends as done; the sentence says what is left for when."""


class SourceSpider(Spider):
    """Base of all spiders. A source sets `card`, `arguments`, `start`, its callbacks and its judgement.

    ``self.run`` is set before `start` is iterated.
    """

    card: ClassVar[SourceCard]
    arguments: ClassVar[Mapping[str, str]] = {}
    """Spider arguments (``-a name=value``) and one line of help for each."""
    lookups: ClassVar[frozenset[str]] = frozenset({"ids", "titles"})
    """Arguments that name what is wanted. A run with one of them is a lookup, every other run a walk for news."""
    oldest_in_walks_s: ClassVar[float] = 0
    """How old an answer out of the HTTP cache may be that serves a walk. 0, none, unless the upstream bans those who
    ask again: a list that is a day old hides what is new, pages of different age do not fit together, and what a
    walk leads to is asked for because it may have changed."""
    run: Run
    base_url: str
    """The upstream's address: the setting on the card, else the card's default; no trailing slash."""

    is_of_sandbox: bool = False
    """Whether answers said that they are the sandbox's: what this run stores is invented then."""

    own: Mapping[str, Any] = {}
    """Values of the settings that only this source has, by the names on its card."""

    def __init__(self, name: str | None = None, **kwargs: str) -> None:
        unknown = sorted(set(kwargs) - set(self.arguments))
        if unknown:
            known = "".join(f"\n  -a {name}=…  {help_}" for name, help_ in self.arguments.items())
            raise ArgumentError(f"{self.name} has no argument {', '.join(unknown)}; it has:{known}")
        chosen(kwargs, "render", "browser")
        super().__init__(name)
        self.args = dict(kwargs)
        self.base_url = self.card.base_url

    @property
    def is_rendered(self) -> bool:
        """Whether its pages are shown in a browser before they are read."""
        return "render" in self.args

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.job.attach(spider)  # type: ignore[attr-defined]
        return spider

    @classmethod
    def update_settings(cls, settings: BaseSettings) -> None:
        super().update_settings(settings)
        settings.set("DOWNLOAD_MAXSIZE", cls.card.max_body_bytes, priority="spider")
        settings.set("ROBOTSTXT_OBEY", cls.card.obeys_robots, priority="spider")

    async def start(self) -> AsyncIterator[Any]:
        """First requests; nothing when the frontier still holds requests of an interrupted run."""
        raise NotImplementedError
        yield

    @property
    def is_resumed(self) -> bool:
        """Whether the frontier still holds requests of an interrupted run, so that `start` has none to add."""
        assert self.crawler.engine is not None
        return bool(getattr(self.crawler.engine.scheduler, "resumed", False))

    @property
    def is_lookup(self) -> bool:
        """Whether this run asks for what is named."""
        return bool(self.lookups & self.args.keys())

    def judge(self, response: Response) -> Verdict:
        """Judge a response by its status; a source whose body says more overrides this."""
        return verdict_by_status(response.status)

    def failed(self, failure: Failure) -> Iterator[Rejected]:
        """Errback for requests the run cannot do without: keeps the request pending and ends the run incomplete.

        Yields:
            The dead letter of an answer that came but could not be read.
        """
        error = failure.value
        request = request_of(failure)
        request.meta["unfinished"] = True
        if not isinstance(error, GivenUp):  # a bug of ours, in a downloader middleware
            self.run.fail(Verdict(Action.GIVE_UP, "bug", f"a request failed with {type(error).__name__}; see the log"))
            failure.raiseException()
        self.run.fail(error.verdict)
        if error.verdict.kind in UNREADABLE and error.response is not None:
            yield self.rejected_page(error.verdict, error.response, request)

    def stop(self, at: Request | Response, kind: str, message: str, setting: str | None = None) -> None:
        """End the run incomplete, where going on would be of no use; the next run asks for this page again.

        Args:
            at: the page, or the request for it, that stays pending.
            kind, message, setting: as in `Verdict`.
        """
        at.meta["unfinished"] = True
        self.run.fail(Verdict(Action.GIVE_UP, kind, message, setting))

    def title_not_found(self, title: str, candidates: Iterable[tuple[str | None, str | int]] = ()) -> None:
        """Report a title of ``-a titles=`` that no anime bears exactly; nothing is stored for it.

        Args:
            candidates: (name, id) of what the upstream found instead, best first; the first five are named.
        """
        nearest = "; ".join(f"{name or 'without a title'} (ids={own})" for name, own in islice(candidates, 5))
        hint = f". It found: {nearest}. Ask for the right one by its id" if nearest else ""
        self.run.missing("title_not_found", f"{self.card.title} has no anime called exactly {title!r}{hint}")

    def report_drift(self, drift: Drift) -> None:
        """Tell the run what of an answer no longer matches the schema."""
        for (path, change), count in drift.items():
            self.run.drift(path, change, count)

    def rejected_page(self, verdict: Verdict, response: Response, request: Request) -> Rejected:
        """The dead letter of a whole answer."""
        return Rejected(
            source=self.card.name,
            kind="page",
            source_id=None,
            reason=f"{verdict.kind}: {verdict.message}",
            raw=raw_text(response.body),
            request={"url": request.url, "body": request.body.decode("utf-8", "replace")},
            fetched_at=utc_now(),
        )
