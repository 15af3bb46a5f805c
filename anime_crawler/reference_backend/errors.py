"""`envelope` makes the body of every error, and `database_text` the texts of database errors as the real backend has
them."""

from __future__ import annotations

from typing import Any

import orjson


class RefusedError(Exception):
    """The backend raises this if it answers a POST with an error and stores nothing.

    Args:
        status: HTTP status.
        message: text of the envelope.
        details: the wrong fields and their rules; the real backend writes them only to its log.
    """

    def __init__(self, status: int, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details


class DroppedError(Exception):
    """The backend raises this if it ends the connection without an answer."""


def envelope(status: int, message: str, trace_id: str, details: Any = None, code: str | None = None) -> bytes:
    """The body of an error; all errors have this shape."""
    error = {
        "code": code or ("VALIDATION_ERROR" if status == 422 else "HTTP_ERROR"),
        "message": message,
        "trace_id": trace_id,
    }
    if details is not None:
        error["details"] = details
    return orjson.dumps({"error": error}, default=str)


MULTIPLE_ROWS = "Multiple rows were found when one or none was required"

_INTEGRITY = ("IntegrityError", "UniqueViolationError", "gkpj")
_DUPLICATE = "duplicate key value violates unique constraint"
_DATABASE_TEXTS = {
    "uq_anime_source": (*_INTEGRITY, f'{_DUPLICATE} "uq_anime_source"'),
    "ix_anime_slug": (*_INTEGRITY, f'{_DUPLICATE} "ix_anime_slug"'),
    "uq_episode_source": (*_INTEGRITY, f'{_DUPLICATE} "uq_episode_source"'),
    "nul": ("DBAPIError", "CharacterNotInRepertoireError", "dbapi", 'invalid byte sequence for encoding "UTF8": 0x00'),
    "int32": ("DBAPIError", "DataError", "dbapi", "invalid input for query argument $4: value out of int32 range"),
    "index_row": (
        "OperationalError",
        "ProgramLimitExceededError",
        "e3q8",
        "index row size 2744 exceeds btree version 4 maximum 2704",
    ),
    "connection_closed": ("InterfaceError", "InterfaceError", "rvf5", "connection is closed"),
    "deadlock": ("DBAPIError", "DeadlockDetectedError", "dbapi", "deadlock detected"),
}
_PLAIN_TEXTS = {
    "multiple_rows": MULTIPLE_ROWS,
    "refused": "[Errno 111] Connection refused",
    "queue_pool": "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
    "unknown": "something nobody has seen before",
}
DATABASE_TROUBLES = (*_DATABASE_TEXTS, *_PLAIN_TEXTS)


def database_text(trouble: str, route: str, parameters: object) -> str:
    """The message of a 500 that the database has caused.

    Args:
        trouble: one of `DATABASE_TROUBLES`.
        route: anime, episodes or video.
        parameters: the payload. The real texts quote it, so a client that logs a whole text logs descriptions and URLs.

    Source: classes, constraints and quoted texts are from the contract's error matrix, the layout is SQLAlchemy's.
    """
    if trouble in _PLAIN_TEXTS:
        return f"Failed to import {route}: {_PLAIN_TEXTS[trouble]}"
    error, cause, code, text = _DATABASE_TEXTS[trouble]
    lines = (
        f"Failed to import {route}: (sqlalchemy.dialects.postgresql.asyncpg.{error}) "
        f"<class 'asyncpg.exceptions.{cause}'>: {text}",
        f"[SQL: INSERT INTO {route} …]",
        f"[parameters: {parameters}]",
        f"(Background on this error at: https://sqlalche.me/e/20/{code})",
    )
    return "\n".join(lines)
