"""The catalogue's tables: one SQL schema for SQLite and PostgreSQL. Alembic's migrations build it; a test compares.

Times are ISO 8601 UTC text, JSON is text: the same bytes in both databases.

    title ──< release ──< player          what sources say
      │  └──< anime ──< external_id       one row per source that describes the title; its ids elsewhere
      │         ├──< episode_info, airing, snapshot   what metadata sources say, by the source's own anime id
      │         └──< appearance >── character
      ├──< delivered_anime/_episode/_player   what the current `backend` is known to hold
      └── version > delivered_version     there may be something to deliver

    told, doubt                          what answers tell field by field, and what they came without
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

metadata = MetaData()

NO_SEASON = -1
"""In a key, which cannot be null: the source counts no seasons."""
NO_ANIME = ""
"""In a key: the source told of a character without naming an anime."""


def _version() -> tuple[Column[Any], ...]:
    """The columns that follow the key in a row which keeps the newest version of one item."""
    return (
        Column("checksum", Text, nullable=False),
        Column("schema_version", Integer, nullable=False),
        Column("fetched_at", Text, nullable=False),
        Column("changed_in", Integer, nullable=False, comment="run that last changed the row"),
        Column("data", Text, nullable=False, comment="JSON of the item"),
    )


def _gone_at(when: str) -> Column[Any]:
    return Column("gone_at", Text, comment=when)


def _missed_in() -> Column[Any]:
    comment = "a complete full walk that did not list it, nor many others, so that it was not believed; null: none"
    return Column("missed_in", Integer, comment=comment)


run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("spider", Text, nullable=False),
    Column("arguments", Text, nullable=False, comment="JSON, keys sorted: the same arguments continue the same run"),
    Column("mode", Text, nullable=False, comment="what the spider does: full, incremental, ids, deliver, …"),
    Column(
        "state",
        Text,
        nullable=False,
        comment="running (a crawl without a lock was cut off, and goes on) | finished | interrupted (a delivery)",
    ),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("starts", Integer, nullable=False, server_default="1", comment="processes that worked on it"),
    Column("exit_code", Integer, comment="of the newest process"),
    Column("report", Text, comment="JSON run report of the newest process"),
)

origin = Table(
    "origin",
    metadata,
    Column("kind", Text, primary_key=True, comment="sandbox | real: what all records are; one row, none while empty"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("spider", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="JSON, opaque; progress, resume point and watermark in one"),
    Column("run_id", Integer, nullable=False),
    Column("updated_at", Text, nullable=False),
)

title = Table(
    "title",
    metadata,
    Column(
        "title_id", Text, primary_key=True, comment="id in the catalogue's identity source (settings.IDENTITY_SOURCE)"
    ),
    Column("seq", Integer, nullable=False, unique=True, comment="order of first sight; the order of first delivery"),
    Column("version", Integer, nullable=False, comment="raised whenever anything below the title changes"),
    Column("delivered_version", Integer, nullable=False, server_default="0"),
    Column("changed_in", Integer, nullable=False, comment="run that last changed a release of it"),
    Column(
        "metadata_state",
        Text,
        comment="known | unknown | failed: the identity source's answer; null: not asked yet",
    ),
    Column("metadata_in", Integer, comment="run that last asked the identity source"),
    Column("metadata_at", Text),
    Column("due_at", Text, comment="when to ask again"),
)
Index(
    "title_to_deliver",
    title.c.seq,
    sqlite_where=text("version > delivered_version"),
    postgresql_where=text("version > delivered_version"),
)

anime = Table(
    "anime",
    metadata,
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("title_id", Text, comment="null: unmatched, no id in the identity source"),
    Column("checksum", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("source_updated_at", Text, comment="a version older than this does not replace the row"),
    Column("fetched_at", Text, nullable=False),
    Column("run_id", Integer, nullable=False, comment="run that last changed the row"),
    Column("data", Text, nullable=False, comment="JSON of the item"),
    Column("status", Text, comment="airing status, as in data"),
    Column("next_episode_at", Text, comment="as in data; UTC"),
    Column("seen_in", Integer, nullable=False, server_default="0", comment="full run that last listed it, or its news"),
    _missed_in(),
    _gone_at("a full walk no longer listed it, or a lookup found that it is not there; null: there"),
    PrimaryKeyConstraint("source", "source_id"),
    sqlite_with_rowid=False,
)
Index("anime_title", anime.c.title_id)

external_id = Table(
    "external_id",
    metadata,
    Column("source", Text, nullable=False, comment="who says it"),
    Column("source_id", Text, nullable=False, comment="of which of its anime"),
    Column("target", Text, nullable=False, comment="name of the other catalogue; never the source itself"),
    Column("target_id", Text, nullable=False, comment="the same work's id there"),
    PrimaryKeyConstraint("source", "source_id", "target"),
    sqlite_with_rowid=False,
)
Index("external_id_target", external_id.c.target, external_id.c.target_id)

detail = Table(
    "detail",
    metadata,
    Column("source", Text, nullable=False, comment="one that gives details of one anime at a time"),
    Column("source_id", Text, nullable=False),
    Column("asked_in", Integer, nullable=False, comment="run that last asked for them, whatever the answer"),
    Column("asked_at", Text, nullable=False),
    PrimaryKeyConstraint("source", "source_id"),
    sqlite_with_rowid=False,
)

release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("title_id", Text, comment="null: unmatched"),
    Column("checksum", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("source_updated_at", Text),
    Column("fetched_at", Text, nullable=False),
    Column("run_id", Integer, nullable=False, comment="run that last changed the row"),
    Column("seen_in", Integer, nullable=False, comment="full run that last listed it; written by full runs only"),
    _gone_at("a full walk no longer listed it; null: there"),
    Column("translation_id", Text, nullable=False),
    Column("translation_title", Text, nullable=False),
    Column("translation_kind", Text, nullable=False),
    Column("data", Text, nullable=False, comment="JSON of the item without its players"),
    Column("episodes", Integer, nullable=False, server_default="0", comment="how many it lists"),
    Column(
        "covered",
        Integer,
        nullable=False,
        server_default="0",
        comment="episodes when teams were last ranked",
    ),
    _missed_in(),
)
Index("release_identity", release.c.source, release.c.source_id, unique=True)
Index("release_title", release.c.title_id)

player = Table(
    "player",
    metadata,
    Column("release_id", Integer, ForeignKey("release.id"), nullable=False),
    Column("season_number", Integer, nullable=False, comment="as the source counts; -1: it counts none, a film"),
    Column("source_number", Integer, nullable=False, comment="within the season; numbering.py has that in the title"),
    Column("title", Text),
    Column("url", Text, nullable=False),
    Column("first_seen", Text, nullable=False),
    Column("last_seen", Text, nullable=False, comment="when the row last changed or was last known before it went"),
    Column("gone_at", Text, comment="its release no longer lists it; null: there"),
    PrimaryKeyConstraint("release_id", "season_number", "source_number"),
    sqlite_with_rowid=False,
)

episode = Table(
    "episode",
    metadata,
    Column("title_id", Text, nullable=False),
    Column("season_number", Integer, nullable=False, comment="-1: a film; union over releases"),
    Column("source_number", Integer, nullable=False),
    Column("title", Text, comment="first title that any release gave, by release order"),
    Column("first_seen", Text, nullable=False),
    PrimaryKeyConstraint("title_id", "season_number", "source_number"),
    sqlite_with_rowid=False,
)

episode_info = Table(
    "episode_info",
    metadata,
    Column("source", Text, nullable=False),
    Column("anime_id", Text, nullable=False, comment="source_id of the source's anime, here and below"),
    Column("season_number", Integer, nullable=False, comment="-1: the source counts no seasons"),
    Column("number", Integer, nullable=False),
    *_version(),
    _gone_at("the complete list of its anime's episodes no longer has it; null: there"),
    PrimaryKeyConstraint("source", "anime_id", "season_number", "number"),
    sqlite_with_rowid=False,
)

character = Table(
    "character",
    metadata,
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    *_version(),  # without what belongs to one anime
    PrimaryKeyConstraint("source", "source_id"),
    sqlite_with_rowid=False,
)

appearance = Table(
    "appearance",
    metadata,
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False, comment="of the character"),
    Column("anime_id", Text, nullable=False, comment="empty: none was named"),
    *_version(),  # role and voices in this anime
    _gone_at("the complete list of the anime's characters no longer has it; null: there"),
    PrimaryKeyConstraint("source", "source_id", "anime_id"),
    sqlite_with_rowid=False,
)

airing = Table(
    "airing",
    metadata,
    Column("source", Text, nullable=False),
    Column("anime_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False, comment="raw | sub | dub"),
    *_version(),
    PrimaryKeyConstraint("source", "anime_id", "number", "kind"),
    sqlite_with_rowid=False,
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False, comment="of the source's anime"),
    Column("snapshot_type", Text, nullable=False),
    Column("day", Text, nullable=False, comment="YYYY-MM-DD"),
    *_version(),
    PrimaryKeyConstraint("source", "source_id", "snapshot_type", "day"),
    sqlite_with_rowid=False,
)

delivered_anime = Table(
    "delivered_anime",
    metadata,
    Column("title_id", Text, primary_key=True),
    Column("checksum", Text, nullable=False, comment="of the payload that the backend accepted"),
    Column("delivered_at", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
)

delivered_episode = Table(
    "delivered_episode",
    metadata,
    Column("title_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("delivered_at", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    PrimaryKeyConstraint("title_id", "number"),
    sqlite_with_rowid=False,
)

delivered_player = Table(
    "delivered_player",
    metadata,
    Column("title_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column(
        "state", Text, nullable=False, comment="sending (written before the POST: outcome unknown until done) | done"
    ),
    Column("sent_at", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    PrimaryKeyConstraint("title_id", "number", "url"),
    sqlite_with_rowid=False,
)

backend = Table(
    "backend",
    metadata,
    Column("address", Text, primary_key=True, comment="scheme, host, port, path; no credentials"),
    Column("is_current", Boolean, nullable=False, comment="the delivered_* tables hold the receipts of this one"),
)

receipt_elsewhere = Table(
    "receipt_elsewhere",
    metadata,
    Column("backend", Text, nullable=False, comment="address of a backend that is not the current one"),
    Column("kind", Text, nullable=False, comment="anime | episode | player: the columns are those of delivered_*"),
    Column("title_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="0 for an anime"),
    Column("url", Text, nullable=False, comment="empty but for a player"),
    Column("checksum", Text),
    Column("delivered_at", Text),
    Column("priority", Integer),
    Column("state", Text),
    Column("sent_at", Text),
    Column("trace_id", Text, nullable=False),
    PrimaryKeyConstraint("backend", "kind", "title_id", "number", "url"),
    sqlite_with_rowid=False,
)

claim = Table(
    "claim",
    metadata,
    Column("title_id", Text, primary_key=True, comment="empty: the right to send anime, which one importer has"),
    Column("owner", Integer, nullable=False, comment="random number of the importer's session"),
    Column("until", Float, nullable=False, comment="Unix time by the database's clock"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("stage", Text, nullable=False, comment="parse | validate | deliver"),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, comment="identity of the record within (stage, source, kind)"),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column(
        "checksum", Text, nullable=False, comment="of the raw record or the payload: another content is another try"
    ),
    Column("schema_version", Integer, nullable=False),
    Column("request", Text, nullable=False, server_default="{}", comment="JSON: how to ask for it again; no token"),
    Column("run_id", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("seen", Integer, nullable=False, server_default="1"),
    Column("fetched_at", Text, comment="when the record was received; null: not known, at created_at or later"),
)
Index(
    "dead_letter_identity",
    dead_letter.c.stage,
    dead_letter.c.source,
    dead_letter.c.kind,
    dead_letter.c.key,
    unique=True,
)

told = Table(
    "told",
    metadata,
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="of the items, or appearance"),
    Column("answer", Text, nullable=False, comment="form of the answer: records of one form have the same fields"),
    Column("run_id", Integer, nullable=False, comment="run that last had such a record; windows are that run's"),
    Column("fields", Text, nullable=False, comment="JSON: field -> `vanished.Field`"),
    PrimaryKeyConstraint("source", "kind", "answer"),
    sqlite_with_rowid=False,
)

doubt = Table(
    "doubt",
    metadata,
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("field", Text, nullable=False, comment="that an answer came without, while a value is stored"),
    Column("key", Text, nullable=False, comment="JSON list: the record's key after the source"),
    Column("filled", Integer, nullable=False, comment="count of `told` before that answer"),
    Column("lost", Integer, nullable=False, comment="likewise"),
    PrimaryKeyConstraint("source", "kind", "answer", "field", "key"),
    sqlite_with_rowid=False,
)
Index("doubt_record", doubt.c.source, doubt.c.kind, doubt.c.key)

drift = Table(
    "drift",
    metadata,
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False, comment="dotted path in the upstream's words"),
    Column("change", Text, nullable=False, comment="unknown | vanished"),
    Column("count", Integer, nullable=False),
    Column("first_run", Integer, nullable=False),
    Column("last_run", Integer, nullable=False),
    PrimaryKeyConstraint("source", "path", "change"),
    sqlite_with_rowid=False,
)
