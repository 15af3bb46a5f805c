"""Ids elsewhere as rows of their own, what an anime is by its dates, and when a source was asked for its details."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ANIME = {
    "sqlite": "UPDATE anime SET status = data ->> 'status', next_episode_at = data ->> 'next_episode_at'",
    "postgresql": "UPDATE anime SET status = CAST(data AS json) ->> 'status', "
    "next_episode_at = CAST(data AS json) ->> 'next_episode_at'",
}
LINKS = {
    "sqlite": "INSERT INTO external_id SELECT anime.source, anime.source_id, link.key, link.value "
    "FROM anime, json_each(anime.data, '$.external_ids') AS link WHERE link.key <> anime.source",
    "postgresql": "INSERT INTO external_id SELECT anime.source, anime.source_id, link.key, link.value "
    "FROM anime, json_each_text(CAST(anime.data AS json) -> 'external_ids') AS link WHERE link.key <> anime.source",
}


def upgrade() -> None:
    """Add two columns and two tables, and fill the columns and the first table from the items that are stored."""
    dialect = op.get_bind().dialect.name
    op.add_column("anime", sa.Column("status", sa.Text()))
    op.add_column("anime", sa.Column("next_episode_at", sa.Text()))
    op.execute(ANIME[dialect])
    op.create_table(
        "external_id",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id", "target"),
        sqlite_with_rowid=False,
    )
    op.execute(LINKS[dialect])
    op.create_index("external_id_target", "external_id", ["target", "target_id"])
    op.create_table(
        "detail",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("asked_in", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id"),
        sqlite_with_rowid=False,
    )
