"""The catalogue's schema by version. Run by `migrate` whenever a catalogue is opened; there is no alembic.ini.

To change the schema: edit ``tables.py``, add ``versions/NNNN_<what>.py``, next number; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, inspect, text

from anime_crawler.catalogue.errors import CatalogueError

FOLDER = files(__name__)
"""On disk, or inside the egg that scrapyd runs."""
LOCK_KEY = 0x616E696D65  # "anime": PostgreSQL's name for "one process migrates"


@cache
def revisions() -> list[str]:
    """All schema versions this program knows, oldest first: the numbers of the files in ``versions/``."""
    names = (file.name for file in (FOLDER / "versions").iterdir())
    return sorted(name.partition("_")[0] for name in names if name[0].isdigit())


def migrate(conn: Connection) -> None:
    """Bring the schema to head, in one transaction; at head already, one small query is all.

    Raises:
        CatalogueError: the schema is one this program does not know.
    """
    with conn.begin():
        stored = _stored_revision(conn)
    if stored == revisions()[-1]:
        return
    if stored is not None and stored not in revisions():
        raise CatalogueError(
            f"the database is at revision {stored}, newer than this program, which knows up to {revisions()[-1]}: "
            "use the program that wrote it, or point DATABASE_URL at another database"
        )
    _upgrade(conn.execution_options(writes=True))


def _stored_revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    revision: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _upgrade(conn: Connection) -> None:
    from alembic import command  # here: takes 0.2 s to import, and a catalogue at head does not need it
    from alembic.config import Config

    config = Config()
    config.attributes["connection"] = conn
    with on_disk(FOLDER) as folder, conn.begin():
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        if conn.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        command.upgrade(config, "head")


@contextmanager
def on_disk(folder: Traversable) -> Iterator[Path]:
    """The folder as one of files: Alembic reads no eggs. (``importlib.resources.as_file`` takes folders from 3.12.)"""
    if isinstance(folder, Path):
        yield folder
        return
    with TemporaryDirectory(prefix="migrations-") as copy:
        for part in ("", "versions"):
            target = Path(copy, part)
            target.mkdir(exist_ok=True)
            for file in (folder / part if part else folder).iterdir():
                if file.is_file():
                    (target / file.name).write_bytes(file.read_bytes())
        yield Path(copy)
