"""The catalogue raises these errors.

CatalogueError           it cannot be used as it is set up: a person must act; exit code 2
└── CatalogueAwayError   the database stays away or has ended our session: the same command continues; exit code 3
"""

from __future__ import annotations


class CatalogueError(Exception):
    """The catalogue cannot be opened, migrated, read or written. The message names DATABASE_URL and what to do."""

    exit_code = 2


class CatalogueAwayError(CatalogueError):
    """The database server does not answer, or it has ended our session and with it every lock and lease of ours."""

    exit_code = 3
