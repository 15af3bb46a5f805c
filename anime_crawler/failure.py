"""Every failure is one log line, ``failure {"service": …}``: JSON for programs, short enough for people."""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict


class Failure(BaseModel):
    """One attempt that failed, or one record that was set aside. Its JSON schema is what such a line holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str
    """The upstream, or ``backend``."""
    kind: str
    """Short stable name: ``server_error``, ``timeout``, ``set_aside``, …"""
    status: int | None = None
    """HTTP status. ``None``: there was no answer, or it is not about one."""
    attempt: int | None = None
    """Counts from 1."""
    url: str | None = None
    """No secrets: tokens are in no address of ours, and masked in whatever is logged."""
    key: str | None = None
    """The record: its id at the source, or its key at the backend."""
    reason: str | None = None
    trace_id: str | None = None
    """``X-Trace-Id`` of a POST to the backend; its own log has it too."""


def log_failure(logger: logging.Logger, failure: Failure) -> None:
    """A warning: it may pass, or be mended and replayed. What ends a run is an error of its own."""
    logger.warning("failure %s", failure.model_dump_json(exclude_none=True))
