"""The reference backend's three tables. They may lie in the catalogue's database, and share no table with it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

anime = Table(
    "backend_anime",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source_name", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("alternative_titles", Text, comment="JSON list; NULL is unknown, [] is known to be none"),
    Column("description", Text),
    Column("year", Integer),
    Column("status", Text),
    Column("poster", Text),
    Column("genres", Text, comment="JSON list"),
    Column("is_active", Boolean, nullable=False),
    Column("admin_modified", Boolean, nullable=False, comment="imports leave the row alone for ever"),
    Column("updated_at", Text, nullable=False, comment="ISO 8601 UTC; moves only when a value does"),
    UniqueConstraint("source_name", "source_id"),
)

episode = Table(
    "backend_episode",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("anime_id", ForeignKey(anime.c.id), nullable=False),
    Column("source_episode_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("title", Text),
    Column("is_active", Boolean, nullable=False, comment="set by is_available"),
    Column("admin_modified", Boolean, nullable=False),
    Column("updated_at", Text, nullable=False),
    UniqueConstraint("anime_id", "source_episode_id"),
    Index("backend_episode_by_source", "source_episode_id"),
)

video = Table(
    "backend_video",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("episode_id", ForeignKey(episode.c.id), nullable=False),
    Column(
        "key", LargeBinary, nullable=False, comment="digest of url and source_name: a URL may be longer than an index"
    ),
    Column("copy", Integer, nullable=False, comment="0; 1, 2, … are duplicates stored on purpose"),
    Column("type", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("admin_modified", Boolean, nullable=False),
    Column("updated_at", Text, nullable=False),
    UniqueConstraint("episode_id", "key", "copy"),
)

KINDS = {"anime": anime, "episode": episode, "video": video}
