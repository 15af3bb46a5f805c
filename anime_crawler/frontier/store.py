"""A frontier store keeps the pending requests, the leased ones, and the fingerprints of all that it was ever given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class FrontierError(Exception):
    """The frontier cannot be opened, read or written; the message says which file it is and what to do."""

    exit_code = 2  # a job directory that cannot be used is a matter of configuration


class JobDirHeld(FrontierError):  # noqa: N818  it is no fault: the other run is well
    """Another process uses the job directory, or another run the Redis."""

    exit_code = 5


class FrontierAway(FrontierError):  # noqa: N818  named for what its caller does: wait, then try again
    """Redis cannot be used just now; nothing is lost, and later the same call may succeed."""

    exit_code = 3


class LeaseLost(FrontierError):  # noqa: N818  it is no fault of this process: it was away for too long
    """Others have taken over what this worker had leased: it may neither ack nor add nor store."""

    exit_code = 3


@dataclass(frozen=True)
class Lease:
    """One request handed out, until it is acked or its owner is gone."""

    id: int | str
    data: bytes


class Store(Protocol):
    """Every method is durable against the death of the process when it returns. All raise `FrontierError`."""

    def open(self, generation: str) -> int:
        """Become an owner; leases of dead owners become pending.

        What belongs to another generation is removed first. Where nothing is pending the fingerprints are removed
        too, or a walk that must begin anew would find its first request already seen.

        Returns:
            How many requests are pending.
        """

    def push(self, fingerprint: bytes | None, slot: str, priority: int, data: bytes) -> bool:
        """Make a request pending, and its fingerprint seen, in one step; False: it was seen before.

        Args:
            fingerprint: ``None``: the request is taken whatever was seen, and leaves no trace there.
        """

    def pop(self, active: Mapping[str, int]) -> Lease | None:
        """Lease the request with the highest priority, the oldest of them, of the least busy slot that has any.

        Args:
            active: slot -> transfers under way; an absent slot has none.
        """

    def ack(self, lease: Lease) -> None:
        """The request is done for good."""

    def keep(self, lease: Lease) -> None:
        """The request was given up by this process of the run; it is pending for the next."""

    def pending(self) -> int:
        """How many requests `pop` can still give."""

    def leased_elsewhere(self) -> int:
        """How many requests other owners work at: more may come of them."""

    def unfinished(self) -> int:
        """How many requests are pending, leased or kept."""

    def clear(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Let another owner in. What is leased becomes pending for it."""
