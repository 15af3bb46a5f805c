"""What the catalogue raises."""

from __future__ import annotations


class CatalogueError(Exception):
    """The catalogue cannot be opened, migrated, read or written. The message names DATABASE_URL and what to do."""
