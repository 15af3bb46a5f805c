"""Adds the tables for what metadata sources say of episodes, characters, airings and daily ranks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEYS = {
    "episode_info": ("source", "anime_id", "season_number", "number"),
    "character": ("source", "source_id"),
    "appearance": ("source", "source_id", "anime_id"),
    "airing": ("source", "anime_id", "number", "kind"),
    "snapshot": ("source", "source_id", "snapshot_type", "day"),
}
INTEGERS = ("season_number", "number")


def upgrade() -> None:
    """Add five tables; what is there stays as it is."""
    for name, key in KEYS.items():
        op.create_table(
            name,
            *(sa.Column(part, sa.Integer() if part in INTEGERS else sa.Text(), nullable=False) for part in key),
            sa.Column("checksum", sa.Text(), nullable=False),
            sa.Column("schema_version", sa.Integer(), nullable=False),
            sa.Column("fetched_at", sa.Text(), nullable=False),
            sa.Column("changed_in", sa.Integer(), nullable=False),
            sa.Column("data", sa.Text(), nullable=False),
            sa.PrimaryKeyConstraint(*key),
            sqlite_with_rowid=False,
        )
