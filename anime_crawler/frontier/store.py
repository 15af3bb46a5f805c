"""A frontier store keeps the pending requests, the leased ones, and the fingerprints of all requests of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class FrontierError(Exception):
    """The frontier cannot be opened, read or written; the message names the file and says how to repair it."""

    exit_code = 2  # the configuration names a job directory that cannot be used


class JobDirHeld(FrontierError):  # noqa: N818  it is not an error: the other run works as it should
    """Another process uses the job directory, or another run uses the Redis."""

    exit_code = 5


class FrontierAway(FrontierError):  # noqa: N818  it is not an error: the caller waits, then tries again
    """Redis cannot be used at the moment. Nothing is lost, and the same call may succeed later."""

    exit_code = 3


class LeaseLost(FrontierError):  # noqa: N818  it is not an error: this process was silent for too long
    """Other workers have taken over the requests that this worker had leased. It may no longer ack, add or store."""

    exit_code = 3


@dataclass(frozen=True)
class Lease:
    """A `Lease` hands out one request to one owner until the owner acks it or is gone."""

    id: int | str
    data: bytes


class Store(Protocol):
    """The interface of every form of the frontier.

    A change survives the death of the process as soon as the method has returned. Every method may raise
    `FrontierError`.
    """

    def open(self, generation: str) -> int:
        """Become an owner of the store, and make the requests that dead owners had leased pending again.

        The store first removes the requests of other generations. If no request is pending after that, it removes the
        fingerprints too: otherwise a walk that begins anew would find its first request already seen.

        Args:
            generation: names the run and the address that the requests belong to.

        Returns:
            How many requests are pending.
        """

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        """Make a request pending and its fingerprint seen, in one step.

        Args:
            fingerprint: with ``None`` the store takes the request in any case, and notes no fingerprint.

        Returns:
            False if the fingerprint was seen before; the request is then not taken.
        """

    def pop(self, active: Mapping[str, int]) -> Lease | None:
        """Lease a request of the least busy slot that has one: of the highest priority, and among those the oldest.

        Args:
            active: number of transfers under way by slot; a slot that is absent has none.
        """

    def ack(self, lease: Lease) -> None:
        """Note that the request is done for good."""

    def keep(self, lease: Lease) -> None:
        """Note that this process gave the request up; it becomes pending for the next process of the run."""

    def pending(self) -> int:
        """The number of requests that `pop` can still give."""

    def leased_elsewhere(self) -> int:
        """The number of requests that other owners have leased; each may add further requests."""

    def unfinished(self) -> int:
        """The number of requests that are pending, leased or kept."""

    def clear(self) -> None:
        """Remove all requests and all fingerprints."""

    def close(self) -> None:
        """Give up ownership. The requests that this owner has leased become pending for the next owner."""
